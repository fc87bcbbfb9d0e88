"""Tests of optimizer.py against Keras's Adam and TensorFlow 1's averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth.train.optimizer import AveragingAdam, StepwiseRate
from embedding_rnn.training import checkpoints


def test_rates_are_those_of_2017():
  rate = StepwiseRate(2e-4)
  starts = 0, 90_000, 120_000, 150_000, 180_000, 210_000, 240_000
  values = 2e-4, 1.33e-4, 6e-5, 4e-5, 2e-5, 6e-6, 2e-6
  for start, value in zip(starts, values, strict=True):
    for step in (start, start + 29_999):
      np.testing.assert_allclose(rate(tf.constant(step)), value, rtol=1e-6)
  assert StepwiseRate(**rate.get_config())(0) == rate(0)


@pytest.mark.parametrize('first_step', [0, 89_998, 200_000])
def test_adam_and_averages(first_step):
  """Past 90,000 steps the decay is 0.9999, and no longer depends on them."""
  random = np.random.RandomState(0)
  values = [random.normal(size=shape) for shape in ((3, 4), (2,))]
  variables = [keras.Variable(v, dtype='float32') for v in values]
  others = [keras.Variable(v, dtype='float32') for v in values]
  optimizer = AveragingAdam(0.01)
  optimizer.build(variables)
  expected = keras.optimizers.Adam(0.01, epsilon=1e-8)
  expected.build(others)
  num_updates = tf.Variable(first_step)
  oracle = tf.train.ExponentialMovingAverage(0.9999, num_updates)
  oracle.apply([other.value for other in others])  # makes the averages
  for o in (optimizer, expected):
    o.iterations.assign(first_step)
  for step in range(first_step, first_step + 5):
    grads = [random.normal(size=v.shape).astype(np.float32) for v in values]
    optimizer.apply(grads)
    expected.apply(grads)
    num_updates.assign(step + 1)
    oracle.apply([other.value for other in others])
  for variable, other in zip(variables, others, strict=True):
    np.testing.assert_array_equal(variable, other)
  for average, other in zip(optimizer.averages, others, strict=True):
    np.testing.assert_allclose(
      average, oracle.average(other.value), rtol=1e-5, atol=1e-7
    )
    assert (np.abs(average - other) > 1e-4).any()


def test_averages_are_saved_with_the_optimizer():
  optimizers = []
  for _ in range(2):
    variable = keras.Variable(np.ones(3, np.float32), name='x')
    optimizers.append(AveragingAdam(0.1))
    optimizers[-1].build([variable])
    optimizers[-1].build([variable])  # As Keras may.
  first, second = optimizers
  first.apply([np.ones(3, np.float32)])
  state = checkpoints.optimizer_state_of(first)
  assert sum(name.endswith('average') for name in state) == 1
  checkpoints.assign_optimizer_state(second, state, '')
  np.testing.assert_array_equal(second.averages[0], first.averages[0])
