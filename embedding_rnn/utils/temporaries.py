"""Names beside a path, for what is to take its place when it is whole.

Whoever has such a name holds a lock on what is there, which ends with the
process. So what a killed process left is known as such, and the next one that
writes the same path takes it over.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator

_PATTERN = re.compile(r'\.([^/]+)\.\d+(?:\.old)?\.tmp')


@contextlib.contextmanager
def beside(
  path: pathlib.Path, is_folder: bool = False
) -> Iterator[pathlib.Path]:
  """A name of this process alone, of an empty file or folder.

  What has it at the end of the block is removed, if it was not renamed.

  Args:
    path: of what is to be written.
    is_folder: whether that is a folder.

  Raises:
    OSError: if it cannot be made.
  """
  if is_folder:
    path.parent.mkdir(parents=True, exist_ok=True)
  names = (path.with_name(f'.{path.name}.{i}.tmp') for i in itertools.count())
  descriptor = None
  while descriptor is None:
    temporary = next(names)
    descriptor = _claim(temporary, is_folder)
  try:
    # Left by others that were killed when they wrote at the same time.
    for left in itertools.takewhile(os.path.lexists, names):
      _remove_if_left(left)
    _empty(temporary, descriptor)
    yield temporary
  finally:
    if is_at(descriptor, temporary):
      _remove(temporary)
    os.close(descriptor)


def remove_left(folder: pathlib.Path) -> None:
  """Removes what processes that were killed left in a folder."""
  for path in folder.glob('.*.tmp'):
    _remove_if_left(path)


def final(path: str | bytes | os.PathLike[str]) -> str:
  """A path as it is to be called: without the marks of temporary names."""
  return _PATTERN.sub(r'\1', os.fsdecode(path))


def _claim(path: pathlib.Path, is_folder: bool) -> int | None:
  """Makes a file or folder, if it is not there, and locks it.

  Returns:
    Its descriptor; None if it is another process's, or of another kind.
  """
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
  if is_folder:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
  while True:
    try:
      if is_folder:
        path.mkdir(exist_ok=True)
    except FileExistsError:  # as something else
      return None
    try:
      descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
      if not is_folder or not path.parent.is_dir():
        raise
      continue  # It has just been renamed.
    except OSError:
      if not os.path.lexists(path):
        raise
      return None
    if not _lock(descriptor) or not _is_kind(descriptor, is_folder):
      os.close(descriptor)
      return None
    if is_at(descriptor, path):
      return descriptor
    os.close(descriptor)  # It has just been renamed.


def _lock(descriptor: int) -> bool:
  """Locks a file or folder; False if another process has it."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:  # Some disks have no locks.
    pass
  return True


def _is_kind(descriptor: int, is_folder: bool) -> bool:
  mode = os.fstat(descriptor).st_mode
  return stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)


def is_at(descriptor: int, path: pathlib.Path) -> bool:
  """Whether what is open still has its name."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _empty(path: pathlib.Path, descriptor: int) -> None:
  if path.is_dir():
    for inside in path.iterdir():
      _remove(inside)
  else:
    os.ftruncate(descriptor, 0)


def _remove_if_left(path: pathlib.Path) -> None:
  """Removes what no living process holds."""
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
  except OSError:  # It is gone, or was never ours.
    return
  try:
    if _lock(descriptor) and is_at(descriptor, path):
      _remove(path)
  finally:
    os.close(descriptor)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)
