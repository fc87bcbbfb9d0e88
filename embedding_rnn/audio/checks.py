"""The one check of audio and frames that users give."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

AUDIO_AXES = ('row', 'sample')
FRAMES_AXES = ('row', 'frame', 'channel')
# Resampling may overshoot full scale a little; 16-bit integers are far off.
_LOUDEST = 8.0
_DIVIDE = 'Divide 16-bit samples by 32768.'


def check_floats(values: npt.ArrayLike, what: str) -> np.ndarray:
  """Values as float32; ValueError if they are not floating point."""
  array = np.asarray(values)
  if array.dtype.kind != 'f':
    fix = f' {_DIVIDE}' if what == 'audio' else ''
    raise ValueError(f'{what} must be floating point, got {array.dtype}.{fix}')
  return array.astype(np.float32, copy=False)


def check_finite(
  array: np.ndarray, what: str, axes: Sequence[str], *, with_fix: bool = True
) -> None:
  """Raises ValueError, which says where, if there is NaN or infinity.

  Args:
    array: what is to be checked.
    what: to call it in the error.
    axes: what its axes are called, or the first of them.
    with_fix: say what a user can do; not if the caller does.
  """
  finite = np.isfinite(array)
  if not finite.all():
    value, place = _at(array, int(finite.argmin()), axes)
    raise ValueError(
      f'{what} has {value} at {place}; expected finite numbers'
      + ('. Repair or leave out that note.' if with_fix else '')
    )


def check_sound(
  audio: np.ndarray, what: str, axes: Sequence[str], *, with_fix: bool = True
) -> None:
  """As `check_finite`; ValueError too if audio reaches far beyond -1..1."""
  check_finite(audio, what, axes, with_fix=with_fix)
  peaks = np.abs(audio)
  if (peaks > _LOUDEST).any():
    peak, place = _at(peaks, int(peaks.argmax()), axes)
    raise ValueError(
      f'{what} reaches {peak:g} at {place}; expected -1..1'
      + (f'. {_DIVIDE}' if with_fix else '')
    )


def check_audio(audio: npt.ArrayLike, hop_length: int) -> np.ndarray:
  """Audio for the WaveNet, as float32 `[B, samples]`, or ValueError."""
  array = check_floats(audio, 'audio')
  if array.ndim != 2 or not len(array) or array.shape[1] < hop_length:
    raise ValueError(
      f'audio of shape {array.shape}: expected [B, samples], with at least one '
      f'note and {hop_length} samples. Pad short notes with zeros; give a '
      'single note as audio[None].'
    )
  check_sound(array, 'audio', AUDIO_AXES)
  return array


def check_encodings(encodings: npt.ArrayLike, width: int) -> np.ndarray:
  """Encodings for the WaveNet, as float32 `[B, T, width]`, or ValueError."""
  array = check_floats(encodings, 'encodings')
  if array.ndim != 3 or 0 in array.shape or array.shape[2] != width:
    raise ValueError(
      f'encodings of shape {array.shape}: expected [B, frames, {width}], '
      'with at least one note and frame. Encodings of another width are of '
      'another model; give a single note as encodings[None].'
    )
  check_finite(array, 'encodings', FRAMES_AXES)
  return array


def _at(
  array: np.ndarray, index: int, axes: Sequence[str]
) -> tuple[float, str]:
  """The value at a flat index, and where that is, for an error."""
  where = np.unravel_index(index, array.shape)
  named = zip(axes, where, strict=False)
  return array[where], ', '.join(f'{axis} {place}' for axis, place in named)
