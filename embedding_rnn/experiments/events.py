"""What happens to a run of a job: a file with a line for each event.

Several processes write to it, one after another: who submits the run, who
trains it, and who sees it die.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

from embedding_rnn.utils import reading

_TYPES = {
  'event': str,
  'id': str | None,
  'host': str | None,
  'message': str | None,
  'final': bool | None,
}


@dataclasses.dataclass(frozen=True)
class History:
  """What happened to a run in a job, so far.

  Attributes:
    ids: Slurm's, oldest first; a run has a new one when it is submitted again.
    num_starts: how often a process of it began.
    num_deaths: how often one ended before the run did, unasked.
    last_event: its name; '' before the first.
    host: where it last ran.
    error: the message of the last error, '' if there was none since the start.
    is_final: whether the error would only come again.
    is_cancelled: whether somebody asked to end it, after it was submitted.
  """

  ids: tuple[str, ...] = ()
  num_starts: int = 0
  num_deaths: int = 0
  last_event: str = ''
  host: str = ''
  error: str = ''
  is_final: bool = False
  is_cancelled: bool = False


def record(path: pathlib.Path, event: str, **metadata: Any) -> None:
  """Adds an event.

  Args:
    path: the run's file.
    event: 'submit' to Slurm; 'launch' and 'start' of a process; 'stop', when it
      saved and ended since it was asked to; 'error' and 'died', when it ended
      otherwise; 'cancel', when nobody wants the run to go on here.
    **metadata: with 'start' the host; with 'error' the message and whether it
      is final; with all the id, if there is one.
  """
  now = round(time.time(), 3)
  line = json.dumps({'event': event, 'time': now, **metadata}) + '\n'
  flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
  descriptor = os.open(path, flags, 0o666)
  try:
    os.write(descriptor, line.encode())  # at once, so that lines do not mix
  finally:
    os.close(descriptor)


def read_history(path: pathlib.Path) -> History:
  """Reads the events; lines that a crash tore are left out."""
  history = dataclasses.asdict(History())
  reading.expect_plain_file(path)
  try:
    content = path.read_text('utf-8', 'replace')
  except FileNotFoundError:
    content = ''
  for line in content.splitlines():
    try:
      event = reading.parse_json(line)
      reading.expect_types(event, _TYPES)
      _add_event(history, event, event['event'])
    except (ValueError, KeyError):
      continue
  return History(**history)


def _add_event(
  history: dict[str, Any], event: dict[str, Any], name: str
) -> None:
  if 'id' in event and event['id'] not in history['ids']:
    history['ids'] += (event['id'],)
  if name in ('submit', 'start'):
    history.update(error='', is_final=False)
  if name == 'submit':
    history['is_cancelled'] = False
  elif name == 'start':
    history.update(num_starts=history['num_starts'] + 1, host=event['host'])
  elif name == 'error':
    history.update(error=event['message'], is_final=event['final'])
  elif name == 'died':
    status = event.get('status', 'unknown')
    error = history['error'] or f'its process died (exit status {status})'
    history.update(num_deaths=history['num_deaths'] + 1, error=error)
  elif name == 'cancel':
    history.update(is_cancelled=True, error=event.get('message', ''))
  history['last_event'] = name
