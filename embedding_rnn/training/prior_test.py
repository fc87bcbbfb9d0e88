"""Tests of prior.py: scikit-learn fits the same mixtures and regressions."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge
from sklearn.mixture import GaussianMixture

from embedding_rnn.conftest import save_run
from embedding_rnn.training import checkpoints, prior, trained_run
from embedding_rnn.training.prior import LatentPrior
from embedding_rnn.utils import files

FAMILIES = ('brass', 'flute', 'organ')
Z = 5


def make_latents(num_notes=600, seed=0):
  """Latents that lie elsewhere for each family, pitch and velocity."""
  world = np.random.default_rng(1)
  centres = world.normal(size=(len(FAMILIES), Z))
  ways, step = world.normal(size=(2, Z)), world.normal(size=Z)
  rng = np.random.default_rng(seed)
  ids = rng.integers(len(FAMILIES), size=num_notes)
  # Organs are low, all others high.
  pitches = np.where(ids == 2, 30, 70) + rng.integers(10, size=num_notes)
  velocities = rng.choice([25, 75, 127], size=num_notes)
  z = centres[ids] + 0.1 * rng.normal(size=(num_notes, Z))
  z += np.stack([(pitches - 64) / 40, velocities / 127], axis=1) @ ways
  z += 0.8 * rng.integers(2, size=(num_notes, 1)) * step
  return z, [FAMILIES[i] for i in ids], pitches, velocities


@pytest.fixture(scope='module')
def notes():
  return make_latents()


@pytest.fixture(scope='module')
def fitted(notes):
  return LatentPrior.fit(*notes)


def draws(num_notes, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num_notes, Z)), rng.random((num_notes, 2))


@pytest.mark.parametrize('number', [1, 3, 8])
def test_mixture_is_that_of_scikit_learn(number):
  rng = np.random.default_rng(number)
  x = np.concatenate(
    [rng.normal(3 * k, 1 + k, size=(200, 4)) for k in range(3)]
  )
  ours = prior.fit_mixture(x, number, 0.3)
  # From the same start, by the same steps.
  shares = np.eye(number)[prior._clusters(x, number)]
  start = prior._maximise(x, shares, 0.3)
  covariances = start.factors @ start.factors.transpose(0, 2, 1)
  theirs = GaussianMixture(
    number,
    reg_covar=0.3,
    tol=prior._TOLERANCE,
    max_iter=prior._NUM_STEPS,
    weights_init=start.weights,
    means_init=start.means,
    precisions_init=np.linalg.inv(covariances),
  ).fit(x)
  np.testing.assert_allclose(ours.weights, theirs.weights_, rtol=1e-6)
  np.testing.assert_allclose(ours.means, theirs.means_, rtol=1e-6)
  np.testing.assert_allclose(
    ours.factors @ ours.factors.transpose(0, 2, 1),
    theirs.covariances_,
    rtol=1e-6,
    atol=1e-9,
  )
  np.testing.assert_allclose(
    np.logaddexp.reduce(ours.log_joint(x), axis=1), theirs.score_samples(x)
  )
  np.testing.assert_allclose(
    ours.responsibilities(x), theirs.predict_proba(x), atol=1e-8
  )


def test_regression_is_that_of_scikit_learn(notes, fitted):
  z, families, pitches, velocities = notes
  ids = np.array([FAMILIES.index(name) for name in families])
  inputs = prior._inputs(ids, len(FAMILIES), pitches, velocities)
  assert inputs.shape[1] == 1 + 3 + 8 + 2 + 3 + 3 + 8
  theirs = Ridge(alpha=prior._RIDGE).fit(inputs[:, 1:], z)
  np.testing.assert_allclose(
    inputs @ fitted.coefficients, theirs.predict(inputs[:, 1:]), atol=1e-5
  )


def test_log_prob_is_that_of_scipy(notes, fitted):
  z, families, pitches, velocities = (x[:20] for x in notes)
  ids = np.array([FAMILIES.index(name) for name in families])
  inputs = prior._inputs(ids, len(FAMILIES), pitches, velocities)
  expected = []
  for x, family, mean in zip(z, ids, inputs @ fitted.coefficients, strict=True):
    density = sum(
      weight * multivariate_normal.pdf(x, mean + m, factor @ factor.T)
      for weight, m, factor in zip(
        fitted.weights[family], fitted.means, fitted.factors, strict=True
      )
    )
    expected.append(np.log(density))
  result = fitted.log_prob(z, families, pitches, velocities)
  np.testing.assert_allclose(result, expected)


def test_notes_that_were_not_seen_are_likelier_than_under_a_normal(fitted):
  unseen = make_latents(seed=1)
  standard = multivariate_normal(np.zeros(Z)).logpdf(unseen[0])
  assert fitted.log_prob(*unseen).mean() > standard.mean() + 3


def test_samples_have_the_moments_of_the_mixture(fitted):
  number = 40_000
  normal, uniform = draws(number)
  pitches = np.full(number, 72)
  z = fitted.sample(normal, uniform, pitches, 'flute', 75)
  assert z.dtype == np.float32 and z.shape == (number, Z)
  inputs = prior._inputs(np.array([1]), 3, pitches[:1], np.array([75]))
  weights = fitted.weights[1]
  mean = weights @ fitted.means
  covariance = fitted.factors @ fitted.factors.transpose(0, 2, 1)
  covariance = np.einsum('k,kij->ij', weights, covariance)
  apart = fitted.means - mean
  covariance += (weights[:, None] * apart).T @ apart
  mean = mean + (inputs @ fitted.coefficients)[0]
  np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.02)
  np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.03)


def test_families_are_those_near_the_pitch(notes, fitted):
  _, families, pitches, _ = notes
  number = 5000
  _, uniform = draws(number)
  # There are organs alone at the lower pitches, and below all notes too.
  for pitch in (35, 5):
    ids = fitted._ids(None, np.full(number, pitch), uniform[:, 0])
    assert set(ids) == {2}
  ids = fitted._ids(None, np.full(number, 75), uniform[:, 0])
  near = np.abs(pitches - 75) <= 6
  share = np.mean(np.array(families)[near] == 'brass')
  assert set(ids) == {0, 1}
  assert np.mean(ids == 0) == pytest.approx(share, abs=0.03)
  asked = fitted._ids(['flute', None], np.array([35, 35]), uniform[:2, 0])
  assert asked.tolist() == [1, 2]


def test_a_note_depends_on_its_draws_alone(fitted):
  normal, uniform = draws(6)
  pitches = np.array([60, 40, 72, 35, 60, 60])
  whole = fitted.sample(normal, uniform, pitches)
  part = fitted.sample(normal[:2], uniform[:2], pitches[:2])
  np.testing.assert_allclose(whole[:2], part, atol=1e-6)
  named = fitted.sample(normal, uniform, pitches, velocities=[100] * 6)
  np.testing.assert_array_equal(whole, named)


def test_notes_without_families():
  z, _, pitches, velocities = make_latents()
  fitted = LatentPrior.fit(z, None, pitches, velocities)
  assert fitted.families == ('',)
  normal, uniform = draws(4)
  assert np.isfinite(fitted.sample(normal, uniform, pitches[:4])).all()
  log_prob = fitted.log_prob(z, None, pitches, velocities)
  assert np.isfinite(log_prob).all()
  with pytest.raises(ValueError, match=r"no family 'flute'; the notes .* have"):
    fitted.sample(normal, uniform, pitches[:4], 'flute')


@pytest.mark.parametrize('num_notes', [1, 2, 70, 200])
def test_few_notes_or_latents_that_say_nothing(num_notes):
  z, families, pitches, velocities = (x[:num_notes] for x in make_latents())
  for latents in (z, np.zeros_like(z)):
    fitted = LatentPrior.fit(latents, families, pitches, velocities)
    assert len(fitted.means) == max(1, num_notes // 256)
    normal, uniform = draws(num_notes)
    made = fitted.sample(normal, uniform, pitches, families, velocities)
    assert np.isfinite(made).all()


def test_arrays_hold_all_of_it(fitted, tmp_path):
  np.savez(tmp_path / 'prior.npz', **fitted.arrays())
  with np.load(tmp_path / 'prior.npz') as file:
    again = LatentPrior.from_arrays(file)
  assert again.families == fitted.families == FAMILIES
  normal, uniform = draws(9)
  pitches = np.arange(60, 69)
  np.testing.assert_array_equal(
    fitted.sample(normal, uniform, pitches),
    again.sample(normal, uniform, pitches),
  )


@pytest.mark.parametrize(
  ('families', 'velocities', 'error'),
  [
    ('tuba', None, "no family 'tuba'; there are: brass, flute, organ."),
    (['flute', 'x', None], None, "no family 'x'"),
    (['flute'], None, '1 families but 3 pitches'),
    (None, 128, 'velocity=128: expected a MIDI velocity from 0 to 127'),
    (None, -1, 'velocity=-1'),
    (None, 64.5, 'velocity=64.5'),
    (None, [100, 100], r'velocity=\[100, 100\].*each of the 3 notes'),
  ],
)
def test_what_cannot_be_asked_for(fitted, families, velocities, error):
  normal, uniform = draws(3)
  with pytest.raises(ValueError, match=error):
    fitted.sample(normal, uniform, np.array([60] * 3), families, velocities)


@pytest.fixture(scope='module')
def asked(run):
  """A tiny run of embedded notes that has a prior."""
  dataset = run.open_dataset()
  fitted = prior.fit_prior(run.model, dataset, run.transforms)
  return dataclasses.replace(run, prior=fitted)


def test_is_fitted_to_the_training_notes_as_they_are_encoded(run, asked):
  dataset = run.open_dataset()
  rows = np.sort(dataset.rows['train'])
  names = dataset.metadata['instrument_families']
  expected = LatentPrior.fit(
    run.encode(dataset.notes(rows)[0]).z,
    [names[i] for i in dataset.instrument_family_ids[rows]],
    dataset.pitches[rows].argmax(axis=1),
    dataset.velocities[rows].argmax(axis=1),
  )
  assert asked.prior.families == expected.families
  assert len(expected.families) > 2
  for name, array in expected.arrays().items():
    if array.dtype.kind == 'f':
      np.testing.assert_allclose(
        asked.prior.arrays()[name], array, rtol=1e-4, atol=1e-5
      )
  again = prior.fit_prior(run.model, dataset, run.transforms)
  for name, array in again.arrays().items():
    assert array.tobytes() == asked.prior.arrays()[name].tobytes()


def test_a_run_samples_from_its_prior(run, asked):
  pitches = np.array([60, 48, 72])
  families = [asked.prior.families[0], None, asked.prior.families[1]]
  velocities = [25, 100, 127]
  random = np.random.RandomState(np.random.Philox(key=np.array([7, 0], 'u8')))
  z = asked.prior.sample(
    run.draw_latents(3, seed=7),
    random.random_sample((3, 2)),
    pitches,
    families,
    velocities,
  )
  expected = run.sample(pitches, z, seed=7)
  made = asked.sample(pitches, family=families, velocity=velocities, seed=7)
  np.testing.assert_array_equal(made, expected)
  # One for all, and a pitch for all.
  name = asked.prior.families[0]
  one = asked.sample(60, family=[name] * 2, seed=7)
  np.testing.assert_array_equal(
    one, asked.sample([60] * 2, family=name, seed=7)
  )
  assert (one != asked.sample([60] * 2, seed=7, prior='standard')).any()
  assert len(asked.sample(60, velocity=[25, 127])) == 2
  # A note depends on its place, not on their number; None is fresh.
  whole = asked.sample(pitches, seed=-2)
  part = asked.sample(pitches[:2], seed=-2)
  np.testing.assert_allclose(whole[:2], part, atol=1e-4)
  assert (asked.sample(60, seed=None) != asked.sample(60, seed=None)).any()


def test_the_standard_prior_is_that_of_before(run, asked):
  expected = run.sample([60, 48], run.draw_latents(2, seed=3), seed=3)
  for made in (
    run.sample([60, 48], seed=3),
    asked.sample([60, 48], seed=3, prior='standard'),
  ):
    np.testing.assert_array_equal(made, expected)


def test_what_a_run_cannot_be_asked_for(run, asked, unconditional_run):
  name = asked.prior.families[0]
  for other in (run, unconditional_run):
    with pytest.raises(ValueError, match='which knows no families'):
      other.sample(60, family=name)
  with pytest.raises(ValueError, match='which knows no families'):
    asked.sample(60, family=name, prior='standard')
  with pytest.raises(ValueError, match='the latents say the family already'):
    asked.sample(60, np.zeros(4), family=name)
  with pytest.raises(ValueError, match="prior='x': expected one of fitted, st"):
    asked.sample(60, prior='x')
  with pytest.raises(ValueError, match=f"'tuba'; there are: {name}, "):
    asked.sample(60, family='tuba')
  assert len(unconditional_run.sample([60, 48])) == 2


def test_is_kept_with_the_weights(run, asked, tmp_path):
  save_run(tmp_path / 'run', run)
  assert trained_run.load_run(tmp_path / 'run').prior is None
  arrays = asked.prior.arrays()
  contents = {
    checkpoints.WEIGHTS: checkpoints.weights_of(run.model),
    checkpoints.PRIOR: arrays,
    checkpoints.COSTS: {},
  }
  save = checkpoints.write_save(tmp_path / 'run', checkpoints.BEST, 8, contents)
  loaded = trained_run.load_run(tmp_path / 'run')
  for name, array in loaded.prior.arrays().items():
    np.testing.assert_array_equal(array, arrays[name])
  # A damaged one is not used, nor are the weights beside it.
  path = save.path / checkpoints.PRIOR
  path.write_bytes(path.read_bytes()[:-1])
  assert trained_run.load_run(tmp_path / 'run').step == 7
  del arrays['means']
  checkpoints.write_save(tmp_path / 'other', checkpoints.BEST, 8, contents)
  other = checkpoints.RunFiles(run.hps, run.transforms, run.info)
  checkpoints.create_run(tmp_path / 'other', other)
  with pytest.raises(
    files.DamagedFileError, match=r"prior\.npz' has no 'means'"
  ):
    trained_run.load_run(tmp_path / 'other')
