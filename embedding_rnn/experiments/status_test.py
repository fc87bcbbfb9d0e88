import shutil

import pytest

from embedding_rnn.experiments import status
from embedding_rnn.experiments.job import Settings, create_job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.slurm import Activity
from embedding_rnn.experiments.status import (
  DIED,
  FINISHED,
  UNKNOWN,
  RunStatus,
  make_status_table,
  read_status,
)
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import progress
from embedding_rnn.training.progress import State
from embedding_rnn.utils.files import DamagedFileError


class PretendedSlurm:
  """It says what it is told to."""

  def __init__(self):
    self.activity = self.problem = None

  def activities(self, job):
    if self.problem:
      raise ConnectionError(self.problem)
    return {'a': self.activity} if self.activity else {}


@pytest.fixture
def slurm(monkeypatch):
  slurm = PretendedSlurm()
  monkeypatch.setattr(status, 'slurm', slurm)
  return slurm


@pytest.fixture
def job(tmp_path):
  hps = default_hps().parse('num_steps=100,save_every=50')
  settings = Settings('data', str(tmp_path))
  return create_job('sweep', {'a': hps}, settings, Resources(max_restarts=1))


def set_progress(monkeypatch, job, error=None, **state):
  def read(folder):
    assert folder == job.run_folder('a')
    if error:
      raise error
    newest = State(**state)
    return progress.Progress(
      'a', job.runs['a'], {}, newest, newest.step + 5, {}
    )

  monkeypatch.setattr(progress, 'read_progress', read)


def read(job):
  (status,) = read_status(job)
  return status


_SUBMIT = ('submit', {'id': '1'})
_START = ('start', {'host': 'h'})
_DIED = ('died', {'status': 9})
_STOP = ('stop', {})


@pytest.mark.parametrize(
  ('events', 'activity', 'state'),
  [
    ([_SUBMIT], 'PENDING', 'PENDING'),
    ([_SUBMIT, _START], 'RUNNING', 'RUNNING'),
    ([_SUBMIT, _START, _STOP], 'PENDING', 'REQUEUED'),
    ([_SUBMIT, _START, _DIED], 'PENDING', 'REQUEUED'),
    ([_SUBMIT, _START], 'SUSPENDED', 'SUSPENDED'),
    ([_SUBMIT, _START], None, 'DIED'),  # Slurm forgot it
    ([_SUBMIT, _START], 'FAILED', 'DIED'),
    ([_SUBMIT, _START], 'NODE_FAIL', 'DIED'),
    ([_SUBMIT, _START], 'TIMEOUT', 'DIED'),
    ([_SUBMIT, _START, _STOP], None, 'DIED'),
    ([_SUBMIT, _START, _DIED, _START], None, 'FAILED'),  # once too often
    ([_SUBMIT, _START, _DIED, _START, _DIED], 'FAILED', 'FAILED'),
    ([_SUBMIT, _START, _DIED, _START, _STOP], None, 'DIED'),
    ([_SUBMIT, _START], 'CANCELLED', 'CANCELLED'),  # by scancel
    ([_SUBMIT, _START, ('cancel', {}), _STOP], None, 'CANCELLED'),
    ([_SUBMIT, ('cancel', {}), _SUBMIT, _START], 'RUNNING', 'RUNNING'),
    (
      [_SUBMIT, _START, ('error', {'message': 'no', 'final': True})],
      None,
      'FAILED',
    ),
    (
      [_SUBMIT, _START, ('error', {'message': 'no', 'final': False})],
      None,
      'DIED',
    ),
  ],
)
def test_states(events, activity, state, job, slurm):
  for event, metadata in events:
    job.record('a', event, **metadata)
  slurm.activity = activity and Activity(activity)
  assert read(job).state == state


def test_a_run_under_way(job, slurm, monkeypatch):
  job.record('a', 'submit', id='1')
  for _ in range(3):
    job.record('a', 'start', host='old')
  slurm.activity = Activity('RUNNING', 'node', 3600.0)
  set_progress(monkeypatch, job, step=50, best_cost=1.5, seconds=10.0)
  assert read(job) == RunStatus(
    'a', 'RUNNING', 55, 100, 1.5, 45 * 10 / 50, 3600.0, 'node', 2, ''
  )


def test_a_finished_run_whatever_slurm_says(job, slurm, monkeypatch):
  set_progress(monkeypatch, job, step=100, evaluated_step=100, best_cost=1.0)
  slurm.activity = Activity('FAILED', 'node', None, 'NodeDown')
  assert read(job).state == FINISHED and not read(job).note
  job.runs['a'].num_steps = 200  # more than it was once to do
  assert read(job).state == DIED


def test_damage_and_silence_do_not_break_the_table(job, slurm, monkeypatch):
  set_progress(monkeypatch, job, error=DamagedFileError('run.json is damaged'))
  slurm.activity = Activity('RUNNING', 'node')
  assert (
    read(job).note == 'run.json is damaged' and read(job).state == 'RUNNING'
  )
  slurm.problem = 'squeue failed'
  assert read(job).state == UNKNOWN
  set_progress(monkeypatch, job, step=1)
  assert read(job).note == 'squeue failed'
  table = make_status_table(job, [read(job)])
  assert table.title.plain == f'{job.name}: 1 UNKNOWN'
  assert 'squeue failed' in str(table.columns[-1]._cells[0])


def test_a_run_whose_folder_is_missing(job, slurm):
  slurm.activity = Activity('PENDING', reason='Priority')
  assert read(job).step == 0 and read(job).note == 'Priority'
  shutil.rmtree(job.folder / 'runs')
  assert read(job).state == 'PENDING'
