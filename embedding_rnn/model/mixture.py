"""The mixture-density head: each value of a frame is a Gaussian mixture."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import tensorflow as tf

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Components(NamedTuple):
  """The same as `Mixture`, as the RNN writes it: the components come first.

  So sums over them are those of whole rows. Each is `[K, ...]`.

  Attributes:
    logits: log weights, but for a constant.
    mean: means.
    logstd: log standard deviations.
  """

  logits: tf.Tensor
  mean: tf.Tensor
  logstd: tf.Tensor

  def log_prob(self, x: tf.Tensor) -> tf.Tensor:
    """Log density in nats of values `[...]`."""
    return _log_prob(*self, x)

  def expectation(self) -> tf.Tensor:
    """The means of the whole mixtures, `[...]`."""
    return _expectation(self.logits, self.mean)

  def moved(self, shift: tf.Tensor) -> Components:
    """The mixtures with all of their means moved by `[...]`."""
    return self._replace(mean=self.mean + shift)

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
      index = tf.argmax(self.logits, axis=0, output_type=tf.int32)
    else:
      weights, total = _exp(self.logits / temperature)
      if tf.is_tensor(top_p) or top_p < 1:  # else it is no part of the graph
        weights = _first(truncate(_last(weights / total), top_p))
      # Few sums of whole rows; tf.cumsum is slow.
      sums = tf.stack(list(itertools.accumulate(tf.unstack(weights))))
      # Rounding may leave a sum below the whole; then the last component with
      # a weight is taken.
      passed = (sums <= uniform * sums[-1]) & (sums < sums[-1])
      index = tf.reduce_sum(tf.cast(passed, tf.int32), axis=0)
    chosen = tf.one_hot(index, self.logits.shape[0], axis=0)
    mean = tf.reduce_sum(chosen * self.mean, axis=0)
    logstd = tf.reduce_sum(chosen * self.logstd, axis=0)
    return mean + tf.exp(logstd) * normal * tf.sqrt(temperature_2)


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

  @classmethod
  def of(cls, components: Components) -> Mixture:
    """Those of components, with these in the last place."""
    logits, mean, logstd = map(_last, components)
    return cls(tf.nn.log_softmax(logits), mean, logstd)

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
    x = tf.convert_to_tensor(x, self.mean.dtype)
    return self._components(x.shape).log_prob(x)

  def expectation(self) -> tf.Tensor:
    """The means of the whole mixtures, `[...]`."""
    return self._components().expectation()

  def moved(self, shift: tf.Tensor) -> Mixture:
    """The mixtures with all of their means moved by `[...]`."""
    return self._replace(mean=self.mean + shift[..., None])

  def draw(
    self, uniform: tf.Tensor, normal: tf.Tensor, **controls: Any
  ) -> tf.Tensor:
    """Values `[...]`, or `[..., ...]`, see `Components.draw`."""
    return self._components(uniform.shape).draw(uniform, normal, **controls)

  def _components(self, shape=()):
    """Those of each of values `[...]` or `[..., ...]`, if these are more."""
    parts = [_first(x) for x in self]
    if len(shape) >= self.mean.shape.rank:
      ones = [1] * (len(shape) - self.mean.shape.rank + 1)
      parts = [
        tf.broadcast_to(
          tf.reshape(x, [x.shape[0], *ones, *x.shape[1:]]), [x.shape[0], *shape]
        )
        for x in parts
      ]
    return Components(*parts)


def _first(x):
  """The last axis moved to the first place."""
  return tf.transpose(x, [x.shape.rank - 1, *range(x.shape.rank - 1)])


def _last(x):
  """The first axis moved to the last place."""
  return tf.transpose(x, [*range(1, x.shape.rank), 0])


# The gradients of the next two are written out: training spends much of its
# time here, and fewer passes over all values of all components are faster.


@tf.custom_gradient
def _log_prob(logits, mean, logstd, x):
  precision = tf.exp(-logstd)
  error = (x - mean) * precision
  square = tf.square(error)
  joint = logits - logstd - 0.5 * square
  parts, sum_of_parts = _exp(joint)
  weights, sum_of_weights = _exp(logits)
  top = tf.reduce_max(joint, axis=0) - tf.reduce_max(logits, axis=0)
  result = top + tf.math.log(sum_of_parts / sum_of_weights) - _HALF_LOG_TWO_PI

  def gradient(d):
    shares = parts * (d / sum_of_parts)  # of the components, times d
    d_mean = shares * error * precision
    return (
      shares - weights * (d / sum_of_weights),
      d_mean,
      shares * (square - 1),
      -tf.reduce_sum(d_mean, axis=0),
    )

  return result, gradient


@tf.custom_gradient
def _expectation(logits, mean):
  weights, total = _exp(logits)
  weights /= total
  result = tf.reduce_sum(weights * mean, axis=0)

  def gradient(d):
    d_mean = weights * d
    return d_mean * (mean - result), d_mean

  return result, gradient


def _exp(x):
  """-> exp(x), scaled to be at most 1, and its sum over the first axis."""
  scaled = tf.exp(x - tf.reduce_max(x, axis=0))
  return scaled, tf.reduce_sum(scaled, axis=0)


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


def from_head(outputs: tf.Tensor, width: int) -> Components:
  """Reads `[width * 3 * K, N]` head outputs as components `[K, width, N]`."""
  parts = tf.reshape(outputs, [width, outputs.shape[0] // width, -1])
  parts = tf.ensure_shape(parts, [*parts.shape[:2], *outputs.shape[1:]])
  return Components(*tf.split(tf.transpose(parts, [1, 0, 2]), 3))


def error_weights(kernel: tf.Tensor) -> tf.Tensor:
  """Weights `[P * W, W]` of `error_shift`, from the trained `[P, W, W]`.

  Those that add up to more than 1 are scaled to 1, so that errors cannot grow
  without bound.
  """
  weights = tf.reshape(kernel, [-1, kernel.shape[-1]])
  return weights / tf.maximum(1.0, tf.reduce_sum(tf.abs(weights), axis=0))


def error_shift(
  gate: tf.Tensor, errors: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
  """How far the errors of the frames before move the mixtures of a frame.

  Errors of neighbouring frames are alike; this is a vector autoregression of
  them (Sun, Lang & Boning, arXiv 2101.12578), with a gate.

  Args:
    gate: from 0 to 1, `[W, ...]`.
    errors: of the P frames before, each less the mean of its mixture as it was
      before it was moved, the last one first; `[P * W, ...]`.
    weights: see `error_weights`.

  Returns:
    `[W, ...]`.
  """
  return gate * tf.tensordot(weights, errors, [[0], [0]])


def errors_before(errors: tf.Tensor, order: int) -> tf.Tensor:
  """The errors before each frame, the last one first.

  Args:
    errors: of all frames, `[W, T, B]`.
    order: P. Before the note there are no errors: they are 0.

  Returns:
    `[P * W, T, B]`.
  """
  num_frames = errors.shape[1]

  @tf.custom_gradient
  def all_before(errors):
    padded = tf.pad(errors, [[0, 0], [order, 0], [0, 0]])
    before = [
      padded[:, order - lag : order - lag + num_frames]
      for lag in range(1, order + 1)
    ]

    def gradient(d):
      parts = tf.split(tf.pad(d, [[0, 0], [0, order], [0, 0]]), order)
      return tf.add_n(
        [part[:, lag : lag + num_frames] for lag, part in enumerate(parts, 1)]
      )

    return tf.concat(before, axis=0), gradient

  return all_before(errors)
