"""The features of a note of known pitch: levels of its harmonics and noise.

A note is described, once every `HOP_LENGTH` samples, by `NUM_FEATURES` levels
in dB: the power of each of the first `NUM_HARMONICS` harmonics, the mean power
of a harmonic in each of `NUM_GROUPS` groups of higher ones, and the power of
the noise between the harmonics in each of `NUM_BANDS` mel bands. It is the
"deterministic plus stochastic" model of Serra and Smith (Spectral Modeling
Synthesis, 1990), which DDSP (arXiv 2001.04643) trains through; with the pitch
given, nothing is tracked from frame to frame.
`harmonic_analysis` measures the levels, `harmonic_synthesis` plays them.

Levels are relative to full scale: 0 dB is a mean square of one. Everything is a
function of one note alone, so its result cannot depend on its neighbours in a
batch; what depends on the pitch alone is computed once and kept.
"""

import functools

import numpy as np

SAMPLE_RATE = 16_000  # Hz, of all audio here; NSynth's
HOP_LENGTH = 512
NUM_MIDI = 128  # pitches, and velocities
NUM_HARMONICS = 24
NUM_BANDS = 16
MIN_DB = -100.0  # the level of what is not there

_TOP_HZ = 7900.0  # no harmonic is looked for, or played, above this
TINY = 1e-12  # power; 20 dB below MIN_DB

# Groups of harmonics above NUM_HARMONICS, [first, last + 1), each a constant
# fraction wider than the one before; a low A has 287 harmonics below 7900 Hz.
GROUP_EDGES = np.unique(
  np.round(np.geomspace(NUM_HARMONICS + 1, 292, 21)).astype(int)
)
NUM_GROUPS = len(GROUP_EDGES) - 1
NUM_PARTIALS = NUM_HARMONICS + NUM_GROUPS  # all features that are not noise
NUM_FEATURES = NUM_PARTIALS + NUM_BANDS
_GROUP_CENTERS = np.sqrt(GROUP_EDGES[:-1] * (GROUP_EDGES[1:] - 1.0))


def midi_to_hz(midi_pitch: float) -> float:
  """Frequency in Hz of a MIDI pitch, A4 = 69 = 440 Hz."""
  return 440.0 * 2.0 ** ((midi_pitch - 69.0) / 12.0)


def _mel_band_edges() -> np.ndarray:
  mel_top = 2595.0 * np.log10(1.0 + 0.5 * SAMPLE_RATE / 700.0)
  mels = np.linspace(0.0, mel_top, NUM_BANDS + 1)
  return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)


def _mel_band_centers() -> np.ndarray:
  mels = 2595.0 * np.log10(1.0 + _mel_band_edges() / 700.0)
  return 700.0 * (10.0 ** ((mels[1:] + mels[:-1]) / 2 / 2595.0) - 1.0)


BAND_EDGES_HZ = _mel_band_edges()
BAND_CENTERS_HZ = _mel_band_centers()


def harmonic_count(midi_pitch: int) -> int:
  """How many harmonics of a pitch are modelled (none from MIDI 119 on)."""
  return int(min(_TOP_HZ // midi_to_hz(midi_pitch), GROUP_EDGES[-1] - 1))


def feature_mask(midi_pitch: int) -> np.ndarray:
  """Which features exist at a pitch: bool [NUM_FEATURES]."""
  count = harmonic_count(midi_pitch)
  return np.concatenate(
    [
      np.arange(1, NUM_HARMONICS + 1) <= count,
      GROUP_EDGES[:-1] <= count,
      np.ones(NUM_BANDS, bool),
    ]
  )


@functools.lru_cache(maxsize=128)
def _group_positions(count: int) -> np.ndarray:
  """For each harmonic above the 24th, its place among the groups' centres."""
  groups = int(np.searchsorted(GROUP_EDGES[:-1], count, side='right'))
  harmonics = np.arange(NUM_HARMONICS + 1, count + 1)
  centers = np.log(_GROUP_CENTERS[:groups])
  return np.interp(np.log(harmonics), centers, np.arange(groups))


@functools.lru_cache(maxsize=2)
def _band_positions(fft_size: int) -> np.ndarray:
  """For each bin of a spectrum, its place among the bands' centres."""
  bins_hz = np.arange(fft_size // 2 + 1) * (SAMPLE_RATE / fft_size)
  return np.interp(bins_hz, BAND_CENTERS_HZ, np.arange(NUM_BANDS))


def _interpolate(levels: np.ndarray, positions: np.ndarray) -> np.ndarray:
  """Values [T, places] at positions among the columns of levels [T, N]."""
  # Looked up, not multiplied: a small matrix product would wake BLAS threads.
  below = positions.astype(int)
  steps = np.diff(levels, axis=1, append=levels[:, -1:])
  return levels[:, below] + (positions - below) * steps[:, below]


def expand_groups(power: np.ndarray, count: int) -> np.ndarray:
  """Power of each harmonic, [T, count], from [T, NUM_PARTIALS]."""
  if count <= NUM_HARMONICS:
    return power[:, :count]
  log_power = np.log(np.maximum(power[:, NUM_HARMONICS:NUM_PARTIALS], TINY))
  higher = np.exp(_interpolate(log_power, _group_positions(count)))
  return np.concatenate([power[:, :NUM_HARMONICS], higher], axis=1)


def spread_bands(levels: np.ndarray, fft_size: int) -> np.ndarray:
  """Levels of the bands, [T, NUM_BANDS] -> of a spectrum's bins, [T, bins]."""
  return _interpolate(levels, _band_positions(fft_size))
