"""The pitch of a recorded note that nobody named."""

from typing import NamedTuple

import librosa
import numpy as np

from embedding_rnn.audio.harmonics import SAMPLE_RATE

_LOWEST_HZ, _HIGHEST_HZ = 27.5, 4186.0  # of a piano
_ANALYSIS_RATE = 32_000  # Hz; at less, a high note's period is a few samples
_FRAME_LENGTH, _HOP_LENGTH = 4096, 1024
_RESOLUTION = 0.1  # semitones
_LOUD = 0.1  # of the peak level
_NEAR_SEMITONES = 0.5


class PitchEstimate(NamedTuple):
  """What pitch a note has.

  Attributes:
    midi_pitch: the nearest key, 0..127.
    cents: how far above it the note sounds.
    confidence: 0..1, the share of the note's loud frames that are voiced and
      within a quarter tone of this pitch.
  """

  midi_pitch: int
  cents: float
  confidence: float


def estimate_pitch(
  audio: np.ndarray, sample_rate: int = SAMPLE_RATE
) -> PitchEstimate:
  """Finds the pitch of one note, from A0 to C8.

  The median of the probabilistic YIN estimate (Mauch and Dixon, 2014) over the
  note's loud voiced frames.

  Args:
    audio: [samples], one channel.
    sample_rate: of the audio, in Hz.

  Returns:
    The estimate; of confidence 0 where no frame is voiced.
  """
  audio = librosa.resample(
    np.asarray(audio, np.float32),
    orig_sr=sample_rate,
    target_sr=_ANALYSIS_RATE,
  )
  f0_hz, is_voiced, _ = librosa.pyin(
    audio,
    fmin=_LOWEST_HZ,
    fmax=_HIGHEST_HZ,
    sr=_ANALYSIS_RATE,
    frame_length=_FRAME_LENGTH,
    hop_length=_HOP_LENGTH,
    resolution=_RESOLUTION,
  )
  level = librosa.feature.rms(
    y=audio, frame_length=_FRAME_LENGTH, hop_length=_HOP_LENGTH
  )[0]
  is_loud = level > _LOUD * level.max()
  heard = librosa.hz_to_midi(f0_hz[is_voiced & is_loud])
  if not len(heard):
    return PitchEstimate(0, 0.0, 0.0)
  pitch = float(np.median(heard))
  nearest = int(np.clip(round(pitch), 0, 127))
  is_near = np.abs(heard - pitch) < _NEAR_SEMITONES
  confidence = float(is_near.sum() / is_loud.sum())
  return PitchEstimate(nearest, 100 * (pitch - nearest), confidence)
