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


def test_a_file_that_goes_with_the_last(tmp_path):
  """Each of some processes is alone, although the file comes and goes."""
  lock, count = tmp_path / 'lock', tmp_path / 'count'
  count.write_text('0')
  work = (
    'import pathlib, sys; from embedding_rnn.utils import locks\n'
    'lock, count = map(pathlib.Path, sys.argv[1:])\n'
    'for _ in range(200):\n'
    '  with locks.exclusive(lock, is_kept=False):\n'
    '    count.write_text(str(int(count.read_text()) + 1))\n'
  )
  children = [
    subprocess.Popen([sys.executable, '-c', work, lock, count])
    for _ in range(3)
  ]
  assert [child.wait(60) for child in children] == [0] * 3
  assert count.read_text() == '600' and not lock.exists()


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
