"""How training stops when it is asked to: after a step, and a save."""

from __future__ import annotations

import signal
import threading
from typing import Any

import tensorflow as tf

from embedding_rnn.model import distribution


class StopRequest:
  """Notes signals that ask to stop, in its block, and hands them on after it.

  SIGUSR2 is among them only where it has a handler. It is then the warning of a
  time limit or of preemption, and the handler has the job requeued.

  Args:
    strategy: of the training.
    agree_every: how often workers ask one another; it costs more than a step
      may wait for.
  """

  def __init__(self, strategy: tf.distribute.Strategy, agree_every: int):
    self._strategy, self._agree_every = strategy, agree_every
    self._is_agreed = False

  def __enter__(self):
    self._noted: list[int] = []
    self._previous: dict[int, Any] = {}
    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup has it ignored, and so it is to be.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
      numbers.append(signal.SIGHUP)
    if callable(signal.getsignal(signal.SIGUSR2)):
      numbers.append(signal.SIGUSR2)
    if threading.current_thread() is threading.main_thread():
      for number in numbers:
        self._previous[number] = signal.signal(number, self._note)
    return self

  @property
  def signal(self) -> int | None:
    """The first signal that came."""
    return self._noted[0] if self._noted else None

  def is_agreed(self, count: int) -> bool:
    """Whether to stop now.

    Workers must stop as one, or those that go on would wait for the others. So
    they ask one another, when `count`, of what they do in step, is a multiple
    of `agree_every`.
    """
    if not distribution.has_workers(self._strategy):
      return bool(self._noted)
    if not self._is_agreed and count % self._agree_every == 0:
      self._is_agreed = distribution.happened_anywhere(
        self._strategy, bool(self._noted)
      )
      if self._is_agreed and not self._noted:
        self._noted.append(signal.SIGTERM)
    return self._is_agreed

  def _note(self, number, frame):
    del frame
    if number == signal.SIGINT and self._noted:
      raise KeyboardInterrupt
    self._noted.append(number)

  def __exit__(self, kind, error, trace):
    for number, handler in self._previous.items():
      signal.signal(number, handler or signal.SIG_DFL)
    if kind is None and self._noted:
      # Slurm may send SIGTERM together with the warning, so none may get lost.
      for number in dict.fromkeys(self._noted):
        signal.raise_signal(number)
      raise SystemExit(128 + self._noted[0])
