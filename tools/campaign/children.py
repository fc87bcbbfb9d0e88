"""Commands of the package as child processes, and what became of them.

Most are forked from this process, which has imported TensorFlow but must not
use it: to start one from nothing takes some seconds. The others are started as
a user does it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pathlib
import pkgutil
import resource
import runpy
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {
  'CUDA_VISIBLE_DEVICES': '',
  'LOKY_MAX_CPU_COUNT': '1',  # figures are drawn in the process itself
  'OPENBLAS_NUM_THREADS': '1',  # threads do not survive forks
  'PYTHONPATH': str(ROOT),
  'TF_CPP_MIN_LOG_LEVEL': '3',
}
LIMIT_S = 180.0  # after which a command that works is asked to end
STOP_S = 30.0  # that it may take to do so
_MAX_BYTES = 6 << 30  # of memory
_MAX_FILE_BYTES = 2 << 30
_PAUSE_S = 0.01
# What the package, or a library, imports when it is needed.
_LAZY = (
  'keras',
  'librosa.core.audio',
  'librosa.core.constantq',
  'librosa.core.fft',
  'librosa.core.pitch',
  'librosa.core.spectrum',
  'librosa.feature.spectral',
  'tensorboard.summary',
  'tensorflow_probability',
)
# Tests, programs, and what starts threads when it is imported.
_NOT_IMPORTED = ('_test', 'conftest', '__main__', 'litert', 'litert_graph')

os.environ.update(ENVIRONMENT)  # before anything imports NumPy


class Outcome(NamedTuple):
  """What became of a command.

  Attributes:
    status: its exit status, negative for a signal.
    out: its stdout.
    err: its stderr.
    seconds: that it took.
    trouble: why it was ended by us, 'working' or 'memory'; '' if it was not.
  """

  status: int
  out: str
  err: str
  seconds: float
  trouble: str = ''

  @property
  def text(self) -> str:
    """All that it said."""
    return self.out + self.err


def import_everything() -> None:
  """Imports what commands need, so that those that are forked have it."""
  sys.path.insert(0, str(ROOT))
  package = importlib.import_module('embedding_rnn')
  for found in pkgutil.walk_packages(package.__path__, 'embedding_rnn.'):
    if not found.name.endswith(_NOT_IMPORTED):
      importlib.import_module(found.name)
  for name in _LAZY:
    importlib.import_module(name)
  if len(os.listdir('/proc/self/task')) > 1:
    raise RuntimeError('An import starts threads, which do not survive forks.')
  gc.freeze()  # Commands need not look for rubbish in what was imported.


class Child:
  """A command that runs in a folder, in a process group of its own.

  Args:
    command: `['embedding-rnn', 'train', ...]`, `['run.py', ...]` or
      `['-m', MODULE, ...]`.
    folder: to run in; its stdout and stderr are files beside it.
    forked: from this process; else it is a new Python.
  """

  def __init__(
    self, command: Sequence[str], folder: pathlib.Path, forked: bool = True
  ):
    self._paths = [folder.with_name(f'{folder.name}.{x}') for x in ('o', 'e')]
    self._start = time.monotonic()
    self._status: int | None = None
    opened = [path.open('wb') for path in self._paths]
    if forked:
      self.pid = fork(lambda: _become(command, folder, opened))
    else:
      self._process = subprocess.Popen(
        [sys.executable, *_as_typed(command)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=opened[0],
        stderr=opened[1],
        start_new_session=True,
      )
      self.pid = self._process.pid
    for file in opened:
      file.close()

  def is_over(self) -> bool:
    """Whether the command has ended."""
    if self._status is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self._status = os.waitstatus_to_exitcode(status)
    return self._status is not None

  def send(self, number: int) -> None:
    """Sends a signal to the command, and with SIGKILL to its children."""
    with contextlib.suppress(ProcessLookupError):
      if number == signal.SIGKILL:
        os.killpg(self.pid, number)
      else:
        os.kill(self.pid, number)

  def outcome(self, limit_s: float = LIMIT_S) -> Outcome:
    """Waits until the command is over, or ends it."""
    trouble = ''
    while not self.is_over():
      time.sleep(_PAUSE_S)
      if _memory_of(self.pid) > _MAX_BYTES:
        trouble = 'memory'
        self.send(signal.SIGKILL)
        break
      if time.monotonic() - self._start > limit_s:
        trouble = 'working'
        break
    seconds = time.monotonic() - self._start
    if trouble == 'working':
      self.send(signal.SIGTERM)
      if not self._ends_within(STOP_S):
        trouble = 'hanging'
    self.send(signal.SIGKILL)  # what it left behind, too
    while not self.is_over():
      time.sleep(_PAUSE_S)
    out, err = (path.read_text(errors='replace') for path in self._paths)
    for path in self._paths:
      path.unlink()
    assert self._status is not None
    return Outcome(self._status, out, err, seconds, trouble)

  def _ends_within(self, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not self.is_over() and time.monotonic() < end:
      time.sleep(_PAUSE_S)
    return self.is_over()


def run(
  command: Sequence[str],
  folder: pathlib.Path,
  forked: bool = True,
  limit_s: float = LIMIT_S,
) -> Outcome:
  """Runs a command to its end."""
  return Child(command, folder, forked).outcome(limit_s)


def call(function: Callable[[], object], folder: pathlib.Path) -> Outcome:
  """Calls a function in a forked process; its stdout and stderr are kept."""
  paths = [folder.with_name(f'{folder.name}.{x}') for x in ('o', 'e')]
  start = time.monotonic()

  def body() -> int:
    opened = [path.open('wb') for path in paths]
    _redirect(folder, opened)
    function()
    return 0

  pid = fork(body)
  _, status = os.waitpid(pid, 0)
  seconds = time.monotonic() - start
  out, err = (path.read_text(errors='replace') for path in paths)
  for path in paths:
    path.unlink()
  return Outcome(os.waitstatus_to_exitcode(status), out, err, seconds)


def fork(body: Callable[[], int]) -> int:
  """Calls a function in a forked process, whose exit status it gives."""
  sys.stdout.flush()
  pid = os.fork()
  if pid:
    return pid
  status = 1
  try:
    os.setsid()
    status = body()
  except BaseException:
    traceback.print_exc()
  finally:
    with contextlib.suppress(BaseException):
      atexit._run_exitfuncs()
      sys.stdout.flush()
      sys.stderr.flush()
    os._exit(status)


def shown(command: Sequence[str]) -> list[str]:
  """A command as it is typed."""
  return [*(() if command[0] == 'embedding-rnn' else ('python',)), *command]


def _as_typed(command: Sequence[str]) -> list[str]:
  first, *others = command
  if first == 'embedding-rnn':
    return ['-m', 'embedding_rnn', *others]
  return list(command) if first == '-m' else [str(ROOT / first), *others]


def _become(command, folder, opened) -> int:
  _redirect(folder, opened)
  resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
  warnings.filterwarnings('ignore', '.*found in sys.modules after import')
  first, *others = _as_typed(command)
  try:
    if first == '-m':
      module, *others = others
      sys.argv = [module, *others]
      runpy.run_module(module, run_name='__main__', alter_sys=True)
    else:
      sys.argv = [first, *others]
      runpy.run_path(first, run_name='__main__')
  except SystemExit as end:
    if isinstance(end.code, str):
      sys.stderr.write(f'{end.code}\n')
      return 1
    return int(end.code or 0)
  return 0


def _redirect(folder, opened) -> None:
  os.chdir(folder)
  with open(os.devnull, 'rb') as nothing:
    os.dup2(nothing.fileno(), 0)
  for number, file in zip((1, 2), opened, strict=True):
    os.dup2(file.fileno(), number)
  for name, number in (('stdout', 1), ('stderr', 2)):
    setattr(sys, name, os.fdopen(os.dup(number), 'w', errors='replace'))
  for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
  signal.signal(signal.SIGINT, signal.default_int_handler)


def _memory_of(pid: int) -> int:
  """Bytes that a process holds; 0 if it is over."""
  try:
    text = pathlib.Path(f'/proc/{pid}/statm').read_text()
    return int(text.split()[1]) * resource.getpagesize()
  except (OSError, IndexError):
    return 0
