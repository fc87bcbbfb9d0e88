"""Notes beside their reconstructions, and new notes: seen, and as they sound.

Audio is optional: frames of an unknown codec can be seen, but not heard.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

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

  Above the embeddings of both and their residual, on one scale; then their
  spectrograms, on one scale; below their loudness.

  Args:
    original: frames `[T, W]`.
    reconstruction: frames `[T, W]`.
    original_audio: `[samples]`; None, as the next, for embeddings alone.
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
  has_audio = original_audio is not None
  figure = drawing.make_figure(16.0, 10.0 if has_audio else 4.0, title)
  num_bands = 3 if has_audio else 1
  panels = _add_band(figure, 0, num_bands, num_columns=3)
  residual = original - reconstruction
  scale = _diverging_scale(original, reconstruction, residual)
  named = {
    'Original embedding': original,
    f'{what} embedding': reconstruction,
    f'Residual, MSE {np.mean(np.square(residual)):.3f}': residual,
  }
  for ax, (name, frames) in zip(panels, named.items(), strict=True):
    image = _draw_embedding(ax, frames, hop_length / sample_rate, scale)
    drawing.set_title(ax, name)
  panels[0].set_ylabel('channel')
  _add_embedding_bar(figure, image, panels)
  if not has_audio:
    return figure
  audios = (
    drawing.check_audio(original_audio, 'original_audio'),
    drawing.check_audio(reconstruction_audio, 'reconstruction_audio'),
  )
  panels = _add_band(figure, 1, num_bands, num_columns=2)
  image = spectra.draw_spectrograms(panels, audios, sample_rate, midi_pitch)
  for ax, name in zip(panels, ('Original', what), strict=True):
    drawing.set_title(ax, f'{name} audio, spectrogram')
  panels[0].set_ylabel(spectra.FREQUENCY_LABEL)
  drawing.add_colour_bar(figure, image, panels, spectra.DECIBEL_LABEL)
  (ax,) = _add_band(figure, 2, num_bands)
  made_line = {**drawing.RECONSTRUCTION_LINE, 'label': what.lower()}
  lines = drawing.ORIGINAL_LINE, made_line
  spectra.draw_loudness(ax, audios, lines, sample_rate, hop_length)
  error_db = metrics.loudness_error_db(*audios)
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

  From above: its embedding, its spectrogram with the pitch that was asked
  for, and its loudness.

  Args:
    frames: `[T, W]`.
    audio: `[samples]`; None for the embedding alone.
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
  (ax,) = _add_band(figure, 0, num_bands)
  scale = _diverging_scale(frames)
  image = _draw_embedding(ax, frames, hop_length / sample_rate, scale)
  drawing.set_title(ax, 'Embedding')
  ax.set_ylabel('channel')
  _add_embedding_bar(figure, image, [ax])
  if audio is None:
    return figure
  audio = drawing.check_audio(audio, 'audio')
  (ax,) = _add_band(figure, 1, num_bands)
  image = spectra.draw_spectrograms([ax], [audio], sample_rate, midi_pitch)
  drawing.set_title(ax, 'Audio, spectrogram')
  ax.set_ylabel(spectra.FREQUENCY_LABEL)
  drawing.add_colour_bar(figure, image, [ax], spectra.DECIBEL_LABEL)
  (ax,) = _add_band(figure, 2, num_bands)
  lines = [drawing.ORIGINAL_LINE]
  spectra.draw_loudness(ax, [audio], lines, sample_rate, hop_length)
  drawing.set_title(ax, 'Loudness')
  return figure


def overview_figure(
  originals: np.ndarray,
  reconstructions: np.ndarray,
  original_audios: np.ndarray | None = None,
  reconstruction_audios: np.ndarray | None = None,
  *,
  names: Sequence[str],
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """Notes side by side, originals above reconstructions.

  Args:
    originals: frames `[N, T, W]`.
    reconstructions: frames `[N, T, W]`.
    original_audios: `[N, samples]`; None, as the next, for embeddings alone.
    reconstruction_audios: `[N, samples]`.
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
  pairs = [
    drawing.check_same_shape(original=original, reconstruction=reconstruction)
    for original, reconstruction in zip(originals, reconstructions, strict=True)
  ]
  has_audio = original_audios is not None and original_audios[0] is not None
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
  scale = _diverging_scale(*(frames for pair in pairs for frames in pair))
  for column, name in enumerate(names):
    for ax, frames in zip(axes[:2, column], pairs[column], strict=True):
      image = _draw_embedding(ax, frames, hop_length / sample_rate, scale)
    drawing.set_title(axes[0, column], name)
  _add_embedding_bar(figure, image, axes[:2].flat)
  for row in range(num_rows):
    kind = ('original', 'reconstruction')[row % 2]
    scale_name = 'channel' if row < 2 else spectra.FREQUENCY_LABEL
    axes[row, 0].set_ylabel(f'{kind}\n{scale_name}')
  drawing.add_time_label(figure, axes[-1])
  if not has_audio:
    return figure
  pairs = zip(original_audios, reconstruction_audios, strict=True)
  for column, pair in enumerate(pairs):
    audios = [drawing.check_audio(audio, f'audio {column}') for audio in pair]
    image = spectra.draw_spectrograms(axes[2:, column], audios, sample_rate)
  drawing.add_colour_bar(figure, image, axes[2:].flat, spectra.DECIBEL_LABEL)
  return figure


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


def _diverging_scale(*frames: np.ndarray) -> SymLogNorm:
  """From -limit to limit, so that white is zero.

  Channels differ much in size; a scale that is logarithmic beyond 1 shows what
  happens in the small ones, and the residual.
  """
  limit = max(2.0, *(float(np.abs(f).max()) for f in frames))
  return SymLogNorm(1.0, vmin=-limit, vmax=limit, base=10)


def _draw_embedding(
  ax: Axes, frames: np.ndarray, frame_seconds: float, scale: SymLogNorm
) -> AxesImage:
  num_frames, num_channels = frames.shape
  image = ax.imshow(
    frames.T,
    aspect='auto',
    origin='lower',
    interpolation='nearest',
    cmap=_COLOURS,
    norm=scale,
    extent=(0, num_frames * frame_seconds, -0.5, num_channels - 0.5),
  )
  ax.set_yticks(range(0, num_channels, max(1, num_channels // 4)))
  return image


def _add_embedding_bar(
  figure: Figure, image: AxesImage, axes: Iterable[Axes]
) -> None:
  limit = image.norm.vmax
  ticks = [tick for tick in _BAR_TICKS if abs(tick) <= limit]
  bar = drawing.add_colour_bar(figure, image, axes, _BAR_LABEL)
  bar.set_ticks(ticks, labels=[f'{tick:g}' for tick in ticks])
  bar.ax.minorticks_off()
