"""From notes to a data directory, in steps that survive any stop.

The notes are worked on in shards of a few, each of which is written to a file
in the folder `<data_dir>.encoding`, whole or not at all. Any number of
processes, on any number of machines that see the folder, take shards until
there are none left; one of them joins the shards to the data directory, which
appears complete or not at all.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import metadata
from embedding_rnn.data.preparation import recordings, shards, workers
from embedding_rnn.data.preparation.base import Note, Source, sha256_of
from embedding_rnn.data.preparation.recordings import Policy
from embedding_rnn.utils import cli, files, locks, memory, reading, settings

if TYPE_CHECKING:
  from tqdm import tqdm

PLAN = 'plan.json'
_BATCH_SIZE = 8
_POLL_SECONDS = 1.0
_BYTES_PER_NOTE = 2048  # of all that is not frames


def encode_notes(
  source: Source,
  codec: Codec,
  data_dir: str | os.PathLike[str],
  policy: Policy | None = None,
  *,
  num_processes: int = 1,
) -> dict[str, Any]:
  """Encodes notes as a data directory, or goes on where that was stopped.

  It may be called by several processes at once, with the same arguments; each
  returns when all is done.

  Args:
    source: of the notes.
    codec: to encode them.
    data_dir: the folder to write, not there yet. Besides the files of
      `dataset.open_dataset` it gets notes.csv, which says what note is in which
      row, and report.csv, which names all notes that were skipped, padded, cut
      or kept although silent.
    policy: for short, silent and damaged notes; `Policy()` if None.
    num_processes: on this machine, beside those that others started. Each takes
      one GPU, if there are any and the codec can use it.

  Returns:
    What dataset.json holds; "counts" are the numbers of notes that were
    encoded, skipped and so on.

  Raises:
    FileExistsError: there is something else at `data_dir`.
    ValueError: for a note that is damaged, if the policy is to stop; or if the
      encoding was begun with other arguments; or if no note is left.
    OSError: the disk is full.
    ChildProcessError: one of the processes was killed.
  """
  if num_processes < 1:
    raise ValueError(f'num_processes={num_processes}: expected at least 1.')
  memory.expect_memory(
    workers.MIN_BYTES * num_processes,
    f'Encoding with num_processes={num_processes}',
    'set fewer --processes',
  )
  reading.expect_path(data_dir)
  encoder = _ShardEncoder(source, codec, policy or Policy())
  encoding = _Encoding(encoder, pathlib.Path(data_dir))
  try:
    with files.explained_full_disk(encoding.folder):
      if encoding.is_finished():
        logging.info("'%s' is done already.", data_dir)
      else:
        encoding.begin()
        if num_processes == 1:
          encoding.run()
        else:
          workers.run(encoding, codec, num_processes)
      encoding.finish()
  except FileNotFoundError:
    # Another process may have finished, and removed the shards, meanwhile.
    if not encoding.is_finished():
      raise
  return encoding.result()


class _ShardEncoder:
  """Encodes the notes of a source, a shard at a time; it can be pickled."""

  def __init__(self, source: Source, codec: Codec, policy: Policy):
    self.source, self.codec, self.policy = source, codec, policy
    self.num_samples = recordings.NOTE_SECONDS * codec.sample_rate
    self.shards = range(-(-source.num_notes // shards.SHARD_SIZE))

  def rows(self, shard: int) -> range:
    """The numbers of the notes of a shard."""
    start = shard * shards.SHARD_SIZE
    return range(start, min(start + shards.SHARD_SIZE, self.source.num_notes))

  def fingerprint(self, shard: int) -> str:
    """That of the notes of a shard."""
    rows = self.rows(shard)
    return self.source.fingerprint(rows.start, rows.stop)

  def encode(self, shard: int, bar: tqdm) -> shards.Shard:
    """Reads and encodes the notes of a shard."""
    rows = self.rows(shard)
    result = shards.Shard(fingerprint=self.fingerprint(shard))
    reading = self.source.notes(rows.start, rows.stop)
    num_read = 0
    while batch := list(itertools.islice(reading, _BATCH_SIZE)):
      prepared = [(note, self._prepare(note, result)) for note in batch]
      kept = [(note, audio) for note, audio in prepared if audio is not None]
      if kept:
        notes, audios = zip(*kept, strict=True)
        result.frames.extend(self._encode(notes, np.stack(audios)))
        result.notes.extend((note.name, note.labels) for note in notes)
      bar.update(len(batch))
      num_read += len(batch)
    if num_read != len(rows):
      raise ValueError(
        f'{self.source.name} gave {num_read} notes from number {rows.start} '
        f'on, expected {len(rows)}; it may have changed.'
      )
    return result

  def _prepare(self, note: Note, result: shards.Shard) -> np.ndarray | None:
    """The audio of a note, or None if it is to be skipped."""
    try:
      recording = note.read()
      prepared = recordings.prepare(
        recording, self.codec.sample_rate, self.num_samples
      )
    except ValueError as error:
      if self.policy.damaged == 'stop':
        raise ValueError(
          f'The note {note.name!r} is damaged: {error}. Repair it, or set '
          'damaged=skip to do without such notes; in either case encoding goes '
          'on from here.'
        ) from error
      result.report.append((note.name, recordings.SKIPPED, str(error)))
      return None
    remarks = self.policy.remarks(prepared)
    result.report.extend((note.name, *remark) for remark in remarks)
    if any(action == recordings.SKIPPED for action, _ in remarks):
      return None
    result.num_resampled += recording.sample_rate != self.codec.sample_rate
    result.num_mixed_down += prepared.num_channels > 1
    return prepared.audio

  def _encode(self, notes: Sequence[Note], audio: np.ndarray) -> np.ndarray:
    pitches = np.array([note.labels.midi_pitch for note in notes])
    frames = self.codec.encode(audio, pitches)
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
      raise ValueError(
        f'The codec gave frames that are not finite for the note '
        f'{notes[int(np.argmin(finite))].name!r}; its weights may be damaged.'
      )
    return frames


class _Encoding:
  """An encoding on its way, in a folder; it can be sent to other processes.

  Attributes:
    folder: where the shards are.
  """

  def __init__(self, encoder: _ShardEncoder, data_dir: pathlib.Path):
    self._encoder = encoder
    self._data_dir = data_dir.resolve()  # a link would be replaced
    self.folder = self._data_dir.with_name(f'{self._data_dir.name}.encoding')

  # --- Begin and end ---

  def begin(self) -> None:
    """Writes down what is to be done, or compares it with what was begun."""
    if os.path.ismount(self._data_dir):
      raise ValueError(
        f"'{self._data_dir}' is where a disk begins, and cannot appear as a "
        'whole; name a folder in it.'
      )
    if self._data_dir.exists() and (
      not self._data_dir.is_dir() or any(self._data_dir.iterdir())
    ):
      raise FileExistsError(
        f"'{self._data_dir}' is there already, and is not the result of this "
        'command; name another folder.'
      )
    files.make_folder(self.folder)
    self._expect_space()
    with locks.exclusive(self.folder / '.lock'):
      path = self.folder / PLAN
      if not path.exists():
        files.write_json(path, self._plan)
      elif differing := self._differing(_read_plan(path)):
        raise ValueError(
          f"'{self.folder}' holds the beginning of another encoding: "
          f'{"; ".join(differing)}. Give the same arguments, name another '
          'folder to write, or remove that one.'
        )
      self._remove_changed()

  def _remove_changed(self) -> None:
    """Removes the shards of notes that now sound otherwise."""
    changed = 0
    for shard in filter(self._is_done, self._encoder.shards):
      before = shards.read(self._path(shard), with_frames=False).fingerprint
      if before != self._encoder.fingerprint(shard):
        self._path(shard).unlink()
        changed += len(self._encoder.rows(shard))
    if changed:
      logging.warning(
        'Of %d notes that were encoded already, some have changed since: these '
        'are encoded again.',
        changed,
      )

  def finish(self) -> None:
    """Joins the shards, unless it is done."""
    if self.is_finished() and not self.folder.exists():
      return
    with locks.exclusive(self.folder / '.lock'):
      if not self.is_finished():
        joined = self.folder / 'joined'
        shutil.rmtree(joined, ignore_errors=True)
        joined.mkdir()
        paths = [self._path(shard) for shard in self._encoder.shards]
        shards.join(paths, joined, self._plan)
        os.replace(joined, self._data_dir)
      shutil.rmtree(self.folder, ignore_errors=True)

  def is_finished(self) -> bool:
    """Whether the data directory is there."""
    try:
      result = self.result()
      return not self._differing(result) and (
        result.get(shards.FINGERPRINTS) == self._fingerprints_sha256
      )
    except (OSError, ValueError, AttributeError):
      return False

  def result(self) -> dict[str, Any]:
    """What dataset.json holds."""
    return metadata.read(self._data_dir)

  @functools.cached_property
  def _plan(self) -> dict[str, Any]:
    source, policy = self._encoder.source, self._encoder.policy
    return metadata.of_codec(self._encoder.codec) | {
      'source': source.name,
      'num_source_notes': source.num_notes,
      'source_sha256': source.sha256,
      'short': policy.short,
      'silent': policy.silent,
    }

  @functools.cached_property
  def _fingerprints_sha256(self) -> str:
    return sha256_of(map(self._encoder.fingerprint, self._encoder.shards))

  def _differing(self, before: dict[str, Any]) -> list[str]:
    # The same notes may be at another place now.
    return settings.differences(before, self._plan, ignored=['source'])

  def _expect_space(self) -> None:
    """Raises OSError if the disk cannot hold the result."""
    codec, num_notes = self._encoder.codec, self._encoder.source.num_notes
    num_frames = self._encoder.num_samples // codec.hop_length
    frame_bytes = 4 * codec.num_channels * num_frames
    # Once in shards, once joined.
    needed = 2 * num_notes * (frame_bytes + _BYTES_PER_NOTE)
    there = sum(entry.stat().st_size for entry in os.scandir(self.folder))
    files.expect_space(
      self.folder.parent,
      needed - there,
      f'To encode {num_notes} notes takes up to {needed / 1e6:,.0f} MB',
    )

  # --- Shards ---

  def run(self, show_progress: bool = True) -> None:
    """Encodes all shards that nobody else does, and waits for the others."""
    with (
      locks.Claims(self.folder / '.claims') as claims,
      self.progress_bar(disable=not show_progress) as bar,
    ):
      waiting = [s for s in self._encoder.shards if not self._is_done(s)]
      while waiting:
        claimed = [s for s in waiting if self._claim_and_encode(s, claims, bar)]
        waiting = sorted(set(waiting) - set(claimed))
        if waiting:
          time.sleep(_POLL_SECONDS)

  def progress_bar(self, disable: bool = False) -> tqdm:
    """A bar of all notes, which begins with those that are done."""
    return cli.progress_bar(
      total=self._encoder.source.num_notes,
      initial=self.count_done(),
      desc='Encoding',
      unit=' notes',
      disable=disable,
    )

  def count_done(self) -> int:
    """How many notes there are in the shards that are written."""
    done = {entry.name for entry in os.scandir(self.folder)}
    return sum(
      len(self._encoder.rows(shard))
      for shard in self._encoder.shards
      if self._path(shard).name in done
    )

  def _path(self, shard: int) -> pathlib.Path:
    return self.folder / f'{shard:06d}.npz'

  def _is_done(self, shard: int) -> bool:
    # The data directory gets its name before the shards lose theirs.
    return self._path(shard).exists() or not self.folder.exists()

  def _claim_and_encode(
    self, shard: int, claims: locks.Claims, bar: tqdm
  ) -> bool:
    """Sees to it that a shard is done; False if another process is at it."""
    if not self._is_done(shard):
      workers.stop_if_orphaned()
      if not claims.take(shard):
        return False
      try:
        # It may have been done between the look and the claim.
        if not self._is_done(shard):
          shards.write(self._path(shard), self._encoder.encode(shard, bar))
          return True
      finally:
        claims.release(shard)
    bar.update(len(self._encoder.rows(shard)))
    return True


def _read_plan(path: pathlib.Path) -> dict[str, Any]:
  fix = f"remove '{path.parent}' to begin the encoding again"
  return reading.read_json(path, fix)
