"""Crops of notes, on which the WaveNet autoencoder is trained and judged."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import TypeVar

import numpy as np

from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data import batches, splits
from embedding_rnn.data.preparation import recordings
from embedding_rnn.data.preparation.base import Source
from embedding_rnn.data.preparation.recordings import NUM_SAMPLES
from embedding_rnn.training.training import SPLIT_SEED
from embedding_rnn.utils import cli

_TRAINING, _EVALUATION = 1, 2  # streams of random numbers
_READ_AHEAD = 2  # batches

T = TypeVar('T')


class Crops:
  """Crops of the notes of a source, read from it when they are needed.

  Which notes are for training and which are held out is what the source says,
  if it knows splits for all; else whole instruments are held out, if it knows
  them; else notes at random.

  Attributes:
    source: of the notes; mixed down to one channel, resampled to 16 kHz, and
      cut or padded to 4 s.
    rows: for 'train', 'valid' and 'test' the numbers of their notes.

  Args:
    source: as above.
    crop_length: samples of a crop, L.
    batch_size: crops of a batch, B.

  Raises:
    ValueError: for a split without notes, or with less than a batch to train
      on, or crops longer than a note.
  """

  def __init__(self, source: Source, crop_length: int, batch_size: int):
    if not 0 < crop_length <= NUM_SAMPLES:
      raise ValueError(
        f'crop_length={crop_length}: expected 1 to {NUM_SAMPLES} samples.'
      )
    self.source = source
    self.rows = _split(source)
    self._length, self._batch_size = crop_length, batch_size
    sizes = ', '.join(f'{len(rows)} {name}' for name, rows in self.rows.items())
    if not all(map(len, self.rows.values())):
      raise ValueError(
        f'A split of {source.name} has no notes: {sizes}. Add notes or '
        'instruments, or name a source of each split.'
      )
    if len(self.rows['train']) < batch_size:
      raise ValueError(
        f'batch_size={batch_size}, but the notes of {source.name} are {sizes}; '
        f'set --hparam=batch_size={len(self.rows["train"])}, or add notes.'
      )

  def training_batches(
    self, seed: int, first_step: int, last_step: int
  ) -> Iterator[tuple[np.ndarray]]:
    """Batches of steps from one up to, but without, another.

    Each is a function of the seed and its step alone: which notes as of
    `batches.batch_rows`, and a place in each of them at random.

    Yields:
      One array, float32 `[B, L]`.

    Raises:
      ValueError: for a note that cannot be read, with its name.
    """
    rows = self.rows['train']

    def read(step):
      chosen = rows[batches.batch_rows(len(rows), self._batch_size, seed, step)]
      starts = self._starts((_TRAINING, seed, step), self._batch_size)
      return (self._read(chosen, starts),)

    return _read_ahead(read, range(first_step, last_step))

  def evaluation_batches(
    self, split: str
  ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of a crop of each note of a split, always the same ones.

    Yields:
      float32 `[B, L]` and the weight of each crop `[B]`: 1, but 0 of the copies
      that fill up the last batch.

    Raises:
      ValueError: for a note that cannot be read, with its name.
    """
    rows = self.rows[split]
    starts = self._starts((_EVALUATION, 0, 0), len(rows))

    def read(number):
      first = number * self._batch_size
      places = first + np.arange(self._batch_size)
      weight = (places < len(rows)).astype(np.float32)
      places = np.minimum(places, len(rows) - 1)
      return self._read(rows[places], starts[places]), weight

    return _read_ahead(read, range(-(-len(rows) // self._batch_size)))

  def _starts(self, key: tuple[int, int, int], count: int) -> np.ndarray:
    """Where crops start in their notes, at random by a key: `[count]`."""
    stream, *numbers = key
    bits = np.random.Philox(
      counter=[0, 0, 0, stream], key=np.array(numbers, np.uint64)
    )
    # Its numbers are frozen for good, unlike those of Generator.
    random = np.random.RandomState(bits)
    return random.randint(NUM_SAMPLES - self._length + 1, size=count)

  def _read(self, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    crops = np.empty((len(rows), self._length), np.float32)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
      (note,) = self.source.notes(int(row), int(row) + 1)
      try:
        prepared = recordings.prepare(note.read(), SAMPLE_RATE, NUM_SAMPLES)
      except ValueError as error:
        raise ValueError(
          f'The note {note.name!r} is damaged: {error}. Repair it, and '
          'the run can be resumed.'
        ) from error
      crops[i] = prepared.audio[start : start + self._length]
    return crops


def _split(source: Source) -> dict[str, np.ndarray]:
  all_notes = cli.progress_bar(
    source.notes(0, source.num_notes),
    total=source.num_notes,
    desc='Reading labels',
    unit=' notes',
    delay=2,
    leave=False,
  )
  labels = [note.labels for note in all_notes]
  names = [label.split for label in labels]
  if set(names) == set(splits.SPLITS):
    return splits.given_split(np.array(list(map(splits.SPLITS.index, names))))
  instruments = [label.instrument for label in labels]
  if None in instruments:
    return splits.random_split(len(labels), SPLIT_SEED)
  _, ids = np.unique(instruments, return_inverse=True)
  return splits.instrument_split(ids, SPLIT_SEED)


def _read_ahead(
  read: Callable[[int], T], numbers: Iterable[int]
) -> Iterator[T]:
  """Yields `read` of each number, reading the next ones meanwhile."""
  waiting: collections.deque[futures.Future[T]] = collections.deque()
  with futures.ThreadPoolExecutor(1) as pool:
    try:
      for number in numbers:
        waiting.append(pool.submit(read, number))
        if len(waiting) > _READ_AHEAD:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      pool.shutdown(cancel_futures=True)
