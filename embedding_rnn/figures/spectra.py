"""Log spectrograms and loudness curves, and panels that show them."""

from collections.abc import Iterable, Sequence

import librosa
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from embedding_rnn.audio import harmonics, metrics
from embedding_rnn.figures import drawing

DECIBEL_LABEL = 'level (dB re loudest)'
FREQUENCY_LABEL = 'frequency (Hz)'

_COLOURS = 'PuBuGn'  # ink on paper, and light on black where it is inverted
_TICKS_HZ = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000)
_WINDOW_LENGTH = 2048
_FFT_SIZE = 4096  # padded, so that low rows do not share a bin
_FFT_HOP_LENGTH = 256
MIN_HZ = 30.0
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
  edges_hz = np.geomspace(MIN_HZ, sample_rate / 2, _NUM_ROWS + 1)
  first_bins = (edges_hz[:-1] * _FFT_SIZE / sample_rate).astype(int)
  # The maximum of the bins of a row; of its one bin where it has not even one.
  magnitude = np.maximum.reduceat(np.abs(spectrum), first_bins, axis=0)
  # A sine's peak is half the sum of the window, which is half its length.
  return 20.0 * np.log10(np.maximum(magnitude * 4 / _WINDOW_LENGTH, 1e-6))


def spectrogram_image(audio: np.ndarray) -> np.ndarray:
  """`log_spectrogram_db` as a picture without axes.

  Returns:
    uint8 `[240, T', 3]`, the highest frequency in the first row, from 80 dB
    below the loudest point to that.
  """
  level_db = log_spectrogram_db(audio)
  share = 1.0 + (level_db - level_db.max()) / _RANGE_DB
  colours = matplotlib.colormaps[_COLOURS](share[::-1], bytes=True)
  return colours[..., :3]


def draw_spectrograms(
  axes: Iterable[Axes],
  audios: Sequence[np.ndarray],
  sample_rate: int,
  midi_pitch: int | None = None,
) -> AxesImage:
  """Draws spectrograms relative to the loudest point of all of them.

  A pitch is marked in them, if given.

  Returns:
    The last image; all have one scale.
  """
  spectrograms = [log_spectrogram_db(audio, sample_rate) for audio in audios]
  peak = max(spectrogram.max() for spectrogram in spectrograms)
  ticks_hz = [hz for hz in _TICKS_HZ if hz <= sample_rate / 2]
  labels = [f'{hz / 1000:g} k' if hz >= 1000 else f'{hz:g}' for hz in ticks_hz]
  for ax, audio, spectrogram in zip(axes, audios, spectrograms, strict=True):
    half = _FFT_HOP_LENGTH / 2 / sample_rate  # each frame is centred
    stop = (spectrogram.shape[1] - 0.5) * _FFT_HOP_LENGTH / sample_rate
    image = drawing.draw_image(
      ax,
      spectrogram - peak,
      cmap=_COLOURS,
      vmin=-_RANGE_DB,
      vmax=0.0,
      extent=(-half, stop, np.log2(MIN_HZ), np.log2(sample_rate / 2)),
    )
    ax.set_xlim(0.0, len(audio) / sample_rate)
    ax.set_yticks(np.log2(ticks_hz), labels)
    if midi_pitch is not None:
      _mark_pitch(ax, midi_pitch, sample_rate)
  return image


def _mark_pitch(ax: Axes, midi_pitch: int, sample_rate: int) -> None:
  f0_hz = harmonics.midi_to_hz(midi_pitch)
  if not MIN_HZ <= f0_hz <= sample_rate / 2:
    return
  ax.axhline(
    np.log2(f0_hz),
    color='black',
    linewidth=1.2,
    linestyle=(0, (1, 3)),
    label=f'MIDI pitch {midi_pitch}: {f0_hz:.1f} Hz',
  )
  ax.legend(loc='upper right')


def draw_loudness(
  ax: Axes,
  audios: Sequence[np.ndarray],
  lines: Sequence[dict],
  sample_rate: int,
  hop_length: int,
) -> None:
  """Draws loudness curves of audios, one above the other, as lines say."""
  curves = [metrics.loudness_db(audio, hop_length) for audio in audios]
  for audio, curve, line in zip(audios, curves, lines, strict=True):
    time = drawing.frame_times(len(curve), hop_length / sample_rate)
    # A single frame makes no line.
    ax.plot(time, curve, marker='o' if len(curve) == 1 else '', **line)
    ax.set_xlim(0.0, len(audio) / sample_rate)
  loudest = max(curve.max() for curve in curves)
  ax.set_ylim(max(loudest - _RANGE_DB, -105.0), loudest + 5.0)
  ax.grid(alpha=0.3)
  ax.set_ylabel('RMS level (dBFS)')
