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


def make_optimizer(hps: HParams) -> keras.optimizers.Optimizer:
  """The 2017 optimiser: Adam with TensorFlow 1's defaults."""
  return keras.optimizers.Adam(LearningRate.of(hps), epsilon=1e-8)


def clip_gradients(grads: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
  """Gradients with each element clipped to -limit..limit, as in 2017."""
  if limit == math.inf:
    return grads
  return [tf.clip_by_value(g, -limit, limit) for g in grads]
