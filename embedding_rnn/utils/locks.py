"""Locks that end with the process that has them, and tell which one it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import platform
from collections.abc import Iterator

from embedding_rnn.utils import files, temporaries


@contextlib.contextmanager
def exclusive(
  path: pathlib.Path, wait: bool = True, is_kept: bool = True
) -> Iterator[None]:
  """Keeps other processes out of blocks of the same path.

  Args:
    path: a file for this alone; made if it is not there.
    wait: until no other process is in such a block.
    is_kept: whether the file stays when the last of them is out.

  Raises:
    BlockingIOError: without `wait`, if there is another process; its `strerror`
      says which one.
  """
  with contextlib.ExitStack() as stack:
    file = None
    # The one who had it may have removed it.
    while file is None or not temporaries.is_at(file.fileno(), path):
      stack.close()
      file = stack.enter_context(path.open('a+', errors='replace'))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
      except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip()
        raise BlockingIOError(errno.EAGAIN, holder, str(path)) from error
    if not is_kept:
      stack.callback(path.unlink)
    with files.named(path):
      file.truncate(0)
      file.write(f'process {os.getpid()} on {platform.node()}')
      file.flush()
    yield


class Claims:
  """Says which process does what; what one has claimed, no other gets.

  A claim ends with the process, however that ends. To be used as a context.

  Args:
    path: a file of the folder that all processes see.
  """

  def __init__(self, path: pathlib.Path):
    self._file = path.open('a+b')

  def __enter__(self) -> Claims:
    return self

  def __exit__(self, *unused: object) -> None:
    self._file.close()

  def take(self, number: int) -> bool:
    """Claims a number; False if another process has it."""
    try:
      # A lock of one byte; these, unlike those of whole files, work on any NFS.
      fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except (BlockingIOError, PermissionError):
      return False
    return True

  def release(self, number: int) -> None:
    """Gives a number back."""
    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
