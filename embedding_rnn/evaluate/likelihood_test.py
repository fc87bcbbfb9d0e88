import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from embedding_rnn import embedding_rnn
from embedding_rnn.evaluate import likelihood
from embedding_rnn.model.hparams import default_hps

_TINY = (
  'rnn_size=8,enc_rnn_size=4,z_size=3,num_mixture=2,seq_width=2,max_seq_len=5'
)


def _model(extra=''):
  """A tiny model whose latents matter."""
  rng = np.random.default_rng(1)
  tf.keras.utils.set_random_seed(1)
  model = embedding_rnn.Model(default_hps().parse(f'{_TINY},{extra}'))
  for variable in model.weights:
    shape = tuple(variable.shape)
    variable.assign(variable + 0.4 * rng.normal(size=shape))
  return model


@pytest.fixture(scope='module')
def model():
  return _model()


@pytest.fixture(scope='module')
def notes():
  """Frames `[7, 5, 2]` and pitches."""
  rng = np.random.default_rng(0)
  frames = rng.normal(size=(7, 5, 2)).astype(np.float32)
  return frames, np.eye(128, dtype=np.float32)[rng.integers(128, size=7)]


def _batch(frames):
  return np.pad(frames, ((0, 0), (1, 0), (0, 0)))


def test_the_bound_is_the_log_of_the_mean_weight(rng):
  log_weights = rng.normal(size=(6, 4)) * 5 - 2000.0  # far below underflow
  expected = scipy.special.logsumexp(log_weights, axis=0) - np.log(6)
  found = likelihood.importance_bound(log_weights)
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  single = likelihood.importance_bound(log_weights[:1])
  np.testing.assert_array_equal(single, log_weights[0])


def _linear_gaussian_weights(rng, num_samples, num_repeats, std):
  """Log weights of z ~ N(0, 1), x ~ N(z, 1) at x = 1, q = N(1/2, std^2)."""
  normal = scipy.stats.norm
  z = 0.5 + std * rng.normal(size=(num_samples, num_repeats))
  joint = normal(z, 1.0).logpdf(1.0) + normal(0.0, 1.0).logpdf(z)
  return joint - normal(0.5, std).logpdf(z)


def test_the_bound_of_a_linear_gaussian_model(rng):
  exact = scipy.stats.norm(0.0, np.sqrt(2.0)).logpdf(1.0)
  # With the true posterior each weight is the likelihood itself.
  weights = _linear_gaussian_weights(rng, 5, 10, np.sqrt(0.5))
  np.testing.assert_allclose(weights, exact, rtol=1e-12)
  # With another, the bound is below, and rises with K to the truth.
  bounds = [
    likelihood.importance_bound(
      _linear_gaussian_weights(rng, num_samples, 20_000, 1.0)
    ).mean()
    for num_samples in (1, 2, 8, 64)
  ]
  assert np.all(np.diff(bounds) > 0)
  # KL(q || posterior)
  divergence = np.log(np.sqrt(0.5)) + 1.0 / (2 * 0.5) - 0.5
  assert bounds[0] == pytest.approx(exact - divergence, abs=0.02)
  assert bounds[-1] == pytest.approx(exact, abs=0.01)
  assert bounds[-1] < exact + 0.002


def test_one_sample_is_the_evidence_lower_bound_of_the_same_noise(
  rng, model, notes
):
  frames, pitches = notes
  noise = rng.normal(size=(1, 7, 3)).astype(np.float32)
  terms = likelihood.note_terms(model, _batch(frames), pitches, noise)
  costs = model.note_costs(_batch(frames), pitches, noise[0])
  np.testing.assert_allclose(
    -terms.log_likelihood[0], costs.r_cost * 10, rtol=1e-4
  )
  np.testing.assert_allclose(terms.kl, costs.raw_kl * 3, rtol=1e-4)
  latent = model.encode(frames, noise[0])
  std = np.exp(latent.presig.numpy() / 2)
  ratio = scipy.stats.norm.logpdf(latent.z)
  ratio = ratio - scipy.stats.norm(latent.mean, std).logpdf(latent.z)
  np.testing.assert_allclose(
    terms.log_ratio[0], ratio.sum(axis=1), rtol=1e-4, atol=1e-4
  )


def test_measures_notes_whatever_their_number(model, notes):
  frames, pitches = notes
  measured = likelihood.measure(model, frames, pitches, 3, seed=5, batch_size=4)
  assert measured.bound.shape == measured.kl.shape == (7,)
  assert measured.mean.shape == (7, 3)
  np.testing.assert_allclose(
    measured.mean, model.encode(frames).mean, rtol=1e-4
  )
  elbo = measured.reconstruction + measured.kl
  np.testing.assert_array_equal(measured.negative_elbo, elbo)
  again = likelihood.measure(model, frames, pitches, 3, seed=5, batch_size=4)
  np.testing.assert_array_equal(measured.bound, again.bound)
  other = likelihood.measure(model, frames, pitches, 3, seed=6, batch_size=4)
  assert np.abs(other.bound - measured.bound).min() > 0
  # By its definition, with the noise that was drawn.
  noise = tf.random.stateless_normal([3, 4, 3], tf.constant([5, 0], tf.int64))
  terms = likelihood.note_terms(model, _batch(frames[:4]), pitches[:4], noise)
  weights = terms.log_likelihood + terms.log_ratio
  expected = np.log(3) - scipy.special.logsumexp(weights, axis=0)
  np.testing.assert_allclose(measured.bound[:4], expected, rtol=1e-4)


def test_xla_gives_the_same(model, notes, monkeypatch):
  frames, pitches = notes
  plain = likelihood.measure(model, frames, pitches, 2)
  monkeypatch.setattr(likelihood.distribution, 'prefers_xla', lambda: True)
  compiled = likelihood.measure(model, frames, pitches, 2)
  np.testing.assert_allclose(compiled.bound, plain.bound, rtol=1e-4)


def test_the_bound_of_a_model_falls_with_more_samples(model, notes):
  frames, pitches = (np.repeat(x, 30, axis=0) for x in notes)
  bounds = [
    likelihood.measure(model, frames, pitches, number, batch_size=210).bound
    for number in (1, 4, 32)
  ]
  assert np.all(np.diff(np.mean(bounds, axis=1)) < -0.02)


def test_an_unconditional_model_is_exact(notes):
  frames, pitches = notes
  model = _model('unconditional=1')
  measured = likelihood.measure(model, frames, pitches, 9, batch_size=4)
  expected = model.note_costs(_batch(frames), None).r_cost * 10
  np.testing.assert_allclose(measured.bound, expected, rtol=1e-4)
  np.testing.assert_array_equal(measured.reconstruction, measured.bound)
  assert measured.kl is measured.mean is measured.negative_elbo is None


def test_a_plain_autoencoder_has_only_a_reconstruction(notes):
  frames, pitches = notes
  model = _model('no_sample_vae=1')
  measured = likelihood.measure(model, frames, pitches, 9, batch_size=4)
  expected = model.note_costs(_batch(frames), pitches).r_cost * 10
  np.testing.assert_allclose(measured.reconstruction, expected, rtol=1e-4)
  assert measured.bound is measured.kl is measured.negative_elbo is None


def test_active_units(rng):
  means = rng.normal(size=(5000, 4)) * [1.0, 0.11, 0.09, 0.0] + [0, 0, 0, 9]
  assert likelihood.active_units(means) == 2
