"""What the training of Embedding RNN minimises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from embedding_rnn.data import batches
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.embedding_rnn import Costs, Model
from embedding_rnn.model.schedules import (
  LearningRate,
  kl_weight_at,
  make_optimizer,
)
from embedding_rnn.training.objective import Batch, Objective

_EVALUATION_SEED = 0


class NoteObjective(Objective):
  """The costs of `embedding_rnn.Model` on notes; see `Objective`.

  Args:
    model: the model.
    seed: of batches, noise and dropout.
    dataset: the notes; None where only the compiled methods are needed.
    transforms: from the notes to the model's format, or None likewise.
  """

  cost_names = Costs._fields
  remedy = (
    'with a lower learning_rate or grad_clip, from the best weights of this '
    'one if you like (--checkpoint_path)'
  )

  def __init__(
    self,
    model: Model,
    seed: int,
    dataset: NoteDataset | None = None,
    transforms: Transforms | None = None,
  ):
    self.model, self.seed, self.hps = model, seed, model.hps
    self._dataset, self._transforms = dataset, transforms

  def make_optimizer(self) -> keras.optimizers.Optimizer:
    """As of `Objective`."""
    return make_optimizer(self.hps)

  def training_batches(self, first_step: int) -> Iterable[Batch]:
    """(batch `[B, T + 1, W]`, pitches `[B, 128]`), see `data`."""
    return batches.training_batches(
      self._dataset,
      self._transforms,
      self.hps,
      self.seed,
      first_step,
      num_steps=self.hps.num_steps - first_step,
    )

  def evaluation_batches(self, split: str) -> Iterable[Batch]:
    """(batch, pitches, weight `[B]`), see `data`."""
    return batches.evaluation_batches(
      self._dataset, self._transforms, split, self.hps.batch_size
    )

  def total_costs(self, sums: np.ndarray) -> dict[str, float]:
    """As of `Objective`."""
    r_cost, raw_kl, weight = sums
    costs = self.model.total_costs(
      tf.constant(r_cost / weight, tf.float32),
      tf.constant(raw_kl / weight, tf.float32),
    )
    return {name: float(x) for name, x in costs._asdict().items()}

  def values_at_step(self, step: int) -> dict[str, float]:
    """As of `Objective`."""
    return {
      'learning_rate': float(LearningRate.of(self.hps)(step)),
      'kl_weight': float(kl_weight_at(self.hps, step)),
    }

  def gradients(
    self, part: Batch, step: tf.Tensor, means: Sequence[tf.Tensor] = ()
  ) -> tuple[Costs, list[tf.Tensor]]:
    """As of `Objective`."""
    return self.model.gradients_at_step(*part, self.seed, step, *means)

  def part_means(self, part: Batch, step: tf.Tensor) -> list[tf.Tensor]:
    """The raw KL, since its floor is that of the whole batch's mean."""
    if not self.model.conditional:
      return []
    return [self.model.raw_kl_at_step(part[0], self.seed, step)]

  def clip(self, grads: list[tf.Tensor]) -> list[tf.Tensor]:
    """As of `Objective`."""
    return self.model.clip(grads)

  def evaluation_sums(self, part: Batch, number: tf.Tensor) -> tf.Tensor:
    """Sums of reconstruction cost, raw KL and weight."""
    batch, pitches, weight = part
    seed = tf.stack([_EVALUATION_SEED, number])
    notes = self.model.note_costs(
      batch, pitches, self.model.draw_noise(batch, seed)
    )
    return tf.stack(
      [
        tf.reduce_sum(notes.r_cost * weight),
        tf.reduce_sum(notes.raw_kl * weight),
        tf.reduce_sum(weight),
      ]
    )
