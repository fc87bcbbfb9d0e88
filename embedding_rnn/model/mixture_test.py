"""The mixture head against SciPy and the laws of large numbers."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from embedding_rnn.model import mixture


def random_mixture(shape, num_components=3, seed=0):
  rng = np.random.default_rng(seed)
  arrays = rng.normal(size=[3, *shape, num_components]).astype(np.float32)
  logmix = scipy.special.log_softmax(arrays[0], axis=-1)
  return mixture.Mixture(*map(tf.constant, (logmix, arrays[1], arrays[2])))


def draw_many(mix, num_draws, **kwargs):
  shape = [num_draws, *mix.mean.shape[:-1]]
  uniform = tf.random.stateless_uniform(shape, [0, 0])
  normal = tf.random.stateless_normal(shape, [0, 1])
  return mix.draw(uniform, normal, **kwargs).numpy()


def test_log_prob():
  mix = random_mixture([4, 5])
  x = np.random.default_rng(1).normal(size=[4, 5]).astype(np.float32)
  density = scipy.stats.norm.logpdf(x[..., None], mix.mean, np.exp(mix.logstd))
  expected = scipy.special.logsumexp(mix.logmix + density, axis=-1)
  np.testing.assert_allclose(mix.log_prob(x), expected, atol=1e-5)


def test_log_prob_far_away_is_finite():
  mix = random_mixture([2])
  assert np.isfinite(mix.log_prob([1e6, -1e6])).all()


def test_from_head_layout():
  width, k, columns = 2, 3, 5
  outputs = np.random.default_rng(0).normal(size=[width * 3 * k, columns])
  parts = mixture.from_head(tf.constant(outputs, tf.float32), width)
  expected = outputs.astype(np.float32).reshape(width, 3, k, columns)
  for actual, part in zip(parts, np.moveaxis(expected, 1, 0), strict=True):
    np.testing.assert_array_equal(actual, np.moveaxis(part, 1, 0))
  mix = mixture.Mixture.of(parts)
  logits = np.moveaxis(expected[:, 0], 1, -1)
  np.testing.assert_allclose(
    mix.logmix, scipy.special.log_softmax(logits, axis=-1), atol=1e-5
  )


@pytest.mark.parametrize('num_components', [1, 3, 20])
def test_gradients_against_tensorflow_probability(num_components):
  mix = random_mixture([4, 5], num_components, seed=3)
  x = tf.constant(np.random.default_rng(4).normal(size=[4, 5]), tf.float32)
  leaves = [*(3 * part for part in mix), x]

  def results(ours):
    with tf.GradientTape() as tape:
      tape.watch(leaves)
      own = mixture.Mixture(*leaves[:3])
      own = own if ours else own.distribution()
      density = own.log_prob(x)
      mean = own.expectation() if ours else own.mean()
      # Weights of their own show what belongs to which value.
      loss = tf.reduce_sum(density * x) + tf.reduce_sum(mean * (x + 2))
    return density, mean, *tape.gradient(loss, leaves)

  for actual, expected in zip(results(True), results(False), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-4)


def test_draws_follow_the_density():
  mix = random_mixture([1])
  weights, mean, std = (
    x.numpy()[0] for x in (tf.exp(mix.logmix), mix.mean, tf.exp(mix.logstd))
  )
  draws = draw_many(mix, 4000)[:, 0]
  cdf = lambda x: scipy.stats.norm.cdf(x[:, None], mean, std) @ weights  # noqa: E731
  assert scipy.stats.kstest(draws, cdf).pvalue > 0.01


def test_temperature_weighs_components():
  logmix = np.log([[0.2, 0.3, 0.5]]).astype(np.float32)
  mix = mixture.Mixture(
    tf.constant(logmix), tf.constant([[0.0, 1.0, 2.0]]), tf.zeros([1, 3])
  )
  draws = draw_many(mix, 20000, temperature=0.5, temperature_2=0.0)[:, 0]
  squares = np.exp(logmix[0]) ** 2
  frequencies = np.bincount(draws.astype(int)) / len(draws)
  np.testing.assert_allclose(frequencies, squares / squares.sum(), atol=0.02)


def test_temperature_2_scales_the_variance():
  mix = mixture.Mixture(*tf.zeros([3, 1, 1]))
  assert abs(draw_many(mix, 20000, temperature_2=0.25).std() - 0.5) < 0.02


def test_low_temperature_of_far_apart_weights_is_finite():
  mix = mixture.Mixture(
    tf.constant([[-1e4, 0.0]]), tf.constant([[1.0, 2.0]]), tf.zeros([1, 2])
  )
  draws = draw_many(mix, 10, temperature=0.01, temperature_2=0.0)
  np.testing.assert_array_equal(draws, 2.0)


def test_greedy_without_noise_is_the_likeliest_mean():
  mix = random_mixture([4, 5])
  draws = draw_many(mix, 2, greedy=True, temperature_2=0.0)
  best = np.argmax(mix.logmix, axis=-1)[..., None]
  expected = np.take_along_axis(mix.mean.numpy(), best, axis=-1)[..., 0]
  np.testing.assert_allclose(draws, np.stack([expected] * 2), atol=1e-6)


def test_uniform_of_one_picks_the_last_component():
  mix = mixture.Mixture(
    tf.math.log(tf.fill([1, 3], 1 / 3)),
    tf.constant([[0.0, 1, 2]]),
    tf.zeros([1, 3]),
  )
  assert mix.draw(tf.ones([1]), tf.zeros([1])).numpy() == [2.0]


def test_truncation_against_sorting():
  rng = np.random.default_rng(0)
  weights = rng.dirichlet(np.full(6, 0.5), size=50).astype(np.float32)
  weights[0] = 1 / 6  # All alike: the first ones stay.
  for top_p in (1e-6, 0.3, 0.5, 0.9, 0.999):
    expected = np.zeros_like(weights)
    for row, kept in zip(weights, expected, strict=True):
      order = np.argsort(-row, kind='stable')
      count = 1 + np.searchsorted(np.cumsum(row[order]), top_p)
      kept[order[:count]] = row[order[:count]]
    expected /= expected.sum(axis=1, keepdims=True)
    actual = mixture.truncate(tf.constant(weights), top_p)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
  whole = mixture.truncate(tf.constant(weights), tf.constant(1.0))
  np.testing.assert_array_equal(whole, weights)


def test_draws_are_from_what_top_p_leaves():
  mix = mixture.Mixture(
    tf.math.log([[0.1, 0.3, 0.2, 0.4]]),
    tf.constant([[0.0, 1.0, 2.0, 3.0]]),
    tf.zeros([1, 4]),
  )
  draws = draw_many(mix, 20000, temperature_2=0.0, top_p=0.6)[:, 0]
  frequencies = np.bincount(draws.astype(int), minlength=4) / len(draws)
  np.testing.assert_allclose(frequencies, [0, 3 / 7, 0, 4 / 7], atol=0.02)
  # The temperature comes first: squares of 0.3 and 0.4 are 5/6 of the whole.
  draws = draw_many(mix, 20000, temperature=0.5, temperature_2=0.0, top_p=0.8)[
    :, 0
  ]
  assert set(draws) == {1.0, 3.0}


def test_no_component_of_weight_zero_is_drawn():
  mix = mixture.Mixture(
    tf.math.log([[0.7, 0.3, 0.0]]),
    tf.constant([[1.0, 2.0, 9.0]]),
    tf.zeros([1, 3]),
  )
  for top_p, expected in ((1.0, 2.0), (0.5, 1.0)):
    value = mix.draw(tf.ones([1]), tf.zeros([1]), top_p=top_p)
    assert value.numpy() == [expected]


def test_errors_before_each_frame_and_their_gradient():
  for order, num_frames in ((1, 4), (3, 5), (4, 2)):
    errors = tf.Variable(np.random.rand(2, num_frames, 3), dtype=tf.float32)
    weights = np.random.rand(order * 2, num_frames, 3).astype(np.float32)
    with tf.GradientTape() as tape:
      before = mixture.errors_before(errors, order)
      loss = tf.reduce_sum(before * weights)
    expected, gradient = np.zeros_like(before), np.zeros_like(errors)
    for lag in range(1, order + 1):
      rows = slice(2 * (lag - 1), 2 * lag)
      for t in range(lag, num_frames):
        expected[rows, t] = errors[:, t - lag]
        gradient[:, t - lag] += weights[rows, t]
    np.testing.assert_array_equal(before, expected)
    np.testing.assert_allclose(tape.gradient(loss, errors), gradient, rtol=1e-6)
