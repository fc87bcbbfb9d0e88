"""Submits runs as one job; `commands` looks after what was submitted."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Collection, Mapping

from absl import logging

from embedding_rnn.experiments import slurm
from embedding_rnn.experiments.job import (
  JOBS,
  Job,
  Settings,
  create_job,
  list_jobs,
  read_job,
)
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.status import OVER, read_status
from embedding_rnn.model.hparams import HParams
from embedding_rnn.training import checkpoints, progress
from embedding_rnn.utils import cli, locks
from embedding_rnn.utils.files import DamagedFileError


def is_finished(run_name: str, hps: HParams, settings: Settings) -> bool:
  """Whether a run is trained to its end.

  Args:
    run_name: of its folder in `settings.log_root`.
    hps: the hyperparameters that it is to have.
    settings: what it shares with other runs.

  Raises:
    ValueError: if there is another run of this name.
    DamagedFileError: if a file of the run is damaged.
    BlockingIOError: if a process is training it.
  """
  folder = pathlib.Path(settings.log_root, run_name)
  if checkpoints.is_run(folder):
    run, path = progress.read_progress(folder), settings.checkpoint_path
    try:
      progress.expect_same_run(
        checkpoints.RunFiles(run.hps, None, run.info),
        hps,
        settings.seed,
        checkpoints.absolute_path(path),
        settings.precision,
      )
    except ValueError as error:
      raise ValueError(f'{run_name}: {error}') from error
    if run.state.is_finished(hps):
      return True
  if (folder / '.lock').exists():
    with checkpoints.locked(folder):
      pass
  return False


def submit(
  experiment: str,
  plan: Mapping[str, HParams],
  settings: Settings,
  resources: Resources,
) -> Job | None:
  """Submits the runs of an experiment as one job, and returns at once.

  Those that are finished are left out, those that were begun go on. Nothing is
  written before all is known to be in order.

  Args:
    experiment: its name; the job's begins with it.
    plan: the hyperparameters of each run, by name.
    settings: what the runs share.
    resources: what each run gets.

  Returns:
    The job; None if there is nothing left to do.

  Raises:
    ValueError: for resources that cannot be had, or runs that were begun with
      other hyperparameters or another seed.
    FileExistsError: if a run is in another job that is not at an end.
    BlockingIOError: if a process is training one of the runs.
    DamagedFileError: if a file of a run is damaged.
    ConnectionError: if Slurm does not answer.
  """
  slurm.check_resources(resources)
  settings = _with_absolute_paths(settings)
  root = pathlib.Path(settings.log_root)
  plan = {
    name: hps
    for name, hps in plan.items()
    if not is_finished(name, hps, settings)
  }
  if not plan:
    logging.info('All runs of %s are finished.', experiment)
    return None
  folder = root / JOBS
  folder.mkdir(parents=True, exist_ok=True)
  with locks.exclusive(folder / '.lock'):
    left_behind = _expect_idle(root, plan)
    job = create_job(experiment, plan, settings, resources)
    try:
      slurm.submit(job, list(plan))
    except BaseException:
      shutil.rmtree(job.folder)
      raise
    for other, name in left_behind:
      other.record(name, 'cancel', message=f'goes on in {job.name}')
  ids = [job.history(name).ids[-1:] for name in plan]
  named = f', ids {ids[0][0]} to {ids[-1][0]}' if all(ids) else ''
  cli.write_result(
    f'Submitted {job.name}: {len(plan)} runs{named}\nLogs: {job.logs}'
  )
  logging.info(
    'How they stand: %s jobs status %s --log_root=%s',
    cli.PROGRAM,
    job.name,
    settings.log_root,
  )
  return job


def _with_absolute_paths(settings: Settings) -> Settings:
  """For a job may run in another working directory."""
  path = settings.checkpoint_path
  return dataclasses.replace(
    settings,
    data_dir=os.path.abspath(settings.data_dir),
    log_root=os.path.abspath(settings.log_root),
    checkpoint_path=checkpoints.absolute_path(path),
  )


def _expect_idle(
  root: pathlib.Path, run_names: Collection[str]
) -> list[tuple[Job, str]]:
  """Raises FileExistsError if a job still cares for one of the runs.

  Returns:
    Those that jobs have given up, or only `wait` would go on with.
  """
  left_behind = []
  for folder in list_jobs(root):
    try:
      job = read_job(folder)
    except DamagedFileError as error:
      logging.warning('%s', error)
      continue
    shared = [name for name in job.runs if name in run_names]
    for status in read_status(job, shared) if shared else ():
      if status.state not in OVER:
        raise FileExistsError(
          f'{status.name} is {status.state} in {job.name}; wait for it, or end '
          f'it there: {cli.PROGRAM} jobs cancel {job.folder} {status.name}'
        )
      left_behind.append((job, status.name))
  return left_behind
