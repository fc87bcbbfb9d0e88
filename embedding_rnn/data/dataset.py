"""From files to batches: note data sets that may be larger than memory."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from embedding_rnn.data import arrays as note_files
from embedding_rnn.data import splits
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model.decoder import with_first_input
from embedding_rnn.model.hparams import HParams

NUM_VELOCITIES = 128  # MIDI
_PCA_MAX_NOTES = 100_000
_MAX_IDS = 2**31
_ROWS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class NoteDataset:
  """Notes on disk, `N` of them, each `T` frames of `W` channels.

  Attributes:
    data_dir: the folder.
    frames: embeddings `[N, T, W]`, memory-mapped, in their stored dtype.
    pitches: MIDI pitch one-hots `[N, 128]`, memory-mapped.
    velocities: MIDI velocity one-hots `[N, 128]`, memory-mapped.
    rows: for 'train', 'valid' and 'test' the rows of their notes.
    instrument_ids: ints `[N]`, or None if the data set has none.
    instrument_family_ids: ints `[N]`, or None if the data set has none.
    info: what dataset.json says: "codec", "instruments" (names by id),
      "instrument_families" (names by id); {} if there is no such file.
  """

  data_dir: str
  frames: np.memmap
  pitches: np.memmap
  velocities: np.memmap
  rows: dict[str, np.ndarray]
  instrument_ids: np.ndarray | None = None
  instrument_family_ids: np.ndarray | None = None
  info: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def codec(self) -> str | None:
    """Name of the codec that the frames were encoded with, if known."""
    return self.info.get('codec')

  def notes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads notes from the files.

    Args:
      rows: `[n]` row indices, in any order.

    Returns:
      Frames `[n, T, W]` and pitch one-hots `[n, 128]`, both float32.
    """
    return _gather(self.frames, rows), _gather(self.pitches, rows)

  def chunks(
    self, rows: np.ndarray, chunk_size: int = 512
  ) -> Iterator[np.ndarray]:
    """Yields the frames of many notes in arrays `[<= chunk_size, T, W]`."""
    for start in range(0, len(rows), chunk_size):
      yield _gather(self.frames, rows[start : start + chunk_size])


def _gather(array: np.memmap, rows: np.ndarray) -> np.ndarray:
  """Rows of a memory-mapped array as float32, read in the order on disk."""
  rows = np.asarray(rows, np.int64)
  order = np.argsort(rows, kind='stable')
  result = np.empty((len(rows), *array.shape[1:]), np.float32)
  # A row may bring in up to 2 MB of its file, so a few at a time.
  for start in range(0, len(rows), _ROWS_AT_ONCE):
    some = order[start : start + _ROWS_AT_ONCE]
    result[some] = array[rows[some]]
    note_files.release(array)
  return result


def open_dataset(
  data_dir: str | os.PathLike[str], hps: HParams, seed: int = 0
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
      context_vec_size, batch_size and overfit are read.
    seed: of the split; the same seed gives the same split.

  Returns:
    The data set; its arrays are read when they are needed.

  Raises:
    FileNotFoundError: for a missing folder or file.
    ValueError: for bad data, with file, row and the fix.
  """
  data_dir = os.fspath(data_dir)
  if not os.path.isdir(data_dir):
    raise FileNotFoundError(
      f'There is no folder {data_dir!r}; set --data_dir to the folder that '
      f'holds {hps.data_set}, {hps.pitch_set} and {hps.velocity_set}.'
    )

  def path(name: str) -> str:
    return os.path.join(data_dir, name)

  # The small files first: their errors should not take minutes.
  info = note_files.read_info(path('dataset.json'))
  frames = note_files.open_frames(
    path(hps.data_set), hps.max_seq_len, hps.seq_width
  )
  pitches = note_files.open_one_hots(
    path(hps.pitch_set), hps.context_vec_size, frames
  )
  velocities = note_files.open_one_hots(
    path(hps.velocity_set), NUM_VELOCITIES, frames
  )
  ids = {
    kind: note_files.read_ids(
      path(f'{kind}_ids.npy'),
      frames,
      len(info.get(names) or ()) or _MAX_IDS,
      f'indices of {names}',
    )
    for kind, names in (
      ('instrument', 'instruments'),
      ('instrument_family', 'instrument_families'),
    )
  }
  given = note_files.read_ids(
    path('splits.npy'), frames, len(splits.SPLITS), 'splits'
  )
  if given is not None:
    rows, source = splits.given_split(given), 'splits.npy'
  elif ids['instrument'] is not None:
    rows = splits.instrument_split(ids['instrument'], seed)
    source = 'instrument'
  else:
    rows, source = splits.random_split(len(frames), seed), 'random split'
  if hps.overfit:
    rows['train'], source = rows['valid'], f'{source} and overfit=1'
  note_files.check_rows(data_dir, rows, hps.batch_size, source)
  return NoteDataset(
    data_dir=data_dir,
    frames=frames,
    pitches=pitches,
    velocities=velocities,
    rows=rows,
    instrument_ids=ids['instrument'],
    instrument_family_ids=ids['instrument_family'],
    info=info,
  )


def fit_transforms(dataset: NoteDataset, hps: HParams) -> Transforms:
  """Fits the transforms to the training split.

  Args:
    dataset: the notes. Of more than 100,000 training notes, so many are used,
      evenly spread.
    hps: as for `Transforms.fit`.

  Returns:
    The fitted transforms.
  """
  rows = np.sort(dataset.rows['train'])
  if len(rows) > _PCA_MAX_NOTES:
    rows = rows[np.linspace(0, len(rows) - 1, _PCA_MAX_NOTES).astype(np.int64)]
  return Transforms.fit(hps, dataset.chunks(rows))


def batch_rows(
  num_rows: int, batch_size: int, seed: int, step: int
) -> np.ndarray:
  """Which rows are in the batch of a training step.

  Every epoch is a new permutation of the rows; the last few, too few for a
  batch, are left out of it. The result depends on the arguments alone, so that
  a run can go on at any step.

  Args:
    num_rows: rows in the training split.
    batch_size: rows in a batch, at most `num_rows`.
    seed: at least 0.
    step: at least 0.

  Returns:
    `[batch_size]` different ints from 0 to `num_rows - 1`.

  Raises:
    ValueError: for a batch larger than the split, or negative seed or step.
  """
  if not 1 <= batch_size <= num_rows:
    raise ValueError(
      f'batch_size must be from 1 to the {num_rows} rows of the split, got '
      f'{batch_size}.'
    )
  if seed < 0 or step < 0:
    raise ValueError(
      f'seed and step must not be negative, got seed {seed} and step {step}.'
    )
  epoch, index = divmod(step, num_rows // batch_size)
  start = index * batch_size
  return _permutation(num_rows, seed, epoch)[start : start + batch_size].copy()


@functools.lru_cache(maxsize=2)
def _permutation(num_rows: int, seed: int, epoch: int) -> np.ndarray:
  # RandomState, unlike Generator, promises the same numbers in every version
  # of NumPy; resuming a run relies on that.
  bits = np.random.Philox(key=np.array([seed, epoch], np.uint64))
  return np.random.RandomState(bits).permutation(num_rows)


def training_batches(
  dataset: NoteDataset,
  transforms: Transforms,
  hps: HParams,
  seed: int,
  first_step: int = 0,
  *,
  num_steps: int | None = None,
) -> tf.data.Dataset:
  """Batches for training, each a function of seed and step alone.

  Args:
    dataset: the notes.
    transforms: what turns them into model format.
    hps: of these, batch_size (B) is read.
    seed: of the order of the notes.
    first_step: the step that the first batch is for.
    num_steps: how many batches; None for no end.

  Returns:
    A data set of (batch `[B, T + 1, W]`, pitches `[B, 128]`), both float32.
    Frame 0 of a batch is zero: the decoder's first input.
  """
  rows = dataset.rows['train']

  def read(step):
    chosen = batch_rows(len(rows), hps.batch_size, seed, int(step))
    return _model_batch(dataset, transforms, rows[chosen])

  if num_steps is None:
    steps = tf.data.Dataset.counter(first_step)
  else:
    steps = tf.data.Dataset.range(first_step, first_step + num_steps)
  return _batches(steps, read, _shapes(dataset, transforms, hps.batch_size))


def evaluation_batches(
  dataset: NoteDataset, transforms: Transforms, split: str, batch_size: int
) -> tf.data.Dataset:
  """Batches that hold every note of a split once, in the split's order.

  Args:
    dataset: the notes.
    transforms: what turns them into model format.
    split: 'train', 'valid' or 'test'.
    batch_size: B.

  Returns:
    A data set of (batch `[B, T + 1, W]`, pitches `[B, 128]`, weight `[B]`), all
    float32. The last batch is filled up with copies of its last note that have
    weight 0; all others have weight 1.

  Raises:
    ValueError: for another split, or a batch size below 1.
  """
  if split not in dataset.rows:
    raise ValueError(
      f'split must be one of {", ".join(dataset.rows)}, got {split!r}.'
    )
  if batch_size < 1:
    raise ValueError(f'batch_size must be at least 1, got {batch_size}.')
  rows = dataset.rows[split]

  def read(step):
    positions = step * batch_size + np.arange(batch_size)
    chosen = rows[np.minimum(positions, len(rows) - 1)]
    weight = (positions < len(rows)).astype(np.float32)
    return *_model_batch(dataset, transforms, chosen), weight

  steps = tf.data.Dataset.range(-(-len(rows) // batch_size))
  shapes = (*_shapes(dataset, transforms, batch_size), (batch_size,))
  return _batches(steps, read, shapes)


def _model_batch(
  dataset: NoteDataset, transforms: Transforms, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  frames, pitches = dataset.notes(rows)
  return with_first_input(transforms.forward(frames)), pitches


def _shapes(
  dataset: NoteDataset, transforms: Transforms, batch_size: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  num_frames = dataset.frames.shape[1]
  return (
    (batch_size, num_frames + 1, transforms.width),
    (batch_size, dataset.pitches.shape[1]),
  )


def _batches(steps: tf.data.Dataset, read, shapes) -> tf.data.Dataset:
  """Maps steps to the float32 arrays that `read` gives, of static shapes."""

  def load(step):
    arrays = tf.numpy_function(read, [step], [tf.float32] * len(shapes))
    return tuple(map(tf.ensure_shape, arrays, shapes))

  return steps.map(load).prefetch(2)
