"""The page that shows what `synthesize` made."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from embedding_rnn.evaluate import tables
from embedding_rnn.synthesize import outputs, page

FILE_NAME = page.FILE_NAME

_SECTIONS = {
  'reconstruction': 'Reconstructions of held-out notes',
  'continuation': 'Held-out notes, continued',
  'filling': 'Held-out notes with a gap, filled',
  'sample': 'New notes',
  'interpolation': 'From one note to another',
  'combination': 'Notes added and subtracted',
  'sweep': 'One instrument over the keyboard',
}
_FIGURES = {
  'rainbowgrams': 'Rainbowgrams: level as brightness, frequency as colour',
  'residual': 'Reconstruction and residual',
  'stages': 'Through the model and back',
  'mixes': 'Mixes of original and reconstruction, and their residuals',
  'components': 'Principal components',
  'likelihood': 'What the model expected, and how surprised it was',
  'note': 'Embedding, spectrogram and loudness',
  'overview': 'Held-out notes above their reconstructions',
  'originals': 'Held-out notes, channel by channel',
  'reconstructions': 'Their reconstructions, channel by channel',
}


def write_page(
  folder: pathlib.Path,
  summary: Mapping[str, Any],
  metrics: Mapping[str, Any] | None,
  command: str,
) -> None:
  """Writes the page of a summary.

  Args:
    folder: where the files of the summary are.
    summary: see `synthesize.synthesize`.
    metrics: see `measures.evaluate`.
    command: that does the same again.
  """
  rows, note = tables.tabulate(metrics) if metrics else ([], '')
  page.write(
    folder,
    page.Page(
      title='Notes of an Embedding RNN',
      notes=[_note(note) for note in summary['notes']],
      command=command,
      settings={
        name: value
        for name, value in summary.items()
        if name not in ('notes', 'overviews') and value is not None
      },
      metrics=rows,
      metrics_note=note,
      figures=[
        page.Image(_FIGURES[label], file, _FIGURES[label])
        for label, file in summary['overviews'].items()
      ],
    ),
  )


def _note(note: Mapping[str, Any]) -> page.Note:
  made = note['audio'].get(outputs.MADE, {})
  facts = {
    'MSE': note.get('mse'),
    'pitch error (cents)': made.get('pitch_error_cents'),
    'loudness error (dB)': note.get('loudness_error_db'),
  }
  return page.Note(
    name=note['name'],
    title=note['title'],
    section=_SECTIONS[note['section']],
    pitch=note['pitch'],
    family=note['family'],
    facts={name: value for name, value in facts.items() if value is not None},
    players=[
      page.Player(_label(key, note), audio['file'])
      for key, audio in note['audio'].items()
    ],
    images=[
      page.Image(_FIGURES[label], file, f'{_FIGURES[label]}: {note["title"]}')
      for label, file in note['figures'].items()
    ],
  )


def _label(key: str, note: Mapping[str, Any]) -> str:
  if key == outputs.MADE:
    return note['section']
  return key.replace('mix_', 'mix, alpha ')
