"""Batches of notes, as functions of seed and step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from embedding_rnn.data.augmentation import Augmentation
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model.decoder import with_first_input
from embedding_rnn.model.hparams import HParams


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
    hps: of these, batch_size (B) is read, and by `Augmentation` its own.
    seed: of the order of the notes, and of what is made of them.
    first_step: the step that the first batch is for.
    num_steps: how many batches; None for no end.

  Returns:
    A data set of (batch `[B, T + 1, W]`, pitches `[B, 128]`), both float32.
    Frame 0 of a batch is zero: the decoder's first input.
  """
  rows = dataset.rows['train']
  augment = Augmentation.fit(dataset, hps)

  def read(step: np.ndarray) -> tuple[np.ndarray, ...]:
    chosen = batch_rows(len(rows), hps.batch_size, seed, int(step))
    notes = dataset.notes(rows[chosen])
    if augment:
      notes = augment(*notes, seed, int(step))
    return _model_batch(transforms, *notes)

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

  def read(step: np.ndarray) -> tuple[np.ndarray, ...]:
    positions = step * batch_size + np.arange(batch_size)
    chosen = rows[np.minimum(positions, len(rows) - 1)]
    weight = (positions < len(rows)).astype(np.float32)
    return *_model_batch(transforms, *dataset.notes(chosen)), weight

  steps = tf.data.Dataset.range(-(-len(rows) // batch_size))
  shapes = (*_shapes(dataset, transforms, batch_size), (batch_size,))
  return _batches(steps, read, shapes)


def _model_batch(
  transforms: Transforms, frames: np.ndarray, pitches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  return with_first_input(transforms.forward(frames)), pitches


def _shapes(
  dataset: NoteDataset, transforms: Transforms, batch_size: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  num_frames = dataset.frames.shape[1]
  velocities = dataset.velocity_context * dataset.velocities.shape[1]
  return (
    (batch_size, num_frames + 1, transforms.width),
    (batch_size, dataset.pitches.shape[1] + velocities),
  )


def _batches(
  steps: tf.data.Dataset,
  read: Callable[[np.ndarray], tuple[np.ndarray, ...]],
  shapes: tuple[tuple[int, ...], ...],
) -> tf.data.Dataset:
  """Maps steps to the float32 arrays that `read` gives, of static shapes."""

  def load(step: Any) -> Any:
    arrays = tf.numpy_function(read, [step], [tf.float32] * len(shapes))
    return tuple(map(tf.ensure_shape, arrays, shapes))

  return steps.map(load).prefetch(2)
