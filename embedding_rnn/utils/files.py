"""Files that are whole or absent, and folders that know their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from embedding_rnn.utils import reading, temporaries

MANIFEST = 'manifest.json'
MAKE_ROOM = 'make room, and give the same command again'
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What NumPy says of it, without a number; TensorFlow says what the system does.
_FULL_DISK_OF_NUMPY = re.compile(
  r'Not enough free space to write|\d+ requested and \d+ written'
)
_FULL_DISK_TEXTS = tuple(map(os.strerror, _FULL_DISK))
_FIXES = {
  errno.EACCES: 'change its permissions, or name another',
  errno.EPERM: 'change its permissions, or name another',
  errno.EROFS: 'name a folder on a disk that can be written to',
  errno.ENAMETOOLONG: 'choose a shorter name',
  errno.ENOTDIR: 'a file stands where a folder belongs: move it away, or name '
  'another folder',
  errno.EEXIST: 'a file stands where a folder belongs: move it away, or name '
  'another folder',
  errno.EISDIR: 'a folder stands where a file belongs: move it away, or name '
  'another file',
  errno.ENOENT: 'give a path that is there',
  errno.EIO: 'the disk may be damaged: check it, and restore the file',
} | dict.fromkeys(
  _FULL_DISK, f'nothing of it is kept, and all else is as it was; {MAKE_ROOM}'
)

# What NumPy and zipfile raise for a damaged or foreign .npz file.
ARRAY_DAMAGE = (
  AttributeError,
  EOFError,
  KeyError,
  NotImplementedError,
  RuntimeError,
  TypeError,
  ValueError,
  zipfile.BadZipFile,
)


class DamagedFileError(ValueError):
  """A file of a run is missing, damaged, or not what was expected."""


class FullDiskError(OSError):
  """Says which file found no room, what is kept, and what to do."""


def make_output_dir(
  output_dir: str | os.PathLike[str], option: str = 'output_dir'
) -> pathlib.Path:
  """Makes a folder if need be; an OSError says if nothing can be written.

  Args:
    output_dir: the folder.
    option: that names it.

  Raises:
    ValueError: for an empty name, which would be the current folder, or one
      that no folder can have.
  """
  if not os.fspath(output_dir):
    raise ValueError(
      f'--{option}= is empty: expected a folder, such as ./logs.'
    )
  reading.expect_path(output_dir)
  folder = pathlib.Path(output_dir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise OSError(
      f'Cannot write to the folder {os.fspath(output_dir)!r} '
      f'({error.strerror}); choose another {option}.'
    ) from error
  return folder


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """A temporary path that takes `path`'s place if the block succeeds.

  The file is on the disk, not only in the system's memory, before it gets its
  name, so that not even a power cut leaves half of it. What a killed process
  left of it is removed.

  Raises:
    OSError: which names `path`; also if a folder, a pipe or a device is there.
  """
  path = pathlib.Path(path)
  reading.expect_plain_file(path)
  with named(path), temporaries.beside(path) as temporary:
    yield temporary
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """As `replacing`, for a folder and all that is in it."""
  path = pathlib.Path(path)
  reading.expect_path(path)
  with named(path), temporaries.beside(path, is_folder=True) as temporary:
    yield temporary
    for inside in (*temporary.rglob('*'), temporary):
      _sync(inside)
    # No folder can replace another that is not empty, so for a moment there is
    # neither.
    is_in_the_way = path.is_dir() and any(path.iterdir())
    doomed = _hide(path) if is_in_the_way else None
    try:
      os.rename(temporary, path)
    except OSError:
      if doomed:
        os.rename(doomed, path)
      raise
    _sync(path.parent)
    if doomed:
      _remove(doomed)


@contextlib.contextmanager
def replacing_files(
  folder: str | os.PathLike[str], last: Sequence[str] = ()
) -> Iterator[pathlib.Path]:
  """A temporary folder whose files replace those of a folder.

  Files of other names stay. If the block fails, nothing has changed.

  Args:
    folder: which is there.
    last: files that vouch for the others: of their names there are none while
      others are replaced.
  """
  folder = pathlib.Path(folder)
  with (
    named(folder),
    temporaries.beside(folder / 'new', is_folder=True) as temporary,
  ):
    yield temporary
    names = [path.name for path in temporary.iterdir() if path.name not in last]
    for name in [*names, *last]:
      reading.expect_plain_file(folder / name)
      _sync(temporary / name)
    for name in last:
      (folder / name).unlink(missing_ok=True)
    _sync(folder)
    for name in names:
      os.replace(temporary / name, folder / name)
    _sync(folder)
    for name in last:
      os.replace(temporary / name, folder / name)
    _sync(folder)


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
  """Has errors of the system say what was being written.

  Writing raises them without a name, and libraries have errors of their own for
  a full disk.

  Args:
    path: of what the block writes.

  Raises:
    OSError: with `path`, but that of another file stays.
  """
  try:
    yield
  except Exception as error:
    name = getattr(error, 'filename', None)
    if name is None or temporaries.final(name) != os.fsdecode(name):
      name = os.fspath(path)
    if is_full_disk(error):
      number = getattr(error, 'errno', None) or errno.ENOSPC
      raise OSError(number, os.strerror(number), name) from error
    if isinstance(error, OSError) and error.errno and error.filename is None:
      error.filename = name
    raise


def remove_folder(path: pathlib.Path) -> None:
  """Removes a folder, if it is there, so that none is seen half."""
  if path.exists():
    _remove(path if path.name.startswith('.') else _hide(path))


def make_folder(path: pathlib.Path) -> None:
  """Makes a folder and those above it, so that they outlast a power cut."""
  reading.expect_path(path)
  missing = [p for p in (path, *path.parents) if not p.exists()]
  path.mkdir(parents=True, exist_ok=True)
  for made in missing:
    _sync(made.parent)


def _hide(folder: pathlib.Path) -> pathlib.Path:
  """Gives a folder the name of one that is to be removed."""
  hidden = folder.with_name(f'.{folder.name}.{os.getpid()}.old.tmp')
  os.rename(folder, hidden)
  return hidden


def _remove(folder: pathlib.Path) -> None:
  for path in folder.iterdir():
    if path.is_dir() and not path.is_symlink():
      _remove(path)
    else:
      path.unlink()
  folder.rmdir()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
  """Writes a file, whole or not at all."""
  with replacing(path) as temporary:
    temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """Writes a text file, whole or not at all."""
  # What is no UTF-8, such as some names of files, becomes question marks.
  write_bytes(path, text.encode('utf-8', 'replace'))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """Writes a JSON file, whole or not at all."""
  write_text(path, json.dumps(value, indent=2) + '\n')


def write_arrays(
  path: str | os.PathLike[str], arrays: Mapping[str, Any]
) -> None:
  """Writes an .npz file, whole or not at all; names may hold '/'."""
  with replacing(path) as temporary, temporary.open('wb') as file:
    np.savez(file, **arrays)


def write_manifest(folder: pathlib.Path, names: Iterable[str]) -> None:
  """Writes the SHA-256 of files of a folder; do it last."""
  digests = {name: _digest((folder / name).read_bytes()) for name in names}
  write_json(folder / MANIFEST, digests)


def is_full_disk(error: BaseException) -> bool:
  """Whether an error is that of a full disk, or of a quota."""
  if isinstance(error, OSError):
    is_numpys = error.errno is None and _FULL_DISK_OF_NUMPY.match(str(error))
    return error.errno in _FULL_DISK or bool(is_numpys)
  if isinstance(error, ValueError):  # of ours
    return False
  return any(text in str(error) for text in _FULL_DISK_TEXTS)


def explain(error: BaseException) -> str:
  """An error in a line; those of the system with a path and what to do.

  The path is that of the file that a temporary one was to become.
  """
  fix = _FIXES.get(getattr(error, 'errno', None) or 0)
  if is_full_disk(error):
    fix = _FIXES[errno.ENOSPC]
  elif fix is None or not isinstance(error, OSError):
    return str(error)
  path = getattr(error, 'filename2', None) or getattr(error, 'filename', None)
  # Not that of a temporary file, but what it was to become.
  where = f"'{temporaries.final(path)}': " if path else ''
  text = getattr(error, 'strerror', None) or temporaries.final(str(error))
  return f'{where}{text.splitlines()[0]}; {fix}.'


@contextlib.contextmanager
def explained_full_disk(
  folder: str | os.PathLike[str],
  remedy: str = 'make room, and the same command goes on',
) -> Iterator[None]:
  """Has the error of a full disk say which disk, and what a user can do.

  Args:
    folder: what the block writes to.
    remedy: what to do; what was written before the error is kept.
  """
  try:
    with named(folder):
      yield
  except OSError as error:
    if not is_full_disk(error):
      raise
    raise FullDiskError(
      f"The disk is full: {error.strerror}, while writing '{error.filename}'. "
      f'What is done is kept; {remedy}.'
    ) from error


def expect_space(
  folder: str | os.PathLike[str], num_bytes: int, what: str
) -> None:
  """Raises OSError if a folder's disk has not so many bytes free.

  Args:
    folder: where they are to be written.
    num_bytes: how many.
    what: how the error is to begin, such as 'The notes take 3 MB'.
  """
  free = shutil.disk_usage(folder).free
  if free < num_bytes:
    raise OSError(
      f"{what}, but at '{folder}' {free / 1e6:,.0f} MB are free; make room, or "
      'write to another disk.'
    )


class CheckedFolder:
  """Reads files of a folder, but only those that its manifest vouches for.

  Args:
    folder: where `write_manifest` was called.
    fix: what a user can do about damage; the end of each message.

  Raises:
    DamagedFileError: for a missing or damaged manifest.
  """

  def __init__(self, folder: pathlib.Path, fix: str):
    self.folder = folder
    self._fix = fix
    self._digests: dict[str, str] = {}
    digests = self._parse_json(MANIFEST, self._content(MANIFEST), {})
    if not reading.has_type(digests, dict[str, str]):
      raise self.error(MANIFEST, 'is damaged: expected a SHA-256 for each file')
    self._digests = digests

  def __contains__(self, name: str) -> bool:
    return name in self._digests

  def error(self, name: str, problem: str) -> DamagedFileError:
    """An error about a file, to be raised."""
    return DamagedFileError(f"'{self.folder / name}' {problem}; {self._fix}.")

  def read(self, name: str) -> bytes:
    """The content of a file.

    Raises:
      DamagedFileError: if it is missing, or its SHA-256 is another.
    """
    if name not in self._digests:
      raise self.error(MANIFEST, f'is damaged: it does not list {name}')
    content = self._content(name)
    if _digest(content) != self._digests[name]:
      raise self.error(
        name,
        f'is damaged or truncated: the SHA-256 of its {len(content)} bytes is '
        f'not the one in {MANIFEST}',
      )
    return content

  def check(self) -> None:
    """Reads all that the manifest lists; errors as `read`."""
    for name in self._digests:
      self.read(name)

  def read_json(
    self,
    name: str,
    hints: Mapping[str, Any] | None = None,
    *,
    finite: bool = True,
  ) -> dict[str, Any]:
    """The JSON object in a file; errors as `read`.

    Args:
      name: of the file.
      hints: types of some of its values, see `reading.expect_types`.
      finite: whether NaN and infinity are refused.
    """
    return self._parse_json(name, self.read(name), hints or {}, finite)

  def read_arrays(self, name: str) -> dict[str, np.ndarray]:
    """The arrays in an .npz file; errors as `read`."""
    content = io.BytesIO(self.read(name))
    try:
      with np.load(content, allow_pickle=False) as file:
        return dict(file)
    except ARRAY_DAMAGE as error:
      raise self.error(
        name, f'is not an .npz file of arrays: {error}'
      ) from error

  def _content(self, name: str) -> bytes:
    path = self.folder / name
    try:
      reading.expect_plain_file(path)
      return path.read_bytes()
    except FileNotFoundError as error:
      raise self.error(name, 'is missing') from error
    except OSError as error:
      raise self.error(name, f'cannot be read: {error}') from error

  def _parse_json(
    self,
    name: str,
    content: bytes,
    hints: Mapping[str, Any],
    finite: bool = True,
  ) -> dict[str, Any]:
    try:
      value = reading.parse_json(content, finite=finite)
      reading.expect_types(value, hints)
    except ValueError as error:
      raise self.error(name, f'is damaged: {error}') from error
    return value


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def _sync(path: pathlib.Path) -> None:
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
