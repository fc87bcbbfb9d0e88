"""Writes the arrays of a data set, as `dataset.open_dataset` reads them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import numpy as np

from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data import metadata
from embedding_rnn.data.dataset import IDS, SPLIT_CODES
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.utils import files


class Notes(NamedTuple):
  """Some of the notes of a data set.

  Attributes:
    frames: `[N, T, W]`.
    midi_pitch: ints `[N]`.
    velocity: ints `[N]`, MIDI.
    instrument_ids: ints `[N]`; None if they are not known, of no note at all.
    family_ids: the same of the instruments' families.
    split: the same, indices in `splits.SPLITS`.
  """

  frames: np.ndarray
  midi_pitch: np.ndarray
  velocity: np.ndarray
  instrument_ids: np.ndarray | None = None
  family_ids: np.ndarray | None = None
  split: np.ndarray | None = None


def write_notes(
  folder: pathlib.Path, num_notes: int, parts: Iterable[Notes]
) -> None:
  """Writes the arrays of a data set, each file whole or not at all.

  Args:
    folder: to write to, which is there.
    num_notes: in all parts.
    parts: the notes, in order; they need not be in memory all at once.
  """
  opened: dict[str, BinaryIO] = {}
  with contextlib.ExitStack() as stack:
    for part in parts:
      for name, array in _by_file(part).items():
        if name not in opened:
          path = stack.enter_context(files.replacing(folder / name))
          opened[name] = stack.enter_context(path.open('wb'))
          shape = (num_notes, *array.shape[1:])
          _write_header(opened[name], array.dtype, shape)
        opened[name].write(array.tobytes())


def _by_file(notes: Notes) -> dict[str, np.ndarray]:
  hps, one_hot = default_hps(), np.eye(NUM_MIDI, dtype=np.float32)
  arrays = {
    hps.data_set: notes.frames.astype(np.float32, copy=False),
    hps.pitch_set: one_hot[notes.midi_pitch],
    hps.velocity_set: one_hot[notes.velocity],
  }
  for name, values, dtype in (
    (IDS[metadata.INSTRUMENTS], notes.instrument_ids, np.int64),
    (IDS[metadata.FAMILIES], notes.family_ids, np.int64),
    (SPLIT_CODES, notes.split, np.int8),
  ):
    if values is not None:
      arrays[name] = values.astype(dtype)
  return arrays


def _write_header(
  file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]
) -> None:
  # Written through, not memory-mapped: there, a full disk kills the process.
  np.lib.format.write_array_header_1_0(
    file,
    {
      'descr': np.lib.format.dtype_to_descr(dtype),
      'fortran_order': False,
      'shape': shape,
    },
  )
