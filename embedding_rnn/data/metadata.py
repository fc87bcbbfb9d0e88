"""What a data set says of itself, in dataset.json."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data.arrays import REMAKE
from embedding_rnn.data.splits import SPLITS

FILE = 'dataset.json'
CODEC, CHECKPOINT, SAMPLE_RATE = 'codec', 'checkpoint', 'sample_rate'
INSTRUMENTS, FAMILIES = 'instruments', 'instrument_families'  # names by id
SPLIT_NAMES = {'split_names': list(SPLITS)}
_TYPES = {CODEC: str, CHECKPOINT: dict, INSTRUMENTS: list, FAMILIES: list}


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
    with open(path, encoding='utf-8') as file:
      metadata = json.load(file)
  except FileNotFoundError:
    return {}
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{path!r} is damaged: {error}; {REMAKE}, or remove it to do without.'
    ) from error
  if not isinstance(metadata, dict):
    raise ValueError(
      f'{path!r} must hold a JSON object, got {type(metadata).__name__}; '
      f'{REMAKE}.'
    )
  words = {str: 'a text', dict: 'an object', list: 'a list of names'}
  for key, expected in _TYPES.items():
    value = metadata.get(key)
    is_good = value is None or isinstance(value, expected)
    if is_good and isinstance(value, list):
      is_good = all(isinstance(name, str) for name in value)
    if not is_good:
      raise ValueError(
        f'{path!r} has {str(value)[:60]!r} as {key!r}; it must be '
        f'{words[expected]}. {REMAKE}.'
      )
  return metadata
