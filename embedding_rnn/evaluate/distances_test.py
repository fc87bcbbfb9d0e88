import numpy as np
import pytest
import scipy.linalg

from embedding_rnn.evaluate import distances


def _two_gaussians(rng, size):
  """Mean, covariance, mean and covariance."""
  roots = rng.normal(size=(2, size, size))
  means = rng.normal(size=(2, size))
  return means[0], roots[0] @ roots[0].T, means[1], roots[1] @ roots[1].T


def _closed_form(mean_1, cov_1, mean_2, cov_2):
  root = scipy.linalg.sqrtm(cov_1 @ cov_2)
  return np.sum((mean_1 - mean_2) ** 2) + np.trace(
    cov_1 + cov_2 - 2 * root.real
  )


def test_frechet_distance_agrees_with_the_matrix_square_root(rng):
  for size in (1, 3, 8):
    gaussians = _two_gaussians(rng, size)
    distance = distances.frechet_distance_of_gaussians(*gaussians)
    assert distance == pytest.approx(_closed_form(*gaussians), rel=1e-6)


def test_frechet_distance_of_commuting_covariances(rng):
  # Of independent coordinates it is that of their means and deviations.
  mean_1, mean_2, std_1, std_2 = np.abs(rng.normal(size=(4, 5)))
  std_2[:2] = 0.0  # singular covariances are no problem
  distance = distances.frechet_distance_of_gaussians(
    mean_1, np.diag(std_1**2), mean_2, np.diag(std_2**2)
  )
  expected = np.sum((mean_1 - mean_2) ** 2 + (std_1 - std_2) ** 2)
  assert distance == pytest.approx(expected)


def test_a_set_has_no_frechet_distance_to_itself(rng):
  for rows in (100, 5):  # more and fewer rows than features
    features = rng.normal(size=(rows, 12))
    distance = distances.frechet_distance(features, features[::-1])
    assert distance == pytest.approx(0.0, abs=1e-6)
    shifted = distances.frechet_distance(features, features + 2.0)
    assert shifted == pytest.approx(12 * 4.0, abs=1e-5)


def test_frechet_distance_of_many_samples_nears_that_of_their_gaussians(rng):
  gaussians = _two_gaussians(rng, 4)
  first = rng.multivariate_normal(*gaussians[:2], size=50_000)
  second = rng.multivariate_normal(*gaussians[2:], size=50_000)
  distance = distances.frechet_distance(first, second)
  assert distance == pytest.approx(_closed_form(*gaussians), rel=0.03)


def _naive_squared_mmd(x, y, bandwidth):
  def kernel(a, b):
    return np.exp(-np.sum((a - b) ** 2) / (2 * bandwidth**2))

  def mean(a, b, skip):
    values = [
      kernel(p, q)
      for i, p in enumerate(a)
      for j, q in enumerate(b)
      if not (skip and i == j)
    ]
    return np.mean(values)

  return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def test_squared_mmd_agrees_with_its_definition(rng, monkeypatch):
  # Blocks that do not divide.
  monkeypatch.setattr(distances, '_ROWS_AT_ONCE', 3)
  x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 0.5
  found = distances.squared_mmd(x, y, 1.3)
  assert found == pytest.approx(_naive_squared_mmd(x, y, 1.3), rel=1e-9)


def test_squared_mmd_of_gaussians_is_unbiased(rng):
  # E k(x, y) of two isotropic Gaussians is known (e.g. by convolution).
  size, bandwidth, shift, std = 3, 1.5, 0.7, 1.4

  def expected_kernel(variance, square_distance):
    ratio = (1 + variance / bandwidth**2) ** (-size / 2)
    return ratio * np.exp(-square_distance / (2 * (bandwidth**2 + variance)))

  expected = expected_kernel(2.0, 0.0) + expected_kernel(2 * std**2, 0.0)
  expected -= 2 * expected_kernel(1 + std**2, size * shift**2)
  found = [
    distances.squared_mmd(
      rng.normal(size=(20, size)),
      shift + std * rng.normal(size=(30, size)),
      bandwidth,
    )
    for _ in range(300)
  ]
  error = np.std(found) / np.sqrt(len(found))
  assert abs(np.mean(found) - expected) < 3 * error


def test_squared_mmd_of_one_distribution_is_zero_within_its_error(rng):
  found = [
    distances.squared_mmd(*rng.normal(size=(2, 25, 4)), 2.0) for _ in range(300)
  ]
  assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
  assert np.mean(np.array(found) < 0) > 0.3  # a biased one is never below 0


def test_median_distance(rng):
  features = rng.normal(size=(40, 6))
  pairs = [
    np.linalg.norm(features[i] - features[j])
    for i in range(40)
    for j in range(i)
  ]
  assert distances.median_distance(features) == pytest.approx(np.median(pairs))
  assert distances.median_distance(np.ones((5, 2))) == 1.0
  assert distances.median_distance(np.ones((1, 2))) == 1.0


def test_features_of_known_notes(rng):
  frames = np.arange(10.0)
  note = np.stack([frames, np.full(10, 3.0), (-1.0) ** frames], axis=1)
  describe = distances.NoteFeatures(np.zeros(12), np.ones(12))
  level, spread, course, roughness = describe(note[None]).reshape(4, 3)
  np.testing.assert_allclose(level, [4.5, 3.0, 0.0])
  np.testing.assert_allclose(spread, [np.std(frames), 0.0, 1.0])
  np.testing.assert_allclose(course, [5.0, 0.0, 0.0], atol=0.41)
  np.testing.assert_allclose(roughness, [1.0, 0.0, 2.0])


def test_features_are_scaled_by_the_notes_that_they_were_fitted_to(rng):
  notes = rng.normal(size=(50, 9, 2))
  notes[..., 1] = 1.0  # a channel that does not vary
  features = distances.NoteFeatures.fit(notes)(notes)
  np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-12)
  np.testing.assert_allclose(features[:, ::2].std(axis=0), 1.0)
  np.testing.assert_allclose(features[:, 1::2], 0.0)
  single = distances.NoteFeatures.fit(notes[:, :1])(notes[:, :1])
  assert np.isfinite(single).all()


def test_jitter_is_seen(rng):
  smooth = np.cumsum(rng.normal(size=(200, 50, 4)), axis=1)
  describe = distances.NoteFeatures.fit(smooth)
  floor = distances.frechet_distance(
    describe(smooth[:100]), describe(smooth[100:])
  )
  rough = smooth[100:] + 0.5 * rng.normal(size=(100, 50, 4))
  jitter = distances.frechet_distance(describe(smooth[:100]), describe(rough))
  assert jitter > 10 * floor


@pytest.mark.parametrize(
  ('first', 'second', 'message'),
  [
    (np.zeros((3, 2)), np.zeros((3, 4)), r'got shapes \(3, 2\) and \(3, 4\)'),
    (np.zeros((1, 2)), np.zeros((3, 2)), 'at least two rows'),
    (np.zeros(3), np.zeros((3, 2)), 'Expected two sets'),
    (np.zeros((3, 2)), np.full((3, 2), np.nan), 'NaN or infinity'),
  ],
)
def test_refuses_sets_that_cannot_be_compared(first, second, message):
  with pytest.raises(ValueError, match=message):
    distances.frechet_distance(first, second)
  with pytest.raises(ValueError, match=message):
    distances.squared_mmd(first, second, 1.0)


def test_refuses_a_bandwidth_of_zero():
  with pytest.raises(ValueError, match='bandwidth=0'):
    distances.squared_mmd(np.zeros((3, 2)), np.zeros((3, 2)), 0.0)
