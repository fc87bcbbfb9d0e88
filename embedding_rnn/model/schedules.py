"""The optimiser, and how learning rate and KL weight change with the step."""

import math

import keras
import tensorflow as tf

from embedding_rnn.model.hparams import HParams


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
  """(learning_rate - min) * decay_rate ** step + min."""

  def __init__(
    self, learning_rate: float, decay_rate: float, min_learning_rate: float
  ):
    self.first = learning_rate
    self.decay_rate = decay_rate
    self.floor = min_learning_rate

  @classmethod
  def of(cls, hps: HParams) -> 'LearningRate':
    """The one that hyperparameters ask for."""
    return cls(hps.learning_rate, hps.decay_rate, hps.min_learning_rate)

  def __call__(self, step: tf.Tensor) -> tf.Tensor:
    """The learning rate after so many steps."""
    decay = tf.pow(self.decay_rate, tf.cast(step, tf.float32))
    return (self.first - self.floor) * decay + self.floor

  def get_config(self) -> dict[str, float]:
    """The arguments, for Keras."""
    return {
      'learning_rate': self.first,
      'decay_rate': self.decay_rate,
      'min_learning_rate': self.floor,
    }


def kl_weight_at(hps: HParams, step: tf.Tensor) -> tf.Tensor:
  """Weight of the KL term at a step: from kl_weight_start to kl_weight."""
  decay = tf.pow(hps.kl_decay_rate, tf.cast(step, tf.float32))
  return hps.kl_weight - (hps.kl_weight - hps.kl_weight_start) * decay


class FusedAdam(keras.optimizers.Adam):
  """Keras' Adam, which updates a variable by one operation in place of ten."""

  def update_step(self, gradient, variable, learning_rate):
    """Updates a variable and its two moments."""
    index = self._get_variable_index(variable)
    moments = self._momentums[index], self._velocities[index]
    step = tf.cast(self.iterations, tf.float32) + 1
    tf.raw_ops.ResourceApplyAdam(
      var=_handle(variable),
      m=_handle(moments[0]),
      v=_handle(moments[1]),
      beta1_power=tf.pow(self.beta_1, step),
      beta2_power=tf.pow(self.beta_2, step),
      lr=tf.cast(learning_rate, tf.float32),
      beta1=self.beta_1,
      beta2=self.beta_2,
      epsilon=self.epsilon,
      grad=gradient,
    )


def _handle(variable):
  """Of a variable of Keras or TensorFlow, on the replica that asks."""
  if isinstance(variable, keras.Variable):
    variable = variable.value
  return variable.handle


def make_optimizer(hps: HParams) -> keras.optimizers.Optimizer:
  """The 2017 optimiser: Adam with TensorFlow 1's defaults."""
  return FusedAdam(LearningRate.of(hps), epsilon=1e-8, name='adam')


def clip_gradients(grads: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
  """Gradients with each element clipped to -limit..limit, as in 2017."""
  if limit == math.inf:
    return grads
  return [tf.clip_by_value(g, -limit, limit) for g in grads]
