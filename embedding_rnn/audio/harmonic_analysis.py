"""Measures the harmonics and the noise of a note of known pitch."""

import numpy as np

from embedding_rnn.audio.harmonics import (
  BAND_CENTERS_HZ,
  BAND_EDGES_HZ,
  GROUP_EDGES,
  HOP_LENGTH,
  NUM_BANDS,
  NUM_GROUPS,
  NUM_HARMONICS,
  NUM_PARTIALS,
  SAMPLE_RATE,
  TINY,
  expand_groups,
  harmonic_count,
  midi_to_hz,
  spread_bands,
)

_FFT_SIZE = 4096
_LAG = 64  # samples between the spectra that the detune is told from


def _windowed_frames(
  audio: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
  """Hann-windowed frames [T, length] around the middle of each hop.

  The second result, [T], is the window's energy inside the note: dividing by it
  keeps the first and last frames as loud as the note is there.
  """
  half = length // 2
  window = np.hanning(length + 2)[1:-1]
  padded = np.pad(audio, (half, half + HOP_LENGTH))
  starts = slice(HOP_LENGTH // 2, len(audio), HOP_LENGTH)
  frames = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]
  centers = np.arange(HOP_LENGTH // 2, len(audio), HOP_LENGTH)
  energy = np.concatenate([[0.0], np.cumsum(window**2)])
  first = np.clip(half - centers, 0, length)
  last = np.clip(half + len(audio) - centers, 0, length)
  return frames * window, energy[last] - energy[first]


def _spectra(audio: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
  """Spectra [T, bins] around the middle of each hop, and window energies."""
  frames, energy = _windowed_frames(audio, length)
  return np.fft.rfft(frames, _FFT_SIZE), np.maximum(energy, 1e-9)[:, None]


def _window_length(midi_pitch: int) -> int:
  """Eight periods, so that the harmonics stand clear of each other."""
  periods = 8 * SAMPLE_RATE / midi_to_hz(midi_pitch)
  return int(np.clip(periods, 1024, _FFT_SIZE))


def _detune(now: np.ndarray, later: np.ndarray, midi_pitch: int) -> float:
  """How far a note is from its nominal pitch, in semitones (at most 0.6).

  The phase that a harmonic gains over a short lag tells its frequency; the
  estimate is the mean over harmonics and time, weighted by power and harmonic
  number. `now` and `later` are spectra, `_LAG` samples apart.
  """
  f0_hz = midi_to_hz(midi_pitch)
  k = np.arange(1, int(np.clip(6000 // f0_hz, 1, 24)) + 1)
  bins = np.round(k * f0_hz * _FFT_SIZE / SAMPLE_RATE).astype(int)
  bins = np.minimum(bins, now.shape[1] - 1)
  now, later = now[:, bins], later[:, bins]
  expected = np.exp(-2j * np.pi * k * f0_hz * _LAG / SAMPLE_RATE)
  off_hz = np.angle(later * np.conj(now) * expected)
  off_hz *= SAMPLE_RATE / (2 * np.pi * _LAG)
  # What lies further off than a half semitone is another partial, or noise.
  weight = k * np.abs(now) ** 2 * (np.abs(off_hz) < 0.03 * k * f0_hz)
  ratio = (weight * off_hz).sum() / f0_hz / ((weight * k).sum() + TINY)
  return float(12.0 * np.log2(1.0 + np.clip(ratio, -0.035, 0.035)))


def _noise_levels(
  psd: np.ndarray, f0_hz: float, window_length: int
) -> np.ndarray:
  """Noise power between the harmonics in each band: [T, NUM_BANDS]."""
  bins_hz = np.arange(psd.shape[1]) * (SAMPLE_RATE / _FFT_SIZE)
  distance = np.abs(bins_hz / f0_hz - np.round(bins_hz / f0_hz)) * f0_hz
  main_lobe = min(2.2 * SAMPLE_RATE / window_length, 0.38 * f0_hz)
  clear = (distance > main_lobe) | (bins_hz < 0.5 * f0_hz)
  clear &= bins_hz > 20.0
  levels = np.full((len(psd), NUM_BANDS), TINY)
  for band in range(NUM_BANDS):
    low, high = BAND_EDGES_HZ[band : band + 2]
    half = max((high - low) / 2, 0.75 * f0_hz)
    chosen = clear & (np.abs(bins_hz - BAND_CENTERS_HZ[band]) <= half)
    if chosen.sum() >= 3:
      # The median of exponentially distributed power is ln 2 of its mean.
      levels[:, band] = np.median(psd[:, chosen], axis=1) / np.log(2.0)
  return levels


def _sum_bins(power: np.ndarray, edges: np.ndarray) -> np.ndarray:
  """Sums over [edges[k], edges[k + 1]) in (fractional) bins: [T, k]."""
  total = np.pad(np.cumsum(power, axis=1), ((0, 0), (1, 0)))
  edges = np.clip(edges, 0, total.shape[1] - 1)
  floor = np.minimum(edges.astype(int), total.shape[1] - 2)
  part = edges - floor
  at_edges = total[:, floor] * (1 - part) + total[:, floor + 1] * part
  return np.diff(at_edges, axis=1)


def _harmonic_power(
  psd: np.ndarray, noise_psd: np.ndarray, f0_hz: float, count: int
) -> np.ndarray:
  """Mean square of each partial, [T, NUM_PARTIALS], of densities [T, bins]."""
  # A harmonic takes all the power above the noise, half way to its neighbours.
  edges = (np.arange(count + 1) + 0.5) * f0_hz * _FFT_SIZE / SAMPLE_RATE
  peaks = _sum_bins(np.maximum(psd - noise_psd, 0.0), edges)
  # Noise fluctuates: what stands out of it by chance is 0.6 of its power.
  chance = 0.6 * _sum_bins(noise_psd, edges)
  harmonics = np.maximum((peaks - chance) * 2 / _FFT_SIZE, TINY)

  power = np.full((len(psd), NUM_PARTIALS), TINY)
  power[:, : min(count, NUM_HARMONICS)] = harmonics[:, :NUM_HARMONICS]
  for group in range(NUM_GROUPS):
    first, last = GROUP_EDGES[group : group + 2] - 1
    if first < count:
      power[:, NUM_HARMONICS + group] = harmonics[:, first:last].mean(axis=1)
  return power


def analyse(audio: np.ndarray, midi_pitch: int) -> np.ndarray:
  """Levels of the harmonics and of the noise of one note.

  Args:
    audio: [samples], a whole number of hops, in -1..1 at 16 kHz.
    midi_pitch: the note's pitch, 0..127.

  Returns:
    [samples // HOP_LENGTH, NUM_FEATURES] float64, dB: harmonics, groups of
    harmonics, noise bands. What the pitch has no room for is at -120 dB.
  """
  audio = np.asarray(audio, np.float64)
  length = _window_length(midi_pitch)
  spectra, energy = _spectra(audio, length)
  later, _ = _spectra(np.pad(audio[_LAG:], (0, _LAG)), length)
  # Measured at the note's true pitch; played at the nominal one.
  f0_hz = midi_to_hz(midi_pitch + _detune(spectra, later, midi_pitch))
  # A density whose mean over all bins is the signal's mean square.
  psd = (spectra.real**2 + spectra.imag**2) / energy

  noise = _noise_levels(psd, f0_hz, length)
  noise_psd = np.exp(spread_bands(np.log(noise + 1e-14), _FFT_SIZE))

  power = _harmonic_power(psd, noise_psd, f0_hz, harmonic_count(midi_pitch))

  # The long window blurs attacks: give each frame its short-time power back.
  short, energy = _windowed_frames(audio, 1024 if midi_pitch < 60 else 768)
  short_power = (short**2).sum(axis=1) / np.maximum(energy, 1e-9)
  modelled = expand_groups(power, harmonic_count(midi_pitch)).sum(axis=1)
  modelled += noise_psd.mean(axis=1)
  gain = np.clip(short_power / np.maximum(modelled, TINY), 1e-3, 10.0)
  power, noise = power * gain[:, None], noise * gain[:, None]
  return 10.0 * np.log10(np.concatenate([power, noise], axis=1) + TINY)
