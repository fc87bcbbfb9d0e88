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
  with subprocess.Popen(
    [sys.executable, '-c', _HOLD, path],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  ) as process:
    assert process.stdout.readline() == b'in\n'
    with (
      pytest.raises(BlockingIOError) as error,
      locks.exclusive(path, wait=False),
    ):
      pass
    assert error.value.strerror.startswith(f'process {process.pid} on ')
    process.kill()
  with locks.exclusive(path, wait=False):
    pass


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
