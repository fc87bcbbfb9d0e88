"""Tests of trained_run.py: a trained run in use."""

import json
import pathlib
import shutil
import xml.etree.ElementTree

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.data import dataset as data
from embedding_rnn.data import notes as embedded
from embedding_rnn.data import provenance
from embedding_rnn.model import infilling
from embedding_rnn.training import checkpoints, training
from embedding_rnn.utils import files

TESTDATA = pathlib.Path(embedding_rnn.__file__).parent / 'testdata'
TINY = (
  'rnn_size=8,enc_rnn_size=4,z_size=3,num_mixture=2,seq_width=4,max_seq_len=5,'
  'batch_size=4'
)
PITCHES = np.array([60, 40, 127, 0, 60])


def make_data(folder, num_notes=40, shape=(5, 4)):
  """A data set of random notes."""
  folder.mkdir()
  rng = np.random.default_rng(0)
  np.save(folder / 'train_z.npy', rng.normal(size=(num_notes, *shape)))
  for name in ('pitch', 'vels'):
    one_hots = np.eye(128, dtype=np.float32)[rng.integers(128, size=num_notes)]
    np.save(folder / f'train_{name}_one_hot.npy', one_hots)
  info = {'codec': 'harmonic', 'instruments': ['flute']}
  (folder / 'dataset.json').write_text(json.dumps(info))
  return folder


def make_run(folder, data_dir, extra=''):
  """A run's folder with two saves of fresh models; -> the second model."""
  hps = embedding_rnn.default_hps().parse(f'{TINY},{extra}')
  dataset = data.open_dataset(data_dir, hps, 7)
  transforms = data.fit_transforms(dataset, hps)
  info = provenance.describe_dataset(dataset, 7)
  checkpoints.create_run(folder, checkpoints.RunFiles(hps, transforms, info))
  for step in (10, 20):
    model = embedding_rnn.Model(hps)
    contents = {
      checkpoints.WEIGHTS: checkpoints.weights_of(model),
      checkpoints.COSTS: {'valid': {'cost': 1 / step}},
    }
    checkpoints.write_save(folder, checkpoints.BEST, step, contents)
  return model


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return make_data(tmp_path_factory.mktemp('data') / 'notes')


@pytest.fixture(scope='module')
def original(tmp_path_factory, data_dir):
  folder = tmp_path_factory.mktemp('runs') / 'original'
  return folder, make_run(
    folder, data_dir, 'pca_dim_reduce=1,n_pca_components=3'
  )


@pytest.fixture(scope='module')
def run(original):
  return embedding_rnn.load_run(original[0])


@pytest.fixture(scope='module')
def notes(data_dir):
  return np.load(data_dir / 'train_z.npy')[:5]


def test_load_run(run, original):
  folder, model = original
  assert run.folder == str(folder)
  assert run.step == 20 and run.costs == {'valid': {'cost': 0.05}}
  assert run.hps == model.hps
  for name, array in checkpoints.weights_of(model).items():
    np.testing.assert_array_equal(
      checkpoints.weights_of(run.model)[name], array
    )


def test_open_dataset(run, data_dir, tmp_path):
  dataset = run.open_dataset()
  expected = data.open_dataset(data_dir, run.hps, 7)
  for name, rows in expected.rows.items():
    np.testing.assert_array_equal(dataset.rows[name], rows)
    assert run.info['num_notes'][name] == len(rows)
  assert run.info['codec'] == 'harmonic'
  assert run.info['instruments'] == ['flute']
  moved = shutil.copytree(data_dir, tmp_path / 'moved')
  assert run.open_dataset(moved).data_dir == str(moved)
  other = make_data(tmp_path / 'other', num_notes=41)
  with pytest.raises(ValueError, match='holds other notes than the run'):
    run.open_dataset(other)


def test_damaged_weights(original, tmp_path):
  folder = shutil.copytree(original[0], tmp_path / 'run')
  weights = folder / 'best-00000020' / 'weights.npz'
  weights.write_bytes(weights.read_bytes()[:-1])
  assert embedding_rnn.load_run(folder).step == 10
  shutil.rmtree(folder / 'best-00000010')
  with pytest.raises(files.DamagedFileError, match=r'weights\.npz'):
    embedding_rnn.load_run(folder)
  # Whole, but of another model.
  checkpoints.write_save(
    folder,
    checkpoints.BEST,
    30,
    {'weights.npz': {'head/bias': np.zeros(2)}, 'costs.json': {}},
  )
  with pytest.raises(files.DamagedFileError, match=r'head/bias is \(2,\)'):
    embedding_rnn.load_run(folder)


def test_encode(run, notes):
  latent = run.encode(notes)
  expected = run.model.encode(run.transforms.forward(notes))
  for ours, theirs in zip(latent, expected, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
  np.testing.assert_allclose(
    run.encode(notes, batch_size=2).z, latent.z, rtol=0, atol=1e-6
  )


def test_sample(run):
  one_hots = tf.one_hot(PITCHES, 128)
  z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
  controls = {'temperature': 0.5, 'temperature_2': 0.4, 'seed': 3}
  expected = run.transforms.inverse(
    run.model.sample(one_hots, z, num_frames=7, **controls).numpy()
  )
  assert expected.shape == (5, 7, 4)
  for pitches, batch_size in ((PITCHES, 64), (one_hots, 2)):
    actual = run.sample(
      pitches, z, num_frames=7, batch_size=batch_size, **controls
    )
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)
  other = run.sample(PITCHES, z, num_frames=7, **(controls | {'seed': 4}))
  assert not np.allclose(other, expected)


def test_reconstruct(run, notes):
  notes = notes[:, :4]
  z = run.encode(notes).z
  expected = run.sample(PITCHES, z, num_frames=4, seed=2, temperature_2=0.1)
  actual = run.reconstruct(notes, PITCHES, seed=2, temperature_2=0.1)
  np.testing.assert_array_equal(actual, expected)
  assert actual.shape == notes.shape and actual.dtype == np.float32


def test_one_latent_or_one_pitch_for_all(run, notes):
  z = run.encode(notes).z
  sweep = run.sample(range(60, 65), z[0], seed=1)
  expected = run.sample(np.arange(60, 65), np.tile(z[0], (5, 1)), seed=1)
  np.testing.assert_array_equal(sweep, expected)
  np.testing.assert_array_equal(
    run.sample(60, z, seed=1), run.sample([60] * 5, z, seed=1)
  )
  np.testing.assert_array_equal(
    run.reconstruct(notes, 60), run.reconstruct(notes, [60] * 5)
  )


def test_draw_latents(run):
  z = run.draw_latents(5, seed=4)
  np.testing.assert_array_equal(
    run.sample(PITCHES, z, seed=4), run.sample(PITCHES, seed=4)
  )


IS_KNOWN = np.array(
  [
    [1, 1, 0, 0, 0],
    [0, 0, 0, 1, 1],
    [1, 0, 0, 0, 1],
    [0, 1, 0, 1, 0],
    [1, 1, 1, 1, 1],
  ],
  bool,
)


@pytest.fixture(scope='module', params=['pca_dim_reduce=1', ''])
def frame_run(request, data_dir, tmp_path_factory):
  """A run of frames, and not of their differences."""
  folder = tmp_path_factory.mktemp('runs') / 'frames'
  options = f'difference_input=0,n_pca_components=3,{request.param}'
  make_run(folder, data_dir, options)
  return embedding_rnn.load_run(folder)


def expect_filled(run, notes):
  """Checks `Run.fill` against the model's own samples."""
  unknown = np.where(IS_KNOWN[..., None], notes, np.nan)
  controls = {'temperature': 0.5, 'temperature_2': 0.3, 'top_p': 0.9, 'seed': 3}
  filled = run.fill(unknown, IS_KNOWN, PITCHES, num_candidates=2, **controls)
  assert filled.dtype == np.float32
  np.testing.assert_array_equal(
    filled[IS_KNOWN], notes[IS_KNOWN].astype(np.float32)
  )
  bridged = infilling.bridge(notes, IS_KNOWN)
  given = run.transforms.forward(bridged)
  order = slice(None, None, -1 if run.hps.difference_input else 1)
  expected = run.model.sample(
    tf.one_hot(PITCHES, 128),
    run.encode(bridged).z,
    given=given,
    is_given=IS_KNOWN[:, order],
    num_candidates=2,
    **controls,
  ).numpy()
  if run.hps.difference_input:
    # The original frames, as the model sees them.
    sums = run.transforms.forward(filled).cumsum(axis=1)
    np.testing.assert_allclose(sums, expected.cumsum(axis=1), atol=1e-4)
  else:
    actual = run.transforms.forward(filled)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
  if run.transforms.pca:
    # What PCA leaves out of the known frames is bridged in the gaps.
    lost, expected = (
      x - run.transforms.inverse(run.transforms.forward(x))
      for x in (filled, bridged)
    )
    np.testing.assert_allclose(lost, expected, atol=1e-4)


def test_fill(run, notes):
  expect_filled(run, notes)


def test_fill_of_frames(frame_run, notes):
  expect_filled(frame_run, notes)


def test_fill_with_z(run, notes):
  z = run.draw_latents(5)
  one = run.fill(notes, IS_KNOWN[0], PITCHES, z)
  other = run.fill(notes, IS_KNOWN[0], PITCHES, z + 1.0)
  # Fresh models hardly heed z.
  assert 0 < np.abs(one - other).max() < 1
  np.testing.assert_array_equal(one[:, :2], other[:, :2])


def test_continue_notes(run, notes):
  actual = run.continue_notes(notes, 2, PITCHES, num_frames=8, seed=1)
  padded = np.concatenate([notes[:, :2], np.full((5, 6, 4), np.nan)], axis=1)
  is_known = np.arange(8) < 2
  expected = run.fill(padded, is_known, PITCHES, seed=1)
  np.testing.assert_array_equal(actual, expected)
  assert run.continue_notes(notes[:, :3], 3, PITCHES).shape == (5, 5, 4)
  unknown = np.where(np.arange(notes.shape[1])[:, None] < 2, notes, np.nan)
  np.testing.assert_array_equal(
    run.continue_notes(unknown, 2, PITCHES, num_frames=8, seed=1), expected
  )


def test_controls_are_checked_before_anything_else(run):
  for call in (
    lambda **controls: run.sample(None, **controls),
    lambda **controls: run.reconstruct(None, None, **controls),
    lambda **controls: run.fill(None, None, None, **controls),
  ):
    with pytest.raises(TypeError, match="'temprature'"):
      call(temprature=1.0)
    with pytest.raises(ValueError, match='top_p=2'):
      call(top_p=2.0)


def test_bad_arguments(run, notes):
  bad = np.full_like(notes, np.nan)
  for call, message in (
    (lambda: run.encode(notes[0]), r'shape \(5, 4\): expected \[N, T, 4\]'),
    (lambda: run.encode(notes[:0]), 'at least one note'),
    (lambda: run.encode(bad), 'NaN'),
    (lambda: run.encode(notes, batch_size=0), 'batch_size=0'),
    (lambda: run.reconstruct(notes, PITCHES[:2]), '5 notes or latents but 2'),
    (lambda: run.sample(PITCHES[:2], np.zeros((5, 3))), '5 notes or latents'),
    (lambda: run.sample(PITCHES, np.zeros(2)), r'expected \[5, 3\]'),
    (lambda: run.fill(notes, IS_KNOWN[:3], PITCHES), 'is_known of'),
    (lambda: run.fill(bad, IS_KNOWN, PITCHES), 'NaN'),
    (lambda: run.continue_notes(notes, 0, PITCHES), 'num_given=0'),
    (lambda: run.continue_notes(notes, 6, PITCHES), 'the 5 frames'),
    (lambda: run.continue_notes(notes, 2.5, PITCHES), r'num_given=2\.5'),
    (lambda: run.continue_notes(notes[0], 2, PITCHES), 'Notes of shape'),
    (lambda: run.continue_notes(notes, 4, 60, num_frames=3), 'the 3 of'),
    (lambda: run.sample([60, 128]), 'from 60 to 128'),
    (lambda: run.sample([60.5]), 'float64'),
    (lambda: run.sample(np.ones((2, 128))), 'one-hots'),
    (lambda: run.sample(PITCHES, np.zeros((5, 2))), r'expected \[5, 3\]'),
    (lambda: run.sample(PITCHES, temperature=0), 'temperature=0'),
  ):
    with pytest.raises(ValueError, match=message):
      call()


def test_unconditional(data_dir, notes, tmp_path):
  make_run(tmp_path / 'run', data_dir, 'unconditional=1,difference_input=0')
  run = embedding_rnn.load_run(tmp_path / 'run')
  with pytest.raises(ValueError, match='no encoder'):
    run.encode(notes)
  np.testing.assert_array_equal(
    run.reconstruct(notes, PITCHES, seed=1), run.sample(PITCHES, seed=1)
  )
  filled = run.fill(notes, IS_KNOWN, PITCHES)
  np.testing.assert_array_equal(
    filled[IS_KNOWN], notes[IS_KNOWN].astype(np.float32)
  )
  with pytest.raises(ValueError, match='no latents'):
    run.draw_latents(3)


def test_velocities(data_dir, tmp_path):
  extra = 'velocity_context=1,frames_per_step=2,error_order=1,one_scale=1'
  make_run(tmp_path / 'run', data_dir, f'{extra},difference_input=0')
  run = embedding_rnn.load_run(tmp_path / 'run')
  # As at first, what is said of a note makes hardly a difference.
  state = run.model.state_layers[0].kernel
  state.assign(np.random.default_rng(0).normal(size=state.shape))
  dataset = run.open_dataset()
  notes, conditions = dataset.notes(dataset.rows['test'][:5])
  pitches, velocities = conditions[:, :128], conditions[:, 128:]
  made = run.reconstruct(notes, conditions, seed=1)
  for ways in (velocities, velocities.argmax(1)):
    again = run.reconstruct(notes, pitches, velocity=ways, seed=1)
    np.testing.assert_array_equal(again, made)
  z = run.encode(notes).z
  usual = run.sample(pitches, z, seed=1)
  assert np.abs(usual - made).max() > 1e-3
  hundred = run.sample(pitches, z, velocity=100, seed=1)
  np.testing.assert_array_equal(hundred, usual)
  known = np.arange(5) < 2
  filled = run.fill(notes, known, pitches, velocity=velocities, seed=1)
  np.testing.assert_array_equal(filled[:, :2], notes[:, :2])
  assert run.sample(60, velocity=[1, 127]).shape == (2, 5, 4)
  for bad in (128, -1, 0.5, [1, 2, 3]):
    with pytest.raises(ValueError, match='velocities'):
      run.sample(pitches, z, velocity=bad)


def test_velocities_that_nobody_hears(run, notes):
  expected = run.reconstruct(notes, PITCHES, seed=1)
  for velocities in (1, PITCHES):
    made = run.reconstruct(notes, PITCHES, velocity=velocities, seed=1)
    np.testing.assert_array_equal(made, expected)
  both = np.concatenate([np.eye(128)[PITCHES]] * 2, axis=1)
  np.testing.assert_array_equal(run.reconstruct(notes, both, seed=1), expected)


def test_a_run_of_version_0_1_0():
  run = embedding_rnn.load_run(TESTDATA / 'run_0_1_0')
  assert (run.info['version'], run.step) == ('0.1.0', 6)
  assert run.prior is None
  collection = embedded.load()
  with np.load(TESTDATA / 'run_0_1_0_frames.npz') as file:
    expected = dict(file)
  rows = expected['rows']
  frames, pitches = collection.frames[rows], collection.midi_pitch[rows]
  found = {
    'latent': run.encode(frames).mean,
    'reconstruction': run.reconstruct(frames, pitches, greedy='mean'),
    'sample': run.sample([60, 48], seed=3),
  }
  for name, array in found.items():
    np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-4)


def test_a_run_of_version_0_1_0_goes_on(tmp_path):
  folder = shutil.copytree(TESTDATA / 'run_0_1_0', tmp_path / 'run')
  embedded.write_data_dir(tmp_path / 'notes')
  before = embedding_rnn.load_run(folder)
  hps = before.hps.copy().parse('num_steps=7')
  run = training.train(
    hps, tmp_path / 'notes', folder, resume=True, seed=before.info['seed']
  )
  old = (TESTDATA / 'run_0_1_0' / 'history.csv').read_text()
  history = (folder / 'history.csv').read_text()
  assert history.startswith(old)
  assert history.splitlines()[-1].startswith('7,')
  assert run.info == before.info
  assert run.open_dataset(tmp_path / 'notes').codec == 'harmonic'


def test_pitches_by_name(run, notes):
  named = ['C4', 'E2', 'G9', 'C-1', '60']
  np.testing.assert_array_equal(
    run.sample(named, seed=3), run.sample(PITCHES, seed=3)
  )
  np.testing.assert_array_equal(
    run.continue_notes(notes, 2, 'C4'), run.continue_notes(notes, 2, 60)
  )
  with pytest.raises(ValueError, match="pitch 'H2': expected a note"):
    run.reconstruct(notes, 'H2')


def test_what_a_run_says_of_itself(run):
  said = repr(run)
  assert run.folder in said and 'step 20' in said and 'valid cost 0.050' in said
  assert len(said) < 300
  page = xml.etree.ElementTree.fromstring(f'<p>{run._repr_html_()}</p>')
  assert 'harmonic' in [cell.text for cell in page.iter('td')]
  assert page.find('p/code').text == repr(run.hps)
