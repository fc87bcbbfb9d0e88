"""Notes that are to be encoded, and what is known of them.

NSynth names a note 'keyboard_acoustic_004-060-025': an instrument, which begins
with its family, a MIDI pitch and a MIDI velocity.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data.notes import FAMILY_NAMES
from embedding_rnn.data.preparation.recordings import Recording

_NAME = re.compile(r'(.+)-(\d{1,3})-(\d{1,3})')
_SPLIT = re.compile(r'(?:.*[-_ ])?(train|valid|test)(?:ing|ation)?')
_FAMILY = re.compile(f'({"|".join(FAMILY_NAMES)})_')


class Labels(NamedTuple):
  """What is known of a note but its sound.

  Attributes:
    midi_pitch: 0..127.
    velocity: MIDI, 0..127.
    instrument: its name; None if unknown.
    family: of the instrument; None if unknown.
    split: 'train', 'valid' or 'test'; None if it is yet to be chosen.
  """

  midi_pitch: int
  velocity: int
  instrument: str | None = None
  family: str | None = None
  split: str | None = None


@dataclasses.dataclass(frozen=True)
class Note:
  """A note that can be read.

  Attributes:
    name: what it is called in its source.
    labels: what is known of it.
    read: gives its sound; ValueError if there is none to be had.
  """

  name: str
  labels: Labels
  read: Callable[[], Recording]


class Source(abc.ABC):
  """Notes in a fixed order, of which any range can be read.

  Attributes:
    name: for people.
    num_notes: how many there are.
  """

  name: str
  num_notes: int

  @abc.abstractmethod
  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """The notes from `start` up to, but without, `stop`.

    Raises:
      ValueError: if the source is damaged, or says too little of a note.
    """

  @abc.abstractmethod
  def facts(self) -> Iterable[str]:
    """Texts that change if there are other notes or another order."""

  def fingerprint(self, start: int, stop: int) -> str:
    """A text that changes, most likely, with the sound of some notes.

    It is soon made, without reading all of them. A source whose notes cannot
    change has none.
    """
    del start, stop
    return ''

  @functools.cached_property
  def sha256(self) -> str:
    """That of `facts`."""
    return sha256_of(self.facts())


def sha256_of(texts: Iterable[str]) -> str:
  """A digest of texts in their order."""
  digest = hashlib.sha256()
  for text in texts:
    digest.update(text.encode('utf-8', 'surrogateescape') + b'\0')
  return digest.hexdigest()


def parse_name(name: str) -> Labels | None:
  """The labels that are in a name such as NSynth's, or None."""
  match = _NAME.fullmatch(name)
  if not match or max(int(match[2]), int(match[3])) >= NUM_MIDI:
    return None
  instrument = sys.intern(match[1])
  return Labels(int(match[2]), int(match[3]), instrument, family_of(instrument))


def family_of(instrument: str) -> str | None:
  """The family that an instrument's name begins with, or None."""
  match = _FAMILY.match(instrument)
  return match[1] if match else None


def split_of(*names: str) -> str | None:
  """The split that names of folders or files end in, the last that does."""
  for name in reversed(names):
    match = _SPLIT.fullmatch(name.lower().partition('.')[0])
    if match:
      return match[1]
  return None


def labels_of(name: str, values: dict, where: str) -> Labels:
  """The labels of a note that NSynth's features describe.

  Args:
    name: of the note.
    values: its features: "pitch" and "velocity", "instrument_str" and
      "instrument_family_str" or "instrument_family" if they are there.
    where: what to name in errors.

  Raises:
    ValueError: without pitch or velocity, or for numbers that are none of MIDI.
  """
  from_name = parse_name(name) or Labels(-1, -1)
  for key in ('instrument_str', 'instrument_family_str'):
    if not isinstance(values.get(key), str | None):
      raise ValueError(
        f'{where}: its {key} is {reprlib.repr(values[key])}; expected a text.'
      )
  instrument = values.get('instrument_str') or from_name.instrument
  family = values.get('instrument_family_str')
  if family is None and instrument:
    family = family_of(instrument)
  if family is None and values.get('instrument_family') is not None:
    family = _family_name(values['instrument_family'], where)
  return Labels(
    midi_number(values.get('pitch'), 'pitch', where),
    midi_number(values.get('velocity'), 'velocity', where),
    sys.intern(instrument) if instrument else None,
    sys.intern(family) if family else None,
  )


def midi_number(value: Any, what: str, where: str) -> int:
  """An integer of 0..127; ValueError, which says `what` and `where`, if not."""
  number = _whole_number(value)
  if number not in range(NUM_MIDI):
    raise ValueError(
      f'{where}: its {what} is {reprlib.repr(value)}; expected a MIDI number '
      'from 0 to 127.'
    )
  return number


def _whole_number(value: Any) -> int:
  """A number, or text of one, as int; -1 for what is no whole number."""
  try:
    number = int(value)
  except (OverflowError, TypeError, ValueError):
    return -1
  is_same = isinstance(value, str) or number == value
  return number if is_same and not isinstance(value, bool) else -1


def _family_name(number: Any, where: str) -> str:
  families = dict(enumerate(FAMILY_NAMES))
  if _whole_number(number) not in families:
    raise ValueError(
      f'{where}: its instrument_family is {reprlib.repr(number)}; expected 0 '
      f'to {len(FAMILY_NAMES) - 1}.'
    )
  return families[int(number)]
