"""Processes that share work, each with a part of the machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Protocol

from embedding_rnn.audio.codec import Codec

if TYPE_CHECKING:
  from tqdm import tqdm

_POLL_SECONDS = 1.0

# That a process takes: Python with NumPy, SciPy and librosa, at the least.
MIN_BYTES = 100 << 20


class Work(Protocol):
  """Work that any number of processes can share; it can be pickled."""

  def run(self, show_progress: bool) -> None:
    """Does a share of it, until there is nothing left."""

  def progress_bar(self) -> tqdm:
    """A bar of all of it."""

  def count_done(self) -> int:
    """How much of the bar is done, by whichever process."""


def run(work: Work, codec: Codec, num_processes: int) -> None:
  """Lets several new processes do work; the first error of any ends all.

  Args:
    work: what to do.
    codec: which takes part in it; one that uses GPUs gets one for each process,
      if there are as many, or else shares them.
    num_processes: how many.

  Raises:
    ValueError: from the work.
    OSError: from the work.
    ChildProcessError: one of the processes was killed.
  """
  context = multiprocessing.get_context('spawn')
  errors = context.SimpleQueue()
  workers = [
    context.Process(
      target=_run_share,
      args=(work, codec, rank, num_processes, errors),
      daemon=True,
    )
    for rank in range(num_processes)
  ]
  try:
    with work.progress_bar() as bar:
      for worker in workers:
        worker.start()
      while alive := [worker for worker in workers if worker.is_alive()]:
        connection.wait([worker.sentinel for worker in alive], _POLL_SECONDS)
        bar.update(work.count_done() - bar.n)
        if any(worker.exitcode for worker in workers):
          break
    if not errors.empty():
      raise errors.get()
    for rank, worker in enumerate(workers):
      if worker.exitcode:
        raise ChildProcessError(
          f'Process {rank} of {num_processes} ended with {worker.exitcode}. '
          'What is done is kept; the same command goes on.'
        )
  finally:
    for worker in workers:
      if worker.pid:
        worker.terminate()
        worker.join()


def stop_if_orphaned() -> None:
  """Ends this process if it was started by `run`, in one that is no more."""
  parent = multiprocessing.parent_process()
  if parent is not None and not parent.is_alive():
    raise SystemExit(1)


def _run_share(
  work: Work, codec: Codec, rank: int, num_processes: int, errors: Any
) -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The other is interrupted, too.
  try:
    _take_devices(codec, rank, num_processes)
    work.run(show_progress=False)
  except (ValueError, OSError) as error:
    errors.put(error)
    raise SystemExit(1) from error


def _take_devices(codec: Codec, rank: int, num_processes: int) -> None:
  """Takes this process's part of the machine; before TensorFlow starts."""
  if not codec.uses_gpu:
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'  # There is no use for any.
    return
  import tensorflow as tf  # other codecs do without it

  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    gpu = gpus[rank % len(gpus)]
    tf.config.set_visible_devices(gpu, 'GPU')
    tf.config.experimental.set_memory_growth(gpu, True)
  else:
    num_threads = max(1, len(os.sched_getaffinity(0)) // num_processes)
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
