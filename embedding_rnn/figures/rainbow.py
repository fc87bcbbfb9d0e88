"""Rainbowgrams: how loud, and how well in tune, each pitch is over time.

The figure of Engel et al. (Neural Audio Synthesis of Musical Notes with WaveNet
Autoencoders, arXiv 1704.01279): a constant-Q transform whose brightness is the
magnitude, and whose hue is the instantaneous frequency. A steady partial is a
line of one colour, vibrato changes the colour, noise is speckled.

Theirs colours the bare phase advance, in all colours of the rainbow. Here hue
is what a listener would call tuning: the distance of the instantaneous
frequency from the nearest semitone. Flat is blue, sharp is orange, in tune is
grey; the three are equally light, so that brightness is the level alone, and
differ with every kind of colour vision. A quarter tone off, where flat and
sharp meet, is purple, which some see as grey.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import librosa
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from embedding_rnn.audio import harmonics
from embedding_rnn.figures import drawing

# From -50 to 50 cents, of one lightness.
TUNING_COLOURS = LinearSegmentedColormap.from_list(
  'tuning',
  (
    (0.0, '#dd97bf'),
    (0.3, drawing.SKY_BLUE),
    (0.5, '#ababab'),
    (0.7, drawing.ORANGE),
    (1.0, '#dd97bf'),
  ),
)

_MIN_HZ = 27.5  # A0, the lowest note of a piano
_BINS_PER_OCTAVE = 36
_FILTER_SCALE = 0.8  # of the usual length, for the sake of time
_HOP_LENGTH = 128
_MIN_SAMPLES = 4096  # longer than any filter
_RANGE_DB = 60.0
_MAX_CENTS = 50.0
# Black is silence, so the page is dark, too, wherever it is shown.
_DARK: Any = {
  'figure.facecolor': '#161615',
  'axes.facecolor': 'black',
  **dict.fromkeys(
    ('text.color', 'axes.labelcolor', 'axes.edgecolor'), '#e6e3dc'
  ),
  **dict.fromkeys(('xtick.color', 'ytick.color'), '#e6e3dc'),
}
_BARS_MARGIN = 1.9  # inches, for two colour bars and their texts
_TICK_PITCHES = range(24, 128, 12)  # the Cs


class Rainbowgram(NamedTuple):
  """What a rainbowgram shows of B pitches at T' times.

  Attributes:
    level_db: `[B, T']`: the level of a sine that would give the bin's value, in
      dB of full scale.
    cents: `[B, T']`: the bin's instantaneous frequency above the nearest
      semitone (A4 = 440 Hz), in -50..50 cents.
  """

  level_db: np.ndarray
  cents: np.ndarray


def rainbowgram(
  audio: np.ndarray, sample_rate: int = harmonics.SAMPLE_RATE
) -> Rainbowgram:
  """Analyses audio for a rainbowgram.

  The transform has 36 bins to an octave from A0 to nearly half the sample rate;
  its lowest filters are widened, as the ear's are, for the sake of time.

  Args:
    audio: `[samples]`.
    sample_rate: in Hz.

  Returns:
    Level and tuning, at each whole number of 128-sample hops.

  Raises:
    ValueError: the audio is empty, of another shape, or not finite.
  """
  audio = drawing.check_audio(audio, 'audio').astype(np.float32)
  num_columns = 1 + len(audio) // _HOP_LENGTH
  padding = max(0, _MIN_SAMPLES - len(audio))
  bins_hz, lengths = _filters(sample_rate)
  spectrum = librosa.vqt(
    np.pad(audio, (0, padding)),
    sr=sample_rate,
    hop_length=_HOP_LENGTH,
    fmin=_MIN_HZ,
    n_bins=len(bins_hz),
    bins_per_octave=_BINS_PER_OCTAVE,
    filter_scale=_FILTER_SCALE,
  )
  # Half a sine's amplitude, times the square root of the filter's length.
  amplitude = np.abs(spectrum) * (2.0 / np.sqrt(lengths[:, None]))
  # Each hop turns the phase as a sine of the bin's frequency would, and by a
  # little more or less, which tells the true frequency.
  expected = 2.0 * np.pi * bins_hz * _HOP_LENGTH / sample_rate
  turns = spectrum[:, 1:] * np.conj(spectrum[:, :-1])
  excess = np.angle(turns * np.exp(-1j * expected)[:, None])
  excess = np.pad(excess, ((0, 0), (1, 0)), mode='edge')
  true_hz = bins_hz[:, None] * (1.0 + excess / expected[:, None])
  semitones = 12.0 * np.log2(np.maximum(true_hz, 1.0) / 440.0)
  level_db = 20.0 * np.log10(np.maximum(amplitude, 1e-6))
  cents = 100.0 * (semitones - np.round(semitones))
  return Rainbowgram(level_db[:, :num_columns], cents[:, :num_columns])


@matplotlib.rc_context(_DARK)
def rainbowgrams_figure(
  originals: Sequence[np.ndarray],
  reconstructions: Sequence[np.ndarray],
  *,
  names: Sequence[str],
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
) -> Figure:
  """Originals on the left, reconstructions on the right, a row for each note.

  1600 dots wide, and 350 high for each note. Levels are relative to the loudest
  point of the two.

  Args:
    originals: N times audio `[samples]`.
    reconstructions: N times audio `[samples]`.
    names: N of them.
    title: above all.
    sample_rate: in Hz.

  Raises:
    ValueError: there is no note, there are not as many of each, or a value is
      not finite.
  """
  if not len(originals) == len(reconstructions) == len(names) > 0:
    raise ValueError(
      f'{len(originals)} originals, {len(reconstructions)} reconstructions and '
      f'{len(names)} names: expected as many of each, and at least one.'
    )
  figure = drawing.make_figure(16.0, 1.0 + 3.5 * len(names), title)
  axes = drawing.add_panels(
    figure,
    len(names),
    2,
    left=1.15,
    right=_BARS_MARGIN,
    sharex=True,
    sharey=True,
  )
  rows = zip(axes, originals, reconstructions, names, strict=True)
  for row, original, reconstruction, name in rows:
    audios = (
      drawing.check_audio(original, f'original of {name}'),
      drawing.check_audio(reconstruction, f'reconstruction of {name}'),
    )
    _draw_pair(row, audios, sample_rate)
    drawing.set_title(row[0], f'{name}, original')
    drawing.set_title(row[1], f'{name}, reconstruction')
    row[0].set_ylabel('pitch (note, Hz)')
  drawing.add_time_label(figure, axes.flat)
  _add_bars(figure, axes)
  return figure


@functools.lru_cache(maxsize=4)
def _filters(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
  """Frequencies in Hz and lengths in samples of the filters that fit."""
  num_octaves = np.log2(0.43 * sample_rate / _MIN_HZ)  # and a filter's skirt
  num_bins = int(_BINS_PER_OCTAVE * num_octaves)
  bins_hz = librosa.cqt_frequencies(
    num_bins, fmin=_MIN_HZ, bins_per_octave=_BINS_PER_OCTAVE
  )
  lengths, _ = librosa.filters.wavelet_lengths(
    freqs=bins_hz, sr=sample_rate, filter_scale=_FILTER_SCALE, gamma=None
  )
  return bins_hz, lengths


def _draw_pair(
  axes: Sequence[Axes], audios: Sequence[np.ndarray], sample_rate: int
) -> None:
  analyses = [rainbowgram(audio, sample_rate) for audio in audios]
  peak_db = max(analysis.level_db.max() for analysis in analyses)
  bins_hz, _ = _filters(sample_rate)
  half_bin = 0.5 / _BINS_PER_OCTAVE
  bottom, top = np.log2(bins_hz[0]) - half_bin, np.log2(bins_hz[-1]) + half_bin
  for ax, audio, (level_db, cents) in zip(axes, audios, analyses, strict=True):
    brightness = np.clip(1.0 + (level_db - peak_db) / _RANGE_DB, 0.0, 1.0)
    colours = TUNING_COLOURS(0.5 + cents / (2.0 * _MAX_CENTS))[..., :3]
    half = _HOP_LENGTH / 2 / sample_rate  # each column is centred
    stop = (level_db.shape[1] - 0.5) * _HOP_LENGTH / sample_rate
    extent = -half, stop, bottom, top
    drawing.draw_image(ax, colours * brightness[..., None], extent=extent)
    ax.set_xlim(0.0, len(audio) / sample_rate)
  ticks_hz = [harmonics.midi_to_hz(pitch) for pitch in _TICK_PITCHES]
  ticks = {
    np.log2(hz): f'C{octave}  {hz:.0f}'
    for octave, hz in enumerate(ticks_hz, start=1)
    if np.log2(hz) < top
  }
  axes[0].set_yticks(list(ticks), list(ticks.values()))


def _add_bars(figure: Figure, axes: np.ndarray) -> None:
  cents = Normalize(-_MAX_CENTS, _MAX_CENTS)
  bar = drawing.add_colour_bar(
    figure,
    ScalarMappable(cents, TUNING_COLOURS),
    axes.flat,
    'hue: above the nearest semitone (cents)',
  )
  level = ScalarMappable(Normalize(-_RANGE_DB, 0.0), 'gray')
  drawing.add_colour_bar(
    figure, level, [bar.ax], 'brightness: level (dB re loudest)', gap=0.85
  )
