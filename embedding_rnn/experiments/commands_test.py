import subprocess
import sys

import pytest

from embedding_rnn.experiments import commands
from embedding_rnn.experiments.job import Settings, create_job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.status import RunStatus
from embedding_rnn.model.hparams import default_hps


@pytest.fixture
def job(tmp_path):
  runs = {name: default_hps() for name in ('a', 'b')}
  settings = Settings('data', str(tmp_path))
  return create_job('sweep', runs, settings, Resources())


class Cluster:
  """A Slurm, and what becomes of the runs one look after another."""

  def __init__(self, *looks):
    self.looks, self.submitted, self.cancelled = list(looks), [], []

  def read_status(self, job, run_names=None):
    look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
    return [
      RunStatus(name, state, 0, 1, None, None, None, '', 0, '')
      for name, state in zip(job.runs, look, strict=True)
      if not run_names or name in run_names
    ]

  def submit(self, job, run_names):
    self.submitted.append(run_names)

  def activities(self, job):
    return {}

  def cancel(self, job, run_names):
    self.cancelled += run_names


@pytest.fixture
def use(monkeypatch):
  def use(cluster):
    monkeypatch.setattr(commands, 'read_status', cluster.read_status)
    monkeypatch.setattr(commands, 'slurm', cluster)
    monkeypatch.setattr(commands, '_POLL_SECONDS', 0)
    return cluster

  return use


def run(*arguments):
  commands.main(
    commands.parse_command_line(['script_utils.py', *map(str, arguments)])
  )


def test_wait_submits_again_what_is_dead_at_two_looks(job, use):
  cluster = use(
    Cluster(
      ('RUNNING', 'DIED'),
      ('DIED', 'DIED'),
      ('DIED', 'DIED'),  # a third look, at b alone
      ('RUNNING', 'RUNNING'),
      ('FINISHED', 'DIED'),
      ('FINISHED', 'FINISHED'),
    )
  )
  run('wait', job.folder)
  assert cluster.submitted == [['b']]
  assert job.history('b').num_deaths == 1


def test_wait_fails_if_a_run_does(job, use):
  cluster = use(Cluster(('FAILED', 'FINISHED')))
  with pytest.raises(ChildProcessError, match=r'1 of 2 runs are not.*: a'):
    run('wait', job.folder)
  assert cluster.submitted == []


def test_wait_asks_slurm_once_whether_it_is_there(job, use):
  def fail(job):
    raise ConnectionError('squeue failed')

  cluster = Cluster(('FINISHED', 'FINISHED'))
  cluster.activities = fail
  use(cluster)
  run('wait', job.folder)  # There is nothing to ask.
  cluster.looks = [('UNKNOWN', 'FINISHED')]
  with pytest.raises(ConnectionError, match='squeue'):
    run('wait', job.folder)


def test_status_watches_and_changes_nothing(job, use, capsys):
  cluster = use(Cluster(('RUNNING', 'DIED'), ('FINISHED', 'DIED')))
  run('status', job.name, f'--log_root={job.settings.log_root}', '--watch')
  assert cluster.submitted == []
  assert '1 FINISHED, 1 DIED' in capsys.readouterr().out


def test_cancel(job, use):
  cluster = use(Cluster(('RUNNING', 'DIED')))
  run('cancel', job.folder, 'a')
  assert cluster.cancelled == ['a'] and job.history('a').is_cancelled
  run('cancel', job.folder)
  assert cluster.cancelled == ['a', 'a', 'b']
  with pytest.raises(ValueError, match="no run 'c'; its runs are: a, b"):
    run('cancel', job.folder, 'c')


def test_logs(job, use, capsys):
  use(Cluster(('RUNNING', 'FINISHED'), ('FINISHED', 'FINISHED')))
  for job_id in ('7_0', '9'):
    job.record('a', 'submit', id=job_id)
  lines = ''.join(f'line {i}\n' for i in range(100))
  (job.logs / '7_0_0_log.out').write_text('first\n')
  (job.logs / '9_0_log.err').write_text(lines)
  (job.logs / '9_1_log.err').write_bytes(b'bar\rbar \xff\n')
  run('logs', job.folder, 'a', '--follow')
  output = capsys.readouterr().out.splitlines()
  assert output[:2] == [f'=== {job.logs / "7_0_0_log.out"}', 'first']
  assert output[3:43] == lines.splitlines()[-40:]
  assert output[-2:] == ['bar', 'bar \ufffd']


def test_help_has_examples_and_is_quick_since_without_tensorflow(tmp_path):
  code = (
    'import sys; from embedding_rnn.experiments import commands\n'
    'sys.argv[0] = "script_utils.py"\n'
    'try: commands.parse_command_line(sys.argv)\n'
    'finally: assert not {"tensorflow", "keras"} & set(sys.modules)'
  )
  for name in ('status', 'wait', 'logs', 'cancel'):
    output = subprocess.check_output(
      [sys.executable, '-c', code, name, '--help'], text=True
    )
    assert f'Example: python script_utils.py {name} ' in output


def test_what_was_typed_has_no_effect_on_a_terminal(capsys):
  for arguments in (['\x1b[31m'], ['status', 'a', '\x1b[31m']):
    with pytest.raises(SystemExit, match='2'):
      run(*arguments)
    err = capsys.readouterr().err
    assert '[31m' in err and '\x1b' not in err
