"""Recordings of any rate, length and number of channels, made alike."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import librosa
import numpy as np

from embedding_rnn.audio import checks
from embedding_rnn.audio.harmonics import SAMPLE_RATE

SKIPPED = 'skipped'
POLICY_CHOICES = {
  'short': ('pad', 'skip'),
  'silent': ('skip', 'keep'),
  'damaged': ('stop', 'skip'),
}
NOTE_SECONDS = 4  # of every note, as of NSynth's
NUM_SAMPLES = NOTE_SECONDS * SAMPLE_RATE
READ_SECONDS = NOTE_SECONDS + 0.1  # so that resampling sees beyond the cut
_SAMPLE_RATES = (1_000, 400_000)  # Hz; what is beyond is a damaged header
_SLACK_SECONDS = 1e-3  # of length; rates do not always divide evenly
_SILENCE = 1e-4  # of full scale, -80 dB: three steps of 16 bits


class Recording(NamedTuple):
  """Audio as it was found.

  Attributes:
    audio: `[samples]` or `[samples, channels]`, at least the first
      READ_SECONDS if there are as many.
    sample_rate: in Hz.
    num_samples: of the whole, of which `audio` may be the beginning.
  """

  audio: np.ndarray
  sample_rate: int
  num_samples: int


class PreparedAudio(NamedTuple):
  """Audio as a codec takes it.

  Attributes:
    audio: float32 `[samples]`, one channel, as long as every other.
    seconds: that the recording had.
    num_channels: that it had.
    is_silent: never leaves -80 dB of full scale around its middle.
  """

  audio: np.ndarray
  seconds: float
  num_channels: int
  is_silent: bool


@dataclasses.dataclass(frozen=True)
class Policy:
  """What to do with short, silent and damaged notes.

  Whatever is done is reported with the name of the note.

  Attributes:
    short: notes of less than 4 s: 'pad' them with zeros, or 'skip' them.
    silent: notes that never reach -80 dB: 'skip' or 'keep' them.
    damaged: notes that cannot be read or are not finite: 'stop', or 'skip'
      them.

  Raises:
    ValueError: for other words.
  """

  short: str = 'pad'
  silent: str = 'skip'
  damaged: str = 'stop'

  def __post_init__(self) -> None:
    """Checks the words."""
    for name, choices in POLICY_CHOICES.items():
      if getattr(self, name) not in choices:
        raise ValueError(
          f'{name}={getattr(self, name)!r}: expected {" or ".join(choices)}.'
        )

  def remarks(self, prepared: PreparedAudio) -> list[tuple[str, str]]:
    """What is to be said of a note: (action, reason), SKIPPED or others."""
    seconds, remarks = prepared.seconds, []
    if seconds < NOTE_SECONDS - _SLACK_SECONDS:
      action = 'padded' if self.short == 'pad' else SKIPPED
      remarks.append((action, f'it lasts only {seconds:.3f} s'))
    elif seconds > NOTE_SECONDS + _SLACK_SECONDS:
      remarks.append(('cut', f'it lasts {seconds:.3f} s'))
    if prepared.is_silent:
      action = 'kept' if self.silent == 'keep' else SKIPPED
      remarks.append((action, 'it is silent'))
    # Of what is skipped, nothing else is of interest.
    skipped = [remark for remark in remarks if remark[0] == SKIPPED]
    return skipped[:1] or remarks


def prepare(
  recording: Recording, sample_rate: int, num_samples: int
) -> PreparedAudio:
  """Mixes down, resamples, and then cuts or pads with zeros.

  Args:
    recording: what there is.
    sample_rate: what is wanted, in Hz.
    num_samples: what is wanted.

  Raises:
    ValueError: there are no samples, or such as are not finite, not floating
      point or far beyond -1..1, or the rate makes no sense.
  """
  audio, own_rate, own_samples = recording
  audio = np.asarray(audio)
  if audio.ndim not in (1, 2) or not audio.size:
    raise ValueError(f'it has no samples: its audio is of shape {audio.shape}')
  if not _SAMPLE_RATES[0] <= own_rate <= _SAMPLE_RATES[1]:
    raise ValueError(
      f'its sample rate is {own_rate} Hz; expected {_SAMPLE_RATES[0]} to '
      f'{_SAMPLE_RATES[1]}'
    )
  if audio.dtype.kind != 'f':
    raise ValueError(
      f'its samples are {audio.dtype}; expected floating point in -1..1'
    )
  checks.check_sound(audio, 'it', ['sample'], with_fix=False)
  num_channels = 1 if audio.ndim == 1 else audio.shape[1]
  mono = audio.reshape(len(audio), -1).mean(axis=1, dtype=np.float32)
  if own_rate != sample_rate:
    mono = librosa.resample(
      mono, orig_sr=own_rate, target_sr=sample_rate, res_type='soxr_hq'
    )
  mono = mono[:num_samples]
  return PreparedAudio(
    audio=np.pad(mono, (0, num_samples - len(mono))),
    seconds=own_samples / own_rate,
    num_channels=num_channels,
    is_silent=not len(mono) or float(np.ptp(mono)) < 2 * _SILENCE,
  )
