"""Figures of notes: embeddings, spectrograms and loudness.

Each function takes arrays and returns a `matplotlib.figure.Figure`, without the
global state of pyplot; `figure.savefig(path)` writes it, 100 dots to the inch.
Audio is optional: frames of an unknown codec can be seen, but not heard.
"""

from collections.abc import Sequence

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from embedding_rnn import harmonics, metrics

_EMBEDDING_COLOURS = 'RdBu_r'
_SPECTROGRAM_COLOURS = 'viridis'
# Of Okabe and Ito's palette, which colour-blind people can tell apart; dashes
# tell them apart in print, too.
_ORIGINAL_LINE = {'color': '#000000', 'linewidth': 1.5, 'label': 'original'}
_MADE_LINE = {'color': '#d55e00', 'linewidth': 1.5, 'linestyle': (0, (4, 2))}
_EMBEDDING_LABEL = 'embedding value (log beyond ±1)'
_DECIBEL_LABEL = 'level (dB re loudest)'
_EMBEDDING_TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
_TICKS_HZ = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000)

_WINDOW_LENGTH = 2048
_FFT_SIZE = 4096  # padded, so that low rows do not share a bin
_FFT_HOP_LENGTH = 256
_MIN_HZ = 30.0
_NUM_ROWS = 240
_RANGE_DB = 80.0


def log_spectrogram_db(
  audio: np.ndarray, sample_rate: int = harmonics.SAMPLE_RATE
) -> np.ndarray:
  """A spectrogram with a logarithmic frequency axis, in dB of full scale.

  Args:
    audio: `[samples]`.
    sample_rate: of the audio, in Hz.

  Returns:
    `[240, T']`: the level of a sine that is the strongest in each of 240 equal
    steps of pitch from 30 Hz to half the sample rate, at each whole number of
    256-sample hops.
  """
  spectrum = librosa.stft(
    np.asarray(audio, np.float32),
    n_fft=_FFT_SIZE,
    win_length=_WINDOW_LENGTH,
    hop_length=_FFT_HOP_LENGTH,
    pad_mode='constant',
  )
  edges_hz = np.geomspace(_MIN_HZ, sample_rate / 2, _NUM_ROWS + 1)
  first_bins = (edges_hz[:-1] * _FFT_SIZE / sample_rate).astype(int)
  # The maximum of the bins of a row; of its one bin where it has not even one.
  magnitude = np.maximum.reduceat(np.abs(spectrum), first_bins, axis=0)
  # A sine's peak is half the sum of the window, which is half its length.
  return 20.0 * np.log10(np.maximum(magnitude * 4 / _WINDOW_LENGTH, 1e-6))


def note_figure(
  original: np.ndarray,
  reconstruction: np.ndarray,
  original_audio: np.ndarray | None = None,
  reconstruction_audio: np.ndarray | None = None,
  *,
  title: str = '',
  midi_pitch: int | None = None,
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """A note beside its reconstruction: 1600 x 1000 dots (x 400 without audio).

  Above the embeddings of both and their residual, on one scale; then their mel
  spectrograms, on one scale; below their loudness.

  Args:
    original: frames `[T, W]`.
    reconstruction: frames `[T, W]`.
    original_audio: `[samples]`; None, as the next, for embeddings alone.
    reconstruction_audio: `[samples]`.
    title: above all.
    midi_pitch: marked in the spectrograms, if given.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: the frames differ in shape, or only one audio is given.
  """
  original, reconstruction = _pair(original, reconstruction)
  if (original_audio is None) != (reconstruction_audio is None):
    raise ValueError(
      'original_audio and reconstruction_audio go together; pass both or none.'
    )
  has_audio = original_audio is not None
  frame_seconds = hop_length / sample_rate
  figure = _figure(16, 10 if has_audio else 4, title)
  grid = figure.add_gridspec(3 if has_audio else 1, 6)
  residual = original - reconstruction
  panels = (
    (original, 'Original embedding'),
    (reconstruction, 'Reconstruction embedding'),
    (residual, f'Residual, MSE {np.mean(np.square(residual)):.3f}'),
  )
  scale = _diverging_scale(original, reconstruction, residual)
  axes = [figure.add_subplot(grid[0, i : i + 2]) for i in (0, 2, 4)]
  for ax, (frames, name) in zip(axes, panels, strict=True):
    image = _draw_embedding(ax, frames, frame_seconds, scale)
    ax.set_title(name)
    _label(ax, 'time (s)', 'channel' if ax is axes[0] else '')
  _add_embedding_bar(figure, image, axes)
  if not has_audio:
    return figure
  axes = [figure.add_subplot(grid[1, i : i + 3]) for i in (0, 3)]
  audios = (original_audio, reconstruction_audio)
  image = _draw_spectrograms(axes, audios, sample_rate, midi_pitch)
  for ax, name in zip(axes, ('Original', 'Reconstruction'), strict=True):
    ax.set_title(f'{name} audio, spectrogram')
  figure.colorbar(image, ax=axes, label=_DECIBEL_LABEL, pad=0.01)
  ax = figure.add_subplot(grid[2, :])
  lines = (_ORIGINAL_LINE, {**_MADE_LINE, 'label': 'reconstruction'})
  _draw_loudness(ax, audios, lines, sample_rate, hop_length)
  error_db = metrics.loudness_error_db(*audios)
  ax.set_title(f'Loudness, mean difference {error_db:.1f} dB')
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
  """
  frames = np.asarray(frames)
  frame_seconds = hop_length / sample_rate
  figure = _figure(16, 4 if audio is None else 10, title)
  axes = figure.subplots(1 if audio is None else 3, 1, squeeze=False)[:, 0]
  scale = _diverging_scale(frames)
  image = _draw_embedding(axes[0], frames, frame_seconds, scale)
  axes[0].set_title('Embedding')
  _label(axes[0], 'time (s)', 'channel')
  _add_embedding_bar(figure, image, axes[0])
  if audio is None:
    return figure
  image = _draw_spectrograms([axes[1]], [audio], sample_rate, midi_pitch)
  axes[1].set_title('Audio, spectrogram')
  figure.colorbar(image, ax=axes[1], label=_DECIBEL_LABEL, pad=0.01)
  _draw_loudness(axes[2], [audio], [_ORIGINAL_LINE], sample_rate, hop_length)
  axes[2].set_title('Loudness')
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
    ValueError: the arrays do not belong together, or there is no note.
  """
  originals, reconstructions = _pair(originals, reconstructions)
  if not len(names) == len(originals) > 0:
    raise ValueError(
      f'{len(originals)} notes and {len(names)} names: expected as many of '
      'both, and at least one.'
    )
  has_audio = original_audios is not None and original_audios[0] is not None
  figure = _figure(2 + 2 * len(names), 8.5 if has_audio else 5, title)
  axes = figure.subplots(
    4 if has_audio else 2, len(names), sharex=True, sharey='row', squeeze=False
  )
  scale = _diverging_scale(originals, reconstructions)
  for row, notes in enumerate((originals, reconstructions)):
    for ax, frames in zip(axes[row], notes, strict=True):
      image = _draw_embedding(ax, frames, hop_length / sample_rate, scale)
  _add_embedding_bar(figure, image, axes[:2])
  rows = ['original', 'reconstruction']
  labels = [f'{name}\nchannel' for name in rows]
  if has_audio:
    for column, pair in enumerate(
      zip(original_audios, reconstruction_audios, strict=True)
    ):
      image = _draw_spectrograms(axes[2:, column], pair, sample_rate)
    figure.colorbar(image, ax=axes[2:], label=_DECIBEL_LABEL, pad=0.01)
    labels += [f'{name}\nfrequency (Hz)' for name in rows]
  for ax, name in zip(axes[0], names, strict=True):
    ax.set_title(name)
  for ax in axes.flat:
    _label(ax, '', '')
  for ax, label in zip(axes[:, 0], labels, strict=True):
    ax.set_ylabel(label)
  figure.supxlabel('time (s)', fontsize='medium')
  return figure


def _figure(width: float, height: float, title: str) -> Figure:
  figure = Figure((width, height), dpi=100, layout='constrained')
  if title:
    figure.suptitle(title, fontsize=15)
  return figure


def _pair(original, reconstruction) -> tuple[np.ndarray, np.ndarray]:
  original, reconstruction = np.asarray(original), np.asarray(reconstruction)
  if original.shape != reconstruction.shape:
    raise ValueError(
      'Original and reconstruction must have one shape, got '
      f'{original.shape} and {reconstruction.shape}.'
    )
  return original, reconstruction


def _label(ax: Axes, x: str, y: str):
  ax.set_xlabel(x)
  ax.set_ylabel(y)


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
    cmap=_EMBEDDING_COLOURS,
    norm=scale,
    extent=(0, num_frames * frame_seconds, -0.5, num_channels - 0.5),
  )
  ax.set_yticks(range(0, num_channels, max(1, num_channels // 4)))
  return image


def _add_embedding_bar(figure: Figure, image: AxesImage, axes):
  limit = image.norm.vmax
  ticks = [tick for tick in _EMBEDDING_TICKS if abs(tick) <= limit]
  bar = figure.colorbar(image, ax=axes, label=_EMBEDDING_LABEL, pad=0.01)
  bar.set_ticks(ticks, labels=[f'{tick:g}' for tick in ticks])
  bar.ax.minorticks_off()


def _draw_spectrograms(
  axes: Sequence[Axes],
  audios: Sequence[np.ndarray],
  sample_rate: int,
  midi_pitch: int | None = None,
) -> AxesImage:
  """Draws spectrograms relative to the loudest point of all of them."""
  spectrograms = [log_spectrogram_db(audio, sample_rate) for audio in audios]
  peak = max(spectrogram.max() for spectrogram in spectrograms)
  ticks_hz = [hz for hz in _TICKS_HZ if hz <= sample_rate / 2]
  labels = [f'{hz / 1000:g} k' if hz >= 1000 else f'{hz:g}' for hz in ticks_hz]
  for ax, audio, spectrogram in zip(axes, audios, spectrograms, strict=True):
    seconds = len(audio) / sample_rate
    half = _FFT_HOP_LENGTH / 2 / sample_rate  # each frame is centred
    stop = (spectrogram.shape[1] - 0.5) * _FFT_HOP_LENGTH / sample_rate
    image = ax.imshow(
      spectrogram - peak,
      aspect='auto',
      origin='lower',
      interpolation='nearest',
      cmap=_SPECTROGRAM_COLOURS,
      vmin=-_RANGE_DB,
      vmax=0.0,
      extent=(-half, stop, np.log2(_MIN_HZ), np.log2(sample_rate / 2)),
    )
    ax.set_xlim(0.0, seconds)
    ax.set_yticks(np.log2(ticks_hz), labels)
    _label(ax, 'time (s)', 'frequency (Hz)' if ax is axes[0] else '')
    if midi_pitch is not None:
      _mark_pitch(ax, midi_pitch, sample_rate)
  return image


def _mark_pitch(ax: Axes, midi_pitch: int, sample_rate: int):
  f0_hz = harmonics.midi_to_hz(midi_pitch)
  if not _MIN_HZ <= f0_hz <= sample_rate / 2:
    return
  ax.axhline(
    np.log2(f0_hz),
    color='white',
    linewidth=1.2,
    linestyle=(0, (1, 3)),
    label=f'MIDI pitch {midi_pitch}: {f0_hz:.1f} Hz',
  )
  ax.legend(
    loc='upper right', facecolor='black', labelcolor='white', framealpha=0.8
  )


def _draw_loudness(
  ax: Axes,
  audios: Sequence[np.ndarray],
  lines: Sequence[dict],
  sample_rate: int,
  hop_length: int,
):
  curves = [metrics.loudness_db(audio, hop_length) for audio in audios]
  for audio, curve, line in zip(audios, curves, lines, strict=True):
    time = (np.arange(len(curve)) + 0.5) * hop_length / sample_rate
    ax.plot(time, curve, **line)
    ax.set_xlim(0.0, len(audio) / sample_rate)
  loudest = max(curve.max() for curve in curves)
  ax.set_ylim(max(loudest - _RANGE_DB, -105.0), loudest + 5.0)
  ax.grid(alpha=0.3)
  _label(ax, 'time (s)', 'RMS level (dBFS)')
