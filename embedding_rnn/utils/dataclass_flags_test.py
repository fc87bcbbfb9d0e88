from __future__ import annotations

import dataclasses

import pytest
from absl import flags

from embedding_rnn.utils import dataclass_flags
from embedding_rnn.utils.dataclass_flags import option


@dataclasses.dataclass(frozen=True)
class Config:
  whole: int = option(3, 'A number.', minimum=1)
  maybe: int | None = option(None, 'A number, or none.', minimum=0)
  real: float | None = option(0.5, 'A real number.')
  word: str | None = option(None, 'A word.')
  switch: bool = option(False, 'A switch.')
  numbers: tuple[int, ...] = option((1, 2), 'Some numbers.')
  pair: tuple[float, float] | None = option(None, 'Two numbers, or none.')
  words: tuple[str, ...] = option(('a', 'b'), 'Some words.')
  lines: tuple[str, ...] = option((), 'Some lines.', repeated=True)
  way: str = option('long', 'One of two.', choices=('short', 'long'))
  choice: bool | str = option(
    False, 'As values.', choices={'no': False, 'yes': True, 'half': 'half'}
  )
  minutes: int = 60  # no flag


def define():
  dataclass_flags.define(Config)


def test_without_flags_it_is_the_default(parse_flags):
  parse_flags(define, [])
  assert dataclass_flags.read(Config) == Config()
  with pytest.raises(AttributeError, match='minutes'):
    _ = flags.FLAGS.minutes


def test_flags_give_the_values(parse_flags):
  given = (
    '--whole=4 --maybe=0 --real=2 --word=x --switch --numbers=7 --pair=1,2.5 '
    '--words=c,d --lines=a,b --lines=c --way=short --choice=half'
  )
  parse_flags(define, given.split())
  config = dataclass_flags.read(Config, minutes=5)
  assert config == Config(
    whole=4,
    maybe=0,
    real=2.0,
    word='x',
    switch=True,
    numbers=(7,),
    pair=(1.0, 2.5),
    words=('c', 'd'),
    lines=('a,b', 'c'),
    way='short',
    choice='half',
    minutes=5,
  )
  for field in dataclasses.fields(Config):  # none was forgotten
    assert getattr(config, field.name) != field.default


def test_says_what_an_option_is(parse_flags):
  parse_flags(define, [])
  text = flags.FLAGS.get_help()
  for line in (
    '--choice: <no|yes|half>: As values.',
    "(default: 'no')",
    '--numbers: Some numbers.',
    "(default: '1,2')",
    '--[no]switch: A switch.',
    '--whole: A number.',
    '(a positive integer)',
    'repeat this option to specify a list of values',
  ):
    assert line in text


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    ('--whole=0', 'lower bound|positive integer'),
    ('--maybe=-1', 'non-negative integer'),
    ('--way=far', 'value should be one of <short|long>'),
    ('--real=x', 'real'),
  ],
)
def test_flags_refuse(parse_flags, argument, message):
  with pytest.raises(flags.IllegalFlagValueError, match=message):
    parse_flags(define, [argument])


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    (
      '--numbers=1,2.5',
      r'--numbers=1,2\.5: expected whole numbers with commas',
    ),
    ('--pair=1,half', '--pair=1,half: expected numbers with commas between'),
  ],
)
def test_lists_that_are_no_numbers(parse_flags, argument, message):
  parse_flags(define, [argument])
  with pytest.raises(ValueError, match=message):
    dataclass_flags.read(Config)


def test_an_empty_list(parse_flags):
  parse_flags(define, ['--numbers='])
  assert dataclass_flags.read(Config).numbers == ()
