"""Options of a command as a dataclass: each is declared once, as a field.

@dataclasses.dataclass(frozen=True)
class Config:
pitches: tuple[int, ...] = option((48, 60), 'MIDI pitches.')
way: str = option('straight', 'How to go.', choices=('straight', 'round'))

dataclass_flags.define(Config)  # --pitches and --way
config = dataclass_flags.read(Config)  # once flags are parsed
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from absl import flags

_Config = TypeVar('_Config')

flags.disclaim_key_flags()  # they belong to the command that defines them


def option(
  default: Any,
  help: str,
  *,
  choices: Mapping[str, Any] | Iterable[str] = (),
  minimum: float | None = None,
  repeated: bool = False,
  is_text: bool = False,
) -> Any:
  """A field of a dataclass that is to be a flag; other fields are none.

  Args:
    default: its value if nothing is said.
    help: what it means.
    choices: words that it may be, with the value of each if that is not the
      word itself.
    minimum: of a number on the command line.
    repeated: strings are given one a flag, not with commas between them.
    is_text: whatever its type, the class takes it, or the items of a tuple, as
      text, too, and reads that itself.
  """
  if not isinstance(choices, Mapping):
    choices = {word: word for word in choices}
  metadata = {
    'help': help,
    'choices': choices,
    'minimum': minimum,
    'repeated': repeated,
    'is_text': is_text,
  }
  return dataclasses.field(default=default, metadata=metadata)


def define(config_class: type) -> None:
  """Defines a flag for each `option` of a dataclass, under its name."""
  for field, value_type, is_tuple in _options(config_class):
    name, metadata = field.name, field.metadata
    default: Any = field.default
    text, minimum = metadata['help'], metadata['minimum']
    if choices := metadata['choices']:
      word = next((w for w, v in choices.items() if v == default), None)
      flags.DEFINE_enum(name, word, list(choices), text)
    elif metadata['repeated']:
      flags.DEFINE_multi_string(name, list(default), text)
    elif is_tuple:
      items = None if default is None else list(map(str, default))
      flags.DEFINE_list(name, items, text)
    elif value_type is int:
      flags.DEFINE_integer(name, default, text, minimum)
    elif value_type is float:
      flags.DEFINE_float(name, default, text, minimum)
    else:
      is_switch = value_type is bool
      define_flag = flags.DEFINE_bool if is_switch else flags.DEFINE_string
      define_flag(name, default, text)


def read(config_class: type[_Config], **others: Any) -> _Config:
  """The dataclass that the command line asks for.

  Args:
    config_class: of which flags were defined.
    **others: values of fields that are no flags.

  Raises:
    ValueError: for a list that is not of numbers, or what the class refuses.
  """
  values = {}
  for field, value_type, is_tuple in _options(config_class):
    value = flags.FLAGS[field.name].value
    if choices := field.metadata['choices']:
      value = choices.get(value)
    elif is_tuple and value is not None:
      value = _read_list(field.name, value, value_type)
    values[field.name] = value
  return config_class(**values, **others)


def _options(
  config_class: type,
) -> Iterator[tuple[dataclasses.Field, type, bool]]:
  """Fields, what they or their items are, and whether they are tuples."""
  hints = typing.get_type_hints(config_class)
  for field in dataclasses.fields(config_class):
    if 'help' not in field.metadata:
      continue
    hint = hints[field.name]
    if isinstance(hint, types.UnionType):  # with None
      hint = typing.get_args(hint)[0]
    is_tuple = typing.get_origin(hint) is tuple
    value_type = typing.get_args(hint)[0] if is_tuple else hint
    yield field, str if field.metadata['is_text'] else value_type, is_tuple


def _read_list(name: str, texts: list[str], value_type: type) -> tuple:
  try:
    return tuple(map(value_type, texts))
  except ValueError:
    what = 'whole numbers' if value_type is int else 'numbers'
    raise ValueError(
      f'--{name}={",".join(texts)}: expected {what} with commas between them.'
    ) from None
