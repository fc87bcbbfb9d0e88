"""Whole jobs, on this machine and on a Slurm of one machine."""

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
from embedding_rnn.experiments import local, submission
from embedding_rnn.experiments.job import Settings, list_jobs, read_job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.schedulers import SCHEDULERS
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
from embedding_rnn.utils import locks

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
    SCHEDULERS[job.resources.cluster].cancel(job, list(job.runs))


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
  for name in job.runs:
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


@pytest.mark.slow
def test_a_job_on_this_machine(settings, expected_weights):
  plan = make_plan(2)
  plan['long'] = make_plan(1, 'num_steps=1000000')['run_0']
  resources = Resources(cluster='local', array_parallelism=3, gpus=0)
  job = submission.submit('sweep', plan, settings, resources)
  with pytest.raises(FileExistsError, match=rf'in {job.name}; wait for it'):
    submission.submit('other', make_plan(1), settings, resources)

  wait_until(lambda: is_under_way(job, 'run_0'))
  # With its scheduler alive it would go on by itself.
  os.kill(locks.process_in(job.folder / 'scheduler.lock'), signal.SIGKILL)
  os.kill(training_process(job, 'run_0'), signal.SIGKILL)
  wait_until(lambda: statuses(job)['run_0'].state == DIED)
  waiting = command('wait', str(job.folder))
  wait_until(lambda: is_under_way(job, 'long'))
  with command('cancel', str(job.folder), 'long') as cancelling:
    assert 'Cancelled: long' in cancelling.communicate()[0]
  output, _ = waiting.communicate(timeout=300)
  assert waiting.returncode == 1
  assert 'Submitted again: run_0' in output
  assert '1 of 3 runs are not finished: long' in output

  ends = {name: status.state for name, status in statuses(job).items()}
  assert ends == {'run_0': FINISHED, 'run_1': FINISHED, 'long': CANCELLED}
  assert statuses(job)['run_0'].num_restarts == 1
  assert statuses(job)['run_1'].num_restarts == 0
  del job.runs['long']
  assert_ended_as(job, expected_weights)
  assert submission.submit('sweep', make_plan(2), settings, resources) is None
  with pytest.raises(ValueError, match=r'run_0: .*z_size was 2, is 3'):
    changed = make_plan(1, 'z_size=3')
    submission.submit('sweep', changed, settings, resources)


@pytest.mark.slow
def test_an_error_that_would_come_again_is_not_tried_again(settings):
  plan = make_plan(1, 'learning_rate=1e30,num_steps=60')
  resources = Resources(cluster='local', gpus=0)
  job = submission.submit('sweep', plan, settings, resources)
  with command('wait', str(job.folder)) as waiting:
    output, _ = waiting.communicate(timeout=300)
  assert waiting.returncode == 1 and 'NonFiniteCostError' in output
  status = statuses(job)['run_0']
  assert status.state == FAILED and status.num_restarts == 0
  with command('logs', str(job.folder), 'run_0') as logs:
    assert 'NonFiniteCostError' in logs.communicate()[0]


def test_refusals_leave_nothing_behind(settings, monkeypatch, tmp_path):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  with pytest.raises(ValueError, match='--gpus=1: this machine has 0'):
    resources = Resources(cluster='local', gpus=1)
    submission.submit('sweep', make_plan(1), settings, resources)
  assert not (tmp_path / 'logs').exists()

  folder = tmp_path / 'logs' / 'run_0'
  folder.mkdir(parents=True)
  with (
    checkpoints.locked(folder),
    pytest.raises(BlockingIOError, match='trained by another process'),
  ):
    resources = Resources(cluster='local')
    submission.submit('sweep', make_plan(1), settings, resources)
  assert not (tmp_path / 'logs' / 'jobs').exists()


def test_what_cannot_be_submitted_leaves_no_job(settings, monkeypatch):
  def fail(job, run_names):
    raise ValueError('no such partition')

  monkeypatch.setattr(local, 'submit', fail)
  with pytest.raises(ValueError, match='no such partition'):
    resources = Resources(cluster='local')
    submission.submit('sweep', make_plan(1), settings, resources)
  assert list_jobs(settings.log_root) == []


@pytest.fixture(scope='module')
def slurm(tmp_path_factory):
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
@pytest.mark.usefixtures('slurm')
def test_a_job_array_on_slurm(settings, expected_weights):
  resources = Resources(cpus=1, gpus=1, array_parallelism=2)
  job = submission.submit('sweep', make_plan(4), settings, resources)
  ids = {name: job.history(name).ids[0] for name in job.runs}
  main_id = ids['run_0'].partition('_')[0]
  assert list(ids.values()) == [f'{main_id}_{i}' for i in range(4)]
  with pytest.raises(FileExistsError, match=rf'in {job.name}; wait for it'):
    submission.submit('other', make_plan(1), settings, resources)
  # Not by the command: while it starts, runs of a fast machine end.
  states = [status.state for status in read_status(job)]
  assert states.count('PENDING') >= 2
  waiting = command('wait', str(job.folder))

  interruptions = {
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
  assert waiting.returncode == 0, output
  assert 'Submitted again: run_2' in output
  assert_ended_as(job, expected_weights)
  assert {status.state for status in read_status(job)} == {FINISHED}
  starts = [job.history(name).num_starts for name in job.runs]
  deaths = [job.history(name).num_deaths for name in job.runs]
  assert starts == [2, 2, 2, 1] and deaths[0] == 1 and deaths[1] == 0
  assert job.history('run_2').ids[-1] not in ids.values()
  with command('status', str(job.folder)) as status:
    assert status.communicate()[0].count('2400/2400') == 4


@pytest.mark.slow
@pytest.mark.usefixtures('slurm')
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


@pytest.mark.usefixtures('slurm')
def test_slurm_refuses(settings):
  with pytest.raises(ValueError, match=r'invalid partition.*--partition'):
    resources = Resources(partition='nowhere')
    submission.submit('sweep', make_plan(1), settings, resources)
  assert list_jobs(settings.log_root) == []
