"""A page to listen to: notes with their players, figures and numbers.

`write` puts an `index.html` beside the audio and figures that it shows. The
page needs neither a server nor a network: it holds its sounds, so that a script
can switch between them, and mix them, to the sample. Without scripts there are
plain players.
"""

import collections
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import PIL.Image

from embedding_rnn.synthesize.generation import pitch_title
from embedding_rnn.synthesize.sounds import Sound, read_sounds
from embedding_rnn.utils import cli, files

FILE_NAME = 'index.html'

_PLAYED = ('original', 'made')  # other audio can be downloaded
_ROWS = ('interpolation', 'sweep')  # sections whose notes are one row


def write(
  folder: str | os.PathLike[str],
  summary: Mapping[str, Any],
  command: str,
  metrics: Sequence[Mapping[str, object]] = (),
  metrics_note: str = '',
) -> pathlib.Path:
  """Writes the page of a summary to the folder of its files.

  Args:
    folder: where all files of the summary are already.
    summary: see `synthesis.synthesize`. Sections stand in the order of their
      first note.
    command: the exact command line that made it all.
    metrics: rows of a table, as `cli.table_columns` takes them.
    metrics_note: a sentence below that table.

  Returns:
    The path of `index.html`.

  Raises:
    FileNotFoundError: a file of the page is not in the folder.
    OSError: an audio file cannot be read.
    ValueError: a figure is not a .png file, a file is outside the folder, or
      two notes have one name.
  """
  folder = pathlib.Path(folder)
  notes = summary['notes']
  audios = [audio['file'] for n in notes for audio in n['audio'].values()]
  pictures = list(summary['overviews'].values())
  pictures += [file for note in notes for file in note['figures'].values()]
  for file in [*audios, *pictures]:
    _check_file(folder, file)
  _check_names(notes)
  cards = _cards(notes, folder)
  html = _ENVIRONMENT.get_template('page_template.html').render(
    summary=summary,
    cards=cards,
    flacs={file: s.flac for card in cards for file, s in card.sounds.items()},
    command=command,
    metrics=cli.table_columns(metrics),
    metrics_note=metrics_note,
    sizes={file: _png_size(folder / file) for file in pictures},
    sort_keys=list(dict.fromkeys(k for n in notes for k in sort_values(n))),
  )
  path = folder / FILE_NAME
  files.write_text(path, html)
  return path


class Card(NamedTuple):
  """One or several notes that share a player.

  Attributes:
    notes: their records.
    sounds: what is played, by file.
  """

  notes: Sequence[Mapping[str, Any]]
  sounds: dict[str, Sound]

  @property
  def is_pair(self) -> bool:
    """Whether it is an original beside what was made of it."""
    return len(self.notes) == 1 and len(self.sounds) == 2

  @property
  def pitches(self) -> list[int]:
    """MIDI pitches of the notes."""
    return [int(note['pitch']) for note in self.notes]


def _cards(
  notes: Sequence[Mapping[str, Any]], folder: pathlib.Path
) -> list[Card]:
  """The notes in their order; those of a row together."""
  groups: dict[Any, list[Mapping[str, Any]]] = {}
  for note in notes:
    section = note['section']
    key = section if section in _ROWS else (section, note['name'])
    groups.setdefault(key, []).append(note)
  cards = []
  for group in groups.values():
    played = [
      note['audio'][key]['file']
      for note in group
      for key in _PLAYED
      if key in note['audio']
    ]
    heard = read_sounds([folder / file for file in played]) if played else []
    cards.append(Card(group, dict(zip(played, heard, strict=True))))
  return cards


def measured(note: Mapping[str, Any]) -> dict[str, float]:
  """What was measured of a note, by label and unit."""
  made = note['audio'].get('made', {})
  values = {
    'MSE': note.get('mse'),
    'pitch error (cents)': made.get('pitch_error_cents'),
    'loudness error (dB)': note.get('loudness_error_db'),
  }
  return {label: x for label, x in values.items() if x is not None}


def sort_values(note: Mapping[str, Any]) -> dict[str, float]:
  """What a note can be sorted by."""
  values = {'pitch': note['pitch'], **measured(note)}
  return {label: float(x) for label, x in values.items() if math.isfinite(x)}


_ENVIRONMENT = jinja2.Environment(
  loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
  autoescape=True,
  undefined=jinja2.StrictUndefined,
  trim_blocks=True,
  lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
  'cell': cli.format_cell,
  'measured': measured,
  'pitch_title': pitch_title,
  'sort_values': sort_values,
}


def _check_file(folder: pathlib.Path, file: str) -> None:
  path = pathlib.PurePath(file)
  if path.is_absolute() or '..' in path.parts:
    raise ValueError(
      f'The page cannot show {file!r}: expected a file in its own folder, '
      f"'{folder}'."
    )
  if not (folder / path).is_file():
    raise FileNotFoundError(
      f"The page shows {file!r}, but '{folder}' has no such file; write it "
      'before the page.'
    )


def _png_size(path: pathlib.Path) -> tuple[int, int]:
  """Width and height of a .png file."""
  with path.open('rb') as file:
    try:
      return PIL.Image.open(file, formats=['PNG']).size
    except OSError as error:
      raise ValueError(
        f"'{path}' is not a .png file; save the figure as one."
      ) from error


def _check_names(notes: Sequence[Mapping[str, Any]]) -> None:
  counts = collections.Counter(note['name'] for note in notes)
  for name, count in counts.items():
    if count > 1:
      raise ValueError(
        f'{count} notes are called {name!r}; give each a name of its own.'
      )
