"""What a data set says of itself, in dataset.json."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data.arrays import REMAKE
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import reading

FILE = 'dataset.json'
CODEC, CHECKPOINT, SAMPLE_RATE = 'codec', 'checkpoint', 'sample_rate'
INSTRUMENTS, FAMILIES = 'instruments', 'instrument_families'  # names by id
SPLIT_NAMES = {'split_names': list(SPLITS)}
_TYPES = {
  CODEC: str | None,
  CHECKPOINT: dict | None,
  INSTRUMENTS: list[str] | None,
  FAMILIES: list[str] | None,
}


def of_codec(codec: Codec) -> dict[str, Any]:
  """What to say of the codec that made the frames."""
  metadata = {
    CODEC: codec.name,
    SAMPLE_RATE: codec.sample_rate,
    'hop_length': codec.hop_length,
  }
  checkpoint = codec.checkpoint
  return metadata | ({CHECKPOINT: checkpoint} if checkpoint else {})


def of_names(
  instruments: Sequence[str] | None, families: Sequence[str] | None
) -> dict[str, Any]:
  """What to say of instruments and their families, by id; None: nothing."""
  names = {INSTRUMENTS: instruments, FAMILIES: families}
  return {key: list(value) for key, value in names.items() if value is not None}


def read(data_dir: str | os.PathLike[str]) -> dict[str, Any]:
  """Reads the metadata of a data set.

  Args:
    data_dir: its folder.

  Returns:
    What dataset.json holds, or {} if there is no such file.

  Raises:
    ValueError: if it is no JSON object, or "codec" is no text, "checkpoint" no
      object, or "instruments" or "instrument_families" no list of texts.
  """
  path = os.path.join(data_dir, FILE)
  try:
    return reading.read_json(path, f'{REMAKE}, or remove it', hints=_TYPES)
  except FileNotFoundError:
    return {}
