"""Jobs on this machine: a scheduler in the background, as Slurm is elsewhere.

It starts the runs one after another, as many at a time as there are GPUs for
them, through submitit's local executor, and starts those again that die. It
lives as long as they do, whatever becomes of the terminal.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

import submitit
from absl import logging

from embedding_rnn.experiments.job import Activity, Job, read_job
from embedding_rnn.experiments.resources import Resources, package_root
from embedding_rnn.experiments.worker import Task
from embedding_rnn.utils import locks

_POLL_SECONDS = 0.5
_SAVING_SECONDS = 30  # that a run has to end after it was asked to
_UNLIMITED_MINUTES = 10 * 365 * 24 * 60


def complete(resources: Resources) -> dict[str, Any]:
  """What `resources` leaves open.

  Raises:
    ValueError: for resources that this machine does not have.
  """
  available = len(_visible_gpus())
  gpus = min(1, available) if resources.gpus is None else resources.gpus
  if gpus > available:
    raise ValueError(
      f'--gpus={gpus}: this machine has {available}; give at most that many.'
    )
  if resources.nodes > 1:
    raise ValueError(
      f'--nodes={resources.nodes}: --cluster=local has one, this machine.'
    )
  parallelism = resources.array_parallelism or max(
    1, available // gpus if gpus else 1
  )
  return {'gpus': gpus, 'array_parallelism': parallelism}


def submit(job: Job, run_names: Sequence[str]) -> None:
  """Starts a scheduler for runs in the background.

  Raises:
    BlockingIOError: if the job has one.
  """
  paths = [str(package_root()), os.environ.get('PYTHONPATH')]
  path = os.pathsep.join(filter(None, paths))
  with contextlib.ExitStack() as stack:
    lock = stack.enter_context(locks.exclusive(_lock_path(job), wait=False))
    for name in run_names:
      job.record(name, 'submit')
    stack.enter_context(submitit.helpers.clean_env())
    log = stack.enter_context((job.logs / 'scheduler.log').open('a'))
    process = subprocess.Popen(
      [sys.executable, '-m', __name__, str(job.folder), *run_names],
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env={**os.environ, 'PYTHONPATH': path, 'PYTHONSAFEPATH': '1'},
      # It is born with the lock, so there is no moment without.
      pass_fds=[lock.fileno()],
      start_new_session=True,
    )
    locks.sign(lock, process.pid)


def activities(job: Job) -> dict[str, Activity]:
  """What becomes of the runs of a job; those that nobody cares for are missing.

  Raises:
    ConnectionError: if the job is on another machine.
  """
  _expect_host(job)
  has_scheduler = locks.process_in(_lock_path(job)) is not None
  result = {}
  for name in job.runs:
    if locks.process_in(job.lock_path(name)) is not None:
      result[name] = Activity('RUNNING', job.host)
    elif has_scheduler and job.may_restart(name):
      result[name] = Activity('PENDING')
  return result


def cancel(job: Job, run_names: Sequence[str]) -> None:
  """Ends runs; those that train save first, but they get no more than 30 s.

  Raises:
    ConnectionError: if the job is on another machine.
  """
  _expect_host(job)
  deadline = time.monotonic() + _SAVING_SECONDS
  number: int = signal.SIGTERM
  while processes := list(
    filter(None, (locks.process_in(job.lock_path(name)) for name in run_names))
  ):
    for process in processes:
      with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
    number = signal.SIGKILL if time.monotonic() > deadline else 0
    time.sleep(_POLL_SECONDS)


def schedule(job: Job, run_names: Sequence[str]) -> None:
  """Starts runs, and again those that die, until all are at an end."""
  resources, waiting = job.resources, list(run_names)
  running: dict[str, tuple[submitit.Job[None], contextlib.ExitStack]] = {}
  while waiting or running:
    for name, (process, slot) in list(running.items()):
      if process.done():
        del running[name]
        slot.close()
        if not job.is_finished(name):
          job.record_death(name)
          waiting.insert(0, name)
    waiting = [name for name in waiting if job.may_restart(name)]
    for name in list(waiting):
      # It may be in a process that an earlier scheduler left behind.
      if locks.process_in(job.lock_path(name)) is not None:
        continue
      slot = contextlib.ExitStack()
      if (
        len(running) == resources.array_parallelism
        or (gpus := _take_gpus(resources.gpus, slot)) is None
      ):
        break
      running[name] = _start(job, name, gpus), slot
      waiting.remove(name)
    time.sleep(_POLL_SECONDS)


def _start(job: Job, run_name: str, gpus: Sequence[str]) -> submitit.Job[None]:
  """Starts a run on some GPUs."""
  devices = shlex.quote(','.join(gpus) or '-1')
  lines = [
    *job.resources.setup_lines(),
    f'export CUDA_VISIBLE_DEVICES={devices}',
  ]
  script = shlex.quote('\n'.join([*lines, 'exec "$@"']))
  executor = submitit.LocalExecutor(
    job.logs, python=f'bash -c {script} bash {job.resources.python_command}'
  )
  executor.update_parameters(timeout_min=_UNLIMITED_MINUTES)
  process = executor.submit(Task(), str(job.folder), run_name)
  job.record(run_name, 'launch', id=process.job_id)
  logging.info('%s is process %s, GPUs: %s', run_name, process.job_id, devices)
  return process


def _take_gpus(
  number: int | None, slot: contextlib.ExitStack
) -> list[str] | None:
  """GPUs that no other job of this user has until the slot is closed.

  Returns:
    As many as asked for; None if there are not so many free ones.
  """
  folder = pathlib.Path(tempfile.gettempdir(), f'embedding_rnn-{os.getuid()}')
  folder.mkdir(exist_ok=True)
  taken = []
  for gpu in _visible_gpus() if number else ():
    path = folder / urllib.parse.quote(gpu, safe='')
    with contextlib.suppress(BlockingIOError):
      slot.enter_context(locks.exclusive(path, wait=False))
      taken.append(gpu)
    if len(taken) == number:
      break
  if len(taken) == number:
    return taken
  slot.close()
  return None


def _visible_gpus() -> list[str]:
  """The GPUs of this machine, as CUDA_VISIBLE_DEVICES has them."""
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    return [name for name in visible.split(',') if name not in ('', '-1')]
  if not shutil.which('nvidia-smi'):
    return []
  listing = subprocess.run(
    ['nvidia-smi', '--list-gpus'], check=False, capture_output=True, text=True
  ).stdout
  count = sum(line.startswith('GPU ') for line in listing.splitlines())
  return [str(i) for i in range(count)]


def _lock_path(job: Job) -> pathlib.Path:
  """The file that a job's scheduler has locked while it lives."""
  return job.folder / 'scheduler.lock'


def _expect_host(job: Job) -> None:
  if platform.node() != job.host:
    raise ConnectionError(
      f'{job.name} is on {job.host}, and this is {platform.node()}; ask there, '
      f"or if that machine is gone, remove '{job.folder}'."
    )


if __name__ == '__main__':
  logging.set_verbosity(logging.INFO)
  schedule(read_job(sys.argv[1]), sys.argv[2:])
