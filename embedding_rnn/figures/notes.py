"""Notes beside their reconstructions, and new notes: seen, and as they sound.

Audio is optional: frames of an unknown codec can be seen, but not heard.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from embedding_rnn.audio import harmonics, metrics
from embedding_rnn.figures import drawing, spectra

_COLOURS = 'RdBu_r'
_BAR_LABEL = 'embedding value (log beyond ±1)'
_BAR_TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
_BAR_MARGIN = 0.95  # inches, for a colour bar and its texts
_TITLE_HEIGHT = 0.5  # inches


def note_figure(
  original: np.ndarray,
  reconstruction: np.ndarray,
  original_audio: np.ndarray | None = None,
  reconstruction_audio: np.ndarray | None = None,
  *,
  what: str = 'Reconstruction',
  title: str = '',
  midi_pitch: int | None = None,
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """A note beside what was made of it: 1600 x 1000 dots (x 400 without audio).

  Above the frames of both and their residual, on one scale; then their
  spectrograms, on one scale; below their loudness.

  Args:
    original: frames `[T, W]`.
    reconstruction: frames `[T, W]`.
    original_audio: `[samples]`; None, as the next, for frames alone.
    reconstruction_audio: `[samples]`.
    what: names the second, where it is not a reconstruction.
    title: above all.
    midi_pitch: marked in the spectrograms, if given.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: the frames differ in shape, only one audio is given, or
      something is not finite.
  """
  original, reconstruction = drawing.check_same_shape(
    original=original, reconstruction=reconstruction
  )
  if (original_audio is None) != (reconstruction_audio is None):
    raise ValueError(
      'original_audio and reconstruction_audio go together; pass both or none.'
    )
  residual = original - reconstruction
  named = {
    'Original embedding': original,
    f'{what} embedding': reconstruction,
    f'Residual, MSE {np.mean(np.square(residual)):.3f}': residual,
  }
  frame_seconds = hop_length / sample_rate
  if original_audio is None or reconstruction_audio is None:
    figure = drawing.make_figure(16.0, 4.0, title)
    _draw_frames_band(figure, 1, named, frame_seconds)
    return figure
  figure = drawing.make_figure(16.0, 10.0, title)
  _draw_frames_band(figure, 3, named, frame_seconds)
  before = drawing.check_audio(original_audio, 'original_audio')
  after = drawing.check_audio(reconstruction_audio, 'reconstruction_audio')
  audios = {'Original audio': before, f'{what} audio': after}
  made_line = {**drawing.RECONSTRUCTION_LINE, 'label': what.lower()}
  lines = drawing.ORIGINAL_LINE, made_line
  ax = _draw_sound(figure, audios, lines, midi_pitch, sample_rate, hop_length)
  error_db = metrics.loudness_error_db(before, after)
  drawing.set_title(ax, f'Loudness, mean difference {error_db:.1f} dB')
  ax.legend(loc='upper right')
  return figure


def sample_figure(
  frames: np.ndarray,
  audio: np.ndarray | None = None,
  *,
  midi_pitch: int,
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """A new note: 1600 x 1000 dots (x 400 without audio).

  From above: its frames, its spectrogram with the pitch that was asked
  for, and its loudness.

  Args:
    frames: `[T, W]`.
    audio: `[samples]`; None for the frames alone.
    midi_pitch: the pitch that was asked for.
    title: above all.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: something is not of these shapes, or not finite.
  """
  frames = drawing.check_frames(frames, 'frames')
  figure = drawing.make_figure(16.0, 4.0 if audio is None else 10.0, title)
  num_bands = 1 if audio is None else 3
  named = {'Embedding': frames}
  _draw_frames_band(figure, num_bands, named, hop_length / sample_rate)
  if audio is not None:
    audios = {'Audio': drawing.check_audio(audio, 'audio')}
    lines = [drawing.ORIGINAL_LINE]
    ax = _draw_sound(figure, audios, lines, midi_pitch, sample_rate, hop_length)
    drawing.set_title(ax, 'Loudness')
  return figure


def overview_figure(
  originals: Sequence[np.ndarray],
  reconstructions: Sequence[np.ndarray],
  original_audios: Sequence[np.ndarray | None] | None = None,
  reconstruction_audios: Sequence[np.ndarray | None] | None = None,
  *,
  names: Sequence[str],
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """Notes side by side, originals above reconstructions.

  Args:
    originals: N times frames `[T, W]`.
    reconstructions: N times frames `[T, W]`.
    original_audios: N times `[samples]`; None, as the next, for frames alone.
    reconstruction_audios: N times `[samples]`.
    names: N of them, one above each note.
    title: above all.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: the arrays do not belong together, something is not finite, or
      there is no note.
  """
  if not len(names) == len(originals) == len(reconstructions) > 0:
    raise ValueError(
      f'{len(originals)} notes, {len(reconstructions)} reconstructions and '
      f'{len(names)} names: expected as many of each, and at least one.'
    )
  frames = []
  for pair in zip(originals, reconstructions, strict=True):
    frames += drawing.check_same_shape(original=pair[0], reconstruction=pair[1])
  audios = []
  if original_audios is not None and reconstruction_audios is not None:
    audios = list(zip(original_audios, reconstruction_audios, strict=True))
  has_audio = any(original is not None for original, _ in audios)
  num_rows = 4 if has_audio else 2
  figure = drawing.make_figure(
    max(6.0, 2.0 + 2.0 * len(names)), 8.5 if has_audio else 5.0, title
  )
  axes = drawing.add_panels(
    figure,
    num_rows,
    len(names),
    left=0.85,
    right=_BAR_MARGIN,
    gap_x=0.15,
    gap_y=0.15,
    sharex=True,
    sharey='row',
  )
  _draw_frames(figure, axes[:2].T.flat, frames, hop_length / sample_rate)
  for ax, name in zip(axes[0], names, strict=True):
    drawing.set_title(ax, name)
  for row in range(num_rows):
    kind = ('original', 'reconstruction')[row % 2]
    scale_name = 'channel' if row < 2 else spectra.FREQUENCY_LABEL
    axes[row, 0].set_ylabel(f'{kind}\n{scale_name}')
  drawing.add_time_label(figure, axes[-1])
  if not has_audio:
    return figure
  for column, both in enumerate(audios):
    sounds = [
      drawing.check_audio(audio, f'audio {column}')
      for audio in both
      if audio is not None
    ]
    image = spectra.draw_spectrograms(axes[2:, column], sounds, sample_rate)
  drawing.add_colour_bar(figure, image, axes[2:].flat, spectra.DECIBEL_LABEL)
  return figure


def notes_figure(
  frames: Sequence[np.ndarray],
  audios: Sequence[np.ndarray] | None = None,
  *,
  names: Sequence[str],
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """Notes side by side: frames, and below them spectrograms, on one scale each.

  Args:
    frames: N times `[T, W]`.
    audios: N times `[samples]`; None for frames alone.
    names: N of them, one above each note.
    title: above all.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: the arrays do not belong together, something is not finite, or
      there is no note.
  """
  num_sounds = len(names) if audios is None else len(audios)
  if not num_sounds == len(names) == len(frames) > 0:
    raise ValueError(
      f'{len(frames)} notes, {num_sounds} sounds and {len(names)} names: '
      'expected as many of each, and at least one.'
    )
  frames = [drawing.check_frames(x, f'note {i}') for i, x in enumerate(frames)]
  figure = drawing.make_figure(
    max(6.0, 2.0 + 2.0 * len(names)), 7.0 if audios else 4.0, title
  )
  axes = drawing.add_panels(
    figure,
    2 if audios else 1,
    len(names),
    left=0.85,
    right=_BAR_MARGIN,
    gap_x=0.15,
    gap_y=0.15,
    sharex=True,
    sharey='row',
  )
  _draw_frames(figure, axes[0], frames, hop_length / sample_rate)
  for ax, name in zip(axes[0], names, strict=True):
    drawing.set_title(ax, name)
  axes[0, 0].set_ylabel('channel')
  drawing.add_time_label(figure, axes[-1])
  if audios:
    sounds = [
      drawing.check_audio(x, f'audio {i}') for i, x in enumerate(audios)
    ]
    image = spectra.draw_spectrograms(axes[1], sounds, sample_rate)
    axes[1, 0].set_ylabel(spectra.FREQUENCY_LABEL)
    drawing.add_colour_bar(figure, image, axes[1], spectra.DECIBEL_LABEL)
  return figure


def _draw_frames_band(
  figure: Figure,
  num_bands: int,
  named: Mapping[str, np.ndarray],
  frame_seconds: float,
) -> None:
  """Draws frames by their titles, in the uppermost band, on one scale."""
  panels = _add_band(figure, 0, num_bands, len(named))
  _draw_frames(figure, panels, list(named.values()), frame_seconds)
  for ax, name in zip(panels, named, strict=True):
    drawing.set_title(ax, name)
  panels[0].set_ylabel('channel')


def _draw_sound(
  figure: Figure,
  audios: Mapping[str, np.ndarray],
  lines: Sequence[dict[str, Any]],
  midi_pitch: int | None,
  sample_rate: int,
  hop_length: int,
) -> Axes:
  """Draws spectrograms and, in the panel that it gives, loudness."""
  panels = _add_band(figure, 1, 3, len(audios))
  sounds = list(audios.values())
  image = spectra.draw_spectrograms(panels, sounds, sample_rate, midi_pitch)
  for ax, name in zip(panels, audios, strict=True):
    drawing.set_title(ax, f'{name}, spectrogram')
  panels[0].set_ylabel(spectra.FREQUENCY_LABEL)
  drawing.add_colour_bar(figure, image, panels, spectra.DECIBEL_LABEL)
  (ax,) = _add_band(figure, 2, 3)
  spectra.draw_loudness(ax, sounds, lines, sample_rate, hop_length)
  return ax


def _add_band(
  figure: Figure, index: int, num_bands: int, num_columns: int = 1
) -> np.ndarray:
  """Panels side by side, in one of several bands below each other."""
  height = figure.get_size_inches()[1] - _TITLE_HEIGHT
  band_height = height / num_bands
  panels = drawing.add_panels(
    figure,
    1,
    num_columns,
    right=_BAR_MARGIN,
    bottom=height - (index + 1) * band_height + 0.5,
    top=_TITLE_HEIGHT + index * band_height + 0.3,
    sharey=True,
  )[0]
  for ax in panels:
    ax.set_xlabel(drawing.TIME_LABEL)
  return panels


def _draw_frames(
  figure: Figure,
  panels: Iterable[Axes],
  frames: Sequence[np.ndarray],
  frame_seconds: float,
) -> None:
  """Draws frames on one scale, and a colour bar beside them."""
  panels = list(panels)
  limit = max(2.0, *(float(np.abs(note).max()) for note in frames))
  # White is zero. Channels differ much in size; a scale that is logarithmic
  # beyond 1 shows what happens in the small ones, and the residual.
  scale = SymLogNorm(1.0, vmin=-limit, vmax=limit, base=10)
  for ax, note in zip(panels, frames, strict=True):
    image = drawing.draw_frames(
      ax, note, frame_seconds, cmap=_COLOURS, norm=scale
    )
  ticks = [tick for tick in _BAR_TICKS if abs(tick) <= limit]
  bar = drawing.add_colour_bar(figure, image, panels, _BAR_LABEL)
  bar.set_ticks(ticks, labels=[f'{tick:g}' for tick in ticks])
  bar.ax.minorticks_off()
