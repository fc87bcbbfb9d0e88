"""The compiled steps of training and of evaluation, on one device or several.

With several, each computes the gradients of its share of the batch; all that
passes between them happens outside the functions that XLA compiles.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from embedding_rnn.model import distribution
from embedding_rnn.model.schedules import clip_gradients
from embedding_rnn.training.objective import Objective


class TrainingStep(NamedTuple):
  """The compiled training step, and what it leaves on the device."""

  function: tf.types.experimental.GenericFunction
  totals: tf.Variable  # sums of the costs of the steps, as in cost_names
  bad_step: tf.Variable  # the steps done before the first bad one, or -1


def make_training_step(
  objective: Objective,
  optimizer: keras.optimizers.Optimizer,
  strategy: tf.distribute.Strategy | None = None,
) -> TrainingStep:
  """A step, a function of the tensors of a batch that does not wait.

  A step whose cost or gradient is not finite, and all later ones, change
  nothing, so that the host needs to look only now and then. (An infinite
  gradient is no such case where it is clipped, like any that is too large.)

  Args:
    objective: its model was made in the strategy's scope.
    optimizer: the optimiser, built there.
    strategy: how to use several devices; None for one.
  """
  strategy = strategy or tf.distribute.get_strategy()
  compiled_whole, compiled_part = _compilers(strategy)
  totals = tf.Variable(tf.zeros(len(objective.cost_names)))
  bad_step = tf.Variable(-1, dtype=tf.int64)
  means_of = compiled_part(objective.part_means)
  gradients_of = compiled_part(objective.gradients)

  def replica_step(batch, now):
    part = tuple(map(distribution.share, batch))
    means = []
    if distribution.num_replicas() > 1:
      means = distribution.all_reduce('MEAN', means_of(part, now))
    costs, grads = gradients_of(part, now, means)
    costs, *grads = distribution.all_reduce('MEAN', [tf.stack(costs), *grads])
    grads = clip_gradients(grads, objective.grad_clip)
    # A sum is finite if all of its parts are.
    sums = [costs[0], *map(tf.reduce_sum, grads)]
    return costs, grads, tf.math.is_finite(tf.add_n(sums))

  @compiled_whole
  def step(*batch):
    with strategy.scope():
      now = tf.cast(optimizer.iterations, tf.int64)
      costs, grads, is_finite = strategy.run(replica_step, (batch, now))
      # All replicas have the same.
      costs, is_finite = (
        strategy.experimental_local_results(x)[0] for x in (costs, is_finite)
      )
      is_good = is_finite & (bad_step < 0)
      variables = objective.model.trainable_variables
      tf.cond(
        is_good,
        lambda: _apply(optimizer, grads, variables, strategy),
        lambda: None,
      )
    totals.assign_add(tf.where(is_good, costs, 0.0))
    bad_step.assign(tf.where(is_good | (bad_step >= 0), bad_step, now))

  return TrainingStep(step, totals, bad_step)


def _apply(optimizer, grads, variables, strategy):
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
  objective: Objective, strategy: tf.distribute.Strategy | None = None
) -> tf.types.experimental.GenericFunction:
  """-> function of the tensors of an evaluation batch and its number.

  It gives the `evaluation_sums` of the whole batch.
  """
  strategy = strategy or tf.distribute.get_strategy()
  compiled_whole, compiled_part = _compilers(strategy)
  sums_of = compiled_part(objective.evaluation_sums)

  def replica_sums(batch, number):
    part = sums_of(tuple(map(distribution.share, batch)), number)
    return distribution.all_reduce('SUM', [part])[0]

  @compiled_whole
  def sums(*batch_and_number):
    *batch, number = batch_and_number
    results = strategy.run(replica_sums, (tuple(batch), number))
    return strategy.experimental_local_results(results)[0]

  return sums


def _compilers(strategy):
  """-> what compiles a step, and the parts of it without communication."""
  xla = distribution.prefers_xla()
  if strategy.num_replicas_in_sync == 1:
    return tf.function(autograph=False, jit_compile=xla), lambda f: f
  return (
    tf.function(autograph=False),
    tf.function(autograph=False, jit_compile=True) if xla else lambda f: f,
  )
