"""Tests without training; submission_test.py has some with."""

import contextlib
import functools
import os
import signal
import subprocess
import sys

import pytest

from embedding_rnn import conftest
from embedding_rnn.experiments import local
from embedding_rnn.experiments.job import Settings, create_job
from embedding_rnn.experiments.resources import Resources, package_root
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.utils import locks

wait_until = functools.partial(conftest.wait_until, seconds=60)


@pytest.fixture
def make_job(tmp_path):
  """A function that makes a job of two runs, whose 'Python' is a script."""

  def make(script, **resources):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/bash\n{script}\n')
    python.chmod(0o755)
    runs = {name: default_hps() for name in ('a', 'b')}
    values = {'gpus': 0, 'array_parallelism': 1, **resources}
    return create_job(
      'sweep',
      runs,
      Settings('data', str(tmp_path / 'logs')),
      Resources(cluster='local', python=str(python), **values),
    )

  return make


def states(job):
  activities = local.activities(job)
  return {name: activity.state for name, activity in activities.items()}


def test_resources_that_this_machine_does_not_have(monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,5')
  complete = local.complete
  assert complete(Resources()) == {'gpus': 1, 'array_parallelism': 2}
  assert complete(Resources(gpus=2)) == {'gpus': 2, 'array_parallelism': 1}
  assert complete(Resources(gpus=0)) == {'gpus': 0, 'array_parallelism': 1}
  with pytest.raises(ValueError, match='--gpus=3: this machine has 2'):
    complete(Resources(gpus=3))
  with pytest.raises(ValueError, match='--nodes=2'):
    complete(Resources(nodes=2))
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert complete(Resources()) == {'gpus': 0, 'array_parallelism': 1}


def test_gpus_are_not_given_twice(monkeypatch, tmp_path):
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setattr('tempfile.tempdir', None)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,GPU-4/7,2')
  with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
    assert local._take_gpus(2, first) == ['0', 'GPU-4/7']
    assert local._take_gpus(2, second) is None
    assert local._take_gpus(1, second) == ['2']
  with contextlib.ExitStack() as third:
    assert local._take_gpus(3, third) == ['0', 'GPU-4/7', '2']
    assert local._take_gpus(0, third) == []


def test_what_always_dies_is_given_up(make_job):
  job = make_job('echo $CUDA_VISIBLE_DEVICES; exit 3', max_restarts=2)
  local.submit(job, list(job.runs))
  assert states(job) == {'a': 'PENDING', 'b': 'PENDING'}
  with pytest.raises(BlockingIOError):
    local.submit(job, ['a'])
  wait_until(lambda: not states(job))
  for name in job.runs:
    assert job.history(name).num_deaths == 3
    assert not job.may_restart(name)
  log = job.logs / f'{job.history("b").ids[0]}_0_log.out'
  assert log.read_text() == '-1\n'


# As a task that holds its lock, and saves on SIGTERM.
_TASK = """exec {python} -c '
import pathlib, signal, sys, time
sys.path.insert(0, "{root}")
from embedding_rnn.experiments.job import find_job
from embedding_rnn.utils import locks
job = find_job("{root_logs}", None)
launched = [n for n in job.runs if job.history(n).last_event == "launch"]
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), sys.exit(143)))
with locks.exclusive(job.lock_path(launched[0])):
  job.record(launched[0], "start", host="h")
  time.sleep(100)
'"""


@pytest.fixture
def job(make_job, tmp_path):
  script = _TASK.format(
    python=sys.executable, root=package_root(), root_logs=tmp_path / 'logs'
  )
  job = make_job(script, max_restarts=1)
  local.submit(job, list(job.runs))
  yield job
  for name in job.runs:
    job.record(name, 'cancel')
  local.cancel(job, list(job.runs))
  wait_until(lambda: locks.process_in(job.folder / 'scheduler.lock') is None)


def test_one_after_another_and_cancel(job):
  wait_until(lambda: states(job) == {'a': 'RUNNING', 'b': 'PENDING'})
  job.record('a', 'cancel')
  local.cancel(job, ['a'])
  assert locks.process_in(job.lock_path('a')) is None
  wait_until(lambda: states(job) == {'b': 'RUNNING'})
  assert job.history('a').num_deaths == 0
  job.record('b', 'cancel')
  local.cancel(job, ['b'])
  assert states(job) == {}


def test_a_killed_task_is_started_again(job):
  wait_until(lambda: states(job).get('a') == 'RUNNING')
  os.kill(locks.process_in(job.lock_path('a')), signal.SIGKILL)
  wait_until(lambda: job.history('a').num_starts == 2)
  assert job.history('a').num_deaths == 1
  assert states(job) == {'a': 'RUNNING', 'b': 'PENDING'}


def test_a_killed_scheduler_leaves_its_tasks(job):
  wait_until(lambda: states(job).get('a') == 'RUNNING')
  os.kill(locks.process_in(job.folder / 'scheduler.lock'), signal.SIGKILL)
  wait_until(lambda: states(job) == {'a': 'RUNNING'})  # and none for b
  local.submit(job, ['b'])
  wait_until(lambda: states(job) == {'a': 'RUNNING', 'b': 'RUNNING'})
  assert job.history('a').num_starts == 1


def test_a_job_of_another_machine(make_job, monkeypatch):
  job = make_job('true')
  monkeypatch.setattr('platform.node', lambda: 'elsewhere')
  for function in (local.activities, lambda j: local.cancel(j, [])):
    with pytest.raises(ConnectionError, match=f'is on {job.host}.*elsewhere'):
      function(job)


def test_ctrl_c_does_not_reach_the_scheduler(job):
  scheduler = locks.process_in(job.folder / 'scheduler.lock')
  session = subprocess.check_output(
    ['ps', '--no-headers', '-o', 'sid', '-p', str(scheduler)], text=True
  )
  assert int(session) == scheduler != os.getsid(0)
