"""Reads hyperparameters' text, 'a=1,b=[1,2],c[0]=x,', and checks types."""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from embedding_rnn.utils import reading

_ASSIGNMENT = re.compile(
  r"""
  \s*(?P<name>[a-zA-Z][\w.]*)\s*
  (\[\s*(?P<index>\d+)\s*\]\s*)?
  =\s*
  ((?P<scalar>[^,\[]*)|\[(?P<list>[^\]]*)\]\s*)
  (,\s*|$)""",
  re.VERBOSE,
)
_BOOLS = {'true': True, 'True': True, '1': True}
_BOOLS |= {'false': False, 'False': False, '0': False}


def assignments(text: str) -> Iterator[tuple[str, int | None, str | list[str]]]:
  """Splits text into its assignments.

  Args:
    text: assignments with commas between them. Blanks around names, commas and
      brackets do no harm, nor does a comma at the end.

  Yields:
    The name; the index, or None if the whole value is assigned; and the value
    as text, or for a list the texts of its elements.

  Raises:
    ValueError: for text of another form, a list as the value of an element, or
      a second value for the same name or element.
  """
  text = text.rstrip()
  position = 0
  # name -> the indices that are assigned; None stands for the whole value.
  seen: dict[str, set[int | None]] = {}
  while position < len(text):
    match = _ASSIGNMENT.match(text, position)
    if not match:
      raise ValueError(
        f'Malformed hyperparameter value: {text[position:]!r} in {text!r}; '
        "write 'name=value', with commas between them."
      )
    position = match.end()
    name = match['name']
    index = None if match['index'] is None else int(match['index'])
    indices = seen.setdefault(name, set())
    if index in indices or None in indices or (index is None and indices):
      raise ValueError(
        f'Multiple assignments to variable {name!r} in {text!r}; give each '
        'only one value.'
      )
    indices.add(index)
    if match['list'] is None:
      yield name, index, match['scalar'].strip()
    elif index is None:
      yield name, index, re.findall(r'[^\s,]+', match['list'])
    else:
      raise ValueError(
        f'Assignment of a list to a list index: {name}[{index}] in {text!r} '
        'takes a single value.'
      )


def read_value(
  name: str, kind: type, literal: str | list[str], text: str
) -> Any:
  """Turns a value's text into a value.

  Args:
    name: the hyperparameter, for the error.
    kind: int, float, bool or str; any other type leaves the text as it is.
    literal: the text, or a list of texts.
    text: the text that it came from, for the error.

  Returns:
    The value, or a list of values.

  Raises:
    ValueError: for text that is not a literal of this type.
  """
  if isinstance(literal, list):
    return [read_value(name, kind, element, text) for element in literal]
  try:
    if kind is bool:
      return _BOOLS[literal]
    return kind(literal) if kind in (int, float) else literal
  except (KeyError, ValueError) as error:
    raise ValueError(
      f'Could not parse hparam {name!r} of type {kind.__name__!r} with value '
      f'{literal!r} in {text!r}; write a {kind.__name__}.'
    ) from error


def read_json(text: str) -> dict[str, Any]:
  """Reads hyperparameters that are a JSON object.

  Args:
    text: what `HParams.to_json` writes, or a part of it.

  Raises:
    ValueError: for text that is not JSON, or a name with two values.
  """
  try:
    return reading.parse_json(text, finite=False)
  except ValueError as error:
    raise ValueError(
      f'Hyperparameters are not JSON such as {{"rnn_size": 512}}: {error} in '
      f'{_shorten(text)}; expected what to_json() writes.'
    ) from error


def type_of(name: str, value: Any) -> tuple[type, bool]:
  """The type that a hyperparameter has from its first value on.

  Args:
    name: the hyperparameter, for the error.
    value: its first value; a list or tuple must not be empty.

  Returns:
    The type, of the elements if it is a list, and whether it is one.

  Raises:
    ValueError: for a list with no elements.
  """
  is_list = isinstance(value, list | tuple)
  if is_list and not value:
    raise ValueError(
      f'Multi-valued hyperparameters cannot be empty: {name!r} needs an '
      'element to know its type.'
    )
  return type(_plain(value[0] if is_list else value)), is_list


def cast_value(name: str, kind: type, is_list: bool, value: Any) -> Any:
  """`value` as the hyperparameter's type, if nothing is lost or guessed.

  Args:
    name: the hyperparameter, for the errors.
    kind: its type, or that of its elements; NoneType takes anything.
    is_list: whether it is a list.
    value: the new value; NumPy scalars count as Python's.

  Returns:
    The value, or a new list of values.

  Raises:
    ValueError: for a list instead of a value, a value instead of a list, or
      another type, except an int for a float.
  """
  if isinstance(value, list | tuple):
    if not is_list and kind is not type(None):
      raise ValueError(
        f'Must not pass a list for single-valued parameter {name!r}, got '
        f'{value!r}; pass one {kind.__name__}.'
      )
    return [_cast_element(name, kind, element) for element in value]
  if is_list:
    raise ValueError(
      f'Must pass a list for multi-valued parameter {name!r}, got {value!r}; '
      f'pass a list of {kind.__name__}: {name}=[...].'
    )
  return _cast_element(name, kind, value)


def _plain(value: Any) -> Any:
  return value.item() if isinstance(value, np.generic) else value


def _cast_element(name: str, kind: type, value: Any) -> Any:
  value = _plain(value)
  if kind is type(None) or type(value) is kind:
    return value
  is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if kind is float and is_number:
    return float(value)
  raise ValueError(
    f'Could not cast hparam {name!r} of type {kind.__name__!r} from value '
    f'{value!r} of type {type(value).__name__!r}; pass a {kind.__name__}.'
  )


def _shorten(text: str, length: int = 60) -> str:
  return repr(text if len(text) <= length else text[:length] + '...')
