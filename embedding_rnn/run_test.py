import importlib.util
import json
import pathlib
import shutil

import numpy as np
import pytest
from absl import logging

import embedding_rnn
from embedding_rnn import notes, run, training
from embedding_rnn.conftest import TINY
from embedding_rnn.hparams import default_hps


@pytest.fixture
def flags(parse_flags, tmp_path):
  """Parses flags of a run with all its folders in `tmp_path`."""

  def parse(*arguments, data_dir=tmp_path / 'data'):
    folders = [f'--data_dir={data_dir}', f'--log_root={tmp_path / "logs"}']
    parse_flags(run.define_flags, [*folders, *arguments])

  return parse


@pytest.fixture
def trained(monkeypatch):
  """What `training.train` is called with, in place of training."""
  calls = []

  def train(hps, data_dir, run_dir, **settings):
    calls.append((run_dir.name, hps, settings))

  monkeypatch.setattr(training, 'train', train)
  return calls


@pytest.mark.slow
def test_default_run_trains_compares_and_writes_notes(
  flags, tiny_data_dir, tmp_path, monkeypatch
):
  lines = []
  monkeypatch.setattr(
    logging, 'info', lambda text, *values: lines.append(text % values)
  )
  monkeypatch.setattr(run, '_NUM_NOTES', 1)
  monkeypatch.setattr(run, '_SAMPLE_PITCHES', (60,))
  flags(f'--hparam={TINY}', data_dir=tiny_data_dir)
  run.default_run(local=True, exp_name='tiny')
  folder = tmp_path / 'logs' / 'tiny'
  trained_run = embedding_rnn.load_run(folder)
  baseline = embedding_rnn.load_run(f'{folder}_unconditional')
  assert trained_run.hps.rnn_size == baseline.hps.rnn_size == 16
  assert (trained_run.hps.unconditional, baseline.hps.unconditional) == (0, 1)
  summary = json.loads((folder / 'synthesis' / 'summary.json').read_text())
  assert len(summary['reconstructions']) == len(summary['samples']) == 1
  for name in (
    summary['reconstructions'][0]['reconstruction']['file'],
    summary['samples'][0]['figure'],
  ):
    assert (folder / 'synthesis' / name).stat().st_size > 10_000
  for said in (
    'reconstruction of 12 notes',
    "repeat the note's mean frame",
    'unconditional model',
    f'Audio and figures: {folder / "synthesis"}',
    f'tensorboard --logdir={tmp_path / "logs"}',
    'Finished after',
  ):
    assert said in '\n'.join(lines)
  weights = {path: path.read_bytes() for path in folder.glob('best-*/*')}
  with pytest.raises(FileExistsError, match=r'There is a run.*--resume'):
    run.default_run(local=True, exp_name='tiny')
  assert weights == {p: p.read_bytes() for p in folder.glob('best-*/*')}


def test_hparam_flag_wins_over_the_experiment(flags, trained, tiny_data_dir):
  flags('--hparam=num_steps=7,overfit=0,batch_size=4', data_dir=tiny_data_dir)
  run.overfit()
  ((name, hps, settings),) = trained
  assert name == 'overfit_test'
  assert (hps.num_steps, hps.overfit, hps.rnn_size) == (7, 0, 1024)
  assert settings == {'resume': False, 'seed': 0, 'checkpoint_path': None}


def test_short_test_is_a_hundred_steps_with_pca(flags, trained, tiny_data_dir):
  flags('--hparam=batch_size=4', '--seed=5', data_dir=tiny_data_dir)
  run.short_test()
  ((name, hps, settings),) = trained
  assert name == 'short_test'
  assert (hps.num_steps, hps.pca_dim_reduce) == (100, 1)
  assert settings['seed'] == 5


def test_resume_continues_runs_and_begins_others(
  flags, trained, tiny_data_dir, tmp_path
):
  flags('--resume', '--hparam=batch_size=4', data_dir=tiny_data_dir)
  run.short_test()
  folder = tmp_path / 'logs' / 'short_test'
  folder.mkdir(parents=True)
  (folder / 'manifest.json').write_text('{}')
  run.short_test()
  assert [settings['resume'] for *_, settings in trained] == [False, True]


@pytest.mark.parametrize(
  ('arguments', 'settings', 'message'),
  [
    ([], {'local': False}, 'clusters comes with a later version'),
    ([], {'exp_name': '../elsewhere'}, r"exp_name='\.\./elsewhere'"),
    ([], {'exp_name': ''}, "exp_name=''"),
    (['--hparam=rnn_sizes=3'], {}, 'Unknown hyperparameter'),
    (['--hparam=rnn_size=big'], {}, 'Could not parse'),
    (['--seed=-1'], {}, '--seed=-1'),
  ],
)
def test_bad_input_is_refused_before_anything_is_written(
  flags, trained, tmp_path, arguments, settings, message
):
  flags(*arguments)
  with pytest.raises(ValueError, match=message):
    run.default_run(**settings)
  assert not trained
  assert not list(tmp_path.iterdir())


def test_a_baseline_of_the_same_name_is_refused_before_training(
  flags, trained, tmp_path
):
  folder = tmp_path / 'logs' / 'mine_unconditional'
  folder.mkdir(parents=True)
  (folder / 'manifest.json').write_text('{}')
  flags()
  with pytest.raises(FileExistsError, match='mine_unconditional'):
    run.default_run(exp_name='mine')
  assert not trained
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize('make', [False, True])
def test_embedded_notes_are_written_where_nothing_is(tmp_path, make):
  data_dir = tmp_path / 'a' / 'data'
  if make:
    data_dir.mkdir(parents=True)
  run.prepare_data(data_dir, default_hps())
  frames = np.load(data_dir / 'train_z.npy', mmap_mode='r')
  np.testing.assert_array_equal(frames[::500], notes.load().frames[::500])
  assert [path.name for path in data_dir.parent.iterdir()] == ['data']


def test_what_is_there_is_left_alone(tiny_data_dir, tmp_path):
  data_dir = tmp_path / 'data'
  shutil.copytree(tiny_data_dir, data_dir)
  before = {p.name: p.read_bytes() for p in data_dir.iterdir()}
  run.prepare_data(data_dir, default_hps())
  assert before == {p.name: p.read_bytes() for p in data_dir.iterdir()}
  (data_dir / 'train_vels_one_hot.npy').unlink()
  with pytest.raises(FileNotFoundError, match=r'lacks train_vels_one_hot\.npy'):
    run.prepare_data(data_dir, default_hps())
  (tmp_path / 'file').write_text('')
  with pytest.raises(NotADirectoryError, match='is a file'):
    run.prepare_data(tmp_path / 'file', default_hps())


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
  def write_half(folder):
    folder.mkdir()
    (folder / 'train_z.npy').write_bytes(b'half')
    raise KeyboardInterrupt

  monkeypatch.setattr(notes, 'write_data_dir', write_half)
  with pytest.raises(KeyboardInterrupt):
    run.prepare_data(tmp_path / 'data', default_hps())
  assert not list(tmp_path.iterdir())


def test_every_experiment_is_of_known_hyperparameters_and_a_name_of_its_own():
  names = [experiment.run_name for experiment in run.EXPERIMENTS.values()]
  assert len(set(names)) == len(names)
  for experiment in run.EXPERIMENTS.values():
    hps = default_hps().override_from_dict(experiment.overrides)
    assert experiment.overrides.items() <= hps.values().items()


def test_the_switchboard_has_default_run_on(monkeypatch):
  path = pathlib.Path(__file__).parents[1] / 'run.py'
  if not path.exists():
    pytest.skip('an installed package comes without the switchboard')
  calls = []
  monkeypatch.setattr(run, 'default_run', lambda **kwargs: calls.append(kwargs))
  spec = importlib.util.spec_from_file_location('switchboard', path)
  switchboard = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(switchboard)
  switchboard.main(['run.py'])
  assert calls == [{'local': True, 'exp_name': 'default_local'}]
