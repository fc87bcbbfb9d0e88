import dataclasses

import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition

from embedding_rnn.evaluate import baselines


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def _notes(rng, num_notes=60, num_frames=5, width=3):
  """Smooth random notes."""
  steps = rng.normal(size=(num_notes, num_frames, width))
  return np.cumsum(steps, axis=1).astype(np.float32) + 1.0


def test_the_mean_frame_leaves_the_variance_in_time(rng):
  notes = _notes(rng)
  mean_frame = baselines.MeanFrame.fit(notes)
  made = mean_frame.reconstruct(notes)
  assert made.shape == notes.shape
  assert mean_frame.code_size == 3
  error = np.mean((notes - made) ** 2)
  assert error == pytest.approx(np.mean(notes.var(axis=1)), rel=1e-5)


@pytest.mark.parametrize('code_size', [1, 3, 10])  # sparse and dense methods
def test_pca_agrees_with_sklearn(rng, code_size):
  train, test = _notes(rng), _notes(rng, 8)
  pca = baselines.NotePCA.fit(train, code_size)
  oracle = sklearn.decomposition.PCA(code_size, svd_solver='full')
  oracle.fit(train.reshape(60, -1).astype(np.float64))
  expected = oracle.inverse_transform(oracle.transform(test.reshape(8, -1)))
  made = pca.reconstruct(test)
  np.testing.assert_allclose(made, expected.reshape(test.shape), atol=1e-4)
  np.testing.assert_allclose(pca.std**2, oracle.explained_variance_, rtol=1e-6)


def test_pca_of_all_dimensions_loses_nothing(rng):
  notes = _notes(rng)
  pca = baselines.NotePCA.fit(notes, 1000)  # more than there are
  assert pca.code_size == 15
  np.testing.assert_allclose(pca.reconstruct(notes), notes, atol=1e-4)
  few = baselines.NotePCA.fit(notes[:4], 1000)  # fewer notes than dimensions
  assert few.code_size == 4
  np.testing.assert_allclose(few.reconstruct(notes[:4]), notes[:4], atol=1e-4)


def test_pca_samples_have_the_moments_of_the_notes(rng):
  notes = _notes(rng)
  pca = baselines.NotePCA.fit(notes, 15)
  samples = pca.sample(40_000, seed=1)
  flat, expected = samples.reshape(-1, 15), notes.reshape(60, -1)
  np.testing.assert_allclose(flat.mean(axis=0), expected.mean(axis=0), atol=0.1)
  covariances = np.cov(flat, rowvar=False), np.cov(expected, rowvar=False)
  scale = np.abs(covariances[1]).max()
  np.testing.assert_allclose(*covariances, atol=0.03 * scale)
  np.testing.assert_array_equal(samples[:5], pca.sample(40_000, seed=1)[:5])
  assert np.abs(samples[:5] - pca.sample(5, seed=2)).max() > 0.1


def _autoregression(rng, num_frames):
  root = rng.normal(size=(2, 2))
  return baselines.Autoregression(
    first_mean=np.array([1.0, -2.0]),
    first_cov=np.array([[2.0, 0.3], [0.3, 1.0]]),
    offset=np.array([0.5, 0.0]),
    matrix=np.array([[0.8, 0.1], [-0.2, 0.6]]),
    noise_cov=root @ root.T + 0.1 * np.eye(2),
    num_frames=num_frames,
  )


def _joint_gaussian(model):
  """Mean and covariance of a whole note: it is a linear map of its noise."""
  num_frames, width = model.num_frames, len(model.offset)
  mean, gains = [model.first_mean], [np.eye(width, num_frames * width)]
  for t in range(1, num_frames):
    mean.append(model.offset + model.matrix @ mean[-1])
    own = np.eye(width, num_frames * width, k=t * width)
    gains.append(model.matrix @ gains[-1] + own)
  noise = scipy.linalg.block_diag(
    model.first_cov, *[model.noise_cov] * (num_frames - 1)
  )
  gain = np.concatenate(gains)
  return np.concatenate(mean), gain @ noise @ gain.T


def test_autoregression_is_the_gaussian_that_it_should_be(rng):
  model = _autoregression(rng, 4)
  mean, cov = _joint_gaussian(model)
  notes = rng.normal(size=(6, 4, 2))
  expected = scipy.stats.multivariate_normal(mean, cov).logpdf(
    notes.reshape(6, -1)
  )
  np.testing.assert_allclose(model.log_prob(notes), expected, rtol=1e-9)
  flat = model.sample(50_000, seed=0).reshape(-1, 8)
  np.testing.assert_allclose(flat.mean(axis=0), mean, atol=0.05)
  scale = np.abs(cov).max()
  np.testing.assert_allclose(np.cov(flat.T), cov, atol=0.03 * scale)


def test_autoregression_is_found_again_from_its_samples(rng):
  model = _autoregression(rng, 40)
  notes = model.sample(5_000, seed=3)
  fitted = baselines.Autoregression.fit(notes)
  for field in dataclasses.fields(model):
    expected = getattr(model, field.name)
    found = getattr(fitted, field.name)
    np.testing.assert_allclose(found, expected, atol=0.1, err_msg=field.name)
  # Its cost is then the entropy, and that of other parameters is higher.
  _, cov = _joint_gaussian(model)
  entropy = scipy.stats.multivariate_normal(None, cov).entropy()
  cost = -fitted.log_prob(model.sample(5_000, seed=4)).mean()
  assert cost == pytest.approx(entropy, rel=0.01)
  worse = dataclasses.replace(fitted, matrix=fitted.matrix * 0.9)
  assert worse.log_prob(notes).mean() < fitted.log_prob(notes).mean() - 1


def test_a_linear_map_before_it_changes_nothing_but_the_volume(rng):
  notes = _notes(rng, 200, 10, 3).astype(np.float64)
  matrix = rng.normal(size=(3, 3))
  plain = baselines.Autoregression.fit(notes).log_prob(notes)
  mapped = notes @ matrix.T + 5.0
  found = baselines.Autoregression.fit(mapped).log_prob(mapped)
  volume = 10 * np.log(np.abs(np.linalg.det(matrix)))
  np.testing.assert_allclose(found + volume, plain, rtol=1e-3)


def test_a_constant_channel_is_no_problem(rng):
  notes = _notes(rng)
  notes[..., 1] = 7.0
  model = baselines.Autoregression.fit(notes)
  assert np.isfinite(model.log_prob(notes)).all()
  longer = dataclasses.replace(model, num_frames=100)
  samples = longer.sample(50, seed=0)
  np.testing.assert_allclose(samples[..., 1], 7.0, atol=0.1)


def test_refuses_too_few_notes(rng):
  with pytest.raises(ValueError, match='1 notes and code_size=3'):
    baselines.NotePCA.fit(_notes(rng, 1), 3)
  with pytest.raises(ValueError, match='code_size=0'):
    baselines.NotePCA.fit(_notes(rng), 0)
  for shape in ((1, 5, 3), (5, 1, 3), (5, 3)):
    with pytest.raises(ValueError, match='at least two notes of two frames'):
      baselines.Autoregression.fit(np.zeros(shape))
