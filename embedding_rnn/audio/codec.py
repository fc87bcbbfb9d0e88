"""What turns a note's audio into frames of 16 channels, and back.

`Codec` is the interface; `HarmonicCodec`, the default, needs no download:

  codec = get_codec('harmonic')
  frames = codec.encode(audio, midi_pitch=60)    # [64000] -> [125, 16]
  audio = codec.decode(frames, midi_pitch=60)    # [125, 16] -> [64000]
"""

import abc
import functools
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from embedding_rnn.audio import (
  checks,
  harmonic_analysis,
  harmonic_synthesis,
  harmonics,
)
from embedding_rnn.audio.pitches import to_midi
from embedding_rnn.utils import memory

_DECODING_BYTES = 90_000  # that a frame of a note takes meanwhile, measured
_WEIGHTS = pathlib.Path(__file__).with_name('codec_weights.npz')


class Codec(abc.ABC):
  """Encodes notes of known pitch as frames, and decodes them.

  A codec implements `_encode` and `_decode` for checked batches; this class
  checks the input, and turns a single note into a batch of one.

  Attributes:
    name: what `get_codec` knows it by.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.
    num_channels: values in a frame.
    uses_gpu: whether a GPU makes it faster.
  """

  name: str
  sample_rate: int
  hop_length: int
  num_channels: int
  uses_gpu: bool = False

  @property
  def checkpoint(self) -> dict[str, Any] | None:
    """What tells its weights from others, in JSON; None if there are none."""
    return None

  def encode(
    self, audio: npt.ArrayLike, midi_pitch: npt.ArrayLike
  ) -> np.ndarray:
    """Encodes audio.

    Args:
      audio: [B, samples] in -1..1, or one note [samples]. Padded with zeros to
        a whole number of hops.
      midi_pitch: [B] integers in 0..127, or one for a single note; or names,
        as 'C4'.

    Returns:
      [B, frames, num_channels] float32, or [frames, num_channels].

    Raises:
      ValueError: audio is empty, not finite, far beyond -1..1, or of the wrong
        rank, or a pitch is not an integer in 0..127, or the lengths disagree.
    """
    audio = checks.check_floats(audio, 'audio')
    single = audio.ndim == 1
    if audio.ndim not in (1, 2) or audio.shape[-1] == 0:
      raise ValueError(
        'audio must be [B, samples], or [samples] for one note, with at least '
        f'one sample; got shape {audio.shape}.'
      )
    batch = audio[None] if single else audio
    pitches = _check_pitches(midi_pitch, len(batch), single)
    checks.check_sound(audio, 'audio', checks.AUDIO_AXES[single:])
    padding = -batch.shape[1] % self.hop_length
    frames = self._encode(np.pad(batch, ((0, 0), (0, padding))), pitches)
    return frames[0] if single else frames

  def decode(
    self, frames: npt.ArrayLike, midi_pitch: npt.ArrayLike
  ) -> np.ndarray:
    """Decodes frames.

    Args:
      frames: [B, T, num_channels], or one note [T, num_channels]; any finite
        values, whether encoded or made up.
      midi_pitch: as of `encode`.

    Returns:
      [B, T * hop_length] float32 in -1..1, or [T * hop_length].

    Raises:
      ValueError: frames are empty, not finite, or of the wrong shape, or a
        pitch is not an integer in 0..127, or the lengths disagree.
    """
    frames = checks.check_floats(frames, 'frames')
    single = frames.ndim == 2
    if (
      frames.ndim not in (2, 3)
      or frames.shape[-2] == 0
      or frames.shape[-1] != self.num_channels
    ):
      raise ValueError(
        f'frames must be [B, T, {self.num_channels}], or '
        f'[T, {self.num_channels}] for one note, with at least one frame; got '
        f'shape {frames.shape}.'
      )
    batch = frames[None] if single else frames
    pitches = _check_pitches(midi_pitch, len(batch), single)
    checks.check_finite(frames, 'frames', checks.FRAMES_AXES[single:])
    audio = self._decode(batch, pitches)
    return audio[0] if single else audio

  @abc.abstractmethod
  def _encode(self, audio: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    """[B, frames * hop_length] float32, [B] int -> [B, frames, channels]."""

  @abc.abstractmethod
  def _decode(self, frames: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    """[B, T, channels] float32, [B] int -> [B, T * hop_length]."""


class HarmonicCodec(Codec):
  """Harmonics and noise of a known pitch, in 16 linear channels.

  A fixed linear map takes the 60 levels of `harmonic_analysis.analyse` to 16
  channels: the principal components of what the pitch alone does not explain.
  Its rows are orthonormal, so distances survive: one unit is 10 dB.

  A note is worked on by itself: its frames stay in the processor's cache, and
  its result cannot depend on the rest of the batch.
  """

  name = 'harmonic'
  sample_rate = harmonics.SAMPLE_RATE
  hop_length = harmonics.HOP_LENGTH
  num_channels = 16

  def _encode(self, audio: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    num_frames = audio.shape[1] // self.hop_length
    shape = (len(audio), num_frames, self.num_channels)
    frames = np.empty(shape, np.float32)
    for row, pitch in enumerate(midi_pitch.tolist()):
      levels = harmonic_analysis.analyse(audio[row], pitch)
      frames[row] = features_to_frames(levels, pitch, load_linear_map())
    return frames

  def _decode(self, frames: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    num_notes, num_frames, _ = frames.shape
    num_samples = num_frames * self.hop_length
    memory.expect_memory(
      num_frames * _DECODING_BYTES + 4 * num_notes * num_samples,
      f'Decoding {num_notes} notes of {num_frames} frames',
      'decode fewer or shorter notes',
    )
    audio = np.empty((len(frames), num_samples), np.float32)
    for row, pitch in enumerate(midi_pitch.tolist()):
      levels = frames_to_features(frames[row], pitch, load_linear_map())
      audio[row] = harmonic_synthesis.synthesise(levels, pitch)
    return audio


def get_codec(name: str) -> Codec:
  """The codec of a name; a ValueError lists the names there are."""
  codecs = {HarmonicCodec.name: HarmonicCodec}
  if name not in codecs:
    raise ValueError(f'Unknown codec {name!r}; known: {", ".join(codecs)}.')
  return codecs[name]()


# --- The linear map -----------------------------------------------------------


class LinearMap(NamedTuple):
  """The map from levels to frames; see `features_to_frames`.

  Attributes:
    pitch_weights: [24, features], of the functions of `pitch_basis`.
    components: [channels, features], orthonormal rows.
  """

  pitch_weights: np.ndarray
  components: np.ndarray


@functools.cache
def load_linear_map(path: str | os.PathLike[str] = _WEIGHTS) -> LinearMap:
  """Reads the map of the package, or one that `fit_codec` wrote."""
  with np.load(path, allow_pickle=False) as arrays:
    fields = (arrays[name] for name in LinearMap._fields)
    return LinearMap(*(array.astype(np.float64) for array in fields))


def pitch_basis(midi_pitch: int) -> np.ndarray:
  """[24] smooth functions of the pitch that the mean levels are made of."""
  centers = np.linspace(21, 108, 22)
  bumps = np.exp(-0.5 * ((midi_pitch - centers) / 4.2) ** 2)
  return np.concatenate([bumps, [(midi_pitch - 64.5) / 43.5, 1.0]])


def scale_features(features_db: np.ndarray) -> np.ndarray:
  """Levels in dB -> in units of 10 dB around -50 dB, within -5..5."""
  return (np.clip(features_db, harmonics.MIN_DB, 0.0) + 50.0) / 10.0


def features_to_frames(
  features_db: np.ndarray, midi_pitch: int, linear_map: LinearMap
) -> np.ndarray:
  """[T, features] in dB -> [T, channels]: the components of what is left."""
  mean = pitch_basis(midi_pitch) @ linear_map.pitch_weights
  # A feature that the pitch has no room for says nothing.
  mask = harmonics.feature_mask(midi_pitch)
  residual = (scale_features(features_db) - mean) * mask
  return residual @ linear_map.components.T


def frames_to_features(
  frames: np.ndarray, midi_pitch: int, linear_map: LinearMap
) -> np.ndarray:
  """[T, channels] -> [T, features] in dB."""
  mean = pitch_basis(midi_pitch) @ linear_map.pitch_weights
  residual = frames.astype(np.float64) @ linear_map.components
  return 10.0 * (residual + mean) - 50.0


# --- Pitches ------------------------------------------------------------------


def _check_pitches(
  midi_pitch: npt.ArrayLike, num_notes: int, single: bool
) -> np.ndarray:
  pitches = to_midi(midi_pitch)
  expected = () if single else (num_notes,)
  if pitches.shape != expected:
    raise ValueError(
      f'midi_pitch must have shape {expected}, one pitch a note; got shape '
      f'{pitches.shape}.'
    )
  if pitches.dtype.kind not in 'iu':
    raise ValueError(
      'midi_pitch must be integers in 0..127 (60 is middle C), got '
      f'{pitches.dtype}.'
    )
  pitches = pitches.reshape(-1)
  for row in np.flatnonzero((pitches < 0) | (pitches >= harmonics.NUM_MIDI)):
    raise ValueError(
      f'midi_pitch of row {row} is {pitches[row]}; expected 0..127.'
    )
  return pitches.astype(int)
