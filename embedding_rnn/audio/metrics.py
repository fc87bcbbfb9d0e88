"""How near a decoded note is to the original: spectrum, loudness, pitch."""

import librosa
import numpy as np

from embedding_rnn.audio.harmonics import SAMPLE_RATE, midi_to_hz

_WINDOW_LENGTHS = (2048, 1024, 512, 256, 128, 64)
_SILENCE_DB = -100.0
_ATTACK_SECONDS = 0.02
_SEARCH_CENTS = 700.0  # on either side of a note's pitch


def _spectrogram(audio: np.ndarray, window_length: int) -> np.ndarray:
  magnitudes = librosa.stft(
    audio,
    n_fft=window_length,
    hop_length=window_length // 4,
    window='hann',
    pad_mode='constant',
  )
  return np.abs(magnitudes) / (window_length / 4)


def log_spectral_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
  """Mean difference of the magnitude spectrograms, in dB.

  The mean of |20 log10 (reference / estimate)| over time and frequency,
  averaged over six windows from 2048 to 64 samples, those of the spectral loss
  of DDSP (Engel et al., arXiv 2001.04643), so that both pitch and attacks
  count. What is further below the reference's peak than 80 dB is taken to be
  there, so that silence is compared with silence.

  Args:
    reference: [samples], not silent.
    estimate: [samples], as long.

  Raises:
    ValueError: the shapes differ, or the reference is silent.
  """
  reference, estimate = _check_pair(reference, estimate)
  distances = []
  for window_length in _WINDOW_LENGTHS:
    original = _spectrogram(reference, window_length)
    floor = original.max() * 1e-4
    if not floor > 0:
      raise ValueError('The reference is silent; there is no scale to compare.')
    made = np.maximum(_spectrogram(estimate, window_length), floor)
    ratio = np.log10(np.maximum(original, floor) / made)
    distances.append(20.0 * np.abs(ratio).mean())
  return float(np.mean(distances))


def loudness_db(audio: np.ndarray, hop_length: int = 512) -> np.ndarray:
  """Root mean square of each hop, in dB of full scale.

  Args:
    audio: [..., samples]; a part of a hop at the end is left out.
    hop_length: samples to a frame.

  Returns:
    [..., samples // hop_length], at least -100 dB.
  """
  audio = np.asarray(audio, np.float64)
  num_frames = audio.shape[-1] // hop_length
  hops = audio[..., : num_frames * hop_length]
  hops = hops.reshape(*audio.shape[:-1], num_frames, hop_length)
  power = np.square(hops).mean(axis=-1)
  return 10.0 * np.log10(np.maximum(power, 10.0 ** (_SILENCE_DB / 10.0)))


def loudness_error_db(
  reference: np.ndarray, estimate: np.ndarray, range_db: float = 60.0
) -> float:
  """Mean difference of the loudness curves, in dB.

  Args:
    reference: [samples].
    estimate: [samples], as long.
    range_db: what lies further below the reference's loudest frame counts as
      lying there.

  Raises:
    ValueError: the shapes differ.
  """
  reference, estimate = _check_pair(reference, estimate)
  original, made = loudness_db(reference), loudness_db(estimate)
  return _curve_distance(original, made, original.max() - range_db)


def mean_loudness_error_db(
  references: np.ndarray, estimates: np.ndarray, range_db: float = 60.0
) -> float:
  """Mean difference of the mean loudness curves of two sets, in dB.

  As `loudness_error_db`, for sets [N, samples] and [M, samples] whose notes do
  not belong together in pairs.
  """
  originals, made = loudness_db(references), loudness_db(estimates)
  floor = originals.max() - range_db
  originals, made = (np.maximum(x, floor) for x in (originals, made))
  return _curve_distance(originals.mean(axis=0), made.mean(axis=0), floor)


def level_jump_db(
  audio: np.ndarray, hop_length: int = 512, range_db: float = 60.0
) -> np.ndarray:
  """Mean change of the loudness from one frame to the next: jitter, in dB.

  Args:
    audio: [..., samples], at least two hops.
    hop_length: samples to a frame.
    range_db: what lies further below a note's loudest frame counts as lying
      there, so that the noise under a note that has died away is none.

  Returns:
    [...], the mean of the absolute changes of each note.
  """
  curve = loudness_db(audio, hop_length)
  floor = curve.max(axis=-1, keepdims=True) - range_db
  return np.abs(np.diff(np.maximum(curve, floor), axis=-1)).mean(axis=-1)


def attack_error_db(
  reference: np.ndarray,
  estimate: np.ndarray,
  sample_rate: int = SAMPLE_RATE,
  range_db: float = 60.0,
) -> float:
  """How much louder the first 20 ms are than they should be, in dB.

  Args:
    reference: [samples], at least 20 ms.
    estimate: [samples], as long.
    sample_rate: of both, in Hz.
    range_db: what lies further below the reference's loudest 20 ms counts as
      lying there.

  Returns:
    The level of the estimate less that of the reference; negative if quieter.

  Raises:
    ValueError: the shapes differ.
  """
  reference, estimate = _check_pair(reference, estimate)
  hop_length = round(_ATTACK_SECONDS * sample_rate)
  original, made = (loudness_db(x, hop_length) for x in (reference, estimate))
  floor = original.max() - range_db
  return float(max(made[0], floor) - max(original[0], floor))


def _curve_distance(
  original: np.ndarray, made: np.ndarray, floor: float
) -> float:
  difference = np.maximum(original, floor) - np.maximum(made, floor)
  return float(np.abs(difference).mean())


def pitch_error_cents(
  audio: np.ndarray,
  midi_pitch: int,
  sample_rate: int = SAMPLE_RATE,
  resolution_cents: float = 2.0,
) -> float:
  """How far a note sounds from its pitch, in cents (above: positive).

  The median over the note's loud voiced frames of the probabilistic YIN
  estimate (Mauch and Dixon, 2014), looked for within a fifth of the pitch: the
  octave is given, its tuning is asked. Where the pitch is too high for YIN's
  resolution, the audio is resampled to a higher rate first.

  Args:
    audio: [samples].
    midi_pitch: the nominal pitch.
    sample_rate: of the audio, in Hz.
    resolution_cents: of the estimate. With 10 it takes a fourteenth of the time
      that it takes with 2.

  Returns:
    Cents, or NaN if no pitch is found within the fifth, or the pitch is too
    high for the sample rate.
  """
  f0_hz = midi_to_hz(midi_pitch)
  if f0_hz >= sample_rate / 2:
    return float('nan')
  audio = np.asarray(audio, np.float32)
  # YIN interpolates between whole lags: 32 or more to a period keep it exact.
  factor = int(np.clip(np.ceil(32 * f0_hz / sample_rate), 1, 8))
  if factor > 1:
    target = factor * sample_rate
    audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=target)
    sample_rate = target
  # Four periods of the lowest pitch looked for, at least.
  fmin, fmax = (
    f0_hz * 2 ** (cents / 1200.0) for cents in (-_SEARCH_CENTS, _SEARCH_CENTS)
  )
  frame_length = 2048 * factor
  while frame_length < 4 * sample_rate / fmin:
    frame_length *= 2
  hop_length = frame_length // 4
  f0, voiced, _ = librosa.pyin(
    audio,
    fmin=fmin,
    fmax=fmax,
    sr=sample_rate,
    frame_length=frame_length,
    hop_length=hop_length,
    resolution=resolution_cents / 100,
    max_transition_rate=5 / 12 * sample_rate / hop_length,
  )
  level = librosa.feature.rms(
    y=audio, frame_length=frame_length, hop_length=hop_length
  )[0]
  chosen = voiced & (level > 0.1 * level.max())
  if not chosen.any():
    return float('nan')
  cents = float(1200.0 * np.log2(np.median(f0[chosen]) / f0_hz))
  # On the bound, what was heard lies beyond it.
  is_within = abs(cents) < _SEARCH_CENTS - resolution_cents / 2
  return cents if is_within else float('nan')


def _check_pair(
  reference: np.ndarray, estimate: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  reference = np.asarray(reference, np.float32)
  estimate = np.asarray(estimate, np.float32)
  if reference.ndim != 1 or reference.shape != estimate.shape:
    raise ValueError(
      'reference and estimate must be [samples] of one length, got '
      f'{reference.shape} and {estimate.shape}.'
    )
  return reference, estimate
