"""Training runs: begins a new one, or goes on with one in its folder."""

from __future__ import annotations

import os
import pathlib

import keras
from absl import logging

from embedding_rnn import checkpoints, data, files, trained_run
from embedding_rnn.embedding_rnn import Model
from embedding_rnn.hparams import HParams
from embedding_rnn.tf1_checkpoint import restore_tf1_checkpoint
from embedding_rnn.trained_run import Run, load_run
from embedding_rnn.trainer import NonFiniteCostError, Trainer, read_state

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
) -> Run:
  """Trains a model, or goes on with it, up to `hps.num_steps` steps.

  On Ctrl-C or SIGTERM the step is finished and saved before the signal takes
  its course; a second Ctrl-C stops at once.

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

  Returns:
    The run, with the weights of the best validation cost.

  Raises:
    FileExistsError: there is a run in the folder, and resume is false.
    FileNotFoundError: there is none, and resume is true; or no data set.
    BlockingIOError: another process is training in the folder.
    NonFiniteCostError: a cost or gradient is not finite.
    CheckpointError: a file of the run is damaged.
    ValueError: for bad data or hyperparameters.
  """
  _check(hps, seed)
  folder = pathlib.Path(run_dir)
  if checkpoint_path is not None:
    checkpoint_path = os.path.abspath(checkpoint_path)
  if resume:
    checkpoints.expect_run(folder)
  folder.mkdir(parents=True, exist_ok=True)
  with checkpoints.locked(folder):
    files.remove_temporaries(folder)
    if resume:
      trainer = _reopen(hps, data_dir, folder, seed, checkpoint_path)
    elif checkpoints.is_run(folder):
      raise FileExistsError(
        f"There is a run at '{folder}' already; go on with it (--resume), "
        'choose another name, or remove the folder.'
      )
    else:
      trainer = _begin(hps, data_dir, folder, seed, checkpoint_path)
    if trainer:
      trainer.run()
  return load_run(folder)


def _begin(hps, data_dir, folder, seed, checkpoint_path) -> Trainer:
  """A new run. Nothing is written before all is known to be in order."""
  dataset = data.open_dataset(data_dir, hps, SPLIT_SEED)
  transforms = data.fit_transforms(dataset, hps)
  model = _initial_model(hps, seed, checkpoint_path)
  info = trained_run.describe_dataset(dataset, SPLIT_SEED) | {
    'seed': seed,
    'checkpoint_path': checkpoint_path,
    'version': checkpoints.library_version(),
    'num_params': model.count_params(),
  }
  run = checkpoints.RunFiles(hps.copy(), transforms, info)
  checkpoints.create_run(folder, run)
  return Trainer(folder, run, dataset, model)


def _reopen(hps, data_dir, folder, seed, checkpoint_path) -> Trainer | None:
  """The run in a folder, where it was last saved; None if it is finished."""
  run = checkpoints.read_run(folder)
  _check_same(run, hps, seed, checkpoint_path)
  run = run._replace(hps=hps.copy())
  has_saves = bool(checkpoints.list_saves(folder, checkpoints.LAST))
  if has_saves:
    _, state = checkpoints.read_save(folder, checkpoints.LAST, read_state)
    if state.is_finished(hps):
      logging.info("'%s' is finished after %d steps.", folder, state.step)
      return None
  dataset = trained_run.open_dataset(data_dir, hps, run.info)
  if has_saves:
    trainer = Trainer(folder, run, dataset, Model(hps))
    trainer.restore()
    return trainer
  logging.warning("'%s' has no saves yet; its training starts again.", folder)
  model = _initial_model(hps, seed, run.info['checkpoint_path'])
  return Trainer(folder, run, dataset, model)


def _check_same(run, hps, seed, checkpoint_path) -> None:
  """Raises ValueError if a run is to go on as another one."""
  before, now = run.hps.values(), hps.values()
  before['seed'], now['seed'] = run.info['seed'], seed
  if checkpoint_path is not None:
    before['checkpoint_path'] = run.info['checkpoint_path']
    now['checkpoint_path'] = checkpoint_path
  differing = [
    f'{name} was {before.get(name)!r}, is {now.get(name)!r}'
    for name in before | now
    if name not in ('num_steps', 'save_every')
    and before.get(name) != now.get(name)
  ]
  if differing:
    raise ValueError(
      'The run to go on with was started otherwise: '
      + '; '.join(differing)
      + '. Give the same values, or train under another name.'
    )


def _check(hps, seed) -> None:
  if not (seed >= 0 and 0 <= seed + hps.trial < _MAX_SEED):
    raise ValueError(
      f'seed={seed} and trial={hps.trial}: expected a seed of at least 0, and '
      f'a sum from 0 to {_MAX_SEED - 1}.'
    )
  for name in ('num_steps', 'save_every'):
    if getattr(hps, name) < 1:
      raise ValueError(f'{name}={getattr(hps, name)}: expected at least 1.')


def _initial_model(hps, seed, checkpoint_path) -> Model:
  keras.utils.set_random_seed(seed + hps.trial)
  model = Model(hps)
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
