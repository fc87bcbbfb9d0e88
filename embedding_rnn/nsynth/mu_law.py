"""Mu-law: audio as 256 codes whose steps grow with the amplitude (mu = 255).

A code is an integer in -128..127, as the NSynth WaveNet counts them; as classes
of its softmax the codes are 0..255.
"""

import numpy as np
import tensorflow as tf

NUM_CLASSES = 256
_MU = 255.0
_HALF = NUM_CLASSES // 2


def encode(audio: tf.Tensor) -> tf.Tensor:
  """The code of each sample.

  Args:
    audio: float, any shape, in -1..1; what is beyond is clipped.

  Returns:
    int32 of the same shape: floor(128 sign(x) ln(1 + 255 |x|) / ln 256), where
    the 128 that x = 1 would give becomes 127.
  """
  audio = tf.convert_to_tensor(audio, tf.float32)
  loudness = tf.math.log(1.0 + _MU * tf.abs(audio)) / np.log(1.0 + _MU)
  codes = tf.floor(_HALF * tf.sign(audio) * loudness)
  return tf.cast(tf.clip_by_value(codes, -_HALF, _HALF - 1), tf.int32)


def decode(codes: tf.Tensor) -> tf.Tensor:
  """The audio of each code.

  Args:
    codes: integers, any shape, in -128..127.

  Returns:
    float32 of the same shape: the middle of what `encode` gives that code,
    sign(v) (256^|v| - 1) / 255 with v = (code + 1/2) / 128; 0 for code 0.
  """
  return tf.gather(_AUDIO_OF_CLASS, to_classes(codes))


def to_classes(codes: tf.Tensor) -> tf.Tensor:
  """Codes -128..127 as classes 0..255 of the softmax."""
  return codes + _HALF


def to_codes(classes: tf.Tensor) -> tf.Tensor:
  """Classes 0..255 of the softmax as codes -128..127."""
  return classes - _HALF


def to_signal(codes: tf.Tensor) -> tf.Tensor:
  """What the networks read for codes: float32 in -1..1 in steps of 1/128."""
  return tf.cast(codes, tf.float32) / _HALF


def _audio_of_class() -> np.ndarray:
  codes = np.arange(-_HALF, _HALF)
  v = (codes + 0.5) / _HALF
  audio = np.sign(v) * ((1.0 + _MU) ** np.abs(v) - 1.0) / _MU
  return np.where(codes == 0, 0.0, audio).astype(np.float32)


_AUDIO_OF_CLASS = _audio_of_class()
