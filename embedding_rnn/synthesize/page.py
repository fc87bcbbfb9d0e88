"""A page to listen to: notes with their players, figures and numbers.

`write` puts an `index.html` beside the audio and figures that it shows. The
page needs neither a server nor a network, and no script for the essentials;
with one, notes can be searched, filtered and sorted.
"""

import collections
import dataclasses
import json
import math
import numbers
import os
import pathlib
import string
import struct
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import librosa

from embedding_rnn.utils import cli, files

FILE_NAME = 'index.html'
_TEMPLATE = pathlib.Path(__file__).with_name('page_template.html')
_PNG_START = b'\x89PNG\r\n\x1a\n'

_SHARP = '♯'


@dataclasses.dataclass(frozen=True)
class Player:
  """A sound to play.

  Attributes:
    label: such as 'original'.
    file: in the folder of the page, as all files here.
  """

  label: str
  file: str


@dataclasses.dataclass(frozen=True)
class Image:
  """A figure.

  Attributes:
    label: what stands below it.
    file: a .png file.
    alt: what it shows, for those who do not see it.
  """

  label: str
  file: str
  alt: str


@dataclasses.dataclass(frozen=True)
class Note:
  """A note.

  Attributes:
    name: unlike that of any other note; links to it end in it.
    title: its heading.
    section: notes of one section stand together, with this heading, such as
      'Reconstructions'.
    pitch: MIDI number, 0..127.
    family: the instrument family, if known.
    facts: what was measured, by label and unit; numbers can be sorted by.
    players: its sounds, in the order to be shown.
    images: its figures.
  """

  name: str
  title: str
  section: str
  pitch: int
  family: str | None = None
  facts: Mapping[str, float | str | None] = dataclasses.field(
    default_factory=dict
  )
  players: Sequence[Player] = ()
  images: Sequence[Image] = ()


@dataclasses.dataclass(frozen=True)
class Page:
  """All that a page shows.

  Attributes:
    title: of the page.
    notes: sections stand in the order of their first note.
    command: the exact command line that made the page.
    settings: what else is needed to make it again, such as seeds.
    metrics: rows of a table, as `commands.make_table` takes them.
    metrics_note: a sentence below that table.
    figures: figures over all notes.
  """

  title: str
  notes: Sequence[Note]
  command: str
  settings: Mapping[str, object]
  metrics: Sequence[Mapping[str, object]] = ()
  metrics_note: str = ''
  figures: Sequence[Image] = ()


def write(folder: str | os.PathLike[str], page: Page) -> pathlib.Path:
  """Writes a page as `index.html` to the folder of its files.

  Args:
    folder: where all files of the page are already.
    page: what to show.

  Returns:
    The path of `index.html`.

  Raises:
    FileNotFoundError: a file of the page is not in the folder.
    ValueError: an image is not a .png file, a file is outside the folder, or
      two notes have one name.
  """
  folder = pathlib.Path(folder)
  images = [*page.figures, *(i for note in page.notes for i in note.images)]
  players = [player for note in page.notes for player in note.players]
  for item in [*players, *images]:
    _check_file(folder, item.file)
  sizes = {image.file: _png_size(folder / image.file) for image in images}
  path = folder / FILE_NAME
  files.write_text(path, render(page, sizes))
  return path


def render(page: Page, sizes: Mapping[str, tuple[int, int]]) -> str:
  """The HTML of a page.

  Args:
    page: what to show.
    sizes: width and height of each image file, in dots.

  Raises:
    ValueError: two notes have one name.
  """
  _check_names(page.notes)
  sections: dict[str, list[Note]] = {}
  for note in page.notes:
    sections.setdefault(note.section, []).append(note)
  template = string.Template(_TEMPLATE.read_text(encoding='utf-8'))
  overview = _overview(page, sizes)
  settings = {name: str(value) for name, value in page.settings.items()}
  return template.substitute(
    title=escape(page.title),
    contents=_contents(sections),
    links=_links(overview),
    overview='\n'.join(
      f'<section id="{heading.lower()}">\n<h2>{heading}</h2>\n{html}</section>'
      for heading, html in overview.items()
    ),
    **_filters(page.notes),
    sections='\n'.join(
      _section(heading, notes, sizes) for heading, notes in sections.items()
    ),
    command=_command(page.command),
    settings=_definitions(settings),
  )


def pitch_name(midi_pitch: int) -> str:
  """A MIDI pitch for people: 'C4 (60)'."""
  return f'{librosa.midi_to_note(midi_pitch)} ({midi_pitch})'


def _command(command: str) -> str:
  """A command line that wraps between its words, not after a hyphen."""
  words = (f'<span>{escape(word)}</span>' for word in command.split(' '))
  return ' '.join(words)


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
    start = file.read(24)
  if len(start) < 24 or not start.startswith(_PNG_START):
    raise ValueError(f"'{path}' is not a .png file; save the figure as one.")
  return struct.unpack('>II', start[16:])


def _check_names(notes: Sequence[Note]) -> None:
  counts = collections.Counter(note.name for note in notes)
  for name, count in counts.items():
    if count > 1:
      raise ValueError(
        f'{count} notes are called {name!r}; give each a name of its own.'
      )


def _contents(sections: Mapping[str, Sequence[Note]]) -> str:
  parts = (f'{name}: {len(notes)}' for name, notes in sections.items())
  return escape(' · '.join(parts)) or 'No notes'


def _overview(
  page: Page, sizes: Mapping[str, tuple[int, int]]
) -> dict[str, str]:
  """What is said of all notes together, by heading."""
  overview = {}
  if page.metrics:
    overview['Metrics'] = _table(page.metrics)
    if page.metrics_note:
      overview['Metrics'] += f'<p class="soft">{escape(page.metrics_note)}</p>'
  if page.figures:
    overview['Figures'] = _figures(page.figures, sizes)
  return overview


def _links(headings: Iterable[str]) -> str:
  return ' '.join(
    f'<a href="#{heading.lower()}">{heading}</a>' for heading in headings
  )


def _table(rows: Sequence[Mapping[str, object]]) -> str:
  heads, lines = [], [[] for _ in rows]
  for column in cli.make_table(rows).columns:
    kind = ' class="number"' if column.justify == 'right' else ''
    heads.append(f'<th scope="col"{kind}>{escape(str(column.header))}</th>')
    for line, cell in zip(lines, column.cells, strict=True):
      line.append(f'<td{kind}>{escape(str(cell))}</td>')
  body = '\n'.join(f'<tr>{"".join(line)}</tr>' for line in lines)
  return (
    '<div class="scroll" tabindex="0" role="region" aria-label="Metrics">'
    f'<table>\n<thead><tr>{"".join(heads)}</tr></thead>\n'
    f'<tbody>\n{body}\n</tbody>\n</table></div>\n'
  )


def _figures(
  images: Sequence[Image], sizes: Mapping[str, tuple[int, int]]
) -> str:
  if not images:
    return ''
  parts = ['<div class="figures">']
  for image in images:
    width, height = sizes[image.file]
    url = _url(image.file)
    parts.append(
      f'<figure><a href="{url}"><img src="{url}" alt="{escape(image.alt)}" '
      f'width="{width}" height="{height}" loading="lazy" decoding="async"></a>'
      f'<figcaption>{escape(image.label)}</figcaption></figure>'
    )
  return '\n'.join([*parts, '</div>'])


def _filters(notes: Sequence[Note]) -> dict[str, str]:
  """The options of the template's filters."""
  families = sorted({note.family for note in notes} - {None})
  pitches = sorted({note.pitch for note in notes})
  keys = dict.fromkeys(key for note in notes for key in _sort_values(note))
  return {
    'families': _options((name, _spaced(name)) for name in families),
    'pitches': _options((pitch, pitch_name(pitch)) for pitch in pitches),
    'keys': _options((key, key) for key in keys),
  }


def _options(options: Iterable[tuple[object, str]]) -> str:
  return ''.join(
    f'<option value="{escape(str(value))}">{escape(text)}</option>'
    for value, text in options
  )


def _sort_values(note: Note) -> dict[str, float]:
  """What a note can be sorted by."""
  values = {
    label: float(value)
    for label, value in note.facts.items()
    if isinstance(value, numbers.Real) and math.isfinite(value)
  }
  return {'pitch': float(note.pitch), **values}


def _section(
  heading: str, notes: Sequence[Note], sizes: Mapping[str, tuple[int, int]]
) -> str:
  return '\n'.join(
    [
      f'<section class="notes">\n<h3>{escape(heading)}</h3>',
      *(_note(note, sizes) for note in notes),
      '</section>',
    ]
  )


def _note(note: Note, sizes: Mapping[str, tuple[int, int]]) -> str:
  where = f'{_spaced(note.family)}, ' if note.family else ''
  where += pitch_name(note.pitch)
  # As a musician might type it, too.
  text = f'{note.title} {note.name} {note.family or ""} {where}'.lower()
  about = {
    'family': note.family,
    'pitch': float(note.pitch),
    'text': f'{text} {text.replace(_SHARP, "#")}',
    'values': _sort_values(note),
  }
  return f"""\
<article class="note" id="note-{escape(note.name)}" \
data-note="{escape(json.dumps(about))}">
<div>
<h4>{escape(note.title)}</h4>
<p class="where">{escape(where)}</p>
{_players(note.players, note.title)}
{_facts(note.facts)}
</div>
{_figures(note.images, sizes)}
</article>"""


def _players(players: Sequence[Player], title: str) -> str:
  if not players:
    return ''
  parts = [f'<div class="players" role="group" aria-label="{escape(title)}">']
  for player in players:
    label = escape(player.label)
    parts.append(
      f'<div class="player"><div>{label}</div><audio controls preload="none" '
      f'aria-label="{label}" src="{_url(player.file)}"></audio></div>'
    )
  return '\n'.join([*parts, '</div>'])


def _facts(facts: Mapping[str, float | str | None]) -> str:
  if not facts:
    return ''
  columns = cli.make_table([facts]).columns
  cells = {str(column.header): str(*column.cells) for column in columns}
  return f'<dl class="facts">\n{_definitions(cells)}\n</dl>'


def _definitions(texts: Mapping[str, str]) -> str:
  return '\n'.join(
    f'<dt>{escape(label)}</dt><dd>{escape(text)}</dd>'
    for label, text in texts.items()
  )


def _url(file: str) -> str:
  return escape(urllib.parse.quote(file))


def _spaced(name: str) -> str:
  return name.replace('_', ' ')
