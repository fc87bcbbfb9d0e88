"""What a run remembers of its data, to open the same again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedding_rnn.data import arrays, checks, dataset, metadata
from embedding_rnn.model.hparams import NUM_VELOCITIES, HParams
from embedding_rnn.utils import files, reading

_CHUNK_BYTES = 8 << 20
_SETTLED_NS = 2_000_000_000  # the coarsest clock of a disk
_CODEC = (metadata.CODEC, metadata.CHECKPOINT)
_REMEMBERED = (
  *_CODEC,
  metadata.SAMPLE_RATE,
  metadata.INSTRUMENTS,
  metadata.FAMILIES,
)


def describe_dataset(
  notes: dataset.NoteDataset, split_seed: int
) -> dict[str, Any]:
  """What a run remembers of its data, to open the same again."""
  described: dict[str, Any] = {
    'data_dir': os.path.abspath(notes.data_dir),
    'split_seed': split_seed,
    'split_sha256': _split_digest(notes),
    'data_sha256': _data_digest(notes),
    'labels_sha256': _labels_digest(notes),
    'num_notes': {name: len(rows) for name, rows in notes.rows.items()},
  }
  if stamps := _stamps(notes):
    described['data_files'] = stamps
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
  # Runs of versions before do not know it. To read gigabytes again for files
  # that nobody has written to since would take minutes.
  expected = described.get('data_sha256')
  is_untouched = described.get('data_files', {}) == _stamps(notes)
  if (
    expected and not is_untouched and (known := _data_digest(notes)) != expected
  ):
    raise ValueError(
      f'{os.fspath(data_dir)!r} holds as many notes as the run was trained on, '
      'but others: the SHA-256 of its frames, pitches and velocities is '
      f'{known}, expected {expected}; give the data set of the '
      'run with --data_dir.'
    )
  known = _labels_digest(notes)
  if described.get('labels_sha256', known) != known:
    names = ' and '.join(dataset.IDS.values())
    raise ValueError(
      f'{os.fspath(data_dir)!r} holds the notes that the run was trained on, '
      f'but not the same {names}; restore them, or give the data set of the '
      'run with --data_dir.'
    )
  expect_same_codec(notes, described)
  return notes


def open_notes(
  path: str | os.PathLike[str], hps: HParams, described: Mapping[str, Any]
) -> dataset.NoteDataset:
  """Opens any notes that a run can be measured on.

  Args:
    path: the folder of a data set, of the files that `dataset.open_dataset`
      reads; or a .npz file of "frames" `[N, T, W]`, "midi_pitch", ints `[N]`,
      and, if they are known, "velocity", ints `[N]`, else 100.
    hps: of the run.
    described: what the run remembers. The frames of a file are taken to be of
      its codec.

  Returns:
    The notes; those of a file are all of the split 'test'.

  Raises:
    FileNotFoundError: if there is nothing.
    ValueError: for bad notes, of another shape, or of another codec.
  """
  if not os.path.isdir(path):
    reading.expect_plain_file(path)
  if os.path.isfile(path):
    return _read_notes(path, hps, described)
  notes = dataset.open_dataset(
    path, hps, described['split_seed'], to_train=False
  )
  expect_same_codec(notes, described)
  return notes


def _read_notes(
  path: str | os.PathLike[str], hps: HParams, described: Mapping[str, Any]
) -> dataset.NoteDataset:
  try:
    with np.load(path, allow_pickle=False) as file:
      frames, pitches = file['frames'], file['midi_pitch']
      velocities: Any = checks.DEFAULT_VELOCITY
      if 'velocity' in file:
        velocities = file['velocity']
  except (*files.ARRAY_DAMAGE, OSError) as error:
    raise ValueError(
      f'{os.fspath(path)!r} is no .npz file of the arrays frames and '
      f'midi_pitch ({error}); write it with numpy.savez.'
    ) from error
  shape = hps.max_seq_len, hps.seq_width
  if frames.shape[1:] != shape:
    raise ValueError(
      f'{os.fspath(path)!r} has frames of shape {frames.shape}; the run takes '
      f'[N, {shape[0]}, {shape[1]}].'
    )
  number = len(frames)
  try:
    frames = checks.check_notes(frames, hps.seq_width).astype(np.float32)
    pitches = checks.one_hots(pitches, hps.context_vec_size, number)
    velocities = checks.one_hots(
      velocities, NUM_VELOCITIES, number, 'velocities'
    )
  except ValueError as error:
    raise ValueError(f'{os.fspath(path)!r}: {error}') from error
  none = np.arange(0)
  return dataset.NoteDataset(
    data_dir=os.fspath(path),
    frames=frames,
    pitches=pitches,
    velocities=velocities,
    rows={'train': none, 'valid': none, 'test': np.arange(number)},
    metadata={key: described[key] for key in _CODEC if key in described},
    velocity_context=bool(hps.velocity_context),
  )


def expect_same_codec(
  notes: dataset.NoteDataset, described: Mapping[str, Any]
) -> None:
  """Raises ValueError if a run knows its codec, and data is of another."""
  for key in _CODEC:
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


def _labels_digest(notes: dataset.NoteDataset) -> str:
  """The SHA-256 of what is known of instruments and families."""
  digest = hashlib.sha256()
  for ids in (notes.instrument_ids, notes.instrument_family_ids):
    digest.update(b'' if ids is None else np.asarray(ids, '<i8').tobytes())
    digest.update(b'no more')
  return digest.hexdigest()


def _stamps(notes: dataset.NoteDataset) -> dict[str, list[int]] | None:
  """Size and time of the last change, in ns, of the files by their names.

  None for notes that are in no files, or in some that were written so lately
  that another change need not show in the time.
  """
  stamps = {}
  for array in (notes.frames, notes.pitches, notes.velocities):
    path = getattr(array, 'filename', None)
    if path is None:
      return None
    status = os.stat(path)
    if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
      return None
    stamps[os.path.basename(path)] = [status.st_size, status.st_mtime_ns]
  return stamps


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
