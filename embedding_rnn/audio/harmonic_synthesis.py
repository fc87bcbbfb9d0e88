"""Plays the harmonics and the noise of a note of known pitch."""

import functools

import numpy as np

from embedding_rnn.audio.harmonics import (
  HOP_LENGTH,
  MIN_DB,
  NUM_BANDS,
  NUM_PARTIALS,
  SAMPLE_RATE,
  expand_groups,
  harmonic_count,
  midi_to_hz,
  spread_bands,
)


def _blend(
  positions: np.ndarray, num_frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The frames before and after each sample, and the weight of the latter."""
  position = (positions - HOP_LENGTH // 2) / HOP_LENGTH
  position = np.clip(position, 0.0, num_frames - 1.0)
  before = position.astype(int)
  after = np.minimum(before + 1, num_frames - 1)
  return before, after, position - before


@functools.lru_cache(maxsize=128)
def _phases(count: int) -> np.ndarray:
  """Fixed phases, as factors [count].

  Scattered: in phase, the harmonics would add up to a click in each period.
  """
  return np.exp(2j * np.pi * np.random.RandomState(7).uniform(size=count))


def _wavetables(partials: np.ndarray, size: int) -> np.ndarray:
  """Waves [T, size + 1] whose k-th partials have the powers [T, k]."""
  num_frames, count = partials.shape
  spectra = np.zeros((num_frames, size // 2 + 1), complex)
  amplitudes = np.sqrt(2.0 * partials) * (size / 2)
  spectra[:, 1 : count + 1] = amplitudes * _phases(count)
  tables = np.fft.irfft(spectra, size, axis=1).astype(np.float32)
  # The first point again at the end: interpolation needs no wrapping.
  return np.concatenate([tables, tables[:, :1]], axis=1)


def _play(tables: np.ndarray, frequency_hz: float) -> np.ndarray:
  """Audio [T * hop] of waves [T, size + 1] repeated at a frequency.

  Playing the tables of the frames before and after a sample, and fading between
  them, fades every partial linearly, at the cost of two look-ups whatever their
  number.
  """
  num_frames, size = tables.shape[0], tables.shape[1] - 1
  samples = np.arange(num_frames * HOP_LENGTH)
  rounds = (samples + 1) * (frequency_hz / SAMPLE_RATE)
  point = (rounds - np.floor(rounds)) * size
  index = point.astype(int)
  fraction = (point - index).astype(np.float32)
  before, after, weight = _blend(samples, num_frames)

  def look_up(frame: np.ndarray) -> np.ndarray:
    at = frame * (size + 1) + index
    left, right = tables.ravel()[at], tables.ravel()[at + 1]
    return left + fraction * (right - left)

  start, end = look_up(before), look_up(after)
  return start + weight.astype(np.float32) * (end - start)


def _synthesise_harmonics(power: np.ndarray, midi_pitch: int) -> np.ndarray:
  """Audio [T * hop] of harmonics of power [T, NUM_PARTIALS]."""
  f0_hz = midi_to_hz(midi_pitch)
  count = harmonic_count(midi_pitch)
  if count == 0:
    return np.zeros(len(power) * HOP_LENGTH, np.float32)
  # 16 points or more to a period of the highest harmonic.
  size = 2048 if count < 128 else 4096
  return _play(_wavetables(expand_groups(power, count), size), f0_hz)


_NOISE_HOP = 256  # of the windows that shape the noise; half their length
# The square root of a Hann window, used twice; overlapping squares sum to 1.
_NOISE_WINDOW = np.sqrt(np.hanning(2 * _NOISE_HOP + 1)[:-1])


@functools.lru_cache(maxsize=4)
def _white_noise_spectra(num_blocks: int) -> np.ndarray:
  """Spectra [blocks, bins] of overlapping windows of one fixed white noise."""
  # RandomState's stream is frozen for good: the same bytes with every NumPy.
  noise = np.random.RandomState(7).standard_normal(
    (num_blocks + 1) * _NOISE_HOP
  )
  noise = noise.reshape(-1, _NOISE_HOP)
  blocks = np.concatenate([noise[:-1], noise[1:]], axis=1)
  return np.fft.rfft(blocks * _NOISE_WINDOW, axis=1)


def _noise_power(level_db: np.ndarray) -> np.ndarray:
  """Mean square [T] of noise of level_db [T, NUM_BANDS]."""
  log_power = level_db * (np.log(10.0) / 10.0)
  return np.exp(spread_bands(log_power, 2 * _NOISE_HOP)).mean(axis=1)


def _synthesise_noise(level_db: np.ndarray) -> np.ndarray:
  """Audio [T * hop] of noise of level_db [T, NUM_BANDS]."""
  num_frames = len(level_db)
  num_blocks = num_frames * HOP_LENGTH // _NOISE_HOP + 1
  log_gain = level_db * (np.log(10.0) / 20.0)
  gain = np.exp(spread_bands(log_gain, 2 * _NOISE_HOP))
  gain[:, 0] = 0.0  # no DC
  # Block b is centred on the sample b * hop of the output.
  before, after, weight = _blend(np.arange(num_blocks) * _NOISE_HOP, num_frames)
  gain = gain[before] + weight[:, None] * (gain[after] - gain[before])
  spectra = _white_noise_spectra(num_blocks) * gain
  blocks = np.fft.irfft(spectra, axis=1) * _NOISE_WINDOW
  overlapped = blocks[1:, :_NOISE_HOP] + blocks[:-1, _NOISE_HOP:]
  return overlapped.ravel().astype(np.float32)


_FADE = np.hanning(129)[:64]  # 4 ms: from 0 up to where 1 would follow


def _shape_edges(audio: np.ndarray, power: np.ndarray) -> None:
  """Makes a note begin and end out of nothing, in place.

  The first frame says how loud the note is in the middle of its hop. What came
  before is told from how fast the note still rises: its amplitude is the power
  of time that passes through the first two frames. A note that does not rise
  begins as loud as its first frame, but for a fade too short to be heard.

  Args:
    audio: [T * hop].
    power: [T] or [2], mean square of the first frames at least.
  """
  middle = HOP_LENGTH // 2
  if len(power) > 1 and power[1] > power[0]:
    exponent = 0.5 * np.log(power[1] / power[0]) / np.log(3.0)
    audio[:middle] *= (np.arange(middle) / middle) ** exponent
  audio[: len(_FADE)] *= _FADE
  audio[-len(_FADE) :] *= _FADE[::-1]


def synthesise(features_db: np.ndarray, midi_pitch: int) -> np.ndarray:
  """One note from the levels of its harmonics and noise.

  It begins and ends with a zero: a note that rises does so from its very start,
  any other is faded in; all are faded out.

  Levels below `MIN_DB` + 3 are silence, levels above 0 dB are taken for 0 dB,
  and a frame of harmonics stronger than a full-scale square wave is turned down
  to it. A note that would still pass full scale is turned down as a whole: no
  levels, however wild, make it clip.

  Args:
    features_db: [T, NUM_FEATURES] finite levels in dB, as from `analyse`.
    midi_pitch: the note's pitch, 0..127.

  Returns:
    [T * HOP_LENGTH] float32 in -1..1 at 16 kHz.
  """
  features_db = np.minimum(features_db, 0.0)
  audible = features_db >= MIN_DB + 3.0
  features_db = np.where(audible, features_db, MIN_DB - 20.0)
  power = 10.0 ** (features_db[:, :NUM_PARTIALS] / 10.0)
  power *= audible[:, :NUM_PARTIALS]
  total = expand_groups(power, harmonic_count(midi_pitch)).sum(axis=1)
  power /= np.maximum(total, 1.0)[:, None]
  noise_db = features_db[:, -NUM_BANDS:]
  audio = _synthesise_harmonics(power, midi_pitch)
  audio += _synthesise_noise(noise_db)
  _shape_edges(audio, np.minimum(total[:2], 1.0) + _noise_power(noise_db[:2]))
  return audio / max(1.0, float(np.abs(audio).max()))
