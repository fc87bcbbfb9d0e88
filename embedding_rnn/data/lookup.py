"""Notes of a data set by what people call them, such as 'koto C4'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from embedding_rnn.audio import pitches
from embedding_rnn.data.checks import DEFAULT_VELOCITY
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.metadata import FAMILIES, INSTRUMENTS
from embedding_rnn.utils import cli

_MAX_SHOWN = 20  # notes of a list
_MAX_NAMES = 8  # in an error


class FoundNote(NamedTuple):
  """A note of a data set.

  Attributes:
    row: in the data set.
    instrument: its name, or '' if the data set has none.
    family: likewise, of the instrument.
    note: the name of its pitch, as 'C4'.
    pitch: MIDI number.
    velocity: MIDI number.
    split: 'train', 'valid' or 'test'.
  """

  row: int
  instrument: str
  family: str
  note: str
  pitch: int
  velocity: int
  split: str


class FoundNotes(tuple[FoundNote, ...]):
  """Notes that show themselves as a table, the first 20 of them."""

  __slots__ = ()

  @property
  def rows(self) -> np.ndarray:
    """Of the notes in the data set, ints `[N]`."""
    return np.array([note.row for note in self], int)

  def __repr__(self) -> str:
    table = cli.format_table([note._asdict() for note in self[:_MAX_SHOWN]])
    return f'{table}\n\n{self._count()}' if self else self._count()

  def _repr_html_(self) -> str:
    table = cli.html_table([note._asdict() for note in self[:_MAX_SHOWN]])
    return f'{table}<p>{self._count()}</p>'

  def _count(self) -> str:
    if len(self) > _MAX_SHOWN:
      return f'{len(self)} notes, of which these are the first {_MAX_SHOWN}'
    return f'{len(self)} notes'


def find_notes(dataset: NoteDataset, text: str = '') -> FoundNotes:
  """The notes that a text is about, in the order of the data set.

  Args:
    dataset: the notes.
    text: words, all of which must hold of a note: the name of a pitch, as
      'C4', or a part of the name of the instrument, in any case of letters.

  Raises:
    ValueError: for names of instruments, where the data set has none.
  """
  words = text.lower().split()
  asked = {_as_pitch(word) for word in words} - {None}
  names = [word for word in words if _as_pitch(word) is None]
  rows = np.arange(len(dataset.frames))
  instruments = dataset.names(INSTRUMENTS, rows)
  if names and instruments is None:
    raise ValueError(
      f'{text!r}: {dataset.data_dir!r} does not say which instruments its '
      'notes are of; give the rows of notes as numbers.'
    )
  if instruments is not None:
    is_meant = [all(n in name.lower() for n in names) for name in instruments]
    rows = rows[np.array(is_meant, bool)]
  of_notes, velocities = dataset.midi_numbers(rows)
  families = dataset.names(FAMILIES, rows)
  splits = {int(r): split for split, rs in dataset.rows.items() for r in rs}
  return FoundNotes(
    FoundNote(
      row=row,
      instrument=instruments[row] if instruments else '',
      family=families[i] if families else '',
      note=pitches.pitch_name(pitch),
      pitch=pitch,
      velocity=velocity,
      split=splits.get(row, ''),
    )
    for i, (row, pitch, velocity) in enumerate(
      zip(rows.tolist(), of_notes.tolist(), velocities.tolist(), strict=True)
    )
    if asked <= {pitch}
  )


def find_rows(dataset: NoteDataset, notes: Iterable[int | str]) -> np.ndarray:
  """Rows of notes, each given as its row or by name.

  Args:
    dataset: the notes.
    notes: row numbers, or texts as of `find_notes`, such as 'koto C4': of what
      is found, the note with the velocity nearest to 100 is taken.

  Returns:
    Ints `[N]`.

  Raises:
    ValueError: for a row that is not there, and for a name of no note or of
      several instruments or pitches.
  """
  rows = [
    _row_of(dataset, note) if isinstance(note, str) else int(note)
    for note in notes
  ]
  for row in rows:
    if not 0 <= row < len(dataset.frames):
      raise ValueError(
        f'There is no note {row}: {dataset.data_dir!r} has the rows 0 to '
        f'{len(dataset.frames) - 1}; summary.json says the row of each note.'
      )
  return np.array(rows, int)


def _row_of(dataset: NoteDataset, text: str) -> int:
  found = find_notes(dataset, text)
  kinds = sorted({(note.instrument, note.pitch) for note in found})
  if len(kinds) == 1:
    distances = [abs(note.velocity - DEFAULT_VELOCITY) for note in found]
    return found[int(np.argmin(distances))].row
  if kinds:
    problem = f'is of {len(kinds)} instruments or pitches; give one of'
  else:
    as_pitches = {word: _as_pitch(word) for word in text.split()}
    names = [word for word, pitch in as_pitches.items() if pitch is None]
    asked = next((p for p in as_pitches.values() if p is not None), 0)
    kinds = sorted(
      {(n.instrument, n.pitch) for n in find_notes(dataset, ' '.join(names))},
      key=lambda kind: abs(kind[1] - asked),
    )
    problem = 'is no note of the data; the nearest are'
  if not kinds:
    raise ValueError(f'{text!r}: no instrument of the data is called so.')
  names = [f'{name} {pitches.pitch_name(p)}'.strip() for name, p in kinds]
  names[_MAX_NAMES:] = ['…'] * (len(names) > _MAX_NAMES)
  raise ValueError(f'{text!r} {problem}: {", ".join(names)}.')


def _as_pitch(word: str) -> int | None:
  """The MIDI number of a pitch's name; None for other words."""
  if word.isdecimal():
    return None  # Instruments have numbers, too.
  try:
    return pitches.parse_pitch(word)
  except ValueError:
    return None
