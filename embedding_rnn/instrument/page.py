"""An instrument as a page to play: a keyboard, and a pad that blends sounds."""

from __future__ import annotations

import base64
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe
import numpy as np
import soundfile

from embedding_rnn.instrument.pack import Sample
from embedding_rnn.utils import files

FILE_NAME = 'index.html'
NUM_CORNERS = 4
VELOCITY = 100  # of the notes; the page makes softer ones of them
_PEAK = 10 ** (-6 / 20)  # of full scale, so that chords have room
_FOLDER = pathlib.Path(__file__).parent


def write_page(
  folder: pathlib.Path,
  corners: Mapping[str, Sequence[Sample]],
  sample_rate: int,
  title: str,
  subtitle: str = '',
) -> pathlib.Path:
  """Writes one file that holds everything: it needs no network.

  Args:
    folder: to write to, which is there.
    corners: four sounds by name, left to right and top to bottom, each of notes
      over the keyboard.
    sample_rate: of them, in Hz.
    title: of the page.
    subtitle: what to say below it.

  Returns:
    The file.

  Raises:
    ValueError: for another number of sounds.
    OSError: if it cannot be written.
  """
  if len(corners) != NUM_CORNERS:
    raise ValueError(f'{len(corners)} sounds: expected {NUM_CORNERS}.')
  sound = {
    'rate': sample_rate,
    'corners': [
      {'name': name, 'samples': _encode(samples, sample_rate)}
      for name, samples in corners.items()
    ],
  }
  environment = jinja2.Environment(autoescape=True)
  template = environment.from_string(
    (_FOLDER / 'page_template.html').read_text('utf-8')
  )
  # Ours, and not to be escaped.
  script = markupsafe.Markup((_FOLDER / 'page.js').read_text('utf-8'))
  html = template.render(
    title=title,
    subtitle=subtitle,
    corners=list(corners),
    sound=sound,
    script=script,
  )
  path = folder / FILE_NAME
  files.write_text(path, html)
  return path


def _encode(
  samples: Sequence[Sample], sample_rate: int
) -> list[dict[str, Any]]:
  """The notes of a sound as FLAC in base64, at one gain."""
  peak = max(float(np.abs(sample.audio).max()) for sample in samples)
  gain = _PEAK / peak if peak > 0 else 1.0
  encoded = []
  for sample in samples:
    content = io.BytesIO()
    audio = gain * sample.audio
    soundfile.write(content, audio, sample_rate, 'PCM_16', format='FLAC')
    text = base64.b64encode(content.getvalue()).decode('ascii')
    encoded.append(
      {'key': sample.midi_pitch, 'loop': sample.loop, 'audio': text}
    )
  return encoded
