"""A folder of audio files and figures, each of them whole or not there."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from embedding_rnn import figures
from embedding_rnn.audio import metrics
from embedding_rnn.audio.codec import Codec
from embedding_rnn.data.transforms import WhitenedPCA
from embedding_rnn.figures import drawing
from embedding_rnn.synthesize.piece import Piece
from embedding_rnn.utils import wav

MADE, ORIGINAL = 'made', 'original'
NUM_SHOWN = 6  # notes that one can still see side by side, as in 2017

_CHUNK_SIZE = 16  # pieces that are decoded together
_PITCH_RESOLUTION_CENTS = 5.0  # 2 would take seven times as long
_FEW_PIECES = 4  # are drawn before other processes have started


class Style(NamedTuple):
  """What is the same in all figures.

  Attributes:
    timing: sample_rate and hop_length of the frames, if known.
    limits: of axes of embeddings.
    difference_limits: of axes of residuals.
    model_limits: of axes of what the model sees, and of residuals beside it.
    pca: of the run, or None.
  """

  timing: dict[str, int]
  limits: tuple[float, float]
  difference_limits: tuple[float, float]
  model_limits: tuple[float, float]
  pca: WhitenedPCA | None


class DecodedPiece(NamedTuple):
  """A piece and how it sounds.

  Attributes:
    piece: the piece.
    mixes: of a reconstruction and its original, by alpha, `[T, 16]` each.
    audios: `[samples]` by what it is: ORIGINAL if there is one, MADE, and the
      mixes, see `mix_key`. Empty without a codec.
    has_all_figures: else there are no figures of mixes and components, which
      say little of a single note.
  """

  piece: Piece
  mixes: dict[float, np.ndarray]
  audios: dict[str, np.ndarray]
  has_all_figures: bool


def mix_key(alpha: float) -> str:
  """What a mix is called."""
  return f'mix_{alpha:.2f}'


def choose_style(
  pieces: Sequence[Piece], codec: Codec | None, pca: WhitenedPCA | None
) -> Style:
  """The style in which all of these pieces can be seen."""
  timing = {}
  if codec:
    timing = {'sample_rate': codec.sample_rate, 'hop_length': codec.hop_length}
  notes = [piece.frames for piece in pieces]
  compared = [piece for piece in pieces if piece.original is not None]
  notes += [piece.original for piece in compared]
  residuals = [piece.original - piece.frames for piece in compared]
  views = [piece.view for piece in pieces if piece.view]
  seen = [array for view in views for array in (view.original, view.made)]
  least = figures.DIFFERENCE_LIMITS
  return Style(
    timing,
    figures.value_limits(*notes),
    figures.value_limits(*residuals or notes[:1], least=least),
    figures.value_limits(*seen, *residuals or notes[:1], least=least),
    pca,
  )


def decode(
  pieces: Sequence[Piece], codec: Codec | None, alphas: Sequence[float]
) -> Iterator[DecodedPiece]:
  """Decodes pieces, a few at a time.

  Args:
    pieces: any.
    codec: what they are decoded with; None for no audio.
    alphas: of the mixes of each reconstruction and its original: alpha *
      reconstruction + (1 - alpha) * original.
  """
  for start in range(0, len(pieces), _CHUNK_SIZE):
    chunk = [
      DecodedPiece(piece, _mixes(piece, alphas), {}, i < NUM_SHOWN)
      for i, piece in enumerate(pieces[start : start + _CHUNK_SIZE], start)
    ]
    if codec:
      _add_audios(chunk, codec)
    yield from chunk


def _mixes(piece: Piece, alphas: Sequence[float]) -> dict[float, np.ndarray]:
  if piece.view is None:
    return {}
  return {
    alpha: alpha * piece.frames + (1 - alpha) * piece.original
    for alpha in alphas
  }


def _add_audios(chunk: Sequence[DecodedPiece], codec: Codec) -> None:
  """Decodes what is of one length together."""
  by_length: dict[int, list] = {}
  for decoded in chunk:
    piece = decoded.piece
    frames = {} if piece.original is None else {ORIGINAL: piece.original}
    frames[MADE] = piece.frames
    frames |= {mix_key(alpha): mix for alpha, mix in decoded.mixes.items()}
    same = by_length.setdefault(len(piece.frames), [])
    same += [(decoded, key, note) for key, note in frames.items()]
  for same in by_length.values():
    pitches = [decoded.piece.midi_pitch for decoded, *_ in same]
    audios = codec.decode(
      np.stack([note for *_, note in same]), np.array(pitches)
    )
    for (decoded, key, _), audio in zip(same, audios, strict=True):
      decoded.audios[key] = audio


def write_pieces(
  pieces: Iterable[DecodedPiece],
  num_pieces: int,
  folder: pathlib.Path,
  style: Style,
) -> list[dict[str, Any]]:
  """Writes the audio and the figures of pieces, on all cores.

  Args:
    pieces: taken as they can be worked on.
    num_pieces: how many there are.
    folder: where to.
    style: of the figures.

  Returns:
    What is said of each, see `synthesize.synthesize`.
  """
  num_jobs = 1 if num_pieces <= _FEW_PIECES else -1
  # No array goes through a file (max_nbytes).
  parallel = joblib.Parallel(
    num_jobs, return_as='generator', max_nbytes=None, pre_dispatch='2*n_jobs'
  )
  write = joblib.delayed(_write_piece)
  records = parallel(write(piece, folder, style) for piece in pieces)
  return list(tqdm(records, 'Writing notes', num_pieces, unit='note'))


def _write_piece(
  decoded: DecodedPiece, folder: pathlib.Path, style: Style
) -> dict[str, Any]:
  piece, audios = decoded.piece, decoded.audios
  record = {
    'section': piece.section,
    'name': piece.name,
    'title': piece.title,
    'family': piece.family,
    'pitch': piece.midi_pitch,
    **piece.facts,
    'audio': {},
    'figures': {},
  }
  made_suffix = '_reconstruction' if piece.view else ''
  for key, audio in audios.items():
    suffix = made_suffix if key == MADE else f'_{key}'
    path = folder / f'{piece.name}{suffix}.wav'
    gain_db = wav.write_wav(path, audio, style.timing['sample_rate'])
    record['audio'][key] = {'file': path.name, 'gain_db': gain_db}
    if key in (MADE, ORIGINAL):
      cents = metrics.pitch_error_cents(
        audio,
        piece.midi_pitch,
        style.timing['sample_rate'],
        _PITCH_RESOLUTION_CENTS,
      )
      record['audio'][key]['pitch_error_cents'] = (
        cents if np.isfinite(cents) else None
      )
  if ORIGINAL in audios:
    record['loudness_error_db'] = metrics.loudness_error_db(
      audios[ORIGINAL], audios[MADE]
    )
  for label, draw in _figures(decoded, style).items():
    name = f'{piece.name}_{label}.png'
    drawing.write_figure(folder / name, draw(title=piece.title))
    record['figures'][label] = name
  return record


def _figures(
  decoded: DecodedPiece, style: Style
) -> dict[str, Callable[..., Figure]]:
  """Functions of a title, by label."""
  piece, audios = decoded.piece, decoded.audios
  both = audios.get(ORIGINAL), audios.get(MADE)
  if piece.view:
    return _figures_of_reconstruction(decoded, both, style)
  about = {'midi_pitch': piece.midi_pitch, **style.timing}
  if piece.original is None:
    draw = figures.sample_figure
    return {'note': functools.partial(draw, piece.frames, both[1], **about)}
  notes = piece.original, piece.frames
  about['what'] = piece.section.capitalize()
  return {
    'note': functools.partial(figures.note_figure, *notes, *both, **about)
  }


def _figures_of_reconstruction(decoded, audios, style):
  """Rainbowgrams, the likelihood, and figures 4, 2, 3 and 5 of 2017."""
  draw, piece, mixes = functools.partial, decoded.piece, decoded.mixes
  view = piece.view
  notes = piece.original, piece.frames
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
      names=[f'MIDI pitch {piece.midi_pitch}'],
      sample_rate=style.timing['sample_rate'],
    )
  drawn['residual'] = draw(
    figures.mixes_figure, piece.original, piece.frames[None], [1.0], **scales
  )
  drawn['stages'] = draw(
    figures.stages_figure,
    piece.original,
    view.original,
    view.made,
    view.reverted,
    piece.frames,
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
      piece.original,
      list(mixes.values()),
      list(mixes),
      **scales,
    )
  if style.pca and len(style.pca.components) > 1:
    pca = style.pca.components, style.pca.variance
    drawn['components'] = draw(figures.components_figure, *notes, *pca)
  return drawn


def write_overviews(
  decoded: Sequence[DecodedPiece], folder: pathlib.Path, style: Style
) -> dict[str, str]:
  """Writes figures of reconstructions side by side: 1a and 1b of 2017.

  Args:
    decoded: a few pieces, of which the reconstructions are shown.
    folder: where to.
    style: of the figures.

  Returns:
    Their file names, by label.
  """
  shown = [each for each in decoded if each.piece.view]
  if not shown:
    return {}
  pieces = [each.piece for each in shown]
  names = [
    f'{each.family or "note"}, MIDI {each.midi_pitch}' for each in pieces
  ]
  originals = [piece.original for piece in pieces]
  made = [piece.frames for piece in pieces]
  channels = functools.partial(
    figures.channels_figure, names=names, limits=style.limits, **style.timing
  )
  drawn = {
    'overview': figures.overview_figure(
      originals,
      made,
      *([each.audios.get(key) for each in shown] for key in (ORIGINAL, MADE)),
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
