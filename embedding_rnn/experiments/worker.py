"""What a job does on the machine that it got: it trains one run."""

from __future__ import annotations

import logging as python_logging
import pathlib
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import submitit
from absl import flags, logging

from embedding_rnn.experiments.job import Settings, read_job
from embedding_rnn.model.hparams import HParams
from embedding_rnn.training import checkpoints

if TYPE_CHECKING:
  from embedding_rnn.training.trained_run import Run

# Errors that come again however often one tries. Others, most of all OSErrors,
# may be bad luck: a full disk, a folder that a node misses, a GPU in use.
_FINAL_ERRORS = (
  ArithmeticError,
  AttributeError,
  ImportError,
  LookupError,
  TypeError,
  ValueError,
)
_TERMINATED = 128 + signal.SIGTERM  # the exit status, as of a shell


def train_run(
  run_name: str, hps: HParams, settings: Settings, *, resume: bool
) -> Run:
  """Trains one run of an experiment, or goes on with it, in this process.

  Args:
    run_name: of its folder in `settings.log_root`.
    hps: its hyperparameters.
    settings: what it shares with other runs.
    resume: go on with the run, which must be there then.

  Returns:
    The run; errors as `training.train`.
  """
  from embedding_rnn.training import training

  return training.train(
    hps,
    settings.data_dir,
    pathlib.Path(settings.log_root, run_name),
    resume=resume,
    seed=settings.seed,
    checkpoint_path=settings.checkpoint_path,
    precision=settings.precision,
    deterministic_ops=settings.deterministic_ops,
  )


class Task:
  """What submitit calls in the job; all that it has to know is in two names."""

  def __call__(self, job_folder: str, run_name: str) -> None:
    """Trains a run of a job up to its end, or to a signal."""
    job = read_job(job_folder)
    env = submitit.JobEnvironment()
    _set_up_process()
    if job.history(run_name).is_cancelled:
      return
    if env.global_rank == 0:
      job.record(run_name, 'start', id=env.job_id, host=env.hostname)
    try:
      train_run(
        run_name,
        job.runs[run_name],
        job.settings,
        resume=checkpoints.is_run(job.run_folder(run_name)),
      )
    except SystemExit as stop:
      # With several tasks, another one's end may be behind the signal.
      if stop.code == _TERMINATED and env.num_tasks == 1:
        job.record(run_name, 'stop')
      raise
    except Exception as error:
      is_final = isinstance(error, _FINAL_ERRORS)
      message = f'{type(error).__name__}: {error}'
      job.record(run_name, 'error', message=message, final=is_final)
      raise

  def checkpoint(
    self, job_folder: str, run_name: str
  ) -> submitit.helpers.DelayedSubmission:
    """What submitit is to queue again, after a signal and a save."""
    read_job(job_folder).record(run_name, 'stop')
    if not shutil.which('scontrol'):
      # In a container without Slurm; the script around it can do it.
      raise SystemExit(_TERMINATED)
    return submitit.helpers.DelayedSubmission(self, job_folder, run_name)


def _set_up_process() -> None:
  """Messages as those of the commands; an end by SIGTERM at any time."""
  flags.FLAGS.mark_as_parsed()  # absl complains otherwise; there are none here
  logging.use_absl_handler()
  logging.get_absl_handler().setFormatter(
    python_logging.Formatter('%(asctime)s %(message)s', '%Y-%m-%d %H:%M:%S')
  )
  logging.set_verbosity(logging.INFO)
  python_logging.getLogger('submitit').propagate = False
  # submitit's handler would let it pass. While training, training's is there.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
