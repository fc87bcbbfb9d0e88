"""Locks that end with the process that has them, and tell which one it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def exclusive(path: pathlib.Path) -> Iterator[None]:
  """Waits until no other process is in a block of the same path."""
  with path.open('a+') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    yield


def process_in(path: pathlib.Path) -> int | None:
  """The id of the process that is in a block of `exclusive`, or None.

  It may have been started on another machine.
  """
  try:
    file = path.open()
  except FileNotFoundError:
    return None
  with file:
    while True:
      try:
        # A process that wants to get in waits, so it is not turned away.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
      except BlockingIOError:
        file.seek(0)
        if text := file.read():
          return int(text)
        time.sleep(0.01)  # It is just writing its id.
      else:
        return None
