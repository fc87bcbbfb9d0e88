"""What a run remembers of its data, to open the same again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedding_rnn.data import arrays, dataset, metadata
from embedding_rnn.model.hparams import HParams

_CHUNK_BYTES = 8 << 20
_REMEMBERED = (
  metadata.CODEC,
  metadata.CHECKPOINT,
  metadata.SAMPLE_RATE,
  metadata.INSTRUMENTS,
  metadata.FAMILIES,
)


def describe_dataset(
  notes: dataset.NoteDataset, split_seed: int
) -> dict[str, Any]:
  """What a run remembers of its data, to open the same again."""
  described = {
    'data_dir': os.path.abspath(notes.data_dir),
    'split_seed': split_seed,
    'split_sha256': _split_digest(notes),
    'data_sha256': _data_digest(notes),
    'num_notes': {name: len(rows) for name, rows in notes.rows.items()},
  }
  known = notes.metadata
  return described | {key: known[key] for key in _REMEMBERED if key in known}


def open_same_dataset(
  data_dir: str | os.PathLike[str], hps: HParams, described: Mapping[str, Any]
) -> dataset.NoteDataset:
  """Opens the data set that `describe_dataset` described.

  Args:
    data_dir: where it is now.
    hps: of the run.
    described: what the run remembers.

  Raises:
    FileNotFoundError: if it is not there.
    ValueError: for bad data, or other data than the run's.
  """
  notes = dataset.open_dataset(data_dir, hps, described['split_seed'])
  if _split_digest(notes) != described['split_sha256']:
    now = {name: len(rows) for name, rows in notes.rows.items()}
    raise ValueError(
      f'{os.fspath(data_dir)!r} holds other notes than the run was trained on: '
      f'its splits are {now} or in another order, expected '
      f'{described["num_notes"]}; give the data set of the run with --data_dir.'
    )
  # Runs of versions before do not know it.
  if described.get('data_sha256', known := _data_digest(notes)) != known:
    raise ValueError(
      f'{os.fspath(data_dir)!r} holds as many notes as the run was trained on, '
      'but others: the SHA-256 of its frames, pitches and velocities is '
      f'{known}, expected {described["data_sha256"]}; give the data set of the '
      'run with --data_dir.'
    )
  expect_same_codec(notes, described)
  return notes


def expect_same_codec(
  notes: dataset.NoteDataset, described: Mapping[str, Any]
) -> None:
  """Raises ValueError if a run knows its codec, and data is of another."""
  for key in (metadata.CODEC, metadata.CHECKPOINT):
    expected, found = described.get(key), notes.metadata.get(key)
    if expected not in (None, found):
      raise ValueError(
        f'The run was trained on frames of the {key} {expected!r}, but '
        f'{notes.data_dir!r} has those of {found!r}; give the data set of '
        'the run with --data_dir.'
      )


def _split_digest(notes: dataset.NoteDataset) -> str:
  digest = hashlib.sha256()
  for name in sorted(notes.rows):
    digest.update(name.encode())
    digest.update(np.asarray(notes.rows[name], '<i8').tobytes())
  return digest.hexdigest()


def _data_digest(notes: dataset.NoteDataset) -> str:
  """The SHA-256 of the values in all arrays, in whatever file they are."""
  digest = hashlib.sha256()
  for array in (notes.frames, notes.pitches, notes.velocities):
    digest.update(f'{array.dtype.str} {array.shape}'.encode())
    size = max(1, _CHUNK_BYTES // max(1, array[0].nbytes))
    for start in range(0, len(array), size):
      digest.update(np.ascontiguousarray(array[start : start + size]).data)
      arrays.release(array)
  return digest.hexdigest()
