"""What processes that were killed, or are alive, have beside a path."""

import os
import subprocess
import sys

import pytest

from embedding_rnn.utils import files, temporaries

_WRITE = """
import pathlib, sys
from embedding_rnn.utils import files
with files.replacing(sys.argv[1]) as file:
  file.write_text('half of')
  with files.replacing_folder(sys.argv[2]) as folder:
    (folder / 'x').write_text('half of')
    print('in', flush=True)
    sys.stdin.read()
"""


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def writer(tmp_path):
  """A process in the middle of writing a file and a folder."""
  paths = tmp_path / 'file', tmp_path / 'folder'
  with subprocess.Popen(
    [sys.executable, '-c', _WRITE, *paths],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  ) as process:
    assert process.stdout.readline() == b'in\n'
    yield process
    process.kill()


def _write(tmp_path):
  files.write_text(tmp_path / 'file', 'whole')
  with files.replacing_folder(tmp_path / 'folder') as folder:
    assert not list(folder.iterdir())
    (folder / 'y').write_text('whole')


def test_what_a_killed_process_left_is_gone_with_the_next_write(
  writer, tmp_path
):
  writer.kill()
  writer.wait()
  assert _names(tmp_path) == ['.file.0.tmp', '.folder.0.tmp']
  _write(tmp_path)
  assert _names(tmp_path) == ['file', 'folder']
  assert _names(tmp_path / 'folder') == ['y']
  assert (tmp_path / 'file').read_text() == 'whole'


def test_what_a_living_process_writes_is_left_alone(writer, tmp_path):
  _write(tmp_path)
  temporaries.remove_left(tmp_path)
  assert _names(tmp_path) == [
    '.file.0.tmp',
    '.folder.0.tmp',
    'file',
    'folder',
  ]
  writer.communicate()  # lets it finish
  assert writer.returncode == 0
  assert _names(tmp_path) == ['file', 'folder']
  assert _names(tmp_path / 'folder') == ['x']
  assert (tmp_path / 'file').read_text() == 'half of'


def test_left_by_processes_that_wrote_at_the_same_time(tmp_path):
  for i in range(3):
    (tmp_path / f'.file.{i}.tmp').write_text('half of')
    (tmp_path / f'.folder.{i}.tmp' / 'inside').mkdir(parents=True)
  _write(tmp_path)
  assert _names(tmp_path) == ['file', 'folder']


def test_all_that_is_left_in_a_folder(tmp_path):
  (tmp_path / '.save-1.77.tmp').mkdir()
  (tmp_path / '.save-1.77.tmp' / 'weights.npz').write_text('half of')
  (tmp_path / '.a.json.77.tmp').write_text('half of')
  (tmp_path / 'a.json').write_text('{}')
  temporaries.remove_left(tmp_path)
  assert _names(tmp_path) == ['a.json']


def test_what_is_no_file_is_left_alone(tmp_path):
  os.mkfifo(tmp_path / '.file.0.tmp')
  (tmp_path / '.file.1.tmp').symlink_to(tmp_path / 'other')
  (tmp_path / '.file.2.tmp').mkdir()
  files.write_text(tmp_path / 'file', 'whole')
  assert (tmp_path / 'file').read_text() == 'whole'
  assert not (tmp_path / 'other').exists()


def test_what_is_left_by_a_block_that_fails(tmp_path):
  for is_folder in (False, True):
    with pytest.raises(KeyError):
      with temporaries.beside(tmp_path / 'x', is_folder) as temporary:
        if is_folder:
          (temporary / 'inside').mkdir()
        raise KeyError
    assert not _names(tmp_path)


def test_names_without_their_marks():
  assert temporaries.final('/a/.b.json.71.tmp') == '/a/b.json'
  assert temporaries.final('/a/.b.0.tmp/.c.3.tmp') == '/a/b/c'
  assert temporaries.final(b'/a/b') == '/a/b'


@pytest.mark.parametrize('is_folder', [False, True])
def test_where_nothing_can_be_made(is_folder):
  """Not waited for, as a name that another process has just taken is."""
  replacing = files.replacing_folder if is_folder else files.replacing
  with pytest.raises(OSError, match='No such file'), replacing('/proc/x'):
    pass
