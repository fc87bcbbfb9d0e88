"""The mixture-density head: each value of a frame is a Gaussian mixture."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class Mixture(NamedTuple):
  """Parameters of one Gaussian mixture per value, each `[..., K]`.

  Attributes:
    logmix: log weights, normalised over the last axis.
    mean: means.
    logstd: log standard deviations.
  """

  logmix: tf.Tensor
  mean: tf.Tensor
  logstd: tf.Tensor

  def distribution(self) -> tfd.Distribution:
    """As a distribution of batch shape `[...]`."""
    return tfd.MixtureSameFamily(
      tfd.Categorical(logits=self.logmix),
      tfd.Normal(self.mean, tf.exp(self.logstd)),
    )

  def log_prob(self, x: tf.Tensor) -> tf.Tensor:
    """Log density in nats of values `[...]`."""
    return self.distribution().log_prob(x)

  def draw(
    self,
    uniform: tf.Tensor,
    normal: tf.Tensor,
    temperature: tf.Tensor | float = 1.0,
    temperature_2: tf.Tensor | float = 1.0,
    greedy: bool | str = False,
  ) -> tf.Tensor:
    """Values `[...]` made from given random numbers.

    Args:
      uniform: in [0, 1), `[...]`; picks the component by the inverse of its
        cumulative distribution.
      normal: standard normal, `[...]`.
      temperature: divides the log weights; each mixture is then normalised on
        its own. Below 1 the likely components become likelier.
      temperature_2: scales the variance of the component.
      greedy: True takes the likeliest component instead of drawing one; 'mean'
        takes the mean of the whole mixture, and no noise.
    """
    if greedy == 'mean':
      return tf.reduce_sum(tf.exp(self.logmix) * self.mean, axis=-1)
    if greedy:
      index = tf.argmax(self.logmix, axis=-1, output_type=tf.int32)
    else:
      weights = tf.nn.softmax(self.logmix / temperature)
      passed = tf.cumsum(weights, axis=-1) <= uniform[..., None]
      # Rounding may leave the last cumulative sum below the number drawn.
      last = self.logmix.shape[-1] - 1
      index = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
      index = tf.minimum(index, last)
    chosen = tf.one_hot(index, self.logmix.shape[-1])
    mean = tf.reduce_sum(chosen * self.mean, axis=-1)
    logstd = tf.reduce_sum(chosen * self.logstd, axis=-1)
    return mean + tf.exp(logstd) * normal * tf.sqrt(temperature_2)


def from_head(outputs: tf.Tensor, width: int) -> Mixture:
  """Reads `[..., width * 3 * K]` head outputs as mixtures `[..., width, K]`."""
  parts = tf.reshape(
    outputs, tf.concat([tf.shape(outputs)[:-1], [width, 3, -1]], axis=0)
  )
  static = [*outputs.shape[:-1], width, 3, outputs.shape[-1] // (3 * width)]
  parts = tf.ensure_shape(parts, static)
  logits, mean, logstd = tf.unstack(parts, axis=-2)
  return Mixture(tf.nn.log_softmax(logits), mean, logstd)
