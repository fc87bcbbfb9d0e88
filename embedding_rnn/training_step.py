"""The compiled steps of training and of evaluation."""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from embedding_rnn import compilation
from embedding_rnn.embedding_rnn import Costs, Model

_EVALUATION_SEED = 0


class TrainingStep(NamedTuple):
  """The compiled training step, and what it leaves on the device."""

  function: tf.types.experimental.GenericFunction
  totals: tf.Variable  # [4], sums of the Costs of the steps
  bad_step: tf.Variable  # the steps done before the first bad one, or -1


def make_training_step(
  model: Model, optimizer: keras.optimizers.Optimizer, seed: int
) -> TrainingStep:
  """A step of `(batch, pitches)` that does not wait for its result.

  A step whose cost or gradient is not finite, and all later ones, change
  nothing, so that the host needs to look only now and then. (An infinite
  gradient is no such case: it is clipped like any that is too large.)
  """
  totals = tf.Variable(tf.zeros(len(Costs._fields)))
  bad_step = tf.Variable(-1, dtype=tf.int64)

  @tf.function(autograph=False, jit_compile=compilation.prefers_xla())
  def step(batch, pitches):
    now = tf.cast(optimizer.iterations, tf.int64)
    costs, grads = model.gradients_at_step(batch, pitches, seed, now)
    finite = tf.math.is_finite(costs.cost)
    for grad in grads:
      finite &= tf.reduce_all(tf.math.is_finite(grad))
    is_good = finite & (bad_step < 0)

    def apply():
      optimizer.apply_gradients(
        zip(grads, model.trainable_variables, strict=True)
      )
      return True

    tf.cond(is_good, apply, lambda: False)
    totals.assign_add(tf.where(is_good, tf.stack(costs), 0.0))
    bad_step.assign(tf.where(is_good | (bad_step >= 0), bad_step, now))

  return TrainingStep(step, totals, bad_step)


def make_evaluation(model: Model):
  """-> function of an evaluation batch and its number, giving sums `[3]`."""

  @tf.function(autograph=False, jit_compile=compilation.prefers_xla())
  def sums(batch, pitches, weight, number):
    seed = tf.stack([_EVALUATION_SEED, number])
    notes = model.note_costs(batch, pitches, model.draw_noise(batch, seed))
    return tf.stack(
      [
        tf.reduce_sum(notes.r_cost * weight),
        tf.reduce_sum(notes.raw_kl * weight),
        tf.reduce_sum(weight),
      ]
    )

  return sums
