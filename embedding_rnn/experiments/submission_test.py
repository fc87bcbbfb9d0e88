"""Whole jobs, on a Slurm of one machine."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from embedding_rnn.conftest import wait_until
from embedding_rnn.experiments import slurm, submission
from embedding_rnn.experiments.job import Settings, list_jobs, read_job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.status import (
  CANCELLED,
  DIED,
  FAILED,
  FINISHED,
  read_status,
)
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import checkpoints, training
from embedding_rnn.training.trained_run_test import make_data

_ROOT = pathlib.Path(__file__).parents[2]
# Steps of milliseconds, and enough of them to be interrupted.
_TINY = (
  'rnn_size=4,enc_rnn_size=3,z_size=2,num_mixture=2,seq_width=2,max_seq_len=3,'
  'batch_size=8,num_steps=2400,save_every=50,use_recurrent_dropout=1'
)


def make_plan(number, extra=''):
  return {
    f'run_{i}': default_hps().parse(_TINY).parse(f'num_mixture={i + 1},{extra}')
    for i in range(number)
  }


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data') / 'notes'
  return str(make_data(folder, num_notes=40, shape=(3, 2)))


@pytest.fixture
def settings(data_dir, tmp_path):
  yield Settings(data_dir, str(tmp_path / 'logs'), seed=1)
  for folder in list_jobs(tmp_path / 'logs'):  # if the test failed
    job = read_job(folder)
    for name in job.runs:
      job.record(name, 'cancel')
    slurm.cancel(job, list(job.runs))


@pytest.fixture(scope='module')
def expected_weights(data_dir, tmp_path_factory):
  """The last weights of the runs when nothing happens to them."""
  folder = tmp_path_factory.mktemp('uninterrupted')
  plan = make_plan(4)
  for name, hps in plan.items():
    training.train(hps, data_dir, folder / name, seed=1)
  return {name: last_weights(folder / name) for name in plan}


def last_weights(run_folder):
  save = checkpoints.list_saves(run_folder, checkpoints.LAST)[-1]
  assert save.step == 2400
  with np.load(save.path / checkpoints.WEIGHTS) as file:
    return dict(file)


def assert_ended_as(job, expected):
  for name in expected:
    weights = last_weights(job.run_folder(name))
    assert weights.keys() == expected[name].keys()
    for key, array in weights.items():
      np.testing.assert_array_equal(array, expected[name][key], f'{name} {key}')


def is_under_way(job, name):
  """Whether a run has a save, and many steps to go."""
  return checkpoints.list_saves(job.run_folder(name), checkpoints.LAST)


def training_process(job, name):
  text = (job.run_folder(name) / '.lock').read_text()
  return int(re.match(r'process (\d+) on', text)[1])


def command(*arguments):
  """Starts script_utils.py, as a user does."""
  return subprocess.Popen(
    [sys.executable, _ROOT / 'script_utils.py', *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def statuses(job):
  return {status.name: status for status in read_status(job)}


@pytest.fixture
def found(monkeypatch):
  """Slurm's commands are found, though not called."""
  monkeypatch.setattr('shutil.which', lambda program: program)


@pytest.mark.usefixtures('found')
def test_refusals_leave_nothing_behind(settings, tmp_path):
  with pytest.raises(ValueError, match='5 minutes: expected at least 10'):
    resources = Resources(time_minutes=5)
    submission.submit('sweep', make_plan(1), settings, resources)
  assert not (tmp_path / 'logs').exists()

  folder = tmp_path / 'logs' / 'run_0'
  folder.mkdir(parents=True)
  with (
    checkpoints.locked(folder),
    pytest.raises(BlockingIOError, match='trained by another process'),
  ):
    submission.submit('sweep', make_plan(1), settings, Resources())
  assert not (tmp_path / 'logs' / 'jobs').exists()


@pytest.mark.usefixtures('found')
def test_what_cannot_be_submitted_leaves_no_job(settings, monkeypatch):
  def fail(job, run_names):
    raise ValueError('no such partition')

  monkeypatch.setattr(slurm, 'submit', fail)
  with pytest.raises(ValueError, match='no such partition'):
    submission.submit('sweep', make_plan(1), settings, Resources())
  assert list_jobs(settings.log_root) == []


@pytest.mark.usefixtures('found')
def test_what_one_job_left_behind_goes_on_in_the_next(settings, monkeypatch):
  live = {}
  monkeypatch.setattr(slurm, 'submit', lambda job, run_names: None)
  monkeypatch.setattr(slurm, 'activities', lambda job: live)
  job = submission.submit('sweep', make_plan(2), settings, Resources())
  live['run_0'] = slurm.Activity('RUNNING')
  with pytest.raises(FileExistsError, match=rf'RUNNING in {job.name}; wait'):
    submission.submit('other', make_plan(1), settings, Resources())
  live.clear()
  assert statuses(job)['run_0'].state == DIED
  other = submission.submit('other', make_plan(1), settings, Resources())
  ends = statuses(job)
  assert ends['run_0'].state == CANCELLED and ends['run_1'].state == DIED
  assert ends['run_0'].note == f'goes on in {other.name}'


@pytest.fixture(scope='module')
def one_machine(tmp_path_factory):
  """Starts a Slurm of one machine with two pretended GPUs."""
  for program in ('slurmctld', 'slurmd', 'munged', 'sbatch'):
    if not shutil.which(program):
      pytest.skip(f'needs {program}: apt-get install slurm-wlm munge')
  if os.getuid():
    pytest.skip('needs root, as the owner of munge and Slurm')
  folder = tmp_path_factory.mktemp('slurm')
  with socket.socket() as one, socket.socket() as two:
    for each in (one, two):
      each.bind(('127.0.0.1', 0))
    ports = {
      'CTLD_PORT': str(one.getsockname()[1]),
      'SLURMD_PORT': str(two.getsockname()[1]),
    }
  tools = _ROOT / 'tools' / 'slurm'
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('SLURM_CONF', str(folder / 'slurm.conf'))
    try:
      subprocess.run(
        [tools / 'start.sh', folder], check=True, env={**os.environ, **ports}
      )
      yield
      ask = ['squeue', '--noheader']  # A step that ends needs its daemons.
      wait_until(lambda: not subprocess.check_output(ask))
    finally:
      subprocess.run([tools / 'stop.sh', folder], check=True)


def batch_process(array_id):
  """The process of the script of a Slurm job that runs."""
  raw_id = subprocess.check_output(
    ['squeue', '--noheader', f'--jobs={array_id}', '--format=%A'], text=True
  ).strip()
  lines = subprocess.check_output(
    ['scontrol', 'listpids', raw_id], text=True
  ).splitlines()
  return next(int(line.split()[0]) for line in lines if ' batch ' in line)


@pytest.mark.slow
@pytest.mark.usefixtures('one_machine')
def test_a_job_array_on_slurm(settings, expected_weights):
  resources = Resources(cpus=1, gpus=1, array_parallelism=2)
  plan = {'long': make_plan(1, 'num_steps=1000000')['run_0'], **make_plan(4)}
  job = submission.submit('sweep', plan, settings, resources)
  ids = {name: job.history(name).ids[0] for name in job.runs}
  main_id = ids['run_0'].partition('_')[0]
  assert list(ids.values()) == [f'{main_id}_{i}' for i in range(5)]
  with pytest.raises(FileExistsError, match=rf'in {job.name}; wait for it'):
    submission.submit('other', make_plan(1), settings, resources)
  # Not by the command: while it starts, runs of a fast machine end.
  states = [status.state for status in read_status(job)]
  assert states.count('PENDING') >= 2
  waiting = command('wait', str(job.folder))
  cancelling = []

  interruptions = {
    'long': lambda: cancelling.append(
      command('cancel', str(job.folder), 'long')
    ),
    'run_0': lambda: os.kill(training_process(job, 'run_0'), signal.SIGKILL),
    # As Slurm does before the time limit and before preemption; by scancel, it
    # may take half a minute, for it tries again while other tasks end.
    'run_1': lambda: os.kill(training_process(job, 'run_1'), signal.SIGUSR2),
    # The batch script, which would have the run requeued.
    'run_2': lambda: os.kill(batch_process(ids['run_2']), signal.SIGKILL),
  }
  while interruptions:
    name = wait_until(
      lambda: next((n for n in interruptions if is_under_way(job, n)), None)
    )
    interruptions.pop(name)()

  output, _ = waiting.communicate(timeout=600)
  assert waiting.returncode == 1, output
  assert '1 of 5 runs are not finished: long' in output
  assert 'Cancelled: long' in cancelling[0].communicate()[0]
  assert 'Submitted again: run_2' in output
  assert_ended_as(job, expected_weights)
  ends = [status.state for status in read_status(job)]
  assert ends == [CANCELLED, *4 * [FINISHED]]
  restarts = [status.num_restarts for status in read_status(job)]
  deaths = [job.history(name).num_deaths for name in job.runs]
  assert restarts == [0, 1, 1, 1, 0] and deaths[:3] == [0, 1, 0]
  assert job.history('run_2').ids[-1] not in ids.values()
  with command('status', str(job.folder)) as status:
    assert status.communicate()[0].count('2400/2400') == 4

  assert submission.submit('sweep', make_plan(2), settings, resources) is None
  with pytest.raises(ValueError, match=r'run_0: .*z_size was 2, is 3'):
    changed = make_plan(1, 'z_size=3')
    submission.submit('sweep', changed, settings, resources)


@pytest.mark.slow
@pytest.mark.usefixtures('one_machine')
def test_an_error_that_would_come_again_is_not_tried_again(settings):
  plan = make_plan(1, 'learning_rate=1e30,num_steps=60')
  resources = Resources(cpus=1, gpus=1)
  job = submission.submit('sweep', plan, settings, resources)
  with command('wait', str(job.folder)) as waiting:
    output, _ = waiting.communicate(timeout=300)
  assert waiting.returncode == 1 and 'NonFiniteCostError' in output
  status = statuses(job)['run_0']
  assert status.state == FAILED and status.num_restarts == 0
  with command('logs', str(job.folder), 'run_0') as logs:
    assert 'NonFiniteCostError' in logs.communicate()[0]


@pytest.mark.slow
@pytest.mark.usefixtures('one_machine')
def test_cancel_on_slurm(settings):
  plan = make_plan(2, 'num_steps=1000000')
  resources = Resources(cpus=1, gpus=2)
  job = submission.submit('sweep', plan, settings, resources)
  wait_until(lambda: statuses(job)['run_0'].state == 'RUNNING')
  with command('cancel', str(job.folder)) as cancelling:
    assert 'Cancelled: run_0, run_1' in cancelling.communicate()[0]
  with command('wait', str(job.folder)) as waiting:
    assert '2 of 2 runs are not finished' in waiting.communicate()[0]
  assert waiting.returncode == 1
  ends = {status.state for status in read_status(job)}
  assert ends == {CANCELLED}


@pytest.mark.usefixtures('one_machine')
def test_slurm_refuses(settings):
  with pytest.raises(ValueError, match=r'invalid partition.*--partition'):
    resources = Resources(partition='nowhere')
    submission.submit('sweep', make_plan(1), settings, resources)
  assert list_jobs(settings.log_root) == []
