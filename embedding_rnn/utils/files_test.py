"""Tests of files.py: whole files, and checksums."""

import errno
import functools
import hashlib
import json
import os
import pathlib
import re

import numpy as np
import pytest

from embedding_rnn.utils import files

CONTENTS = {'a.json': b'{"x": [1, 2]}', 'b.npz': None, 'c.txt': b'text'}


@pytest.fixture
def folder(tmp_path):
  files.write_json(tmp_path / 'a.json', {'x': [1, 2]})
  files.write_arrays(tmp_path / 'b.npz', {'cell/w': np.arange(6.0)})
  files.write_text(tmp_path / 'c.txt', 'text')
  files.write_manifest(tmp_path, CONTENTS)
  return tmp_path


def read_all(folder):
  checked = files.CheckedFolder(folder, 'the fix')
  arrays = checked.read_arrays('b.npz')
  return checked.read_json('a.json'), arrays, checked.read('c.txt')


def test_round_trip(folder):
  value, arrays, text = read_all(folder)
  assert value == {'x': [1, 2]} and text == b'text'
  np.testing.assert_array_equal(arrays['cell/w'], np.arange(6.0))
  assert sorted(p.name for p in folder.iterdir()) == [*CONTENTS, files.MANIFEST]
  manifest = json.loads((folder / files.MANIFEST).read_bytes())
  for name, digest in manifest.items():
    content = (folder / name).read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize('name', [*CONTENTS, files.MANIFEST])
def test_no_flipped_bit_goes_unseen(folder, name):
  content = (folder / name).read_bytes()
  for i in range(0, 8 * len(content), 5):
    flipped = bytearray(content)
    flipped[i // 8] ^= 1 << i % 8
    (folder / name).write_bytes(flipped)
    with pytest.raises(files.DamagedFileError, match='the fix'):
      read_all(folder)
  (folder / name).write_bytes(content)
  read_all(folder)


@pytest.mark.parametrize('name', [*CONTENTS, files.MANIFEST])
def test_truncated_and_missing_files(folder, name):
  path = folder / name
  path.write_bytes(path.read_bytes()[:-1])
  if name != files.MANIFEST:  # There, the last byte is only a line end.
    with pytest.raises(files.DamagedFileError, match=rf'{name}.*truncated'):
      read_all(folder)
  path.write_bytes(b'')
  with pytest.raises(files.DamagedFileError, match=name):
    read_all(folder)
  path.unlink()
  with pytest.raises(files.DamagedFileError, match=rf'{name}.*is missing'):
    read_all(folder)


def test_files_of_another_kind(folder):
  with (folder / 'pickle.npz').open('wb') as file:
    np.save(file, np.array([{}]), allow_pickle=True)
  (folder / 'list.json').write_text('[1]')
  files.write_manifest(folder, ('pickle.npz', 'list.json'))
  checked = files.CheckedFolder(folder, 'the fix')
  with pytest.raises(files.DamagedFileError, match=r'pickle\.npz.*not an .npz'):
    checked.read_arrays('pickle.npz')
  with pytest.raises(files.DamagedFileError, match=r'list\.json.*JSON object'):
    checked.read_json('list.json')
  with pytest.raises(files.DamagedFileError, match='does not list a'):
    checked.read('a.json')


def test_a_failed_write_changes_nothing(folder):
  before = {p.name: p.read_bytes() for p in folder.iterdir()}
  with pytest.raises(KeyError), files.replacing(folder / 'c.txt') as temporary:
    temporary.write_text('half of')
    raise KeyError
  with (
    pytest.raises(KeyError),
    files.replacing_folder(folder / 'new') as temporary,
  ):
    files.write_text(temporary / 'x', 'half of')
    raise KeyError
  assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_folders_are_replaced_whole(tmp_path):
  for text in ('old', 'new'):
    with files.replacing_folder(tmp_path / 'save') as temporary:
      (temporary / text).mkdir()
      files.write_text(temporary / text / 'x.txt', text)
  assert [p.name for p in tmp_path.iterdir()] == ['save']
  names = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.txt')]
  assert names == ['save/new/x.txt']
  assert [p.name for p in (tmp_path / 'save').iterdir()] == ['new']


def test_what_is_on_the_disk_when(tmp_path, monkeypatch):
  """Power cuts: content comes before names, and names before the next step."""
  happened = []

  def name(path):
    # Such as .save.77.tmp/.x.77.tmp
    parts = pathlib.Path(path).relative_to(tmp_path).parts
    return '/'.join(re.sub(r'\.\d+\.', '.N.', part) for part in parts) or '.'

  def record(action, *paths, original):
    happened.append((action, *map(name, paths)))
    return original(*paths)

  def fsync(descriptor, original=os.fsync):
    happened.append(('sync', name(os.readlink(f'/dev/fd/{descriptor}'))))
    original(descriptor)

  monkeypatch.setattr(os, 'fsync', fsync)
  for action in ('rename', 'replace', 'rmdir', 'unlink'):
    original = getattr(os, action)
    monkeypatch.setattr(
      os, action, functools.partial(record, action, original=original)
    )
  files.make_folder(tmp_path / 'a' / 'b')
  assert happened == [('sync', 'a'), ('sync', '.')]
  files.write_text(tmp_path / 'x', 'text')
  for _ in range(2):
    happened.clear()
    with files.replacing_folder(tmp_path / 'save') as temporary:
      files.write_text(temporary / 'x', 'text')
  new, old = '.save.N.tmp', '.save.N.old.tmp'
  write_x = [
    ('sync', f'{new}/.x.N.tmp'),
    ('replace', f'{new}/.x.N.tmp', f'{new}/x'),
    ('sync', new),
  ]
  happened = [
    event
    for event in happened
    if event[0] != 'unlink' or 'tmp/.' not in event[1]
  ]
  assert happened == [
    *write_x,
    ('sync', f'{new}/x'),
    ('sync', new),
    ('rename', 'save', old),
    ('rename', new, 'save'),
    ('sync', '.'),
    ('unlink', f'{old}/x'),
    ('rmdir', old),
  ]


def test_files_are_replaced_together_or_not_at_all(tmp_path):
  for name in ('a', 'page', 'mine'):
    (tmp_path / name).write_text('old')
  with pytest.raises(KeyError):
    with files.replacing_files(tmp_path, ['page']) as temporary:
      (temporary / 'a').write_text('half of')
      raise KeyError
  assert {p.read_text() for p in tmp_path.iterdir()} == {'old'}
  with files.replacing_files(tmp_path, ['page']) as temporary:
    for name in ('a', 'b', 'page'):
      (temporary / name).write_text('new')
  found = {p.name: p.read_text() for p in tmp_path.iterdir()}
  assert found == {'a': 'new', 'b': 'new', 'page': 'new', 'mine': 'old'}


def test_what_vouches_for_files_comes_last(tmp_path, monkeypatch):
  for name in ('a', 'page'):
    (tmp_path / name).write_text('old')
  replace, seen = os.replace, []

  def look(*paths):
    seen.append((tmp_path / 'page').exists())
    replace(*paths)

  monkeypatch.setattr(os, 'replace', look)
  with files.replacing_files(tmp_path, ['page']) as temporary:
    for name in ('a', 'b', 'page'):
      (temporary / name).write_text('new')
  assert seen == [False] * 3


@pytest.mark.parametrize('kind', ['pipe', 'device', 'folder'])
def test_only_files_are_replaced(tmp_path, kind):
  path = tmp_path / 'x'
  if kind == 'pipe':
    os.mkfifo(path)
  elif kind == 'device':
    path.symlink_to('/dev/null')
  else:
    path.mkdir()
  with pytest.raises(OSError, match=r"x' is a .* where a file belongs"):
    files.write_text(path, 'text')
  assert [p.name for p in tmp_path.iterdir()] == ['x'] and not path.is_file()


def test_errors_in_a_block_name_what_it_writes(tmp_path):
  def write(error):
    with files.replacing_folder(tmp_path / 'a'):
      raise error

  for error, number in (
    (OSError(errno.EIO, 'Input/output error'), errno.EIO),
    (OSError(errno.EFBIG, 'File too large'), errno.EFBIG),
    (OSError('48 requested and 16 written'), errno.ENOSPC),  # as NumPy has it
    (RuntimeError('/x: No space left on device'), errno.ENOSPC),  # TensorFlow
  ):
    caught = _error(lambda error=error: write(error))
    assert (caught.errno, caught.filename) == (number, str(tmp_path / 'a'))
  # Those of what is inside of it, too; but not those of other files.
  caught = _error(lambda: write(OSError(errno.ENOSPC, '', '/elsewhere')))
  assert caught.filename == '/elsewhere'
  with pytest.raises(RuntimeError, match='else'):
    write(RuntimeError('else'))
  assert not list(tmp_path.iterdir())


def _error(action):
  with pytest.raises(OSError) as caught:
    action()
  return caught.value


def test_errors_of_the_system_name_the_path_and_a_fix(tmp_path):
  (tmp_path / 'file').write_text('')
  (tmp_path / 'folder').mkdir()
  (tmp_path / 'folder' / 'a').write_text('')
  long = tmp_path / ('x' * 300)
  for path, action, fix in (
    ('file/a', lambda: files.make_folder(tmp_path / 'file' / 'a'), 'move it'),
    ('folder', lambda: files.write_text(tmp_path / 'folder', ''), 'move it'),
    ('none', (tmp_path / 'none').read_text, 'that is there'),
    (long.name, long.mkdir, 'a shorter name'),
  ):
    text = files.explain(_error(action))
    assert str(tmp_path / path) in text and fix in text
    assert 'Errno' not in text and '.tmp' not in text and '\n' not in text


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, 'No space left on device', '/a/.b.json.71.tmp'),
    OSError('Not enough free space to write 24456000 bytes after offset 128'),
  ],
)
def test_a_full_disk_is_known(error, tmp_path):
  assert files.is_full_disk(error)
  assert files.explain(error).endswith(
    f'nothing of it is kept, and all else is as it was; {files.MAKE_ROOM}.'
  )
  assert '.tmp' not in files.explain(error)
  with (
    pytest.raises(OSError, match=r'The disk is full: .*is kept') as caught,
    files.explained_full_disk(tmp_path),
  ):
    raise error
  # It is explained already.
  assert files.explain(caught.value) == str(caught.value)
  assert '.tmp' not in str(caught.value)


def test_other_errors_are_left_as_they_are():
  for error in (ValueError('7 is bad'), FileNotFoundError('There is no 7.')):
    assert files.explain(error) == str(error)
    assert not files.is_full_disk(error)


def test_an_output_folder_must_have_a_name(tmp_path):
  with pytest.raises(ValueError, match='--log_root= is empty'):
    files.make_output_dir('', 'log_root')
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match=r'file.*choose another log_root'):
    files.make_output_dir(tmp_path / 'file' / 'a', 'log_root')
