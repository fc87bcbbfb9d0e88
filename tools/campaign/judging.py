"""What may become of a command, and what must not."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import re
import sys
from collections.abc import Iterable

import children
import numpy as np
from children import Outcome

MAX_S = 10.0  # that a refusal may take
_MAX_LINES = 15  # of a refusal
_MAX_CHARACTERS = 12_000
_CONTROLS = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')
# Lines that libraries write before they can be told not to.
_NOISE = re.compile(r'port\.cc|cudart_stub|absl::InitializeLog|XNNPACK')
_TIMES = ('seconds', 'time', 'date', 'created', 'command', 'data_dir', 'sha256')


def problems_of_any(outcome: Outcome, room: pathlib.Path) -> list[str]:
  """What must not become of any command.

  Args:
    outcome: of a command that nobody interrupted.
    room: the folder that it ran in, the only one in its own.
  """
  found = []
  if 'Traceback (most recent' in outcome.text:
    last = outcome.text.strip().splitlines()[-1]
    found.append(f'traceback: {last[:200]}')
  if outcome.trouble in ('memory', 'hanging'):
    found.append(outcome.trouble)
  if outcome.status < 0:
    found.append(f'killed by signal {-outcome.status}')
  if match := _CONTROLS.search(outcome.text):
    found.append(f'obeyed by terminals: {match[0]!r}')
  temporary = [p.name for p in room.rglob('.*.tmp')]
  if temporary:
    found.append(f'left behind: {temporary}')
  escaped = [p.name for p in room.parent.iterdir() if p != room]
  if escaped:
    found.append(f'written outside: {escaped}')
  return found


def problems_of_refusal(outcome: Outcome, words: Iterable[str]) -> list[str]:
  """What must not be in a command's end with an error.

  Args:
    outcome: of the command, whose status is not 0.
    words: one of them must be said, if there are any.
  """
  found = []
  lines = [x for x in outcome.err.splitlines() if not _NOISE.search(x)]
  if not ''.join(lines).strip():
    found.append('refused without a word')
  if len(lines) > _MAX_LINES or len(outcome.err) > _MAX_CHARACTERS:
    found.append(f'{len(lines)} lines, {len(outcome.err)} characters of error')
  if outcome.seconds > MAX_S:
    found.append(f'refused after {outcome.seconds:.0f} s')
  words = tuple(words)
  if words and not any(word in outcome.text for word in words):
    found.append(f'none of {words} is said')
  return found


def contents_of(folder: pathlib.Path) -> dict[str, str]:
  """The digest of each file, by its path in the folder."""
  return {
    path.relative_to(folder).as_posix(): _digest(path.read_bytes())
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }


def results_of(folder: pathlib.Path) -> dict[str, str]:
  """As `contents_of`, without times, and of a single file, too."""
  paths = [folder] if folder.is_file() else sorted(folder.rglob('*'))
  found = {}
  for path in paths:
    name = path.relative_to(folder).as_posix()
    is_log = path.name.startswith(('events.out', '.lock'))
    if path.name == 'variables':
      found[name] = _variables_in(path)
    elif path.is_file() and not is_log and not _is_of_tensorflow(path):
      found[name] = _digest(_without_times(path))
  return found


def _is_of_tensorflow(path: pathlib.Path) -> bool:
  """Whether a file of a SavedModel differs from one writing to the next."""
  return path.suffix == '.pb' or path.parent.name == 'variables'


def _variables_in(folder: pathlib.Path) -> str:
  """The digest of the variables of a SavedModel."""

  def body():
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / 'variables'))
    # By value, for their order differs from one writing to the next.
    digests = sorted(
      _digest(np.asarray(reader.get_tensor(name)).tobytes())
      for name in reader.get_variable_to_shape_map()
      if not name.startswith('_CHECKPOINTABLE')  # how objects hang together
    )
    sys.stdout.write(_digest(''.join(digests).encode()))

  return children.call(body, folder.parent).out


def _without_times(path: pathlib.Path) -> bytes:
  content = path.read_bytes()
  if path.name == 'manifest.json':
    return b''  # of files that are compared themselves
  if path.suffix == '.npz':
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
      return b''.join(name.encode() + arrays[name].tobytes() for name in arrays)
  if path.suffix == '.json':
    return json.dumps(_plain(json.loads(content))).encode()
  if path.name == 'history.csv':
    lines = content.splitlines()
    return b'\n'.join(line.rpartition(b',')[0] for line in lines)
  return content


def _plain(value):
  if isinstance(value, dict):
    return {k: _plain(v) for k, v in value.items() if k not in _TIMES}
  return [_plain(v) for v in value] if isinstance(value, list) else value


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
