import copy
import dataclasses
import json
import logging as python_logging

import numpy as np
import pytest
import scipy.stats

from embedding_rnn.audio import metrics
from embedding_rnn.conftest import tiny_run
from embedding_rnn.data import transforms
from embedding_rnn.evaluate import (
  baselines,
  distances,
  likelihood,
  measures,
  reference,
  tables,
)
from embedding_rnn.training.prior import fit_prior


@pytest.fixture(scope='module')
def held_out(dataset):
  return dataset.notes(dataset.rows['test'])


def test_can_be_written_as_json(result, dataset):
  assert json.loads(json.dumps(result, allow_nan=False)) == result
  assert result['rows'] == dataset.rows['test'].tolist()
  names = 'run real mean_frame pca ar1 unconditional'
  assert list(result['models']) == names.split()
  keys = {tuple(model) for model in result['models'].values()}
  assert len(keys) == 1
  assert set(tables.MEASURES) < set(*keys)


def test_reconstructions_are_of_the_whole_split(result, run, held_out):
  notes, pitches = held_out
  made = run.reconstruct(notes, pitches, greedy='mean')
  errors = np.mean((notes - made) ** 2, axis=(1, 2))
  found = result['models']['run']
  np.testing.assert_allclose(found['mse_per_note'], errors, rtol=1e-4)
  assert found['mse'] == pytest.approx(errors.mean(), rel=1e-4)
  flat = result['models']['mean_frame']
  assert flat['mse'] == pytest.approx(np.mean(notes.var(axis=1)), rel=1e-4)


def test_likelihood_is_that_of_the_model(result, run, held_out):
  notes, pitches = held_out
  frames = run.transforms.forward(notes)
  nats = likelihood.measure(run.model, frames, pitches, 2, seed=3)
  found, num_values = result['models']['run'], 125 * 8
  for key, expected in (
    ('nll_nats_per_value', nats.bound.mean() / num_values),
    ('reconstruction_nats_per_value', nats.reconstruction.mean() / num_values),
    ('negative_elbo_nats_per_value', nats.negative_elbo.mean() / num_values),
    ('kl_nats_per_note', nats.kl.mean()),
    ('kl_nats_per_latent', nats.kl.mean() / 4),
  ):
    assert found[key] == pytest.approx(expected, rel=1e-5), key
  assert found['active_units'] == likelihood.active_units(nats.mean)
  assert found['likelihood'] == 'bound'
  assert found['density']['values_per_note'] == num_values


def test_samples_are_compared_with_the_real_notes(
  result, run, dataset, held_out, codec
):
  notes, pitches = held_out
  samples = run.sample(pitches, seed=3)
  train_notes, _ = dataset.notes(dataset.rows['train'])
  describe = distances.NoteFeatures.fit(train_notes)
  real, made = describe(notes), describe(samples)
  found = result['models']['run']
  expected = distances.frechet_distance(real, made)
  assert found['frechet_distance'] == pytest.approx(expected, rel=1e-3)
  bandwidth = distances.median_distance(real)
  expected = distances.squared_mmd(real, made, bandwidth)
  assert found['squared_mmd'] == pytest.approx(expected, rel=1e-3)
  assert found['frechet_distance_at_temperature_1'] == pytest.approx(
    found['frechet_distance']
  )
  # The decoded ones are among all; their errors, among those of all.
  errors = [
    metrics.loudness_error_db(*codec.decode(pair, np.array([pitch] * 2)))
    for *pair, pitch in zip(
      notes,
      run.reconstruct(notes, pitches, greedy='mean'),
      pitches.argmax(axis=1),
      strict=True,
    )
  ]
  loudness = found['reconstruction_loudness_error_db']
  means = [(a + b) / 2 for i, a in enumerate(errors) for b in errors[:i]]
  assert np.abs(np.array(means) - loudness).min() < 1e-3


def test_samples_are_drawn_as_notes_of_the_run_are_made(
  result, dataset, held_out, codec
):
  hanging = tiny_run(dataset.data_dir, error_order=2, frames_per_step=5)
  usual = {'temperature': 0.5, 'temperature_2': 0.25}
  asked = usual | {'temperature_2': 0.1}
  real = reference.Reference(dataset, num_decoded_notes=2, codec=codec, seed=3)
  notes, pitches = held_out
  as_they_are = dict.fromkeys(usual, 1.0)
  samples = hanging.sample(pitches, seed=3, **as_they_are)
  wide = real.distances(samples)['frechet_distance']
  for controls, expected in (({}, usual), ({'temperature_2': 0.1}, asked)):
    model = measures.measure(hanging, real, 1, controls=controls)['models']
    found = model['run']
    assert found['controls'] == expected
    samples = hanging.sample(pitches, seed=3, **expected)
    drawn = hanging.reconstruct(notes, pitches, seed=3, **expected)
    for key, value in (
      ('frechet_distance', real.distances(samples)['frechet_distance']),
      ('frechet_distance_at_temperature_1', wide),
      ('sample_level_jump', _jump(real, samples) / _jump(real, notes)),
      ('reconstruction_level_jump', _jump(real, drawn) / _jump(real, notes)),
    ):
      assert found[key] == pytest.approx(value, rel=1e-3), key
  assert model['real']['level_jump_db'] == pytest.approx(_jump(real, notes))
  assert model['pca']['sample_level_jump'] > 0
  white = result['models']['run']['controls']
  assert white == {'temperature': 1.0, 'temperature_2': 1.0}


def _jump(real, notes):
  """The mean level jump of those notes that are decoded, in dB."""
  audios = real.codec.decode(notes[real.decoded], real.pitches[real.decoded])
  return metrics.level_jump_db(audios).mean()


def test_notes_of_the_run_are_as_good_as_others(
  result, run, dataset, unconditional_run, codec
):
  settings = {
    'unconditional_run': unconditional_run,
    'codec': codec,
    'num_importance_samples': 2,
    'num_decoded_notes': 2,
    'seed': 3,
  }
  again = measures.evaluate(
    run, dataset, notes=dataset, split='test', **settings
  )
  assert again == result | {'notes': 'data'}
  alone = measures.evaluate(run, None, notes=dataset, split='test', **settings)
  assert list(alone['models']) == ['run', 'real', 'unconditional']
  assert alone['models']['run']['mse'] == result['models']['run']['mse']
  table = tables.format_metrics(alone)
  assert table.startswith('12 test notes of data ')


def test_a_run_with_a_prior_is_asked_for_the_real_notes(
  result, run, dataset, unconditional_run
):
  fitted = fit_prior(run.model, dataset, run.transforms)
  asked = dataclasses.replace(run, prior=fitted)
  real = reference.Reference(dataset, num_decoded_notes=0, seed=3)
  found = measures.measure(asked, real, 1, unconditional_run)
  assert [
    found['models'][name]['prior'] for name in ('run', 'unconditional', 'pca')
  ] == ['fitted', 'standard', None]
  names = dataset.metadata['instrument_families']
  rows = dataset.rows['test']
  families = [names[i] for i in dataset.instrument_family_ids[rows]]
  assert real.families == families
  samples = asked.sample(
    real.pitches,
    family=[name if name in fitted.families else None for name in families],
    velocity=dataset.velocities[rows].argmax(axis=1),
    seed=3,
  )
  for name, notes in (('run', samples), ('real', real.notes)):
    model = found['models'][name]
    expected = real.family_measures(notes)
    assert model['family_accuracy'] == expected['family_accuracy']
    assert model['family_accuracies'] == expected['family_accuracies']
  rows, note = tables.tabulate(found)
  assert 'its fitted prior' in note
  labels = [row['12 test notes'] for row in rows]
  family = next(iter(expected['family_accuracies']))
  assert f'samples: {family}, taken for it' in labels
  # Without a prior no family was asked for.
  assert result['models']['run']['family_accuracy'] is None
  assert result['models']['run']['prior'] == 'standard'
  assert 'its fitted prior' not in tables.tabulate(result)[1]


def test_tables_of_earlier_versions_have_no_families(result):
  before = copy.deepcopy(result)
  for model in before['models'].values():
    for key in (
      *('family_accuracy', 'family_accuracies', 'prior', 'controls'),
      *('reconstruction_level_jump', 'frechet_distance_at_temperature_1'),
    ):
      del model[key]
  del before['notes']
  rows, note = tables.tabulate(before)
  assert set(note.splitlines()) < set(tables.tabulate(result)[1].splitlines())
  assert not any('taken for' in row['12 test notes'] for row in rows)


def test_real_notes_are_the_measure_of_what_can_be_had(result):
  real, made = result['models']['real'], result['models']['run']
  assert real['reconstruction_pitch_accuracy'] == 1.0
  assert real['reconstruction_pitch_error_cents'] <= 10.0
  assert real['mse'] is real['nll_nats_per_value'] is None
  # An untrained model's samples are far off.
  assert made['squared_mmd'] > real['squared_mmd'] + 0.1


def test_the_better_guess_of_the_unconditional_model_counts(
  result, unconditional_run, held_out
):
  notes, pitches = held_out
  mean_note = unconditional_run.sample([60], greedy='mean')[0]
  mean = unconditional_run.sample(pitches, seed=3).mean(axis=0)
  expected = min(np.mean((notes - guess) ** 2) for guess in (mean_note, mean))
  found = result['models']['unconditional']
  assert found['mse'] == pytest.approx(expected, rel=1e-4)
  assert found['likelihood'] == 'exact'
  assert found['nll_nats_per_value'] == found['reconstruction_nats_per_value']
  assert found['kl_nats_per_note'] is found['active_units'] is None


def test_baselines_have_the_code_size_and_the_values_of_the_run(
  result, run, dataset, held_out
):
  notes, _ = held_out
  train_notes, _ = dataset.notes(dataset.rows['train'])
  pca = result['models']['pca']
  made = baselines.NotePCA.fit(train_notes, 4).reconstruct(notes)
  assert pca['code_size'] == run.hps.z_size == 4
  assert pca['mse'] == pytest.approx(np.mean((notes - made) ** 2), rel=1e-4)
  ar1 = result['models']['ar1']
  fitted = baselines.Autoregression.fit(run.transforms.forward(train_notes))
  cost = -fitted.log_prob(run.transforms.forward(notes)).mean() / (125 * 8)
  assert ar1['nll_nats_per_value'] == pytest.approx(cost, rel=1e-5)
  assert ar1['density'] == result['models']['run']['density']
  assert ar1['mse'] is None


def test_without_a_codec_there_is_no_audio(unconditional_run, dataset):
  result = measures.evaluate(
    unconditional_run, dataset, num_importance_samples=1
  )
  assert list(result['models']) == ['run', 'real', 'mean_frame', 'ar1']
  assert result['codec'] is None
  assert result['num_decoded_notes'] == 0
  for model in result['models'].values():
    assert model['sample_pitch_accuracy'] is None
    assert model['reconstruction_loudness_error_db'] is None
  table = tables.format_metrics(result)
  assert 'loudness' not in table
  assert 'upper bound' not in table


def test_differences_keep_densities_and_whitening_scales_them():
  rng = np.random.default_rng(0)
  cov = np.diag([4.0, 1.0, 0.25]) + 0.3
  frames = rng.multivariate_normal(np.ones(3), cov, size=(5000, 2))
  pca = transforms.WhitenedPCA.fit(frames, 3)
  whole = transforms.Transforms(3, pca=pca)
  density = measures.describe_density(whole, 2)
  assert (
    density['variables'] == '3 of 3 whitened principal components of frames'
  )
  assert density['values_per_note'] == 6
  # By the change of variables, the density of what is whitened is another.
  white = scipy.stats.norm.logpdf(whole.forward(frames)).mean()
  plain = scipy.stats.multivariate_normal(np.ones(3), cov).logpdf(frames).mean()
  scaled = -white + density['log_scale_nats_per_value']
  assert scaled == pytest.approx(-plain / 3, abs=0.01)
  steps = transforms.Transforms(3, transforms.Difference())
  assert measures.describe_density(steps, 2) == {
    'variables': 'steps between frames',
    'values_per_note': 6,
    'log_scale_nats_per_value': 0.0,
  }
  # Differences are a linear map of the whole note, of determinant +-1.
  basis = np.eye(6).reshape(6, 2, 3)
  matrix = steps.forward(basis).reshape(6, 6)
  assert abs(np.linalg.det(matrix)) == pytest.approx(1.0)


def test_baselines_are_measured_once(run, dataset, monkeypatch):
  reference = measures.Reference(dataset, split='valid')
  first = measures.measure(run, reference, 1)
  monkeypatch.setattr(baselines.NotePCA, 'fit', None)
  monkeypatch.setattr(baselines.Autoregression, 'fit', None)
  assert measures.measure(run, reference, 1) == first


def test_what_is_not_finite_is_none(run, dataset, caplog):
  broken = dataclasses.replace(
    run, transforms=_Overflowing(run.transforms), folder='broken'
  )
  with caplog.at_level(python_logging.WARNING):
    result = measures.evaluate(broken, dataset, num_importance_samples=1)
  found = result['models']['run']
  assert found['mse'] is found['frechet_distance'] is None
  assert 'Some samples are not finite' in caplog.text
  json.dumps(result, allow_nan=False)


class _Overflowing:
  """Transforms whose inverse is infinite."""

  def __init__(self, original):
    self._original = original

  def __getattr__(self, name):
    return getattr(self._original, name)

  def inverse(self, frames):
    return np.full((*frames.shape[:2], 16), np.inf, np.float32)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'split': 'all'}, "one of train, valid, test, got 'all'"),
    ({'num_importance_samples': 0}, 'num_importance_samples=0: expected at'),
    ({'num_decoded_notes': -1}, 'num_decoded_notes=-1'),
    ({'seed': -1}, 'seed=-1'),
    ({'controls': {'temperature': 0.0}}, r'temperature=0\.0'),
  ],
)
def test_refuses_bad_settings(run, dataset, change, message):
  with pytest.raises(ValueError, match=message):
    measures.evaluate(run, dataset, **change)


def test_refuses_a_baseline_that_is_none(run, dataset, unconditional_run):
  with pytest.raises(ValueError, match='has unconditional=0'):
    measures.evaluate(run, dataset, unconditional_run=run)
  info = unconditional_run.info | {'split_sha256': 'another'}
  other = dataclasses.replace(unconditional_run, info=info)
  with pytest.raises(ValueError, match='trained on other notes'):
    measures.evaluate(run, dataset, unconditional_run=other)
