"""What comes from outside, read without trust: plain files, and JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
import stat
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BYTES = 1 << 26  # of a JSON file; ours have some kilobytes
MAX_DEPTH = 32  # of brackets in brackets
_WORDS = {
  bool: 'true or false',
  dict: 'an object',
  float: 'a number',
  int: 'a whole number',
  list: 'a list',
  str: 'a text',
  tuple: 'a list',
  type(None): 'nothing',
}


def expect_path(path: str | os.PathLike[str]) -> None:
  """Raises ValueError for what can be no path on any disk."""
  if '\0' in os.fspath(path):
    raise ValueError(
      f'{os.fspath(path)!r}: expected a path, which has no NUL character.'
    )


def expect_plain_file(path: str | os.PathLike[str]) -> None:
  """Raises OSError if there is something, but no file, at a path.

  To open a pipe or a device could take forever. A path that no file can have is
  a ValueError.
  """
  expect_path(path)
  try:
    mode = os.stat(path).st_mode
  except FileNotFoundError:
    return
  if not stat.S_ISREG(mode):
    what = 'a folder' if stat.S_ISDIR(mode) else 'a pipe, a socket or a device'
    raise OSError(
      f"'{os.fspath(path)}' is {what} where a file belongs; move it away."
    )


def read_bytes(
  path: str | os.PathLike[str], max_bytes: int = MAX_BYTES
) -> bytes:
  """The content of a file.

  Raises:
    FileNotFoundError: if there is none.
    OSError: if it cannot be read, or is a pipe, a device or a folder.
    ValueError: if it is larger than `max_bytes`.
  """
  expect_plain_file(path)
  with open(path, 'rb') as file:
    content = file.read(max_bytes + 1)
  if len(content) > max_bytes:
    raise ValueError(
      f"'{os.fspath(path)}' has more than {max_bytes / 1e6:,.0f} MB, which no "
      'such file should; remove it, or restore it from a copy.'
    )
  return content


def read_json(
  path: str | os.PathLike[str],
  fix: str,
  *,
  hints: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """The JSON object in a file.

  Args:
    path: of the file.
    fix: what a user can do if it is damaged; the end of the message.
    hints: types of some of its values, as of `expect_types`.

  Raises:
    FileNotFoundError: if there is no file.
    OSError: if it cannot be read.
    ValueError: if it is damaged, or not what was expected.
  """
  content = read_bytes(path)
  try:
    value = parse_json(content)
    expect_types(value, hints or {})
  except ValueError as error:
    raise ValueError(
      f"'{os.fspath(path)}' is damaged: {error}; {fix}."
    ) from error
  return value


def parse_json(content: bytes | str, *, finite: bool = True) -> dict[str, Any]:
  """The object in JSON text.

  Args:
    content: the text.
    finite: whether NaN and infinity are refused.

  Raises:
    ValueError: for text that is no JSON, another value than an object, a name
      with two values, and what `expect_plain` refuses.
  """
  try:
    value = json.loads(content, object_pairs_hook=unique_names)
  except RecursionError:
    raise _too_deep() from None
  if not isinstance(value, dict):
    raise ValueError(f'it must be a JSON object, got {type(value).__name__}')
  expect_plain(value, finite=finite)
  return value


def checksum(value: Mapping[str, Any]) -> str:
  """The SHA-256 of a JSON object."""
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def unique_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  """A JSON object as a dict; ValueError if a name has two values."""
  result = dict(pairs)
  if len(result) != len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in result if names.count(name) > 1)
    raise ValueError(
      f'Multiple assignments to variable {twice!r} in JSON; give each only '
      'one value'
    )
  return result


def expect_plain(value: Any, *, finite: bool = True) -> None:
  """Raises ValueError for JSON values that some use of them could fall over.

  Those are values in more than `MAX_DEPTH` others, numbers that no float can
  hold (and with `finite` NaN and infinity), and texts that UTF-8 cannot write.
  """
  layer = [value]
  for _ in range(MAX_DEPTH):
    inside: list[Any] = []
    for item in layer:
      if isinstance(item, dict):
        inside += item
        inside += item.values()
      elif isinstance(item, list):
        inside += item
      elif isinstance(item, str):
        item.encode('utf-8', 'surrogateescape')  # as names of files are
      elif item is not None and not _is_good_number(item, finite):
        raise ValueError(f'{str(item)[:30]} is no finite number')
    layer = inside
    if not layer:
      return
  raise _too_deep()


def _is_good_number(number: float, finite: bool) -> bool:
  try:
    return math.isfinite(number) or not finite
  except OverflowError:
    return False


def _too_deep() -> ValueError:
  return ValueError(f'it has brackets in more than {MAX_DEPTH} others')


def expect_types(values: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
  """Raises ValueError if values are missing or of another type.

  Args:
    values: by name; what is not there is None.
    hints: for each name that matters a type, such as `int`, `str | None`,
      `list[str]` or `dict[str, float]`. An int is a float, a bool is no int.
  """
  for name, hint in hints.items():
    value = values.get(name)
    if not has_type(value, hint):
      found = 'missing' if value is None else reprlib.repr(value)
      raise ValueError(f'{name!r} is {found}, expected {_in_words(hint)}')


def _in_words(hint: Any) -> str:
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (types.UnionType, typing.Union):
    return ' or '.join(map(_in_words, args))
  word = _WORDS[origin or hint]
  return f'{word} of {_in_words(args[-1])}' if origin is list else word


def has_type(value: Any, hint: Any) -> bool:
  """Whether a value is what a type hint says, as of `expect_types`."""
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if hint is Any:
    return True
  if origin in (types.UnionType, typing.Union):
    return any(has_type(value, one) for one in args)
  if origin in (list, tuple):
    return isinstance(value, list | tuple) and all(
      has_type(item, args[0]) for item in value
    )
  if origin is dict:
    return isinstance(value, dict) and all(
      has_type(item, args[1]) for item in value.values()
    )
  if hint is float:
    return type(value) in (int, float)
  return isinstance(value, hint) and (hint is bool or type(value) is not bool)
