"""The compiled steps of training and of evaluation, on one device or several.

With several, each computes the gradients of its share of the batch; all that
passes between them happens outside the functions that XLA compiles.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from embedding_rnn import compilation, distribution
from embedding_rnn.embedding_rnn import Costs, Model

_EVALUATION_SEED = 0


class TrainingStep(NamedTuple):
  """The compiled training step, and what it leaves on the device."""

  function: tf.types.experimental.GenericFunction
  totals: tf.Variable  # [4], sums of the Costs of the steps
  bad_step: tf.Variable  # the steps done before the first bad one, or -1


def make_training_step(
  model: Model,
  optimizer: keras.optimizers.Optimizer,
  seed: int,
  strategy: tf.distribute.Strategy | None = None,
) -> TrainingStep:
  """A step of `(batch, pitches)` that does not wait for its result.

  A step whose cost or gradient is not finite, and all later ones, change
  nothing, so that the host needs to look only now and then. (An infinite
  gradient is no such case: it is clipped like any that is too large.)

  Args:
    model: the model, made in the strategy's scope.
    optimizer: the optimiser, built there.
    seed: of noise and dropout.
    strategy: how to use several devices; None for one.
  """
  strategy = strategy or tf.distribute.get_strategy()
  compiled_whole, compiled_part = _compilers(strategy)
  totals = tf.Variable(tf.zeros(len(Costs._fields)))
  bad_step = tf.Variable(-1, dtype=tf.int64)

  @compiled_part
  def raw_kl_of(batch, now):
    return model.raw_kl_at_step(batch, seed, now)

  @compiled_part
  def gradients_of(batch, pitches, now, whole_kl):
    return model.gradients_at_step(batch, pitches, seed, now, whole_kl)

  def replica_step(batch, pitches, now):
    batch, pitches = distribution.share(batch), distribution.share(pitches)
    whole_kl = None
    if distribution.num_replicas() > 1 and model.conditional:
      # Its floor is that of the whole batch's mean.
      (whole_kl,) = distribution.all_reduce('MEAN', [raw_kl_of(batch, now)])
    costs, grads = gradients_of(batch, pitches, now, whole_kl)
    costs, *grads = distribution.all_reduce('MEAN', [tf.stack(costs), *grads])
    grads = model.clip(grads)
    is_finite = tf.math.is_finite(costs[0])
    for grad in grads:
      is_finite &= tf.reduce_all(tf.math.is_finite(grad))
    return costs, grads, is_finite

  @compiled_whole
  def step(batch, pitches):
    with strategy.scope():
      now = tf.cast(optimizer.iterations, tf.int64)
      costs, grads, is_finite = strategy.run(
        replica_step, (batch, pitches, now)
      )
      # All replicas have the same.
      costs, is_finite = (
        strategy.experimental_local_results(x)[0] for x in (costs, is_finite)
      )
      is_good = is_finite & (bad_step < 0)
      tf.cond(
        is_good,
        lambda: _apply(optimizer, grads, model.trainable_variables, strategy),
        lambda: None,
      )
    totals.assign_add(tf.where(is_good, costs, 0.0))
    bad_step.assign(tf.where(is_good | (bad_step >= 0), bad_step, now))

  return TrainingStep(step, totals, bad_step)


def _apply(optimizer, grads, variables, strategy) -> None:
  """An update by gradients that all replicas agree on already.

  (`optimizer.apply` would sum them over the replicas.)
  """
  learning_rate = optimizer.learning_rate

  def update(variable, grad):
    optimizer.update_step(grad, variable, learning_rate)

  for variable, grad in zip(variables, grads, strict=True):
    strategy.extended.update(variable.value, update, (grad,), group=False)
  optimizer.iterations.assign_add(1)


def make_evaluation(
  model: Model, strategy: tf.distribute.Strategy | None = None
):
  """-> function of an evaluation batch and its number, giving sums `[3]`."""
  strategy = strategy or tf.distribute.get_strategy()
  compiled_whole, compiled_part = _compilers(strategy)

  @compiled_part
  def sums_of(batch, pitches, weight, number):
    seed = tf.stack([_EVALUATION_SEED, number])
    notes = model.note_costs(batch, pitches, model.draw_noise(batch, seed))
    return tf.stack(
      [
        tf.reduce_sum(notes.r_cost * weight),
        tf.reduce_sum(notes.raw_kl * weight),
        tf.reduce_sum(weight),
      ]
    )

  def replica_sums(*batch_and_number):
    *batch, number = batch_and_number
    part = sums_of(*map(distribution.share, batch), number)
    return distribution.all_reduce('SUM', [part])[0]

  @compiled_whole
  def sums(*batch_and_number):
    results = strategy.run(replica_sums, batch_and_number)
    return strategy.experimental_local_results(results)[0]

  return sums


def _compilers(strategy):
  """-> what compiles a step, and the parts of it without communication."""
  xla = compilation.prefers_xla()
  if strategy.num_replicas_in_sync == 1:
    return tf.function(autograph=False, jit_compile=xla), lambda f: f
  return (
    tf.function(autograph=False),
    tf.function(autograph=False, jit_compile=True) if xla else lambda f: f,
  )
