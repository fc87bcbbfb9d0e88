"""The checks of notes and pitches that users give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedding_rnn.audio.pitches import to_midi
from embedding_rnn.model.hparams import NUM_VELOCITIES, HParams

DEFAULT_VELOCITY = 100  # one of NSynth's five


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


def split_conditions(
  pitches: npt.ArrayLike, velocity: npt.ArrayLike | None, hps: HParams
) -> tuple[np.ndarray, npt.ArrayLike | None]:
  """Pitches and velocities, which may stand behind pitches.

  Args:
    pitches: as of `one_hots`, or names as 'C4'; or one-hots of pitches and then
      of velocities, `[N, 256]`, as those of `NoteDataset.notes`.
    velocity: likewise; if None, what stands behind the pitches.
    hps: of the model.
  """
  pitches, size = to_midi(pitches), hps.context_vec_size
  if pitches.shape[1:] != (size + NUM_VELOCITIES,):
    return pitches, velocity
  behind = pitches[:, size:]
  return pitches[:, :size], behind if velocity is None else velocity


def conditions(
  pitches: npt.ArrayLike,
  velocity: npt.ArrayLike | None,
  hps: HParams,
  num_notes: int | None = None,
) -> np.ndarray:
  """What tells a model the pitch and, if it is to, the velocity.

  Args:
    pitches: as of `split_conditions`.
    velocity: likewise, MIDI numbers `[N]` or one for all; 100 if it is None.
      Only looked at with hps.velocity_context.
    hps: of the model.
    num_notes: how many notes; any number if None.

  Returns:
    One-hots `[N, 128]`, or with hps.velocity_context `[N, 256]`.

  Raises:
    ValueError: as `one_hots`.
  """
  pitches, velocity = split_conditions(pitches, velocity, hps)
  result = one_hots(pitches, hps.context_vec_size, num_notes)
  if not hps.velocity_context:
    return result
  velocity = DEFAULT_VELOCITY if velocity is None else velocity
  more = one_hots(velocity, NUM_VELOCITIES, len(result), 'velocities')
  return np.concatenate([result, more], axis=1)


def pitch_numbers(
  pitches: npt.ArrayLike, hps: HParams, num_notes: int
) -> np.ndarray:
  """MIDI numbers `[num_notes]` of pitches as of `split_conditions`."""
  pitches, _ = split_conditions(pitches, None, hps)
  return one_hots(pitches, hps.context_vec_size, num_notes).argmax(axis=1)
