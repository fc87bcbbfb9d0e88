"""Encoded notes in files of a few, and how they are joined."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from absl import logging
from tqdm import auto as tqdm

from embedding_rnn.data.notes import FAMILY_NAMES
from embedding_rnn.data.preparation.base import Labels
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import files

SHARD_SIZE = 16  # notes; a process that is killed loses at most so many
INFO = 'dataset.json'
FINGERPRINTS = 'fingerprints_sha256'  # in INFO, the digest of all shards'
NOTES = 'notes.csv'
REPORT = 'report.csv'
_UNKNOWN = 'unknown'
_NUM_MIDI = 128


@dataclasses.dataclass
class Shard:
  """A few notes that follow each other in their source.

  Attributes:
    notes: name and labels of those that were encoded.
    frames: `[T, W]` of each of them.
    report: (name, action, reason) of those that are not as they should be.
    num_resampled: how many had another sample rate.
    num_mixed_down: how many had several channels.
    fingerprint: see `Source.fingerprint`, of all notes that it is about.
  """

  notes: list[tuple[str, Labels]] = dataclasses.field(default_factory=list)
  frames: Sequence[np.ndarray] = dataclasses.field(default_factory=list)
  report: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
  num_resampled: int = 0
  num_mixed_down: int = 0
  fingerprint: str = ''


def digest(fingerprints: Iterable[str]) -> str:
  """The SHA-256 of the fingerprints of all shards, in order."""
  sha256 = hashlib.sha256()
  for fingerprint in fingerprints:
    sha256.update(fingerprint.encode() + b'\0')
  return sha256.hexdigest()


def write(path: pathlib.Path, shard: Shard) -> None:
  """Writes a shard, whole or not at all."""
  about = {**vars(shard), 'frames': None}
  text = json.dumps(about).encode()
  arrays = {'about': np.frombuffer(text, np.uint8)}
  if shard.notes:
    arrays['frames'] = np.stack(shard.frames)
  files.write_arrays(path, arrays)


def read(path: pathlib.Path, with_frames: bool = True) -> Shard:
  """Reads a shard; ValueError if it is damaged."""
  try:
    with np.load(path, allow_pickle=False) as arrays:
      shard = Shard(**json.loads(arrays['about'].tobytes()))
      shard.notes = [(name, Labels(*labels)) for name, labels in shard.notes]
      if with_frames and shard.notes:
        shard.frames = arrays['frames']
      return shard
  except files.ARRAY_DAMAGE as error:
    raise ValueError(
      f"'{path}' is damaged: {error}; remove it, and the same command encodes "
      'its notes again.'
    ) from error


@dataclasses.dataclass
class _Summary:
  """What is to be known of all shards before they are joined."""

  num_notes: int = 0
  fingerprints: list[str] = dataclasses.field(default_factory=list)
  instruments: set[str | None] = dataclasses.field(default_factory=set)
  families: set[str | None] = dataclasses.field(default_factory=set)
  splits: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  counts: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )

  def add(self, shard: Shard) -> None:
    self.num_notes += len(shard.notes)
    self.fingerprints.append(shard.fingerprint)
    for _, labels in shard.notes:
      self.instruments.add(labels.instrument)
      self.families.add(labels.family)
      self.splits[labels.split] += 1
    self.counts['encoded'] += len(shard.notes)
    self.counts['resampled'] += shard.num_resampled
    self.counts['mixed down'] += shard.num_mixed_down
    self.counts.update(action for _, action, _ in shard.report)

  def instrument_names(self) -> list[str] | None:
    """Names by id, or None if some are not known."""
    return None if None in self.instruments else sorted(self.instruments)

  def family_names(self) -> list[str] | None:
    """Names by id, NSynth's first; None if none is known."""
    if self.families == {None}:
      return None
    others = {f or _UNKNOWN for f in self.families} - set(FAMILY_NAMES)
    return [*FAMILY_NAMES, *sorted(others)]

  def has_splits(self) -> bool:
    """Whether the source says all splits of all notes."""
    return set(self.splits) == set(SPLITS)


def join(
  paths: Sequence[pathlib.Path], folder: pathlib.Path, about: dict[str, Any]
) -> None:
  """Writes the files of a data directory.

  Args:
    paths: of all shards, in order.
    folder: to write to, which is there.
    about: what dataset.json is to say beyond what the notes do.

  Raises:
    ValueError: if a shard is damaged, or there is no note in any.
  """
  summary = _Summary()
  for path in paths:
    summary.add(read(path, with_frames=False))
  if not summary.num_notes:
    shard = read(paths[0])
    raise ValueError(
      f'No note is left: all {summary.counts["skipped"]} were skipped, such as '
      f'{shard.report[0][0]!r}: {shard.report[0][2]}.'
    )
  shape = next(s.frames.shape[1:] for s in map(read, paths) if s.notes)
  _write_files(paths, folder, summary, shape)
  info = {**about, 'split_names': list(SPLITS)}
  info[FINGERPRINTS] = digest(summary.fingerprints)
  names = summary.instrument_names(), summary.family_names()
  for key, value in zip(
    ('instruments', 'instrument_families'), names, strict=True
  ):
    if value is not None:
      info[key] = value
  info['counts'] = dict(summary.counts)
  files.write_json(folder / INFO, info)


def _read_all(paths) -> Iterator[Shard]:
  bar = tqdm.tqdm(paths, desc='Joining', unit=' shards', delay=2, leave=False)
  return map(read, bar)


def _write_files(paths, folder, summary: _Summary, frame_shape) -> None:
  columns = _columns(summary, frame_shape)
  with contextlib.ExitStack() as stack:

    def create(name, mode, **options):
      path = stack.enter_context(files.replacing(folder / name))
      return stack.enter_context(path.open(mode, **options))

    arrays = {}
    for name, (dtype, shape, _) in columns.items():
      arrays[name] = create(name, 'wb')
      _write_header(arrays[name], dtype, (summary.num_notes, *shape))
    text = {'encoding': 'utf-8', 'errors': 'surrogateescape', 'newline': ''}
    notes = csv.writer(create(NOTES, 'w', **text))
    notes.writerow(['note', 'pitch', *Labels._fields[1:]])
    report = csv.writer(create(REPORT, 'w', **text))
    report.writerow(['note', 'action', 'reason'])
    for shard in _read_all(paths):
      report.writerows(shard.report)
      notes.writerows((name, *labels) for name, labels in shard.notes)
      for name, (dtype, _, rows_of) in columns.items():
        rows = np.asarray(rows_of(shard), dtype)
        arrays[name].write(np.ascontiguousarray(rows).tobytes())


def _columns(
  summary: _Summary, frame_shape
) -> dict[str, tuple[Any, tuple, Any]]:
  """By file name the dtype, a row's shape, and how to get rows of a shard."""
  one_hot = np.eye(_NUM_MIDI, dtype=np.float32)

  def one_hots(field):
    return lambda shard: one_hot[
      [getattr(labels, field) for _, labels in shard.notes]
    ]

  def ids(field, names):
    places = {name: place for place, name in enumerate(names)}
    return lambda shard: [
      places[getattr(labels, field) or _UNKNOWN] for _, labels in shard.notes
    ]

  columns = {
    'train_z.npy': (np.float32, frame_shape, lambda shard: shard.frames),
    'train_pitch_one_hot.npy': (
      np.float32,
      (_NUM_MIDI,),
      one_hots('midi_pitch'),
    ),
    'train_vels_one_hot.npy': (np.float32, (_NUM_MIDI,), one_hots('velocity')),
  }
  instruments, families = summary.instrument_names(), summary.family_names()
  if instruments is None:
    logging.warning(
      'The instruments of some notes are not known, so that training cannot '
      'keep them from being in two splits.'
    )
  else:
    rows = ids('instrument', instruments)
    columns['instrument_ids.npy'] = (np.int64, (), rows)
  if families is not None:
    columns['instrument_family_ids.npy'] = np.int64, (), ids('family', families)
  if summary.has_splits():
    columns['splits.npy'] = np.int8, (), ids('split', SPLITS)
  elif set(summary.splits) != {None}:
    sizes = ', '.join(
      f'{n} {s or "of none"}' for s, n in summary.splits.items()
    )
    logging.warning(
      "The source's own splits are not kept, since not all are there (%s "
      'notes); training splits the notes.',
      sizes,
    )
  return columns


def _write_header(file: BinaryIO, dtype: Any, shape: tuple[int, ...]) -> None:
  # Written through, not memory-mapped: there, a full disk kills the process.
  np.lib.format.write_array_header_1_0(
    file,
    {
      'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
      'fortran_order': False,
      'shape': shape,
    },
  )
