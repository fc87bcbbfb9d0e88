import dataclasses
import importlib.util
import json
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as flags_module

import embedding_rnn
from embedding_rnn import run
from embedding_rnn.conftest import TINY
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.experiments import grids, submission
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.model.hparams import names_that_shape
from embedding_rnn.training import checkpoints, progress, training


@pytest.fixture
def flags(parse_flags, tmp_path, monkeypatch):
  """Parses flags of a run with all its folders in `tmp_path`."""

  def parse(*arguments, data_dir=tmp_path / 'data'):
    folders = [f'--data_dir={data_dir}', f'--log_root={tmp_path / "logs"}']
    parse_flags(run.define_flags, [*folders, *arguments])
    monkeypatch.setattr(run, '_FROM_FLAGS', {})
    run.read_flags()

  return parse


@pytest.fixture
def trained(monkeypatch):
  """What `training.train` is called with, in place of training."""
  calls = []

  def train(hps, data_dir, run_dir, **settings):
    calls.append((run_dir.name, hps, settings))
    return types.SimpleNamespace(folder=str(run_dir))

  monkeypatch.setattr(training, 'train', train)
  return calls


@pytest.mark.slow
def test_default_run_trains_compares_and_writes_notes(
  flags, tiny_data_dir, tmp_path, monkeypatch, capsys, caplog
):
  caplog.set_level('INFO', logger='absl')
  flags(f'--hparam={TINY}', data_dir=tiny_data_dir)
  run.default_run(local=True, exp_name='tiny')
  folder = tmp_path / 'logs' / 'tiny'
  trained_run = embedding_rnn.load_run(folder)
  baseline = embedding_rnn.load_run(f'{folder}_unconditional')
  assert trained_run.hps.rnn_size == baseline.hps.rnn_size == 16
  assert (trained_run.hps.unconditional, baseline.hps.unconditional) == (0, 1)
  summary = json.loads((folder / 'synthesis' / 'summary.json').read_text())
  families = [note['family'] for note in summary['notes']]
  assert len(families) > 4 and families[-3:] == [None, None, None]
  assert sorted(set(families[:-3])) == families[:-3]
  for name in (
    summary['notes'][0]['audio']['made']['file'],
    summary['notes'][-1]['figures']['note'],
  ):
    assert (folder / 'synthesis' / name).stat().st_size > 10_000
  page = (folder / 'synthesis' / 'index.html').read_text()
  assert 'negative log likelihood' in page
  measured = json.loads((folder / 'metrics.json').read_text())
  assert measured['models']['unconditional']['mse'] > 0
  results = capsys.readouterr().out
  for said in (
    '12 test notes',
    'reconstruction: mean squared error',
    'unconditional',
    f'Listen to it: {folder / "synthesis" / "index.html"}',
  ):
    assert said in results
  for said in (f'--logdir={tmp_path / "logs"}', 'Finished after'):
    assert said in caplog.text and said not in results
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
  assert settings == {
    'resume': False,
    'seed': 0,
    'checkpoint_path': None,
    'precision': 'float32',
    'deterministic_ops': False,
  }


def test_a_run_to_start_from_gives_its_sizes(
  flags, trained, tmp_path, tiny_data_dir, monkeypatch
):
  start = tmp_path / 'start'
  hps = embedding_rnn.default_hps().parse(TINY)
  _fabricate(start, hps, 4)
  flags(
    f'--checkpoint_path={start}',
    '--hparam=num_steps=9,batch_size=4',
    data_dir=tiny_data_dir,
  )
  monkeypatch.setattr(run, '_evaluate_and_synthesize', lambda *_: None)
  run.default_run(local=True)
  ((name, tuned, settings),) = trained
  assert name == 'default_local'
  assert settings['checkpoint_path'] == str(start)
  for shaping in names_that_shape('model'):
    assert tuned.get(shaping) == hps.get(shaping), shaping
  rate = grids.FINE_TUNING['learning_rate']
  assert (tuned.num_steps, tuned.learning_rate) == (9, rate)


def test_a_batch_fits_few_notes(flags, trained, tiny_data_dir, monkeypatch):
  monkeypatch.setattr(run, '_evaluate_and_synthesize', lambda *_: None)
  flags(data_dir=tiny_data_dir)
  run.default_run(local=True)
  assert [hps.batch_size for _, hps, _ in trained] == [12, 12]
  trained.clear()
  run.default_run(local=True, hparam='batch_size=7')
  assert [hps.batch_size for _, hps, _ in trained] == [7, 7]


def test_short_test_is_a_hundred_steps_with_pca(flags, trained, tiny_data_dir):
  flags('--hparam=batch_size=4', '--seed=5', data_dir=tiny_data_dir)
  run.short_test()
  ((name, hps, settings),) = trained
  assert name == 'short_test'
  assert (hps.num_steps, hps.pca_dim_reduce) == (100, 1)
  assert settings['seed'] == 5


def _fabricate(folder, hps, step):
  """A run as training leaves it after some steps, but for its weights."""
  hps = hps.copy()
  notes = np.random.default_rng(0).normal(size=[2, 125, 16])
  transforms = Transforms.fit(hps, [notes.astype(np.float32)])
  info = {'seed': 0, 'checkpoint_path': None}
  checkpoints.create_run(folder, checkpoints.RunFiles(hps, transforms, info))
  state = {**dataclasses.asdict(progress.State(step, step)), 'num_steps': 9}
  checkpoints.write_save(
    folder,
    checkpoints.LAST,
    step,
    {checkpoints.STATE: state | {'save_every': 9}},
  )


def test_resume_continues_runs_and_begins_others(
  flags, trained, tiny_data_dir, tmp_path
):
  flags('--resume', '--hparam=batch_size=4', data_dir=tiny_data_dir)
  run.short_test()
  hps = grids.plan_runs('short_test', hparam='batch_size=4')['short_test']
  _fabricate(tmp_path / 'logs' / 'short_test', hps, step=4)
  run.short_test()
  assert [settings['resume'] for *_, settings in trained] == [False, True]


def test_a_sweep_skips_what_is_finished_and_continues_the_rest(
  flags, trained, tiny_data_dir, tmp_path
):
  hparam = 'num_steps=9,batch_size=4'
  plan = grids.plan_runs('z_size_sweep', True, hparam)
  logs = tmp_path / 'logs'
  _fabricate(logs / 'exp_zsize_128', plan['exp_zsize_128'], step=9)
  _fabricate(logs / 'exp_zsize_512', plan['exp_zsize_512'], step=4)
  arguments = ('--experiment=z_size_sweep', '--run_all', f'--hparam={hparam}')
  flags(*arguments, data_dir=tiny_data_dir)
  assert run.obey_flags()
  assert {name: settings['resume'] for name, _, settings in trained} == {
    'exp_zsize_64': False,
    'exp_zsize_256': False,
    'exp_zsize_512': True,
    'exp_zsize_1024': False,
    'exp_zsize_1984': False,
  }


def test_a_sweep_refuses_another_run_of_the_same_name(
  flags, trained, tiny_data_dir, tmp_path
):
  plan = grids.plan_runs('z_size_sweep', True, 'rnn_size=5')
  _fabricate(tmp_path / 'logs' / 'exp_zsize_512', plan['exp_zsize_512'], step=9)
  flags('--hparam=batch_size=4', data_dir=tiny_data_dir)
  with pytest.raises(
    ValueError, match=r'exp_zsize_512: .*rnn_size was 5, is 1024'
  ):
    run.z_size_sweep(run_all=True)
  assert not trained


def test_a_run_that_fails_does_not_stop_a_sweep(
  flags, monkeypatch, tiny_data_dir
):
  names = []

  def train(hps, data_dir, run_dir, **settings):
    names.append(run_dir.name)
    if hps.rnn_size == 256:
      raise tf.errors.ResourceExhaustedError(None, None, 'No memory.')
    return types.SimpleNamespace(folder=str(run_dir))

  monkeypatch.setattr(training, 'train', train)
  flags('--hparam=batch_size=4', data_dir=tiny_data_dir)
  with pytest.raises(ValueError, match=r'(?s)1 of 3 runs.*exp_rnn_size_256'):
    run.rnn_size_sweep(run_all=True)
  assert names == ['exp_rnn_size_256', 'exp_rnn_size_512', 'exp_rnn_size_1024']


@pytest.mark.parametrize('experiment', ['z_size_sweep', 'default_run'])
def test_not_local_is_submitted(flags, monkeypatch, tiny_data_dir, experiment):
  calls = []
  monkeypatch.setattr(submission, 'submit', lambda *args: calls.append(args))
  flags(
    f'--experiment={experiment}',
    '--local=false',
    '--seed=3',
    '--hparam=batch_size=4',
    '--gpus=2',
    data_dir=tiny_data_dir,
  )
  run.obey_flags()
  ((name, plan, settings, resources),) = calls
  assert name == experiment
  assert list(plan) == list(grids.plan_runs(experiment))
  assert (settings.data_dir, settings.seed) == (str(tiny_data_dir), 3)
  assert resources.gpus == 2


def test_dry_run_and_list_only_show(flags, capsys, trained, tmp_path):
  flags('--dry_run', '--experiment=difference_test', '--hparam=num_steps=3')
  assert run.obey_flags()
  run.default_run(exp_name='mine')
  shown = capsys.readouterr().out
  assert 'exp_diff_input_0: num_steps=3,difference_input=0' in shown
  assert 'mine_unconditional: num_steps=3' in shown
  flags_module.FLAGS.list = True
  assert run.obey_flags()
  assert 'sweep_high_layer_norm' in capsys.readouterr().out
  assert not trained
  assert not list(tmp_path.iterdir())


def test_the_command_line_names_a_run(
  flags, trained, tiny_data_dir, monkeypatch
):
  monkeypatch.setattr(run, '_evaluate_and_synthesize', lambda *args: None)
  flags('--exp_name=mine', '--hparam=batch_size=4', data_dir=tiny_data_dir)
  run.short_test()
  run.z_size_sweep()
  assert [name for name, *_ in trained] == ['mine', 'mine']
  with pytest.raises(ValueError, match="exp_name='mine' is for one run"):
    run.z_size_sweep(run_all=True)
  trained.clear()
  run.main([])
  assert [name for name, *_ in trained] == ['mine', 'mine_unconditional']


def test_every_experiment_is_a_function(flags, trained, tiny_data_dir):
  flags('--hparam=batch_size=4', data_dir=tiny_data_dir)
  for name in grids.EXPERIMENTS.keys() - {'default_run'}:
    trained.clear()
    getattr(run, name)()
    assert [name for name, *_ in trained] == list(grids.plan_runs(name))
  with pytest.raises(AttributeError, match='no_such_sweep'):
    run.no_such_sweep()


def test_without_a_command_line(trained, tiny_data_dir, tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(
    run, '_evaluate_and_synthesize', lambda *args: shown.append(args)
  )
  folders = {'data_dir': str(tiny_data_dir), 'log_root': str(tmp_path)}
  hparam = 'num_steps=20,batch_size=4'
  run.default_run(exp_name='x', hparam=hparam, seed=7, **folders)
  run.z_size_sweep(hparam='batch_size=4', precision='bfloat16', **folders)
  names = [name for name, *_ in trained]
  assert names == ['x', 'x_unconditional', 'exp_zsize_64']
  assert [hps.num_steps for _, hps, _ in trained[:2]] == [20, 20]
  seeds = [settings['seed'] for *_, settings in trained]
  assert seeds == [7, 7, 0] and trained[2][2]['precision'] == 'bfloat16'
  ((options, *runs),) = shown
  assert (options.seed, options.command, len(runs)) == (7, '', 2)
  with pytest.raises(ValueError, match='--gpus goes with --local=false'):
    run.overfit(resources=Resources(gpus=1), **folders)
  with pytest.raises(TypeError, match='log_rot'):
    run.overfit(log_rot='x')


@pytest.mark.parametrize(
  ('arguments', 'settings', 'message'),
  [
    ([], {'exp_name': '../elsewhere'}, r"exp_name='\.\./elsewhere'"),
    ([], {'exp_name': ''}, "exp_name=''"),
    ([], {'log_root': ''}, '--log_root= is empty'),
    ([], {'exp_name': 'a\x1b[31m'}, r"exp_name='a\\x1b\[31m'"),
    ([], {'exp_name': 'x' * 300}, 'at most 200 bytes'),
    (['--hparam=rnn_sizes=3'], {}, 'Unknown hyperparameter'),
    (['--hparam=rnn_size=big'], {}, 'Could not parse'),
    (['--seed=-1'], {}, 'seed=-1 and trial=0: expected a seed of at least 0'),
    ([], {'seed': 2**31}, f'seed={2**31}'),
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


def test_resource_flags_are_for_clusters(flags, trained):
  flags('--partition=gpu')
  with pytest.raises(ValueError, match='--partition goes with --local=false'):
    run.overfit()
  assert not trained


@pytest.mark.parametrize('flag', ['--local=false', '--run_all'])
def test_flags_that_need_an_experiment(flags, flag):
  flags(flag)
  with pytest.raises(ValueError, match='goes with --experiment'):
    run.obey_flags()


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


def test_the_switchboard_has_default_run_on(
  flags, trained, monkeypatch, tiny_data_dir
):
  path = pathlib.Path(__file__).parents[1] / 'run.py'
  if not path.exists():
    pytest.skip('an installed package comes without the switchboard')
  calls = []
  monkeypatch.setattr(run, 'default_run', lambda **kwargs: calls.append(kwargs))
  spec = importlib.util.spec_from_file_location('switchboard', path)
  switchboard = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(switchboard)
  flags('--hparam=batch_size=4', data_dir=tiny_data_dir)
  switchboard.main(['run.py'])
  assert calls == [{'local': True, 'exp_name': 'default_local'}]
  flags_module.FLAGS.experiment = 'overfit'
  switchboard.main(['run.py'])
  assert len(calls) == 1
  assert [name for name, *_ in trained] == ['overfit_test']
