"""The checks of notes and pitches that users give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedding_rnn.model.hparams import NUM_VELOCITIES, HParams

_DEFAULT_VELOCITY = 100  # one of NSynth's five


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
  pitches: npt.ArrayLike,
  size: int,
  num_notes: int | None = None,
  what: str = 'pitches',
) -> np.ndarray:
  """One-hots `[N, size]` of pitches, or of velocities.

  Args:
    pitches: MIDI numbers `[N]`, or one for all, or one-hots `[N, size]`.
    size: of a one-hot.
    num_notes: how many they must be; any number if None.
    what: to call them in errors.

  Raises:
    ValueError: for pitches of another number, shape, type or range.
  """
  pitches = np.asarray(pitches)
  if pitches.ndim == 0:
    pitches = np.repeat(pitches, num_notes or 1)
  if num_notes not in (None, len(pitches)):
    raise ValueError(
      f'{num_notes} notes or latents but {len(pitches)} {what}; give one '
      'for each, or a number for all.'
    )
  if pitches.ndim == 1 and pitches.dtype.kind in 'iu' and len(pitches):
    if pitches.min() < 0 or pitches.max() >= size:
      raise ValueError(
        f'{what} from {pitches.min()} to {pitches.max()}: expected MIDI '
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
      f'{what} of dtype {pitches.dtype} and shape {pitches.shape}: expected '
      f'integers [N] or one-hots [N, {size}], at least one.'
    )
  return pitches.astype(np.float32)


def conditions(
  pitches: npt.ArrayLike,
  velocities: npt.ArrayLike | None,
  hps: HParams,
  num_notes: int | None = None,
) -> np.ndarray:
  """What tells a model the pitch and, if it is to, the velocity.

  Args:
    pitches: as of `one_hots`; or one-hots of pitches and then of velocities,
      `[N, 256]`, as `NoteDataset.notes` gives them.
    velocities: likewise, MIDI numbers; 100 if None. Only looked at with
      hps.velocity_context.
    hps: of the model.
    num_notes: how many notes; any number if None.

  Returns:
    `[N, 128]`, or with hps.velocity_context `[N, 256]`.

  Raises:
    ValueError: as `one_hots`.
  """
  size, pitches = hps.context_vec_size, np.asarray(pitches)
  if pitches.shape[1:] == (size + NUM_VELOCITIES,):
    if velocities is None:
      velocities = pitches[:, size:]
    pitches = pitches[:, :size]
  if not hps.velocity_context:
    return one_hots(pitches, size, num_notes)
  velocities = np.asarray(
    _DEFAULT_VELOCITY if velocities is None else velocities
  )
  if num_notes is None and velocities.ndim and not pitches.ndim:
    num_notes = len(velocities)
  first = one_hots(pitches, size, num_notes)
  second = one_hots(velocities, NUM_VELOCITIES, len(first), 'velocities')
  return np.concatenate([first, second], axis=1)
