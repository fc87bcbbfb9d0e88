"""Encoded notes in files of a few, and how they are joined."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from embedding_rnn.data import metadata, writing
from embedding_rnn.data.notes import FAMILY_NAMES
from embedding_rnn.data.preparation.base import Labels, sha256_of
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import cli, files, reading

SHARD_SIZE = 16  # notes; a process that is killed loses at most so many
FINGERPRINTS = 'fingerprints_sha256'  # of all shards, in the metadata
NOTES = 'notes.csv'
REPORT = 'report.csv'
_UNKNOWN = 'unknown'


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
  frames: list[np.ndarray] = dataclasses.field(default_factory=list)
  report: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
  num_resampled: int = 0
  num_mixed_down: int = 0
  fingerprint: str = ''


def write(path: pathlib.Path, shard: Shard) -> None:
  """Writes a shard, whole or not at all."""
  text = json.dumps({**vars(shard), 'frames': None}).encode()
  arrays = {'about': np.frombuffer(text, np.uint8)}
  if shard.notes:
    arrays['frames'] = np.stack(shard.frames)
  files.write_arrays(path, arrays)


def read(path: pathlib.Path, with_frames: bool = True) -> Shard:
  """Reads a shard; ValueError if it is damaged."""
  reading.expect_plain_file(path)
  try:
    with np.load(path, allow_pickle=False) as arrays:
      shard = Shard(**reading.parse_json(arrays['about'].tobytes()))
      shard.notes = [(name, Labels(*labels)) for name, labels in shard.notes]
      if with_frames and shard.notes:
        shard.frames = list(arrays['frames'])
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
  splits: Counter = dataclasses.field(default_factory=Counter)
  counts: Counter = dataclasses.field(default_factory=Counter)

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
    known = [name for name in self.instruments if name is not None]
    return sorted(known) if len(known) == len(self.instruments) else None

  def family_names(self) -> list[str] | None:
    """Names by id, NSynth's first; None if none is known."""
    if self.families == {None}:
      return None
    others = {f or _UNKNOWN for f in self.families} - set(FAMILY_NAMES)
    return [*FAMILY_NAMES, *sorted(others)]

  def has_splits(self) -> bool:
    """Whether the source says all splits of all notes."""
    return set(self.splits) == set(SPLITS)

  def warn(self) -> None:
    """Warns of what is not known, if training would make use of it."""
    if self.instrument_names() is None:
      logging.warning(
        'The instruments of some notes are not known, so that training cannot '
        'keep them from being in two splits.'
      )
    if not self.has_splits() and set(self.splits) != {None}:
      logging.warning(
        "The source's own splits are not kept, since not all are there (%s "
        'notes); training splits the notes.',
        ', '.join(f'{n} {s or "of none"}' for s, n in self.splits.items()),
      )


def join(
  paths: Sequence[pathlib.Path], folder: pathlib.Path, plan: dict[str, Any]
) -> None:
  """Writes the files of a data directory.

  Args:
    paths: of all shards, in order.
    folder: to write to, which is there.
    plan: what dataset.json is to say beyond what the notes do.

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
  summary.warn()
  with (
    _create_table(
      folder / NOTES, 'note', 'pitch', *Labels._fields[1:]
    ) as notes,
    _create_table(folder / REPORT, 'note', 'action', 'reason') as report,
  ):
    parts = _parts(paths, summary, notes, report)
    writing.write_notes(folder, summary.num_notes, parts)
  files.write_json(
    folder / metadata.FILE,
    plan
    | metadata.SPLIT_NAMES
    | {FINGERPRINTS: sha256_of(summary.fingerprints)}
    | metadata.of_names(summary.instrument_names(), summary.family_names())
    | {'counts': dict(summary.counts)},
  )


@contextlib.contextmanager
def _create_table(path: pathlib.Path, *columns: str) -> Iterator[Any]:
  """Yields the writer of a table, whole or not there."""
  with (
    files.replacing(path) as temporary,
    temporary.open(
      'w', encoding='utf-8', errors='surrogateescape', newline=''
    ) as file,
  ):
    writer = csv.writer(file)
    writer.writerow(columns)
    yield writer


def _parts(
  paths: Sequence[pathlib.Path], summary: _Summary, notes: Any, report: Any
) -> Iterator[writing.Notes]:
  """Reads shards for the arrays; what they say besides goes to the tables."""
  instrument_ids = _indices(summary.instrument_names())
  family_ids = _indices(summary.family_names())
  codes = _indices(SPLITS if summary.has_splits() else None)
  bar = cli.progress_bar(
    paths, desc='Joining', unit=' shards', delay=2, leave=False
  )
  for shard in map(read, bar):
    report.writerows(shard.report)
    notes.writerows((name, *labels) for name, labels in shard.notes)
    if shard.notes:
      labels = [labels for _, labels in shard.notes]
      yield writing.Notes(
        np.stack(shard.frames),
        np.array([label.midi_pitch for label in labels]),
        np.array([label.velocity for label in labels]),
        instrument_ids(label.instrument for label in labels),
        family_ids(label.family for label in labels),
        codes(label.split for label in labels),
      )


def _indices(
  names: Sequence[str] | None,
) -> Callable[[Iterable[str | None]], np.ndarray | None]:
  """What looks up names; None if there are none."""
  if names is None:
    return lambda _: None
  places = {name: place for place, name in enumerate(names)}
  return lambda values: np.array([places[v or _UNKNOWN] for v in values])
