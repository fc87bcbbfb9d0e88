"""Processes that stay alive and take turns, so that all see the same machine.

`Worker` starts one and asks it; in the process itself, `serve` answers.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


class Worker:
  """A process that waits to be asked, one thing at a time.

  Attributes:
    started: when, in seconds of `time.perf_counter`.
  """

  def __init__(self, command: Sequence[str]):
    self._command = command
    self.started = time.perf_counter()
    self._process = subprocess.Popen(
      command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

  def ask(self, name: str, *arguments: Any) -> Any:
    """What the process answers; arguments and answer are as in JSON.

    Raises:
      RuntimeError: it has ended; its own error stands above.
    """
    pipes = self._process
    try:
      pipes.stdin.write(json.dumps([name, *arguments]) + '\n')
      pipes.stdin.flush()
      answer = pipes.stdout.readline()
    except BrokenPipeError:
      answer = ''
    if not answer:
      raise RuntimeError(
        f'{" ".join(self._command)} ended with {pipes.wait()} when it was '
        f'asked to {name}; see its error above.'
      )
    return json.loads(answer)

  def __enter__(self) -> Worker:
    return self

  def __exit__(self, *_):
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()


def serve(peer: Any) -> None:
  """Answers by an object's methods until there is nobody to ask any more."""
  # What libraries print is no answer.
  pipe = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  for line in sys.stdin:
    name, *arguments = json.loads(line)
    pipe.write(json.dumps(getattr(peer, name)(*arguments)) + '\n')
    pipe.flush()


def now() -> float:
  """Seconds on the clock of `Worker.started`."""
  return time.perf_counter()


def memory_gb() -> float:
  """The most memory that this process has had."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def seconds_of(function: Callable, *arguments: Any) -> float:
  """How long a call takes."""
  start = time.perf_counter()
  function(*arguments)
  return time.perf_counter() - start
