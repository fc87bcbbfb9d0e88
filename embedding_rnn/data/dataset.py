"""From files to notes: data sets that may be larger than memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data import arrays, metadata, splits
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model.hparams import HParams
from embedding_rnn.utils import reading

# The files beside those that the hyperparameters name.
IDS = {  # by the key of the names in the metadata
  metadata.INSTRUMENTS: 'instrument_ids.npy',
  metadata.FAMILIES: 'instrument_family_ids.npy',
}
SPLIT_CODES = 'splits.npy'  # indices in `splits.SPLITS`
MAX_FITTED_NOTES = 100_000
_MAX_IDS = 2**31
_ROWS_AT_ONCE = 16
_ONE_HOTS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class NoteDataset:
  """Notes, `N` of them, each `T` frames of `W` channels.

  Attributes:
    data_dir: the folder, or the file, that they were read from.
    frames: embeddings `[N, T, W]`, memory-mapped, in their stored dtype; those
      of a file are in memory, as are the next two.
    pitches: MIDI pitch one-hots `[N, 128]`, memory-mapped.
    velocities: MIDI velocity one-hots `[N, 128]`, memory-mapped.
    rows: for 'train', 'valid' and 'test' the rows of their notes.
    instrument_ids: ints `[N]`, or None if the data set has none.
    instrument_family_ids: ints `[N]`, or None if the data set has none.
    metadata: what dataset.json says: "codec", "instruments" (names by id),
      "instrument_families" (names by id); {} if there is no such file.
    velocity_context: whether `notes` gives velocities behind pitches.
  """

  data_dir: str
  frames: np.ndarray
  pitches: np.ndarray
  velocities: np.ndarray
  rows: dict[str, np.ndarray]
  instrument_ids: np.ndarray | None = None
  instrument_family_ids: np.ndarray | None = None
  metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
  velocity_context: bool = False

  @property
  def codec(self) -> str | None:
    """Name of the codec that the frames were encoded with, if known."""
    return self.metadata.get(metadata.CODEC)

  def notes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads notes from the files.

    Args:
      rows: `[n]` row indices, in any order.

    Returns:
      Frames `[n, T, W]` and pitch one-hots `[n, 128]`, both float32; with
      velocity_context pitch and velocity one-hots, `[n, 256]`.
    """
    one_hots = self.one_hots(rows, self.velocity_context)
    return _gather(self.frames, rows), one_hots

  def one_hots(self, rows: np.ndarray, with_velocities: bool) -> np.ndarray:
    """Pitch one-hots `[n, 128]`, or those of pitch and velocity, `[n, 256]`."""
    labels = [self.pitches] + [self.velocities] * with_velocities
    return np.concatenate([_gather(array, rows) for array in labels], axis=1)

  def midi_numbers(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MIDI pitches and velocities of notes, ints `[n]` each."""
    parts = [
      [_gather(x, some).argmax(axis=1) for x in (self.pitches, self.velocities)]
      for some in np.array_split(rows, max(1, len(rows) // _ONE_HOTS_AT_ONCE))
    ]
    pitches, velocities = map(np.concatenate, zip(*parts, strict=True))
    return pitches, velocities

  def names(self, key: str, rows: np.ndarray) -> list[str] | None:
    """Names of the instruments of notes, or of their families, if known.

    Args:
      key: `metadata.INSTRUMENTS` or `metadata.FAMILIES`.
      rows: `[n]` row indices.

    Returns:
      A name for each, made of its id if that has none; None without ids.
    """
    is_family = key == metadata.FAMILIES
    ids = self.instrument_family_ids if is_family else self.instrument_ids
    if ids is None:
      return None
    if known := self.metadata.get(key):
      return [known[i] for i in ids[rows]]
    label = 'instrument_family' if is_family else 'instrument'
    return [f'{label}{i}' for i in ids[rows]]

  def chunks(
    self, rows: np.ndarray, chunk_size: int = 512
  ) -> Iterator[np.ndarray]:
    """Yields the frames of many notes in arrays `[<= chunk_size, T, W]`."""
    for start in range(0, len(rows), chunk_size):
      yield _gather(self.frames, rows[start : start + chunk_size])


def _gather(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Rows of a memory-mapped array as float32, read in the order on disk."""
  rows = np.asarray(rows, np.int64)
  order = np.argsort(rows, kind='stable')
  result = np.empty((len(rows), *array.shape[1:]), np.float32)
  # A row may bring in up to 2 MB of its file, so a few at a time.
  for start in range(0, len(rows), _ROWS_AT_ONCE):
    some = order[start : start + _ROWS_AT_ONCE]
    result[some] = array[rows[some]]
    arrays.release(array)
  return result


def open_dataset(
  data_dir: str | os.PathLike[str],
  hps: HParams,
  seed: int = 0,
  to_train: bool = True,
) -> NoteDataset:
  """Opens and checks a data set.

  The folder has the three files that `hps` names: `data_set` `[N, T, W]`
  (float16, float32 or float64), `pitch_set` `[N, 128]` and `velocity_set`
  `[N, 128]`. It may have `instrument_ids.npy` and `instrument_family_ids.npy`
  (ints `[N]`), `splits.npy` (`[N]`: 0 train, 1 valid, 2 test) and
  `dataset.json`.

  Notes are split by splits.npy; else, 70/15/15 %, by whole instruments; else,
  70/15/15 %, at random as in 2017. With `hps.overfit` the validation split is
  also the one for training.

  Args:
    data_dir: the folder.
    hps: of these, the names of the files, max_seq_len (T), seq_width (W),
      context_vec_size, velocity_context, batch_size and overfit are read.
    seed: of the split; the same seed gives the same split.
    to_train: whether there must be notes in each split, and for training at
      least a batch of them.

  Returns:
    The data set; its arrays are read when they are needed.

  Raises:
    FileNotFoundError: for a missing folder or file.
    ValueError: for bad data, with file, row and the fix.
  """
  data_dir = os.fspath(data_dir)
  reading.expect_path(data_dir)
  if not os.path.isdir(data_dir):
    raise FileNotFoundError(
      f'There is no folder {data_dir!r}; set --data_dir to the folder that '
      f'holds {hps.data_set}, {hps.pitch_set} and {hps.velocity_set}.'
    )

  def path(name: str) -> str:
    return os.path.join(data_dir, name)

  # The small files first: their errors should not take minutes.
  known = metadata.read(data_dir)
  frames = arrays.open_frames(
    path(hps.data_set), hps.max_seq_len, hps.seq_width
  )
  pitches = arrays.open_one_hots(
    path(hps.pitch_set), hps.context_vec_size, frames
  )
  velocities = arrays.open_one_hots(path(hps.velocity_set), NUM_MIDI, frames)
  ids = {
    key: arrays.read_ids(
      path(file),
      frames,
      len(known.get(key) or ()) or _MAX_IDS,
      f'indices of {key}',
    )
    for key, file in IDS.items()
  }
  codes = arrays.read_ids(
    path(SPLIT_CODES), frames, len(splits.SPLITS), 'splits'
  )
  instrument_ids = ids[metadata.INSTRUMENTS]
  rows, source = _split(codes, instrument_ids, len(frames), seed)
  if hps.overfit:
    rows['train'], source = rows['valid'], f'{source} and overfit=1'
  if to_train:
    arrays.check_rows(data_dir, rows, hps.batch_size, source)
  return NoteDataset(
    data_dir=data_dir,
    frames=frames,
    pitches=pitches,
    velocities=velocities,
    rows=rows,
    instrument_ids=instrument_ids,
    instrument_family_ids=ids[metadata.FAMILIES],
    metadata=known,
    velocity_context=bool(hps.velocity_context),
  )


def _split(
  codes: np.ndarray | None,
  instrument_ids: np.ndarray | None,
  num_notes: int,
  seed: int,
) -> tuple[dict[str, np.ndarray], str]:
  """The rows of each split, and what they were split by."""
  if codes is not None:
    return splits.given_split(codes), SPLIT_CODES
  if instrument_ids is not None:
    return splits.instrument_split(instrument_ids, seed), 'instrument'
  return splits.random_split(num_notes, seed), 'random split'


def fit_transforms(dataset: NoteDataset, hps: HParams) -> Transforms:
  """Fits the transforms to the training split.

  Args:
    dataset: the notes. Of more than 100,000 training notes, so many are used,
      evenly spread.
    hps: as for `Transforms.fit`.

  Returns:
    The fitted transforms.
  """
  rows = some_rows(np.sort(dataset.rows['train']), MAX_FITTED_NOTES)
  return Transforms.fit(hps, dataset.chunks(rows))


def some_rows(rows: np.ndarray, max_rows: int) -> np.ndarray:
  """At most so many rows, evenly spread: enough to fit something to."""
  if len(rows) <= max_rows:
    return rows
  return rows[np.linspace(0, len(rows) - 1, max_rows).astype(np.int64)]
