"""Files of encodings that others made, such as with Magenta's nsynth_save."""

from __future__ import annotations

import os

import numpy as np

from embedding_rnn.data import arrays


def load_encodings(
  path: str | os.PathLike[str], num_channels: int = 16
) -> np.ndarray:
  """Loads the frames of one note or of many from a .npy file.

  The length of an encoding is a number of frames, each of which stands for
  hop_length samples (512, at 16 kHz 32 ms): 62 frames are 2 seconds of audio.

  Args:
    path: a file of floats `[T, num_channels]` for a single note, or
      `[N, T, num_channels]`.
    num_channels: of a frame.

  Returns:
    float32 `[N, T, num_channels]`; N is 1 for a single note.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, or its numbers are of another shape or type or
      not finite.
  """
  path = os.fspath(path)
  array = arrays.open_array(path, 'name a .npy file of encodings')
  expected = f'expected floats [frames, {num_channels}] or [notes, frames, '
  expected += f'{num_channels}]'
  if array.dtype.kind != 'f':
    raise ValueError(f'{path!r} holds {array.dtype}; {expected}.')
  if array.ndim not in (2, 3) or 0 in array.shape:
    raise ValueError(
      f'{path!r} has the shape {array.shape}; {expected}. Audio must be '
      'encoded first: `python -m embedding_rnn.nsynth.encode --help`.'
    )
  if array.shape[-1] != num_channels:
    hint = 'it is of another model'
    if array.shape[-2] == num_channels:
      hint = 'it is transposed: swap the last two axes'
    raise ValueError(
      f'{path!r} has the shape {array.shape}; {expected}: {hint}.'
    )
  with np.errstate(over='ignore'):
    encodings = np.array(array, np.float32, ndmin=3)
  finite = np.isfinite(encodings)
  if not finite.all():
    note, frame, channel = np.argwhere(~finite)[0].tolist()
    raise ValueError(
      f'{path!r} has {encodings[note, frame, channel]} in note {note}, frame '
      f'{frame}, channel {channel}; expected finite numbers. Encode the note '
      'again, or leave it out.'
    )
  return encodings
