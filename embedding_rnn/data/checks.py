"""The checks of notes and pitches that users give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def check_shape(notes: npt.ArrayLike, width: int) -> np.ndarray:
  """Notes as an array, or ValueError if that is not `[N, T, width]`."""
  notes = np.asarray(notes)
  if notes.ndim != 3 or notes.shape[2] != width or 0 in notes.shape:
    raise ValueError(
      f'Notes of shape {notes.shape}: expected [N, T, {width}], at least one '
      'note of one frame.'
    )
  return notes


def check_notes(notes: npt.ArrayLike, width: int) -> np.ndarray:
  """As `check_shape`, and ValueError if not all values are finite numbers."""
  notes = check_shape(notes, width)
  if notes.dtype.kind not in 'biuf' or not np.isfinite(notes).all():
    raise ValueError(
      'The notes hold NaN, infinity or what is not a number; remove or '
      'repair them.'
    )
  return notes


def one_hots(
  pitches: npt.ArrayLike, size: int, num_notes: int | None = None
) -> np.ndarray:
  """One-hots `[N, size]` of pitches.

  Args:
    pitches: MIDI numbers `[N]`, or one for all, or one-hots `[N, size]`.
    size: of a one-hot.
    num_notes: how many they must be; any number if None.

  Raises:
    ValueError: for pitches of another number, shape, type or range.
  """
  pitches = np.asarray(pitches)
  if pitches.ndim == 0:
    pitches = np.repeat(pitches, num_notes or 1)
  if num_notes not in (None, len(pitches)):
    raise ValueError(
      f'{num_notes} notes or latents but {len(pitches)} pitches; give one '
      'for each, or a number for all.'
    )
  if pitches.ndim == 1 and pitches.dtype.kind in 'iu' and len(pitches):
    if pitches.min() < 0 or pitches.max() >= size:
      raise ValueError(
        f'pitches from {pitches.min()} to {pitches.max()}: expected MIDI '
        f'numbers from 0 to {size - 1}.'
      )
    return np.eye(size, dtype=np.float32)[pitches]
  if (
    pitches.ndim != 2
    or pitches.shape[1] != size
    or not len(pitches)
    or not ((pitches == 0) | (pitches == 1)).all()
    or not (pitches.sum(axis=1) == 1).all()
  ):
    raise ValueError(
      f'pitches of dtype {pitches.dtype} and shape {pitches.shape}: expected '
      f'integers [N] or one-hots [N, {size}], at least one.'
    )
  return pitches.astype(np.float32)
