"""Runs of any model: begins a new one, or goes on with one in its folder."""

from __future__ import annotations

import abc
import contextlib
import os
import pathlib
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from embedding_rnn.model import distribution
from embedding_rnn.model.hparams import HParams
from embedding_rnn.training import checkpoints
from embedding_rnn.training.checkpoints import RunFiles
from embedding_rnn.training.log import restore_history
from embedding_rnn.training.objective import Objective
from embedding_rnn.training.progress import lost_step
from embedding_rnn.training.trainer import (
  SavedTraining,
  Trainer,
  read_saved_training,
)
from embedding_rnn.utils import files, temporaries

_MAX_SEED = 2**31  # TensorFlow gets it as an int32


class TrainingTask(abc.ABC):
  """How runs of one kind of model begin and go on.

  Attributes:
    kind: of the model, see `checkpoints.read_run`.
    hps: hyperparameters, which have been checked; batch_size, num_steps and
      save_every are read here.
  """

  kind: str
  hps: HParams

  @abc.abstractmethod
  def begin(self) -> tuple[RunFiles, Any]:
    """What never changes in a new run, and its data, opened and checked."""

  @abc.abstractmethod
  def expect_same_run(self, run: RunFiles) -> None:
    """Raises ValueError if a run was started otherwise."""

  @abc.abstractmethod
  def open_data(self, run: RunFiles) -> Any:
    """The data of a run that was begun; ValueError if they are others."""

  @abc.abstractmethod
  def make_objective(self, run: RunFiles, data: Any, is_new: bool) -> Objective:
    """The model, with its first weights if the run is new, and its costs."""


def run_task(
  task: TrainingTask,
  run_dir: str | os.PathLike[str],
  *,
  resume: bool,
  deterministic_ops: bool,
  strategy: tf.distribute.Strategy | None,
) -> None:
  """Trains up to `hps.num_steps` steps; see `training.train`.

  Args:
    task: how the run begins and goes on.
    run_dir: the run's folder.
    resume: go on with the run that is there.
    deterministic_ops: the same bits on every repeat, on GPUs too.
    strategy: how to use several devices; all there are if None.

  Raises:
    FileExistsError: as of `training.train`, also all others.
  """
  strategy = strategy or distribution.choose_strategy()
  is_chief = distribution.is_chief(strategy)
  distribution.expect_even_shares(task.hps.batch_size, strategy)
  if deterministic_ops:
    tf.config.experimental.enable_op_determinism()
  folder = pathlib.Path(run_dir)
  if resume:
    checkpoints.expect_run(folder)
  with contextlib.ExitStack() as stack:
    # No worker writes to the run before all have read it.
    with distribution.all_or_none(strategy):
      if is_chief:
        files.make_folder(folder)
        stack.enter_context(checkpoints.locked(folder))
        temporaries.remove_left(folder)
      opened = (_reopen if resume else _begin)(task, folder)
    if opened.data:
      _make_trainer(task, folder, opened, strategy, is_new=not resume).run()
    elif is_chief and opened.saved:
      restore_history(folder, opened.saved.history)


class _Opened(NamedTuple):
  """A run, before there is a model to train."""

  run: RunFiles
  data: Any  # None if there is nothing left to train
  saved: SavedTraining | None = None


def _begin(task: TrainingTask, folder: pathlib.Path) -> _Opened:
  """A new run; not written yet."""
  if checkpoints.is_run(folder):
    raise FileExistsError(
      f"There is a run at '{folder}' already; go on with it (--resume), "
      'choose another name, or remove the folder.'
    )
  return _Opened(*task.begin())


def _reopen(task: TrainingTask, folder: pathlib.Path) -> _Opened:
  """The run in a folder, where it was last saved."""
  run = checkpoints.read_run(folder, task.kind)
  task.expect_same_run(run)
  _expect_no_lost_save(folder, task.kind, run.hps, task.hps)
  hps = task.hps.copy()
  run = run._replace(hps=hps)
  saved = None
  if checkpoints.list_saves(folder, checkpoints.LAST):
    saved = read_saved_training(folder)
    checkpoints.warn_of_damage(folder, saved.save)
    if saved.state.is_finished(hps):
      logging.info("'%s' is finished after %d steps.", folder, saved.save.step)
      return _Opened(run, None, saved)
  data = task.open_data(run)
  if not saved:
    logging.warning("'%s' has no saves yet; its training starts again.", folder)
  return _Opened(run, data, saved)


def _expect_no_lost_save(
  folder: pathlib.Path, kind: str, *hps: HParams
) -> None:
  """Raises DamagedFileError if a run would begin again, over what it has."""
  step = lost_step(folder, *hps)
  if step:
    fix = 'remove the folder and train the run again'
    has_best = checkpoints.list_saves(folder, checkpoints.BEST)
    if has_best and kind == checkpoints.EMBEDDING_RNN:
      fix = (
        'train under another name, from the best weights of this one '
        f"(--checkpoint_path='{folder}')"
      )
    raise files.DamagedFileError(
      f"The run at '{folder}' came to step {step}, but has lost its "
      f'{checkpoints.LAST}-* saves, which training goes on from; restore one '
      f'from a copy, or {fix}.'
    )


def _make_trainer(task, folder, opened, strategy, is_new):
  """A new run is written here, when all is known to be in order."""
  run, data, saved = opened
  with strategy.scope():
    objective = task.make_objective(run, data, is_new=saved is None)
  if is_new and distribution.is_chief(strategy):
    run.info['num_params'] = objective.model.count_params()
    checkpoints.create_run(folder, run)
  trainer = Trainer(folder, objective, strategy)
  if saved:
    trainer.restore(saved)
  return trainer


def check_run_seed(hps: HParams, seed: int) -> None:
  """Raises ValueError for a seed that is no seed, alone or with the trial."""
  if not (seed >= 0 and 0 <= seed + hps.trial < _MAX_SEED):
    raise ValueError(
      f'seed={seed} and trial={hps.trial}: expected a seed of at least 0, and '
      f'a sum from 0 to {_MAX_SEED - 1}.'
    )
