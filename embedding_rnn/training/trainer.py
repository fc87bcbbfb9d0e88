"""The step loop: trains, evaluates, saves, and stops when it is asked to.

Batches, noise and dropout are functions of the seed and the number of the step,
and a save holds all else, so a run that was interrupted ends with the same
weights as one that was not.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from embedding_rnn.model import distribution
from embedding_rnn.training import checkpoints
from embedding_rnn.training import step as training_step
from embedding_rnn.training.log import NoLog, TrainingLog
from embedding_rnn.training.objective import Objective
from embedding_rnn.training.progress import State, read_state
from embedding_rnn.training.stopping import StopRequest
from embedding_rnn.utils import cli, files

if TYPE_CHECKING:
  from tqdm import tqdm

LOG_EVERY = 20  # steps
SAVE_SECONDS = 600  # that a crash can cost, besides an evaluation


class NonFiniteCostError(FloatingPointError):
  """The cost or a gradient of a training step is not a finite number.

  Attributes:
    step: the number of the step, counted from 1.
  """

  def __init__(self, message: str, step: int):
    super().__init__(message)
    self.step = step


class SavedTraining(NamedTuple):
  """What a save holds of a run's training."""

  save: checkpoints.Save
  state: State
  history: bytes
  optimizer: dict[str, np.ndarray]
  weights: dict[str, np.ndarray]


def read_saved_training(folder: pathlib.Path) -> SavedTraining:
  """Reads the newest save that is whole; errors as `checkpoints.read_save`."""

  def read(save):
    return (
      read_state(save),
      save.read(checkpoints.HISTORY),
      save.read_arrays(checkpoints.OPTIMIZER),
      save.read_arrays(checkpoints.WEIGHTS),
    )

  save, content = checkpoints.read_save(folder, checkpoints.LAST, read)
  return SavedTraining(save, *content)


class Trainer:
  """A run at some point of its training.

  Args:
    folder: the run's.
    objective: what is minimised; its model was made in the strategy's scope.
    strategy: how to use several devices.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    objective: Objective,
    strategy: tf.distribute.Strategy,
  ):
    self.folder, self.objective, self.strategy = folder, objective, strategy
    self.hps, self.model = objective.hps, objective.model
    self.is_chief = distribution.is_chief(strategy)
    with strategy.scope():
      self.optimizer = objective.make_optimizer()
      self.optimizer.build(self.model.trainable_variables)
    self.step = training_step.make_training_step(
      objective, self.optimizer, strategy
    )
    self.evaluation = training_step.make_evaluation(objective, strategy)
    self.state = State()
    self.saved: checkpoints.Save | None = None
    self.history: bytes | None = None

  def restore(self, saved: SavedTraining) -> None:
    """Goes to a save."""
    self.saved, self.state = saved.save, saved.state
    self.history = saved.history
    source = str(saved.save.path)
    checkpoints.assign_weights(self.model, saved.weights, source)
    checkpoints.assign_optimizer_state(self.optimizer, saved.optimizer, source)
    self.step.totals.assign(self.state.totals)

  def run(self) -> None:
    """Trains up to the last step, or to a signal."""
    with files.explained_full_disk(self.folder, 'make room, and use --resume'):
      self.log: TrainingLog | NoLog = (
        TrainingLog(self.folder, self.history) if self.is_chief else NoLog()
      )
      try:
        self._run()
      finally:
        self.log.close()

  def _run(self) -> None:
    state, hps = self.state, self.hps
    self.log.write_hparams(hps.values())
    self.log.write_scalars(
      state.step, {'Num_Trainable_Params': self.model.count_params()}
    )
    if self.is_chief:
      sounds = self.objective.original_sounds()
      self.log.write_sounds(state.step, 'original', sounds)
    self._saved_at = self._logged_at = time.monotonic()
    bar = cli.progress_bar(
      desc=self.folder.name,
      initial=state.step,
      total=hps.num_steps,
      unit='step',
      mininterval=1,
      disable=not self.is_chief,
    )
    with StopRequest(self.strategy, LOG_EVERY) as stop:
      with bar:
        self._loop(stop, bar)
      # All is written before any worker goes on.
      distribution.part(self.strategy)

  def _loop(self, stop: StopRequest, bar: tqdm) -> None:
    state, hps = self.state, self.hps
    batches = iter(self.objective.training_batches(state.step))
    while not stop.is_agreed(state.step):
      if state.is_evaluation_due(hps):
        bar.set_postfix_str('evaluation', refresh=False)
        self._evaluate_and_save(stop)
        continue
      if state.step >= hps.num_steps:
        return
      self.step.function(*next(batches))
      state.step += 1
      state.num_totals += 1
      bar.update()
      if state.step % LOG_EVERY == 0 or state.step == hps.num_steps:
        cost = f'cost {self._log_steps():.4f}'
        bar.set_postfix_str(cost, refresh=False)
      if (
        time.monotonic() - self._saved_at >= SAVE_SECONDS
        and not state.is_evaluation_due(hps)
      ):
        self._save_last()
    saved = self.saved
    if saved is None or saved.step != state.step:
      saved = self._save_last()
    logging.info("Stopped by a signal; saved '%s'.", saved.path)

  def _check_finite(self) -> None:
    bad_step = int(self.step.bad_step.numpy())
    if bad_step >= 0:
      raise self._non_finite('the cost or a gradient', bad_step + 1)

  def _non_finite(self, what: str, step: int) -> NonFiniteCostError:
    saved = 'there is no save of it yet'
    if self.saved:
      saved = f"its last good save is '{self.saved.path}'"
    return NonFiniteCostError(
      f"The run at '{self.folder}' stopped: {what} of step {step} is not a "
      f'finite number; {saved}. Going on would end the same way: train under '
      f'another name {self.objective.remedy}.',
      step,
    )

  def _log_steps(self) -> float:
    """Writes the mean costs since the last time; -> cost."""
    self._check_finite()
    state = self.state
    means = self.step.totals.numpy() / state.num_totals
    now = time.monotonic()
    names = self.objective.cost_names
    values = dict(zip(names, means.tolist(), strict=True))
    values |= self.objective.values_at_step(state.step - 1)
    values['seconds'] = now - self._logged_at
    self.log.write(state.step, 'train', values)
    self._logged_at = now
    self.step.totals.assign(tf.zeros_like(self.step.totals))
    state.num_totals = 0
    return values['cost']

  def _evaluate(self, split: str, stop: StopRequest) -> dict[str, float] | None:
    """Costs of a whole split and the seconds it took; None if interrupted."""
    start = time.monotonic()
    batches = self.objective.evaluation_batches(split)
    sums = []
    for number, batch in enumerate(batches):
      if stop.is_agreed(number):
        return None
      sums.append(self.evaluation(*batch, tf.constant(number)))
    total = np.asarray(sums).sum(axis=0, dtype=np.float64)
    costs = self.objective.total_costs(total)
    if not math.isfinite(costs['cost']):
      raise self._non_finite(f'the {split} cost', self.state.step)
    return costs | {'seconds': time.monotonic() - start}

  def _evaluate_and_save(self, stop: StopRequest) -> None:
    """Saves in both series; does nothing if it is interrupted."""
    self._check_finite()
    state, pending = self.state, time.monotonic() - self._logged_at
    valid = self._evaluate('valid', stop)
    if valid is None:
      return
    costs, cost = {'valid': valid}, valid['cost']
    best_cost = math.inf if state.best_cost is None else state.best_cost
    is_best = cost < best_cost
    if is_best:
      test = self._evaluate('test', stop)
      if test is None:
        return
      costs['test'] = test
    for split, values in costs.items():
      self.log.write(state.step, split, values)
    if is_best:
      state.best_step, state.best_cost = state.step, cost
      kept = {}  # only asked for where it is written
      if self.is_chief:
        kept = self.objective.arrays_to_keep(self.optimizer)
      self._write_save(
        checkpoints.BEST,
        {
          checkpoints.WEIGHTS: checkpoints.weights_of(self.model),
          **kept,
          checkpoints.COSTS: costs,
        },
      )
    self.log.write_scalars(
      state.step, {'Best_Valid_Cost': min(cost, best_cost)}
    )
    state.evaluated_step = state.step
    self._save_last()
    if self.is_chief:
      sounds = self.objective.made_sounds()
      self.log.write_sounds(state.step, 'reconstruction', sounds)
    self._logged_at = time.monotonic() - pending
    logging.info('Step %d: valid cost %.4f', state.step, cost)

  def _save_last(self) -> checkpoints.Save:
    self._check_finite()
    state, now = self.state, time.monotonic()
    state.seconds += now - self._saved_at
    state.totals = self.step.totals.numpy().tolist()
    self._saved_at = now
    progress = dataclasses.asdict(state) | {
      'num_steps': self.hps.num_steps,
      'save_every': self.hps.save_every,
    }
    self.saved = self._write_save(
      checkpoints.LAST,
      {
        checkpoints.WEIGHTS: checkpoints.weights_of(self.model),
        checkpoints.OPTIMIZER: checkpoints.optimizer_state_of(self.optimizer),
        checkpoints.HISTORY: self.log.history(),
        checkpoints.STATE: progress,
      },
    )
    return self.saved

  def _write_save(self, series: str, contents: dict) -> checkpoints.Save:
    """Writes a save, if this is the worker that writes."""
    step = self.state.step
    if self.is_chief:
      return checkpoints.write_save(self.folder, series, step, contents)
    return checkpoints.save_at(self.folder, series, step)
