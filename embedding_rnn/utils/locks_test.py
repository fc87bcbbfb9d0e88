import subprocess
import sys
import threading

import pytest

from embedding_rnn.utils import locks

_HOLD = """
import pathlib, sys
from embedding_rnn.utils import locks
with locks.exclusive(pathlib.Path(sys.argv[1])):
  print('in', flush=True)
  sys.stdin.read()
"""


def test_a_lock_tells_its_process_and_ends_with_it(tmp_path):
  path = tmp_path / 'lock'
  assert locks.process_in(path) is None
  with subprocess.Popen(
    [sys.executable, '-c', _HOLD, path],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  ) as process:
    assert process.stdout.readline() == b'in\n'
    assert locks.process_in(path) == process.pid
    with (
      pytest.raises(BlockingIOError) as error,
      locks.exclusive(path, wait=False),
    ):
      pass
    assert error.value.strerror.startswith(f'process {process.pid} on ')
    process.kill()
  assert locks.process_in(path) is None


def test_others_wait(tmp_path):
  path, order = tmp_path / 'lock', []

  def other():
    with locks.exclusive(path):
      order.append('other')

  thread = threading.Thread(target=other)
  with locks.exclusive(path):
    thread.start()
    thread.join(0.2)
    order.append('first')
  thread.join()
  assert order == ['first', 'other']


def test_a_lock_passes_to_the_process_that_inherits_it(tmp_path):
  path = tmp_path / 'lock'
  with locks.exclusive(path, wait=False) as file:
    process = subprocess.Popen(
      ['cat'], stdin=subprocess.PIPE, pass_fds=[file.fileno()]
    )
    locks.sign(file, process.pid)
  assert locks.process_in(path) == process.pid
  process.communicate()
  assert locks.process_in(path) is None


def test_a_lock_that_was_signed_by_version_0_1_0(tmp_path):
  path = tmp_path / 'lock'
  with locks.exclusive(path) as file:
    file.truncate(0)
    file.write('12')
    file.flush()
    assert locks.process_in(path) == 12
