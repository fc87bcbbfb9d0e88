"""Checks of what users give to the NSynth WaveNet autoencoder."""

import numpy as np
import numpy.typing as npt

# Resampling may overshoot full scale a little; 16-bit integers are far off.
_LOUDEST = 8.0


def check_audio(audio: npt.ArrayLike, hop_length: int) -> np.ndarray:
  """Audio as a float32 array `[B, samples]`, or ValueError."""
  audio = _check_floats(audio, 'audio')
  if audio.ndim != 2 or not len(audio) or audio.shape[1] < hop_length:
    raise ValueError(
      f'audio of shape {audio.shape}: expected [B, samples], with at least one '
      f'note and {hop_length} samples. Pad short notes with zeros; give a '
      'single note as audio[None].'
    )
  _check_finite(audio, 'audio')
  peak = np.abs(audio).max()
  if peak > _LOUDEST:
    raise ValueError(
      f'audio reaches {peak:g}: expected -1..1. Divide 16-bit samples by 32768.'
    )
  return audio


def check_encodings(encodings: npt.ArrayLike, width: int) -> np.ndarray:
  """Encodings as a float32 array `[B, frames, width]`, or ValueError."""
  encodings = _check_floats(encodings, 'encodings')
  if encodings.ndim != 3 or 0 in encodings.shape or encodings.shape[2] != width:
    raise ValueError(
      f'encodings of shape {encodings.shape}: expected [B, frames, {width}], '
      'with at least one note and frame. Encodings of another width are of '
      'another model; give a single note as encodings[None].'
    )
  _check_finite(encodings, 'encodings')
  return encodings


def _check_floats(values, what):
  values = np.asarray(values)
  if values.dtype.kind != 'f':
    remedy = ' Divide 16-bit samples by 32768.' if what == 'audio' else ''
    raise ValueError(
      f'{what} of type {values.dtype}: expected floating point.{remedy}'
    )
  return values.astype(np.float32, copy=False)


def _check_finite(values, what):
  finite = np.isfinite(values)
  if not finite.all():
    where = tuple(np.argwhere(~finite)[0].tolist())
    raise ValueError(
      f'{what} is {values[where]} at {list(where)}: expected finite numbers. '
      'Repair or leave out that note.'
    )
