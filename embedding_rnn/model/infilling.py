"""Notes of which some frames are not known."""

import numpy as np
import numpy.typing as npt


def check_known(
  notes: npt.ArrayLike, is_known: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
  """Checks which frames of notes are known, and zeroes the others.

  Args:
    notes: `[N, T, W]`.
    is_known: bool `[N, T]`, or `[T]` for all notes.

  Returns:
    The notes with zeros where they are not known, and is_known as `[N, T]`.

  Raises:
    ValueError: for another shape or type, or a note of which nothing is known.
  """
  notes, is_known = np.asarray(notes), np.asarray(is_known)
  if notes.ndim != 3 or is_known.shape not in (
    notes.shape[:2],
    notes.shape[1:2],
  ):
    raise ValueError(
      f'notes of shape {notes.shape} and is_known of {is_known.shape}: '
      'expected [N, T, W] and [N, T] or [T].'
    )
  if is_known.dtype != bool:
    raise ValueError(f'is_known of dtype {is_known.dtype}: expected bool.')
  if not is_known.any(axis=-1).all():
    raise ValueError(
      'is_known has a note without a frame: expected at least one known frame '
      'in each; where there is none, use sample.'
    )
  is_known = np.broadcast_to(is_known, notes.shape[:2])
  return np.where(is_known[..., None], notes, np.float32(0)), is_known


def bridge(notes: np.ndarray, is_known: np.ndarray) -> np.ndarray:
  """Bridges gaps with straight lines, and ends with the nearest known frame.

  Args:
    notes: `[N, T, W]`.
    is_known: bool `[N, T]`, at least one frame of each note.

  Returns:
    `[N, T, W]`, where known as in `notes`.
  """
  result = notes.copy()
  frames = np.arange(notes.shape[1])
  for note, known in zip(result, is_known, strict=True):
    rows = np.flatnonzero(known)
    position = np.interp(frames, rows, np.arange(len(rows)))
    before = np.floor(position).astype(int)
    after = np.ceil(position).astype(int)
    share = (position - before)[:, None]
    line = (1 - share) * note[rows[before]] + share * note[rows[after]]
    note[~known] = line[~known]
  return result


def look_ahead(
  frames: np.ndarray, is_known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The next known frame of each frame.

  Args:
    frames: `[N, T, W]`.
    is_known: bool `[N, T]`.

  Returns:
    That frame, `[N, T, W]`, for a known frame itself; and how many steps lead
    to it from the frame before, `[N, T]`: 1 for a known frame, infinity (and
    any frame) where none is to come.
  """
  num_frames = frames.shape[1]
  order = np.arange(num_frames)
  rows = np.where(is_known, order, num_frames)
  rows = np.minimum.accumulate(rows[:, ::-1], axis=1)[:, ::-1]
  steps = np.where(rows < num_frames, rows - order + 1, np.inf)
  rows = np.minimum(rows, num_frames - 1)
  return np.take_along_axis(frames, rows[..., None], axis=1), steps
