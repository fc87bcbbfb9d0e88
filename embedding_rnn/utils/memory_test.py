"""Tests of memory.py."""

import os
import subprocess
import sys

import pytest

from embedding_rnn.utils import memory


def test_what_there_is():
  with open('/proc/meminfo', encoding='ascii') as file:
    total = int(file.readline().split()[1]) * 1024
  assert 0 < memory.available_bytes() <= 1.01 * total
  memory.expect_memory(memory.available_bytes(), 'This', 'no fix')


def test_what_cannot_fit_is_refused():
  with pytest.raises(
    ValueError, match=r'^Work would take about .* GB; rest\.$'
  ):
    memory.expect_memory(2.0 * memory.available_bytes(), 'Work', 'rest')


def test_a_container_may_have_less(tmp_path, monkeypatch):
  path = tmp_path / 'memory.max'
  monkeypatch.setattr(memory, '_CGROUP', path)
  without = memory.available_bytes()
  path.write_text('max\n')
  assert memory.available_bytes() == without
  path.write_text('123000\n')
  assert memory.available_bytes() == 123_000


def test_a_limit_of_the_process_counts():
  code = (
    'import resource; from embedding_rnn.utils import memory;'
    'resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30));'
    'print(memory.available_bytes())'
  )
  result = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    check=True,
    env=os.environ,
  )
  assert int(result.stdout) == 2**30
