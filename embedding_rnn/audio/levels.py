"""Sounds that are heard one after another are brought to one loudness.

Loudness is that of EBU R 128, integrated and gated (ITU-R BS.1770-4), by
pyloudnorm. So a note is as loud as its loud part, however long it rings.
"""

from collections.abc import Iterable

import numpy as np
import pyloudnorm
import scipy.signal

# EBU R 128 asks for -23 of programmes whose peaks are far above their mean. At
# -20, nine of ten notes of the embedded collection stay below the peak, too.
LOUDNESS_LUFS = -20.0
MAX_PEAK_DBFS = -1.0  # as EBU R 128 asks for
FADE_SECONDS = 0.003

_BLOCK_SECONDS = 0.4  # that loudness is the mean of
_OVERSAMPLING = 4  # of true peaks, as in ITU-R BS.1770-4
_SAMPLES_AT_ONCE = 2**20  # of long sounds, so that little memory is needed
_MARGIN = 16  # samples, more than the oversampling filter reaches


def loudness_lufs(audio: np.ndarray, sample_rate: int) -> float:
  """Integrated loudness of EBU R 128, in LUFS; -inf for silence.

  The absolute gate, -70 LUFS, is left out: of a note that is quieter all the
  time, that is still the loudness. What is shorter than a block of 0.4 s is
  measured with silence after it.

  Args:
    audio: `[samples]`, full scale is 1.
    sample_rate: in Hz.
  """
  peak = float(np.abs(audio).max(initial=0.0))
  if not peak > 0:
    return -np.inf
  block = int(np.ceil(_BLOCK_SECONDS * sample_rate))
  padded = np.pad(audio, (0, max(0, block - len(audio))))
  meter = pyloudnorm.Meter(sample_rate, block_size=_BLOCK_SECONDS)
  loudness = meter.integrated_loudness(padded.astype(np.float64) / peak)
  return float(loudness) + 20.0 * float(np.log10(peak))


def true_peak_dbfs(audio: np.ndarray) -> float:
  """The peak between samples, too, in dB of full scale; -inf for silence.

  Args:
    audio: `[samples]`, full scale is 1.
  """
  if not np.any(audio):
    return -np.inf
  peak = float(np.abs(audio).max())
  for start in range(0, len(audio), _SAMPLES_AT_ONCE):
    end = start + _SAMPLES_AT_ONCE + _MARGIN
    piece = audio[max(0, start - _MARGIN) : end]
    between = scipy.signal.resample_poly(piece, _OVERSAMPLING, 1)
    # What the margins lack of the sound makes their own ends ring.
    first = _OVERSAMPLING * min(start, _MARGIN)
    last = first + _OVERSAMPLING * _SAMPLES_AT_ONCE
    peak = max(peak, float(np.abs(between[first:last]).max()))
  return 20.0 * float(np.log10(peak))


def listening_gain_db(
  reference: np.ndarray, audios: Iterable[np.ndarray], sample_rate: int
) -> float:
  """The one gain, in dB, with which sounds of a group are to be heard.

  It brings the reference to `LOUDNESS_LUFS`, so that the others stay as much
  louder or quieter as they are; and less, where the true peak of one of them
  would be above `MAX_PEAK_DBFS`. Silence is left alone.

  Args:
    reference: `[samples]`.
    audios: the group, `[samples]` each.
    sample_rate: in Hz.
  """
  wish = LOUDNESS_LUFS - loudness_lufs(reference, sample_rate)
  limit = MAX_PEAK_DBFS - max(map(true_peak_dbfs, audios))
  gain_db = min(wish, limit)
  return gain_db if np.isfinite(gain_db) else 0.0


def fade_edges(audio: np.ndarray, sample_rate: int) -> np.ndarray:
  """The sound, faded in and out within 3 ms, so that no edge clicks.

  Args:
    audio: `[samples]`.
    sample_rate: in Hz.
  """
  length = min(int(FADE_SECONDS * sample_rate), len(audio) // 2)
  ramp = np.sin(np.linspace(0.0, np.pi / 2, length, endpoint=False)) ** 2
  faded = audio.copy()
  faded[:length] *= ramp
  faded[len(audio) - length :] *= ramp[::-1]
  return faded
