"""Tests with pretended Slurm commands; submission_test.py has a real one."""

import json
import re
import shlex
import subprocess

import pytest

from embedding_rnn.experiments import slurm
from embedding_rnn.experiments.job import Settings, create_job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.slurm import Activity
from embedding_rnn.model.hparams import default_hps


@pytest.fixture
def commands(tmp_path, monkeypatch):
  """A function that makes a command of some lines of Bash; logs its calls."""
  folder = tmp_path / 'bin'
  folder.mkdir()
  monkeypatch.setenv('PATH', f'{folder}:/usr/bin:/bin')

  def make(name, script=''):
    path = folder / name
    log = f'echo {name} "$@" >>{shlex.quote(str(tmp_path / "calls"))}'
    path.write_text(f'#!/bin/bash\n{log}\n{script}\n')
    path.chmod(0o755)

  return make


def calls(tmp_path):
  path = tmp_path / 'calls'
  return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def make_job(tmp_path):
  def make(**resources):
    runs = {name: default_hps() for name in ('a', 'b b', 'c')}
    settings = Settings('data', str(tmp_path / 'logs'))
    return create_job('sweep', runs, settings, Resources(**resources))

  return make


def test_there_is_no_slurm(monkeypatch):
  monkeypatch.setenv('PATH', '/nowhere')
  with pytest.raises(ValueError, match=r'no Slurm here.*--local=true'):
    slurm.check_resources(Resources())


def test_a_time_that_leaves_none_to_train(commands):
  for name in ('sbatch', 'srun'):
    commands(name)
  with pytest.raises(ValueError, match='5 minutes: expected at least 10'):
    slurm.check_resources(Resources(time_minutes=5))
  slurm.check_resources(Resources())


@pytest.mark.parametrize(('gpus', 'options'), [(None, ['1']), (0, [])])
def test_number_of_gpus(commands, make_job, gpus, options):
  commands('srun')
  commands('sbatch', 'echo Submitted batch job 41')
  job = make_job(gpus=gpus)
  slurm.submit(job, ['c'])
  script = (job.logs / '41_submission.sh').read_text()
  assert re.findall(r'#SBATCH --gpus-per-node=(.*)', script) == options


def test_what_sbatch_gets(commands, make_job):
  commands('srun')
  commands('sbatch', 'echo Submitted batch job 41')
  job = make_job(
    partition='gpu',
    gpus=2,
    nodes=3,
    memory_gb=1.5,
    time_minutes=90,
    array_parallelism=2,
    setup=('module load cuda',),
    python='apptainer exec --nv image.sif python',
    slurm=('account=me', 'exclusive', 'ntasks-per-node=2'),
  )
  slurm.submit(job, ['c', 'b b'])
  assert job.history('c').ids == ('41_0',)
  assert job.history('b b').ids == ('41_1',)
  script = (job.logs / '41_submission.sh').read_text()
  options = {
    line.removeprefix('#SBATCH --')
    for line in script.splitlines()
    if line.startswith('#SBATCH')
  }
  assert options >= {
    'account=me',
    'array=0-1%2',
    'cpus-per-task=4',
    'exclusive',
    'gpus-per-node=2',
    f'job-name={job.name}',
    'mem=1536M',
    'nodes=3',
    'ntasks-per-node=2',
    'partition=gpu',
    'requeue',
    'signal=USR2@180',
    'time=90',
  }
  assert '\nmodule load cuda\n' in script
  assert 'apptainer exec --nv image.sif python -u -m submitit' in script
  assert subprocess.check_output(['bash', '-n'], input=script, text=True) == ''
  for path in job.logs.glob('*.pkl'):  # names, and nothing of the runs
    assert path.stat().st_size < 1000


def test_sbatch_refuses(commands, make_job):
  commands('srun')
  commands('sbatch', 'echo invalid partition specified: x >&2; exit 1')
  with pytest.raises(ValueError, match=r'invalid partition.*--partition'):
    slurm.submit(make_job(partition='x'), ['a'])


def test_what_squeue_says(commands, make_job, tmp_path):
  job = make_job()
  for i, name in enumerate(job.runs):
    job.record(name, 'submit', id=f'7_{i}')
  commands(
    'squeue',
    'cat <<END\n'
    '7_0|RUNNING|node1|1-02:03:04|None\n'
    '7_1|PENDING||1:00:00|JobArrayTaskLimit\n'
    '6_2|FAILED|node2|0:01|NonZeroExitCode\nEND',
  )
  assert slurm.activities(job) == {
    'a': Activity('RUNNING', 'node1', 93784, ''),
    'b b': Activity('PENDING', '', None, 'JobArrayTaskLimit'),
  }
  commands('scancel')
  slurm.cancel(job, ['b b', 'c'])
  assert calls(tmp_path)[-1] == 'scancel 7_1'


def test_slurm_does_not_answer(commands, make_job):
  commands('squeue', 'echo Unable to contact slurm controller >&2; exit 1')
  with pytest.raises(ConnectionError, match='Unable to contact'):
    slurm.activities(make_job())


@pytest.mark.parametrize(
  ('state', 'status', 'event', 'is_death', 'is_requeued'),
  [
    ('RUNNING', 0, {'event': 'start'}, False, False),
    ('RUNNING', 137, {'event': 'start'}, True, True),
    ('RUNNING', 1, {'event': 'error', 'final': False}, True, True),
    ('RUNNING', 1, {'event': 'error', 'final': True}, False, False),
    ('RUNNING', 143, {'event': 'stop'}, False, True),
    ('RUNNING', 140, {'event': 'start'}, False, True),
    ('RUNNING', 127, None, True, True),  # no Python on this node
    ('COMPLETING', 143, {'event': 'stop'}, False, False),  # cancelled
    ('PENDING', 255, {'event': 'stop'}, False, False),  # requeued
  ],
)
def test_what_the_batch_script_does_at_the_end(
  state, status, event, is_death, is_requeued, commands, make_job, tmp_path
):
  job = make_job(max_restarts=1)
  # What the run's process writes before it ends.
  line = event and json.dumps({'time': 0, 'message': '', 'host': ''} | event)
  events = job.events_path('b b')
  commands('srun', f"echo '{line or ''}' >>'{events}'; exit {status}")
  if not event:
    commands('srun', f'exit {status}')
  commands('sbatch', 'echo Submitted batch job 7')
  commands('squeue', f'echo {state}')
  commands('scontrol')
  slurm.submit(job, list(job.runs))
  job.record('b b', 'stop')  # of the process before
  script = job.logs / '7_submission.sh'
  names = {'SLURM_JOB_ID': '9', 'SLURM_ARRAY_JOB_ID': '7'}
  environment = {'PATH': f'{tmp_path}/bin:/usr/bin:/bin', **names}

  def run():
    return subprocess.run(
      ['bash', script],
      check=False,
      env={**environment, 'SLURM_ARRAY_TASK_ID': '1'},
    ).returncode

  assert run() == status
  assert job.history('b b').num_deaths == is_death
  requeue = 'scontrol requeue 7_1'
  assert (requeue in calls(tmp_path)) == is_requeued
  if is_death:  # the next one is one too many
    run()
    assert job.history('b b').num_deaths == 2
    assert calls(tmp_path).count(requeue) == 1


def test_what_cannot_be_counted_is_not_tried_again(
  commands, make_job, tmp_path
):
  job = make_job()
  commands('srun', 'rm -r "$(dirname "$events")"; exit 1')
  commands('sbatch', 'echo Submitted batch job 7')
  commands('squeue', 'echo RUNNING')
  commands('scontrol')
  slurm.submit(job, ['a'])
  subprocess.run(
    ['bash', job.logs / '7_submission.sh'],
    check=False,
    env={
      'PATH': f'{tmp_path}/bin:/usr/bin:/bin',
      'SLURM_JOB_ID': '7',
      'events': str(job.events_path('a')),
    },
  )
  assert 'squeue --noheader --jobs=7 --format=%T' in calls(tmp_path)
  assert not [call for call in calls(tmp_path) if call.startswith('scontrol')]


@pytest.mark.parametrize(
  'option', ['array=0-3', 'time=5', 'job-name=x', '--qos=high', '', '=3']
)
def test_options_that_every_job_has(commands, option):
  for name in ('sbatch', 'srun'):
    commands(name)
  with pytest.raises(ValueError, match=f'--slurm={option}: expected'):
    slurm.check_resources(Resources(slurm=(option,)))
  with pytest.raises(ValueError, match=r'--memory_gb=0\.0'):
    slurm.check_resources(Resources(memory_gb=0.0))
