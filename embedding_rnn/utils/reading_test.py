"""Tests of reading.py: what is refused, and that all else is read."""

import json
import math
import os
import pathlib
import re

import pytest

from embedding_rnn.utils import files, reading

_GOOD = {'a': [1, 2.5, None, True, {'b': 'ü'}], 'c': 10**300, 'd': {}}


def test_what_json_writes_is_read(tmp_path):
  path = tmp_path / 'a.json'
  path.write_text(json.dumps(_GOOD))
  assert reading.read_json(path, 'no fix') == _GOOD
  deep = json.loads('{"x":' * 31 + '1' + '}' * 31)
  assert reading.parse_json(json.dumps(deep)) == deep
  endless = '{"x": -Infinity}'
  assert reading.parse_json(endless, finite=False) == {'x': -math.inf}


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'Expecting value'),
    ('{"a": 1', 'delimiter'),
    ('[]', 'must be a JSON object, got list'),
    ('7', 'got int'),
    ('[' * 200_000, 'more than 32'),
    ('{"a":' * 200_000, 'more than 32'),
    ('{"a":' + '[' * 40 + ']' * 40 + '}', 'more than 32'),
    ('{"a": 1e999}', 'inf is no finite number'),
    ('{"a": [{"b": NaN}]}', 'nan is no finite number'),
    ('{"a": 1' + '0' * 400 + '}', 'no finite number'),
    ('{"a": 1' + '0' * 5000 + '}', 'digits'),
    ('{"a": 1, "b": 2, "a": 1}', "variable 'a'"),
    (r'{"a": "\ud800"}', 'surrogates'),
    (r'{"\ud800": 1}', 'surrogates'),
    (b'{"a": "\xff"}', 'codec'),
  ],
)
def test_refused(tmp_path, text, message):
  path = tmp_path / 'a.json'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(ValueError, match=message) as caught:
    reading.read_json(path, 'this is the fix')
  assert str(caught.value).startswith(f"'{path}' is damaged: ")
  assert str(caught.value).endswith('; this is the fix.')


def test_no_more_is_read_than_could_be_good(tmp_path):
  path = tmp_path / 'a.json'
  path.write_bytes(b'{}' + b' ' * 8)
  assert len(reading.read_bytes(path, 10)) == 10
  with pytest.raises(ValueError, match=re.escape(str(path))):
    reading.read_bytes(path, 9)


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(tmp_path, make):
  path = tmp_path / 'a.json'
  with pytest.raises(FileNotFoundError):
    reading.read_json(path, '')
  make(path)
  with pytest.raises(OSError, match=f"'{path}' is a .*where a file belongs"):
    reading.read_json(path, '')


@pytest.mark.parametrize(
  ('value', 'hint'),
  [
    (1, int),
    (1, float),
    (1.5, float),
    ('x', str | None),
    (None, str | None),
    (True, bool),
    (['x'], list[str]),
    ([], tuple[int, ...]),
    ({'a': {'b': 1}}, dict[str, dict[str, float]]),
    ({'a': []}, dict),
  ],
)
def test_types(value, hint):
  assert reading.has_type(value, hint)
  reading.expect_types({'x': value, 'y': 1}, {'x': hint})


@pytest.mark.parametrize(
  ('value', 'hint'),
  [
    (True, int),
    (1.0, int),
    ('1', float),
    (True, float),
    (1, bool),
    (1, str | None),
    (['x', 1], list[str]),
    ('x', list[str]),
    ({'a': {'b': '1'}}, dict[str, dict[str, float]]),
    ([], dict),
    (None, int),
  ],
)
def test_other_types(value, hint):
  with pytest.raises(ValueError, match=r"'x' is .*expected"):
    reading.expect_types({'x': value}, {'x': hint})


@pytest.mark.parametrize(
  'use',
  [
    reading.read_bytes,
    files.make_output_dir,
    lambda path: files.make_folder(pathlib.Path(path)),
    lambda path: files.write_text(path, ''),
    lambda path: files.replacing_folder(path).__enter__(),
  ],
)
def test_a_path_that_no_disk_can_have(use):
  with pytest.raises(ValueError, match=r"'a\\x00b': expected a path"):
    use('a\0b')
