"""The mixture-density head: each value of a frame is a Gaussian mixture."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


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

  def distribution(self) -> Any:
    """As a `tfp.distributions.Distribution` of batch shape `[...]`."""
    # Half of the time that it takes to import the package.
    from tensorflow_probability import distributions as tfd

    return tfd.MixtureSameFamily(
      tfd.Categorical(logits=self.logmix),
      tfd.Normal(self.mean, tf.exp(self.logstd)),
    )

  def log_prob(self, x: tf.Tensor) -> tf.Tensor:
    """Log density in nats of values `[...]`."""
    return self.distribution().log_prob(x)

  def expectation(self) -> tf.Tensor:
    """The means of the whole mixtures, `[...]`."""
    return tf.reduce_sum(tf.exp(self.logmix) * self.mean, axis=-1)

  def moved(self, shift: tf.Tensor) -> Mixture:
    """The mixtures with all of their means moved by `[...]`."""
    return self._replace(mean=self.mean + shift[..., None])

  def draw(
    self,
    uniform: tf.Tensor,
    normal: tf.Tensor,
    temperature: tf.Tensor | float = 1.0,
    temperature_2: tf.Tensor | float = 1.0,
    greedy: bool | str = False,
    top_p: tf.Tensor | float = 1.0,
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
        takes the mean of the whole mixture, and no noise. Neither heeds
        temperature and top_p.
      top_p: draws only from the likeliest components, the fewest whose weights
        (after temperature) add up to this; from all of them if 1. Nucleus
        sampling (Holtzman et al., arXiv 1904.09751).
    """
    if greedy == 'mean':
      return self.expectation()
    if greedy:
      index = tf.argmax(self.logmix, axis=-1, output_type=tf.int32)
    else:
      weights = truncate(tf.nn.softmax(self.logmix / temperature), top_p)
      sums = tf.cumsum(weights, axis=-1)
      # Rounding may leave the whole sum below the number drawn; then the last
      # component with a weight is taken.
      passed = (sums <= uniform[..., None]) & (sums < sums[..., -1:])
      index = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
    chosen = tf.one_hot(index, self.logmix.shape[-1])
    mean = tf.reduce_sum(chosen * self.mean, axis=-1)
    logstd = tf.reduce_sum(chosen * self.logstd, axis=-1)
    return mean + tf.exp(logstd) * normal * tf.sqrt(temperature_2)


def truncate(weights: tf.Tensor, top_p: tf.Tensor | float) -> tf.Tensor:
  """Keeps the likeliest components that together reach a probability.

  Args:
    weights: `[..., K]`, each mixture's sum is 1.
    top_p: above 0. With 1 or more the weights are returned as they are.

  Returns:
    `[..., K]`: zero but for the fewest components whose weights add up to at
    least top_p, these rescaled to a sum of 1. Of equal weights the first count
    as likelier.
  """
  # K is small: to compare all pairs is faster than to sort, also under XLA.
  own, other = weights[..., :, None], weights[..., None, :]
  order = tf.range(weights.shape[-1])
  is_ahead = (other > own) | ((other == own) & (order < order[:, None]))
  ahead = tf.reduce_sum(tf.where(is_ahead, other, 0.0), axis=-1)
  kept = tf.where(ahead < top_p, weights, 0.0)
  rescaled = kept / tf.reduce_sum(kept, axis=-1, keepdims=True)
  return tf.where(top_p < 1.0, rescaled, weights)


def from_head(outputs: tf.Tensor, width: int) -> Mixture:
  """Reads `[..., width * 3 * K]` head outputs as mixtures `[..., width, K]`."""
  parts = tf.reshape(
    outputs, tf.concat([tf.shape(outputs)[:-1], [width, 3, -1]], axis=0)
  )
  static = [*outputs.shape[:-1], width, 3, outputs.shape[-1] // (3 * width)]
  parts = tf.ensure_shape(parts, static)
  logits, mean, logstd = tf.unstack(parts, axis=-2)
  return Mixture(tf.nn.log_softmax(logits), mean, logstd)


def error_shift(
  gate: tf.Tensor, errors: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
  """How far the errors of the frames before move the mixtures of a frame.

  Errors of neighbouring frames are alike; this is a vector autoregression of
  them (Sun, Lang & Boning, arXiv 2101.12578), with a gate. Weights that add up
  to more than 1 are scaled to 1, so that errors cannot grow without bound.

  Args:
    gate: from 0 to 1, `[..., W]`.
    errors: of the P frames before, each less the mean of its mixture as it was
      before it was moved, the last one first; `[..., P * W]`.
    kernel: `[P, W, W]`.

  Returns:
    `[..., W]`.
  """
  weights = tf.reshape(kernel, [-1, kernel.shape[-1]])
  weights /= tf.maximum(1.0, tf.reduce_sum(tf.abs(weights), axis=0))
  return gate * tf.tensordot(errors, weights, 1)


def errors_before(frames: tf.Tensor, mean: tf.Tensor, order: int) -> tf.Tensor:
  """The errors before each frame, as `error_shift` takes them.

  Args:
    frames: `[B, T - 1, W]`, all but the last.
    mean: of the mixtures of all frames, `[B, T, W]`.
    order: P. Before the note there are no errors: they are 0.

  Returns:
    `[B, T, P * W]`.
  """
  num_frames = mean.shape[1]
  errors = tf.pad(frames - mean[:, :-1], [[0, 0], [order, 0], [0, 0]])
  starts = reversed(range(order))
  return tf.concat([errors[:, i : i + num_frames] for i in starts], axis=-1)
