"""Arithmetic of latents against spherical trigonometry."""

import numpy as np
import pytest
from scipy.spatial import transform

from embedding_rnn.model import latents

FRACTIONS = np.linspace(0, 1, 11)


def random_latents(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape)


def angles_to(start, path):
  """Angles in radians, in float64, by the half-chord: exact when small."""
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
  chord = np.linalg.norm(unit(path) - unit(start), axis=-1)
  return 2 * np.arcsin(np.clip(chord / 2, 0, 1))


def test_straight_is_linear():
  start, end = random_latents(2, 8)
  path = latents.interpolate(start, end, FRACTIONS, 'straight')
  expected = np.linspace(start, end, 11)
  np.testing.assert_allclose(path, expected, atol=1e-6)


def test_spherical_turns_and_grows_at_constant_rates():
  start, end = random_latents(2, 8) * [[1.0], [3.0]]
  path = latents.interpolate(start, end, FRACTIONS)
  assert path.shape == (11, 8) and path.dtype == np.float32
  np.testing.assert_allclose(path[0], start, atol=1e-6)
  np.testing.assert_allclose(path[-1], end, atol=1e-6)
  angle = angles_to(start, end)
  np.testing.assert_allclose(
    angles_to(start, path), FRACTIONS * angle, atol=1e-6
  )
  lengths = np.linalg.norm(path, axis=1)
  np.testing.assert_allclose(
    lengths, np.linspace(lengths[0], lengths[-1], 11), rtol=1e-6
  )
  # It never leaves the plane of the two.
  assert np.linalg.matrix_rank(np.vstack([start, end, path]), tol=1e-5) == 2


def test_spherical_agrees_with_scipy():
  # A rotation is a unit quaternion; turning through half its angle turns the
  # quaternion by as much as its own direction moves on the 3-sphere.
  quaternions = transform.Rotation.random(2, random_state=1).as_quat()
  if quaternions[0] @ quaternions[1] < 0:
    quaternions[1] *= -1
  ends = transform.Rotation.from_quat(quaternions)
  expected = transform.Slerp([0, 1], ends)(FRACTIONS).as_quat()
  path = latents.interpolate(*quaternions, FRACTIONS)
  signs = np.sign(np.sum(expected * path, axis=1, keepdims=True))
  np.testing.assert_allclose(path, signs * expected, atol=1e-6)


def test_spherical_keeps_the_norm_where_straight_does_not():
  start, end = random_latents(2, 100, 64)
  middle = latents.interpolate(start, end, [0.5])[:, 0]
  straight = latents.interpolate(start, end, [0.5], 'straight')[:, 0]
  mean_length = lambda x: np.linalg.norm(x, axis=-1).mean()  # noqa: E731
  assert abs(mean_length(middle) / mean_length(start) - 1) < 0.02
  # Of two nearly orthogonal vectors.
  assert abs(mean_length(straight) / mean_length(start) - 0.5**0.5) < 0.02


def test_batches_are_rows():
  start, end = random_latents(2, 3, 5, 8)
  path = latents.interpolate(start, end, FRACTIONS)
  assert path.shape == (3, 5, 11, 8)
  one = latents.interpolate(start[1, 2], end[1, 2], FRACTIONS)
  np.testing.assert_array_equal(path[1, 2], one)
  from_one = latents.interpolate(start[0, 0], end, FRACTIONS)
  np.testing.assert_array_equal(from_one[0, 0], path[0, 0])


@pytest.mark.parametrize('factor', [0.0, 1.0, 2.5, 1 + 1e-12])
def test_parallel_is_straight(factor):
  start = random_latents(8)
  for ends in ((start, factor * start), (factor * start, start)):
    path = latents.interpolate(*ends, FRACTIONS)
    np.testing.assert_allclose(path, np.linspace(*ends, 11), atol=1e-6)


def test_nearly_parallel_is_nearly_straight():
  start = random_latents(8)
  for distance in 10.0 ** np.arange(-12, -2):
    end = start + distance * random_latents(8, seed=1)
    path = latents.interpolate(start, end, FRACTIONS)
    bound = 1e-6 + distance**2
    np.testing.assert_allclose(path, np.linspace(start, end, 11), atol=bound)


@pytest.mark.parametrize('start', [random_latents(8), np.eye(3)[1]])
def test_opposite_directions_turn_by_half_a_circle(start):
  end = -2 * start
  path = latents.interpolate(start, end, FRACTIONS)
  np.testing.assert_allclose(path[0], start, atol=1e-6)
  np.testing.assert_allclose(path[-1], end, atol=1e-6)
  np.testing.assert_allclose(
    angles_to(start, path), FRACTIONS * np.pi, atol=1e-3
  )
  length = np.linalg.norm(start)
  np.testing.assert_allclose(
    np.linalg.norm(path, axis=1), np.linspace(length, 2 * length, 11), rtol=1e-6
  )


def test_one_dimension_is_straight():
  path = latents.interpolate([1.0], [-3.0], FRACTIONS)
  np.testing.assert_allclose(path[:, 0], np.linspace(1, -3, 11), atol=1e-6)


def test_zeros_stay_zeros():
  zeros = np.zeros(4)
  assert not latents.interpolate(zeros, zeros, FRACTIONS).any()


def test_analogy():
  a, b, c = random_latents(3, 5, 8)
  np.testing.assert_allclose(latents.analogy(a, b, c), a - b + c, atol=1e-6)
  np.testing.assert_allclose(latents.analogy(a, b, b), a, atol=1e-6)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ((np.ones(3), np.ones(4), [0.5]), r'shapes \(3,\), \(4,\)'),
    ((np.ones((2, 3)), np.ones((4, 3)), [0.5]), 'as many of each, or one'),
    ((1.0, 2.0, [0.5]), r'expected \[\.\.\., Z\]'),
    ((np.ones(3), np.ones(3), [1.1]), 'from 0 to 1'),
    ((np.ones(3), np.ones(3), [np.nan]), 'from 0 to 1'),
    ((np.ones(3), np.ones(3), 0.5), 'a list'),
    ((np.ones(3), np.full(3, np.nan), [0.5]), 'NaN'),
    ((np.ones(3), np.ones(3), [0.5], 'cubic'), "kind='cubic'"),
  ],
)
def test_refuses(arguments, message):
  with pytest.raises(ValueError, match=message):
    latents.interpolate(*arguments)
