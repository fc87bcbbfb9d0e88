"""The optimiser of 2017's WaveNet: Adam, and averages of the weights."""

from __future__ import annotations

import keras
from keras import ops

# By which the first learning rate is multiplied from these steps on.
_RATES = {
  0: 1.0,
  90_000: 0.665,
  120_000: 0.3,
  150_000: 0.2,
  180_000: 0.1,
  210_000: 0.03,
  240_000: 0.01,
}
_DECAY = 0.9999


class StepwiseRate(keras.optimizers.schedules.LearningRateSchedule):
  """A learning rate that falls in steps: 2e-4 to 2e-6 if it is 2e-4 at first.

  Args:
    learning_rate: at the first step.
  """

  def __init__(self, learning_rate: float):
    self._first = learning_rate

  def __call__(self, step):
    """The learning rate after so many steps."""
    ratio = _RATES[0]
    for start, value in _RATES.items():
      ratio = ops.where(step >= start, value, ratio)
    return ops.cast(self._first * ratio, 'float32')

  def get_config(self):
    """The argument, for Keras."""
    return {'learning_rate': self._first}


class AveragingAdam(keras.optimizers.Adam):
  """Adam with TensorFlow 1's defaults, and a moving average of each weight.

  After n steps an average is `decay` of what it was and the rest of the weight,
  decay being 0.9999, but at first only (1 + n) / (10 + n). (It is TensorFlow
  1's ExponentialMovingAverage with num_updates, for which Keras's `use_ema` has
  no equal.)

  Args:
    learning_rate: a number or a schedule.

  Attributes:
    averages: of the variables that it is built with, in their order.
  """

  def __init__(self, learning_rate, **kwargs):
    kwargs.setdefault('epsilon', 1e-8)
    super().__init__(learning_rate, **kwargs)

  def build(self, variables):
    """As in Keras."""
    if self.built:
      return
    super().build(variables)
    self.averages = []
    for variable in variables:
      average = self.add_variable_from_reference(variable, 'average')
      average.assign(variable)
      self.averages.append(average)

  def update_step(self, gradient, variable, learning_rate):
    """Updates a variable, and then its average."""
    super().update_step(gradient, variable, learning_rate)
    average = self.averages[self._get_variable_index(variable)]
    n = ops.cast(self.iterations + 1, 'float32')
    decay = ops.minimum(_DECAY, (1 + n) / (10 + n))
    change = ops.multiply(1 - decay, ops.subtract(variable, average))
    self.assign_add(average, change)
