"""Training runs: begins a new one, or goes on with one in its folder."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import logging

from embedding_rnn import checkpoints, data, distribution, files, trained_run
from embedding_rnn.embedding_rnn import Model
from embedding_rnn.hparams import HParams
from embedding_rnn.hparams_check import check_hparams
from embedding_rnn.progress import expect_same_run
from embedding_rnn.tf1_checkpoint import restore_tf1_checkpoint
from embedding_rnn.trained_run import Run, load_run
from embedding_rnn.trainer import (
  NonFiniteCostError,
  SavedTraining,
  Trainer,
  read_saved_training,
)
from embedding_rnn.training_log import restore_history

__all__ = ['NonFiniteCostError', 'train']

_MAX_SEED = 2**31  # TensorFlow gets it as an int32
SPLIT_SEED = 0  # the same for all runs, so that their costs compare


def train(
  hps: HParams,
  data_dir: str | os.PathLike[str],
  run_dir: str | os.PathLike[str],
  *,
  resume: bool = False,
  seed: int = 0,
  checkpoint_path: str | os.PathLike[str] | None = None,
  deterministic_ops: bool = False,
  precision: str = 'float32',
  strategy: tf.distribute.Strategy | None = None,
) -> Run:
  """Trains a model, or goes on with it, up to `hps.num_steps` steps.

  On Ctrl-C or SIGTERM the step is finished and saved before the signal takes
  its course; a second Ctrl-C stops at once. So it is on SIGUSR2, with which
  Slurm announces a time limit or preemption, if it has a handler.

  Where workers on several machines train one run, each calls this with the same
  arguments and must see the same folders. One of them writes. A signal to any
  stops all, at the latest after `trainer.LOG_EVERY` steps.

  Args:
    hps: hyperparameters.
    data_dir: the data set, see `data.open_dataset`.
    run_dir: the run's folder, `log_root/exp_name`; made if it is not there.
    resume: go on with the run in the folder, which must then be there and, but
      for num_steps and save_every, have the same hyperparameters. If it is
      finished, this returns at once.
    seed: of weights, batches, noise and dropout, at least 0; `hps.trial` is
      added to it, so that repeats differ. The split does not depend on it.
    checkpoint_path: weights to start from: a checkpoint of 2017, or the folder
      of another run.
    deterministic_ops: the same bits on every repeat, on GPUs too; on CPUs it is
      so anyway. TensorFlow has one such switch for the whole process, which
      stays on.
    precision: of the large matrix products, 'float32' or 'bfloat16', see
      `embedding_rnn.Model`; to go on with a run it must be the run's.
    strategy: how to use several devices; `distribution.choose_strategy()` if
      None, which takes all there are.

  Returns:
    The run, with the weights of the best validation cost.

  Raises:
    FileExistsError: there is a run in the folder, and resume is false.
    FileNotFoundError: there is none, and resume is true; or no data set.
    BlockingIOError: another process is training in the folder.
    NonFiniteCostError: a cost or gradient is not finite.
    CheckpointError: a file of the run is damaged.
    ValueError: for bad data or hyperparameters, or a batch that the devices
      cannot share evenly.
    RuntimeError: another worker could not start.
  """
  strategy = strategy or distribution.choose_strategy()
  is_chief = distribution.is_chief(strategy)
  check_hparams(hps)
  _check_seed(hps, seed)
  distribution.expect_even_shares(hps.batch_size, strategy)
  if deterministic_ops:
    tf.config.experimental.enable_op_determinism()
  folder = pathlib.Path(run_dir)
  if checkpoint_path is not None:
    checkpoint_path = os.path.abspath(checkpoint_path)
  if resume:
    checkpoints.expect_run(folder)
  with contextlib.ExitStack() as stack:
    # No worker writes to the run before all have read it.
    with distribution.all_or_none(strategy):
      if is_chief:
        files.make_folder(folder)
        stack.enter_context(checkpoints.locked(folder))
        files.remove_temporaries(folder)
      open_run = _reopen if resume else _begin
      opened = open_run(hps, data_dir, folder, seed, checkpoint_path, precision)
    if opened.dataset:
      _make_trainer(folder, opened, strategy, is_new=not resume).run()
    elif is_chief:
      restore_history(folder, opened.saved.history)
  return load_run(folder)


class _Opened(NamedTuple):
  """A run, before there is a model to train."""

  run: checkpoints.RunFiles
  dataset: data.NoteDataset | None  # None if there is nothing left to train
  saved: SavedTraining | None = None


def _begin(hps, data_dir, folder, seed, checkpoint_path, precision) -> _Opened:
  """A new run; not written yet."""
  if checkpoints.is_run(folder):
    raise FileExistsError(
      f"There is a run at '{folder}' already; go on with it (--resume), "
      'choose another name, or remove the folder.'
    )
  dataset = data.open_dataset(data_dir, hps, SPLIT_SEED)
  transforms = data.fit_transforms(dataset, hps)
  info = trained_run.describe_dataset(dataset, SPLIT_SEED) | {
    'seed': seed,
    'checkpoint_path': checkpoint_path,
    'precision': precision,
    'version': checkpoints.library_version(),
  }
  return _Opened(checkpoints.RunFiles(hps.copy(), transforms, info), dataset)


def _reopen(hps, data_dir, folder, seed, checkpoint_path, precision) -> _Opened:
  """The run in a folder, where it was last saved."""
  run = checkpoints.read_run(folder)
  expect_same_run(run, hps, seed, checkpoint_path, precision)
  run = run._replace(hps=hps.copy())
  saved = None
  if checkpoints.list_saves(folder, checkpoints.LAST):
    saved = read_saved_training(folder)
    checkpoints.warn_of_damage(folder, saved.save)
    if saved.state.is_finished(hps):
      logging.info("'%s' is finished after %d steps.", folder, saved.save.step)
      return _Opened(run, None, saved)
  dataset = trained_run.open_dataset(data_dir, hps, run.info)
  if not saved:
    logging.warning("'%s' has no saves yet; its training starts again.", folder)
  return _Opened(run, dataset, saved)


def _make_trainer(folder, opened, strategy, is_new) -> Trainer:
  """A new run is written here, when all is known to be in order."""
  run, dataset, saved = opened
  with strategy.scope():
    if saved:
      model = Model(run.hps, checkpoints.precision_of(run))
    else:
      model = _initial_model(
        run.hps,
        run.info['seed'],
        run.info['checkpoint_path'],
        checkpoints.precision_of(run),
      )
  if is_new and distribution.is_chief(strategy):
    run.info['num_params'] = model.count_params()
    checkpoints.create_run(folder, run)
  trainer = Trainer(folder, run, dataset, model, strategy)
  if saved:
    trainer.restore(saved)
  return trainer


def _check_seed(hps, seed) -> None:
  if not (seed >= 0 and 0 <= seed + hps.trial < _MAX_SEED):
    raise ValueError(
      f'seed={seed} and trial={hps.trial}: expected a seed of at least 0, and '
      f'a sum from 0 to {_MAX_SEED - 1}.'
    )


def _initial_model(hps, seed, checkpoint_path, precision='float32') -> Model:
  keras.utils.set_random_seed(seed + hps.trial)
  model = Model(hps, precision)
  if checkpoint_path is None:
    return model
  if checkpoints.is_run(checkpoint_path):
    other = load_run(checkpoint_path)
    try:
      checkpoints.assign_weights(
        model, checkpoints.weights_of(other.model), checkpoint_path
      )
    except checkpoints.CheckpointError as e:
      raise ValueError(
        f"The weights of '{checkpoint_path}' do not fit: it has the "
        f'hyperparameters {other.hps}. Give those of the model with --hparam.'
      ) from e
  else:
    restore_tf1_checkpoint(model, checkpoint_path)
  return model
