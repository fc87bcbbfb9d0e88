"""Pitches by name: 'C4' is middle C, MIDI number 60, as in 'F#3' and 'Bb2'."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from embedding_rnn.audio.harmonics import NUM_MIDI

_NAMES = ('C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B')
_PATTERN = re.compile(r'([A-Ga-g])([#♯b♭]?)(-?\d{1,2})')
_SHIFTS = {'': 0, '#': 1, '♯': 1, 'b': -1, '♭': -1}


def parse_pitch(text: str) -> int:
  """The MIDI number of a name, such as 'C4', or of a number, such as '60'.

  Raises:
    ValueError: for another text, or a pitch that is not from 0 to 127.
  """
  text = text.strip()
  number = None
  if match := _PATTERN.fullmatch(text):
    letter, accidental, octave = match.groups()
    number = 12 * (int(octave) + 1) + _NAMES.index(letter.upper())
    number += _SHIFTS[accidental]
  elif re.fullmatch('[0-9]{1,3}', text):
    number = int(text)
  if number is None or not 0 <= number < NUM_MIDI:
    raise ValueError(
      f'pitch {text!r}: expected a note from C-1 to G9, as C4, F#3 or Bb2, or '
      f'a MIDI pitch from 0 to {NUM_MIDI - 1} (60 is C4).'
    )
  return number


def to_midi(pitches: npt.ArrayLike) -> np.ndarray:
  """Pitches of any shape as an array, names among them as MIDI numbers.

  Raises:
    ValueError: as `parse_pitch`.
  """
  array: np.ndarray[Any, Any] = np.asarray(pitches)
  if array.dtype.kind != 'U':
    return array
  numbers = [parse_pitch(text) for text in array.flat]
  return np.array(numbers, int).reshape(array.shape)


def pitch_name(midi_pitch: int) -> str:
  """The name of a MIDI number, with sharps: 'C4' of 60."""
  octave, place = divmod(int(midi_pitch), len(_NAMES))
  return f'{_NAMES[place]}{octave - 1}'
