"""What the step loop minimises: a model, its data, and its costs."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from embedding_rnn.model.hparams import HParams

Batch = tuple[tf.Tensor, ...]


class Objective(abc.ABC):
  """The costs of a model on batches of data, as `Trainer` takes them.

  A batch is a tuple of tensors with all notes of a step. Methods that are given
  a part of one are compiled; each of several devices calls them with its share.

  Attributes:
    model: its trainable variables are trained.
    hps: hyperparameters; num_steps and save_every among them.
    seed: of all randomness, so that steps are functions of it and their number.
    cost_names: of the costs of a step; 'cost', to be minimised, comes first.
    remedy: what a user may change if a cost is not finite.
    grad_clip: the largest size of an element of the gradients; larger ones are
      clipped to it.
  """

  model: keras.Model
  hps: HParams
  seed: int
  cost_names: tuple[str, ...]
  remedy = 'with a lower learning_rate'
  grad_clip = math.inf

  @abc.abstractmethod
  def make_optimizer(self) -> keras.optimizers.Optimizer:
    """The optimiser, not built yet."""

  @abc.abstractmethod
  def training_batches(self, first_step: int) -> Iterable[Batch]:
    """The batches of all steps from one on."""

  @abc.abstractmethod
  def evaluation_batches(self, split: str) -> Iterable[Batch]:
    """Batches that hold all of a split, 'valid' or 'test'."""

  @abc.abstractmethod
  def total_costs(self, sums: np.ndarray) -> dict[str, float]:
    """The costs of a split, from the sum of its `evaluation_sums`."""

  @abc.abstractmethod
  def values_at_step(self, step: int) -> dict[str, float]:
    """What else the log says of a step: columns of history.csv."""

  def arrays_to_keep(
    self, optimizer: keras.optimizers.Optimizer
  ) -> dict[str, Mapping[str, np.ndarray]]:
    """Arrays by file that belong to the best weights, besides those."""
    del optimizer
    return {}

  def original_sounds(self) -> Mapping[str, np.ndarray]:
    """Audio `[samples]` at 16 kHz to follow the training by ear, by name."""
    return {}

  def made_sounds(self) -> Mapping[str, np.ndarray]:
    """What the model makes of these now, by the same names."""
    return {}

  @abc.abstractmethod
  def gradients(
    self, part: Batch, step: tf.Tensor, means: Sequence[tf.Tensor] = ()
  ) -> tuple[Sequence[tf.Tensor], list[tf.Tensor]]:
    """Costs of a part, as in `cost_names`, and the gradients of the first.

    Args:
      part: of a batch.
      step: int64, steps done before.
      means: of `part_means` over all parts; () where the part is all.
    """

  def part_means(self, part: Batch, step: tf.Tensor) -> list[tf.Tensor]:
    """What `gradients` must know of the whole batch; averaged over the parts.

    Asked only where there are several parts.
    """
    del part, step
    return []

  @abc.abstractmethod
  def evaluation_sums(self, part: Batch, number: tf.Tensor) -> tf.Tensor:
    """Sums over a part that `total_costs` needs, a vector.

    Args:
      part: of an evaluation batch.
      number: of the batch, from 0.
    """
