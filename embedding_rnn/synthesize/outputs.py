"""A folder of audio files and figures, each of them whole or not there."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
from matplotlib.figure import Figure

from embedding_rnn import figures
from embedding_rnn.audio import levels, metrics
from embedding_rnn.audio.codec import Codec
from embedding_rnn.data.transforms import WhitenedPCA
from embedding_rnn.figures import drawing
from embedding_rnn.synthesize.generation import GeneratedNote
from embedding_rnn.utils import cli, wav

MADE, ORIGINAL = 'made', 'original'
NUM_SHOWN = 6  # notes that one can still see side by side, as in 2017

_CHUNK_SIZE = 16  # notes that are decoded together
_PITCH_RESOLUTION_CENTS = 5.0  # 2 would take seven times as long
_FEW_NOTES = 4  # are drawn before other processes have started


class Style(NamedTuple):
  """What is the same in all figures.

  Attributes:
    timing: sample_rate and hop_length of the frames, if known.
    limits: of axes of embeddings.
    difference_limits: of axes of residuals.
    model_limits: of axes of what the model sees, and of residuals beside it.
    pca: of the run, or None.
  """

  timing: dict[str, Any]
  limits: tuple[float, float]
  difference_limits: tuple[float, float]
  model_limits: tuple[float, float]
  pca: WhitenedPCA | None


class DecodedNote(NamedTuple):
  """A note and how it sounds.

  Attributes:
    note: the note.
    mixes: of a reconstruction and its original, by alpha, `[T, 16]` each.
    audios: `[samples]` by what it is: ORIGINAL if there is one, MADE, and the
      mixes, see `mix_key`. Empty without a codec.
    has_all_figures: else there are no figures of mixes and components, which
      say little of a single note.
  """

  note: GeneratedNote
  mixes: dict[float, np.ndarray]
  audios: dict[str, np.ndarray]
  has_all_figures: bool


def mix_key(alpha: float) -> str:
  """What a mix is called."""
  return f'mix_{alpha:.2f}'


def choose_style(
  notes: Sequence[GeneratedNote], codec: Codec | None, pca: WhitenedPCA | None
) -> Style:
  """The style in which all of these notes can be seen."""
  timing = {}
  if codec:
    timing = {'sample_rate': codec.sample_rate, 'hop_length': codec.hop_length}
  pairs = [(n.original, n.frames) for n in notes if n.original is not None]
  frames = [note.frames for note in notes]
  frames += [original for original, _ in pairs]
  residuals = [original - made for original, made in pairs] or frames[:1]
  views = [note.view for note in notes if note.view]
  seen = [array for view in views for array in (view.original, view.made)]
  least = figures.DIFFERENCE_LIMITS
  return Style(
    timing,
    figures.value_limits(*frames),
    figures.value_limits(*residuals, least=least),
    figures.value_limits(*seen, *residuals, least=least),
    pca,
  )


def decode(
  notes: Sequence[GeneratedNote], codec: Codec | None, alphas: Sequence[float]
) -> Iterator[DecodedNote]:
  """Decodes notes, a few at a time.

  Args:
    notes: any.
    codec: what they are decoded with; None for no audio.
    alphas: of the mixes of each reconstruction and its original: alpha *
      reconstruction + (1 - alpha) * original.
  """
  for start in range(0, len(notes), _CHUNK_SIZE):
    chunk = [
      DecodedNote(note, _mixes(note, alphas), {}, i < NUM_SHOWN)
      for i, note in enumerate(notes[start : start + _CHUNK_SIZE], start)
    ]
    if codec:
      _add_audios(chunk, codec)
    yield from chunk


def _mixes(
  note: GeneratedNote, alphas: Sequence[float]
) -> dict[float, np.ndarray]:
  if note.view is None or note.original is None:
    return {}
  return {
    alpha: alpha * note.frames + (1 - alpha) * note.original for alpha in alphas
  }


def _add_audios(chunk: Sequence[DecodedNote], codec: Codec) -> None:
  """Decodes what is of one length together."""
  by_length: dict[int, list] = {}
  for decoded in chunk:
    note = decoded.note
    sounds = {} if note.original is None else {ORIGINAL: note.original}
    sounds[MADE] = note.frames
    sounds |= {mix_key(alpha): mix for alpha, mix in decoded.mixes.items()}
    same = by_length.setdefault(len(note.frames), [])
    same += [(decoded, key, frames) for key, frames in sounds.items()]
  for same in by_length.values():
    pitches = [decoded.note.midi_pitch for decoded, *_ in same]
    audios = codec.decode(
      np.stack([frames for *_, frames in same]), np.array(pitches)
    )
    for (decoded, key, _), audio in zip(same, audios, strict=True):
      decoded.audios[key] = audio


def write_notes(
  notes: Iterable[DecodedNote],
  num_notes: int,
  folder: pathlib.Path,
  style: Style,
  keep_levels: bool = False,
) -> list[dict[str, Any]]:
  """Writes the audio and the figures of so many notes, on all cores.

  The notes are taken as they can be worked on. Unless `keep_levels` is set,
  each is brought to one loudness, see `audio.levels`: with its original, so
  that a reconstruction that is too quiet still is.

  Returns:
    A record of each, see `synthesis.synthesize`.
  """
  num_jobs = 1 if num_notes <= _FEW_NOTES else -1
  # No array goes through a file (max_nbytes).
  parallel = joblib.Parallel(
    num_jobs, return_as='generator', max_nbytes=None, pre_dispatch='2*n_jobs'
  )
  write = joblib.delayed(_write_note)
  records = parallel(write(note, folder, style, keep_levels) for note in notes)
  bar = cli.progress_bar(records, 'Writing notes', num_notes, unit='note')
  return list(bar)


def _write_note(
  decoded: DecodedNote,
  folder: pathlib.Path,
  style: Style,
  keep_levels: bool,
) -> dict[str, Any]:
  note, audios = decoded.note, decoded.audios
  record: dict[str, Any] = {
    'section': note.section,
    'name': note.name,
    'title': note.title,
    'family': note.family,
    'pitch': note.midi_pitch,
    **note.metadata,
    'audio': {},
    'figures': {},
  }
  made_suffix = '_reconstruction' if note.view else ''
  rate: Any = style.timing.get('sample_rate')  # known where there is audio
  gain_db = 0.0
  if audios and not keep_levels:
    reference = audios.get(ORIGINAL, audios[MADE])
    gain_db = levels.listening_gain_db(reference, audios.values(), rate)
  for key, audio in audios.items():
    suffix = made_suffix if key == MADE else f'_{key}'
    path = folder / f'{note.name}{suffix}.wav'
    heard = levels.fade_edges(audio, rate) * 10.0 ** (gain_db / 20.0)
    held_db = wav.write_wav(path, heard, rate)
    record['audio'][key] = {'file': path.name, 'gain_db': gain_db + held_db}
    if key in (MADE, ORIGINAL):
      cents = metrics.pitch_error_cents(
        audio, note.midi_pitch, rate, _PITCH_RESOLUTION_CENTS
      )
      record['audio'][key]['pitch_error_cents'] = (
        cents if np.isfinite(cents) else None
      )
  if ORIGINAL in audios:
    record['loudness_error_db'] = metrics.loudness_error_db(
      audios[ORIGINAL], audios[MADE]
    )
  for label, draw in _figures(decoded, style).items():
    name = f'{note.name}_{label}.png'
    drawing.write_figure(folder / name, draw(title=note.title))
    record['figures'][label] = name
  return record


def _figures(
  decoded: DecodedNote, style: Style
) -> dict[str, Callable[..., Figure]]:
  """Functions of a title, by label."""
  note, audios = decoded.note, decoded.audios
  both = audios.get(ORIGINAL), audios.get(MADE)
  if note.view:
    return _figures_of_reconstruction(decoded, both, style)
  draw: Callable[..., Figure]
  if note.original is None:
    draw = functools.partial(figures.sample_figure, note.frames, both[1])
  else:
    draw = functools.partial(
      figures.note_figure,
      *(note.original, note.frames, *both),
      what=note.section.capitalize(),
    )
  return {
    'note': functools.partial(draw, midi_pitch=note.midi_pitch, **style.timing)
  }


def _figures_of_reconstruction(
  decoded: DecodedNote,
  audios: tuple[np.ndarray | None, np.ndarray | None],
  style: Style,
) -> dict[str, Callable[..., Figure]]:
  """Rainbowgrams, the likelihood, and figures 4, 2, 3 and 5 of 2017."""
  draw: Any = functools.partial
  note, mixes = decoded.note, decoded.mixes
  view: Any = note.view
  notes = note.original, note.frames
  scales = {
    'limits': style.limits,
    'difference_limits': style.difference_limits,
    **style.timing,
  }
  drawn = {}
  if audios[0] is not None:
    drawn['rainbowgrams'] = draw(
      figures.rainbowgrams_figure,
      *([audio] for audio in audios),
      names=[f'MIDI pitch {note.midi_pitch}'],
      sample_rate=style.timing['sample_rate'],
    )
  drawn['residual'] = draw(
    figures.mixes_figure, note.original, note.frames[None], [1.0], **scales
  )
  drawn['stages'] = draw(
    figures.stages_figure,
    note.original,
    view.original,
    view.made,
    view.reverted,
    note.frames,
    **{**scales, 'difference_limits': style.model_limits},
  )
  drawn['likelihood'] = draw(
    figures.likelihood_figure,
    *(view.original, view.mean, view.std, view.nats),
    variable='component' if style.pca else 'channel',
    **style.timing,
  )
  if not decoded.has_all_figures:
    return drawn
  if mixes:
    drawn['mixes'] = draw(
      figures.mixes_figure,
      note.original,
      list(mixes.values()),
      list(mixes),
      **scales,
    )
  if style.pca and len(style.pca.components) > 1:
    pca = style.pca.components, style.pca.variance
    drawn['components'] = draw(figures.components_figure, *notes, *pca)
  return drawn


def write_overviews(
  decoded: Sequence[DecodedNote], folder: pathlib.Path, style: Style
) -> dict[str, str]:
  """Writes figures of the reconstructions among a few notes, side by side.

  They are 1a and 1b of 2017.

  Returns:
    Their file names, by label.
  """
  shown = [each for each in decoded if each.note.view]
  if not shown:
    return {}
  notes = [each.note for each in shown]
  names = [f'{note.family or "note"}, MIDI {note.midi_pitch}' for note in notes]
  originals: Any = [note.original for note in notes]
  made: Any = [note.frames for note in notes]
  audios: Any = (
    [each.audios.get(key) for each in shown] for key in (ORIGINAL, MADE)
  )
  channels: Any = functools.partial(
    figures.channels_figure, names=names, limits=style.limits, **style.timing
  )
  drawn = {
    'overview': figures.overview_figure(
      originals,
      made,
      *audios,
      names=names,
      title='Held-out notes and their reconstructions',
      **style.timing,
    ),
    'originals': channels(originals, title='Held-out notes'),
    'reconstructions': channels(made, title='Their reconstructions'),
  }
  for label, figure in drawn.items():
    drawing.write_figure(folder / f'{label}.png', figure)
  return {label: f'{label}.png' for label in drawn}
