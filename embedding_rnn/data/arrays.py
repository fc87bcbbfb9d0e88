"""Opens the files of a data set and refuses bad ones, with row and fix.

Arrays are memory-mapped and checked in chunks, so that memory does not grow
with the data set. Pickled objects are never loaded.
"""

from __future__ import annotations

import mmap
import os
import tokenize
from collections.abc import Callable
from typing import Any

import numpy as np

from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import cli, reading

_CHUNK_BYTES = 8 << 20
REMAKE = 'make the file again, or restore it from a copy'


def open_array(path: str, hint: str) -> np.memmap:
  """Memory-maps a .npy file of plain numbers.

  Args:
    path: the file.
    hint: what to do if there is no such file.

  Returns:
    The array, read-only.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, truncated, empty or holds no real numbers.
  """
  reading.expect_plain_file(path)
  if not os.path.isfile(path):
    raise FileNotFoundError(f'There is no file {path!r}; {hint}.')
  try:
    array = np.lib.format.open_memmap(path, mode='r')
  except (
    EOFError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
  ) as error:
    raise ValueError(
      f'{path!r} is not a whole .npy file of numbers: {error}; {REMAKE} '
      '(with numpy.save, and without Python objects in it).'
    ) from error
  if array.dtype.kind not in 'biuf':
    raise ValueError(
      f'{path!r} must hold real numbers, got dtype {array.dtype}; save it as '
      'float32.'
    )
  if not array.shape or not len(array):
    raise ValueError(
      f'{path!r} holds no notes: its shape is {array.shape}; {REMAKE}.'
    )
  return array


def open_frames(path: str, num_frames: int, num_channels: int) -> np.memmap:
  """Opens embeddings `[N, T, W]` and checks that they are finite.

  Args:
    path: the .npy file.
    num_frames: T.
    num_channels: W.

  Returns:
    The array, of whatever real dtype it is stored in.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: for another shape, NaN, or what float32 cannot hold.
  """
  frames = open_array(
    path, 'set --data_dir to the folder, or data_set to the name, of your data'
  )
  if frames.ndim != 3:
    raise ValueError(
      f'{path!r} must be [notes, {num_frames}, {num_channels}], got shape '
      f'{frames.shape}; stack the notes with numpy.stack.'
    )
  for axis, name, expected in (
    (1, 'max_seq_len', num_frames),
    (2, 'seq_width', num_channels),
  ):
    if frames.shape[axis] != expected:
      raise ValueError(
        f'{path!r} must be [notes, {num_frames}, {num_channels}], got shape '
        f'{frames.shape}; if that is what you want to model, set '
        f'--hparam={name}={frames.shape[axis]}.'
      )

  def check(start: int, chunk: np.ndarray) -> None:
    with np.errstate(over='ignore'):
      finite = np.isfinite(chunk.astype(np.float32, copy=False))
    if not finite.all():
      row, frame, channel = np.argwhere(~finite)[0]
      raise ValueError(
        f'{path!r} has {chunk[row, frame, channel]} in row {start + row}, '
        f'frame {frame}, channel {channel}; all values must be finite float32 '
        'numbers. Remove or repair the note, in all files.'
      )

  _check_chunks(path, frames, check)
  return frames


def open_one_hots(path: str, width: int, frames: np.memmap) -> np.memmap:
  """As `open_frames`, of one-hots `[N, width]` that belong to some frames.

  Every row is to be all 0 but for one 1.
  """
  array = open_array(
    path,
    'it must be next to the embeddings; set pitch_set or velocity_set if it '
    'has another name',
  )
  if array.ndim != 2 or array.shape[1] != width:
    raise ValueError(
      f'{path!r} must be one-hots [notes, {width}], got shape {array.shape}; '
      f'numpy.eye({width})[values] makes them from MIDI values.'
    )
  _check_length(path, array, frames)

  def check(start: int, chunk: np.ndarray) -> None:
    is_bad = (np.count_nonzero(chunk, axis=1) != 1) | (
      np.count_nonzero(chunk == 1, axis=1) != 1
    )
    if is_bad.any():
      row = int(np.argmax(is_bad))
      columns = np.flatnonzero(chunk[row])
      raise ValueError(
        f'{path!r} is not one-hot in row {start + row}: {len(columns)} values '
        f'are not zero, {chunk[row, columns[:4]]} in columns {columns[:4]}; '
        f'there must be one 1. numpy.eye({width})[values] makes one-hots.'
      )

  _check_chunks(path, array, check)
  return array


def read_ids(
  path: str, frames: np.memmap, limit: int, meaning: str
) -> np.ndarray | None:
  """Reads ints `[N]` from 0 to `limit - 1`, or None if there is no such file.

  They belong to some frames. A ValueError for other numbers, or for another
  shape, says their meaning.
  """
  if not os.path.exists(path):
    return None
  array = open_array(path, REMAKE)
  if array.ndim != 1 or array.dtype.kind not in 'iu':
    raise ValueError(
      f'{path!r} must be ints [notes], the {meaning}, got {array.dtype} of '
      f'shape {array.shape}; {REMAKE}.'
    )
  _check_length(path, array, frames)
  is_bad = (array < 0) | (array >= limit)
  if is_bad.any():
    row = int(np.argmax(is_bad))
    raise ValueError(
      f'{path!r} has {array[row]} in row {row}; the {meaning} must be from 0 '
      f'to {limit - 1}. Correct the file, or remove it to do without.'
    )
  return np.array(array, np.int64)


def check_rows(
  data_dir: str, rows: dict[str, np.ndarray], batch_size: int, source: str
) -> None:
  """Raises ValueError if a split is empty, or that for training below a batch.

  The folder, and the source of the split, are for the error.
  """
  sizes = ', '.join(f'{len(rows[name])} {name}' for name in SPLITS)
  for name in SPLITS:
    if not len(rows[name]):
      raise ValueError(
        f'The {name} split of {data_dir!r} is empty: {sizes} notes by '
        f'{source}. Add notes, or write splits.npy with 0 (train), 1 (valid) '
        'and 2 (test) for every note.'
      )
  if not 1 <= batch_size <= len(rows['train']):
    raise ValueError(
      f'batch_size is {batch_size}, but the training split of {data_dir!r} has '
      f'{len(rows["train"])} notes ({sizes} by {source}). Set '
      f'--hparam=batch_size={min(len(rows["train"]), 32)}, or add notes.'
    )


def release(array: np.ndarray) -> None:
  """Lets go of the pages that were read from a memory-mapped file.

  They stay in the system's file cache as long as there is room, but no longer
  count as memory of this process.
  """
  base: Any = array.base
  if isinstance(base, mmap.mmap) and hasattr(mmap, 'MADV_DONTNEED'):
    base.madvise(mmap.MADV_DONTNEED)


def _check_chunks(
  path: str, array: np.memmap, check: Callable[[int, np.ndarray], None]
) -> None:
  """Calls `check` with rows of about 8 MB, and the number of their first."""
  size = max(1, _CHUNK_BYTES // max(1, array[0].nbytes))
  # A bar appears only if it takes longer than two seconds.
  with cli.progress_bar(
    total=len(array),
    desc=f'Checking {os.path.basename(path)}',
    unit=' notes',
    delay=2,
    leave=False,
  ) as bar:
    for start in range(0, len(array), size):
      chunk = np.asarray(array[start : start + size])
      check(start, chunk)
      release(array)
      bar.update(len(chunk))


def _check_length(path: str, array: np.memmap, frames: np.memmap) -> None:
  if len(array) != len(frames):
    raise ValueError(
      f'{path!r} has {len(array)} rows, but {str(frames.filename)!r} has '
      f'{len(frames)}, so from row {min(len(array), len(frames))} on they do '
      'not belong together; make all files again from the same notes.'
    )
