"""How far a run is, read from its folder; quick, since without TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import typing
from typing import Any

from embedding_rnn.model.hparams import HParams
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import files, reading, settings
from embedding_rnn.utils.files import DamagedFileError


@dataclasses.dataclass
class State:
  """How far training is; all of it that is not weights."""

  step: int = 0
  evaluated_step: int = 0
  best_step: int | None = None
  best_cost: float | None = None
  seconds: float = 0.0
  # Sums of the costs of the steps that are not in the history yet.
  totals: list[float] = dataclasses.field(default_factory=lambda: [0.0] * 4)
  num_totals: int = 0

  def is_evaluation_due(self, hps: HParams) -> bool:
    """Whether the split is to be evaluated before the next step."""
    is_time = self.step % hps.save_every == 0 or self.step == hps.num_steps
    return is_time and self.evaluated_step < self.step

  def is_finished(self, hps: HParams) -> bool:
    """Whether there is nothing left to do."""
    return self.step >= hps.num_steps and not self.is_evaluation_due(hps)


def read_state(save: files.CheckedFolder) -> State:
  """Reads how far training was at a 'last' save."""
  return _read_state(save)[0]


def _read_state(save: files.CheckedFolder) -> tuple[State, dict[str, Any]]:
  """The state, and all that stands beside it."""
  hints = typing.get_type_hints(State)
  more = {'num_steps': int, 'save_every': int}
  values = save.read_json(checkpoints.STATE, hints | more, finite=False)
  return State(**{name: values[name] for name in hints}), values


@dataclasses.dataclass(frozen=True)
class Progress:
  """What a run's folder says of its training.

  Attributes:
    name: of the folder.
    hps: hyperparameters; num_steps and save_every are those of the newest save.
    info: metadata of the run, see `trained_run.Run`.
    state: at the newest save.
    step: steps done, a little ahead of the newest save while training.
    costs: at the best step, for 'valid' and 'test' their "cost" and those that
      it is made of, see `Run.costs`; {} before the first evaluation.
    best_step: that of the best save; None before the first evaluation.
    problem: what of it is lost; '' if nothing is.
  """

  name: str
  hps: HParams
  info: dict[str, Any]
  state: State
  step: int
  costs: dict[str, dict[str, float]]
  best_step: int | None = None
  problem: str = ''

  @property
  def is_finished(self) -> bool:
    """Whether training is over."""
    return self.state.is_finished(self.hps)


def read_progress(run_dir: str | os.PathLike[str]) -> Progress:
  """Reads how far a run is, at any time of its training.

  Args:
    run_dir: the run's folder.

  Raises:
    FileNotFoundError: if there is no run in the folder.
    DamagedFileError: if a file of the run is damaged.
  """
  try:
    return _read(pathlib.Path(run_dir))
  except DamagedFileError:
    # Training may just have replaced what was to be read.
    return _read(pathlib.Path(run_dir))


def _read(folder: pathlib.Path) -> Progress:
  run = checkpoints.read_run(folder, kind=None)
  hps, state = run.hps, State()
  costs: dict[str, dict[str, float]] = {}

  if checkpoints.list_saves(folder, checkpoints.LAST):
    _, (state, values) = checkpoints.read_save(
      folder, checkpoints.LAST, _read_state
    )
    hps.num_steps, hps.save_every = values['num_steps'], values['save_every']
  best_step, problem = None, ''
  if state.best_step or checkpoints.list_saves(folder, checkpoints.BEST):
    save, costs = checkpoints.read_save(
      folder, checkpoints.BEST, checkpoints.read_costs
    )
    best_step = save.step
    if best_step < (state.best_step or 0):
      problem = f'its best save, of step {state.best_step}, is lost'
  if lost := lost_step(folder, hps):
    problem = f'it came to step {lost}, but its last saves are lost'
  step = max(state.step, _last_logged_step(folder))
  return Progress(
    folder.name, hps, run.info, state, step, costs, best_step, problem
  )


def lost_step(folder: pathlib.Path, *hps: HParams) -> int:
  """The step that a run came to if it has lost all of its last saves, else 0.

  At the first evaluation, a best save is written before the last save; what is
  later was written after others.

  Args:
    folder: the run's.
    *hps: with which it may have come so far.
  """
  if checkpoints.list_saves(folder, checkpoints.LAST):
    return 0
  best = checkpoints.list_saves(folder, checkpoints.BEST)
  step = max([_last_logged_step(folder), *(save.step for save in best)])
  return step if step > max(min(x.save_every, x.num_steps) for x in hps) else 0


def expect_same_run(
  run: checkpoints.RunFiles,
  hps: HParams,
  seed: int,
  checkpoint_path: str | None = None,
  precision: str | None = None,
) -> None:
  """Raises ValueError if a run was started otherwise than it is to go on.

  Args:
    run: the run.
    hps: its hyperparameters from now on; num_steps and save_every may differ.
    seed: of the training.
    checkpoint_path: where its first weights come from, absolute; None: as then.
    precision: of the model; None: as then.
  """
  before, now = run.hps.values(), hps.values()
  before['seed'], now['seed'] = run.info['seed'], seed
  if precision is not None:
    before['precision'] = checkpoints.precision_of(run)
    now['precision'] = precision
  if checkpoint_path is not None:
    before['checkpoint_path'] = run.info['checkpoint_path']
    now['checkpoint_path'] = checkpoint_path
  differing = settings.differences(
    before, dict.fromkeys(before) | now, ignored=['num_steps', 'save_every']
  )
  if differing:
    raise ValueError(
      'The run to go on with was started otherwise: '
      + '; '.join(differing)
      + '. Give the same values, or train under another name.'
    )


def _last_logged_step(folder: pathlib.Path) -> int:
  """The last step in history.csv; it may be torn, so 0 if in doubt."""
  path = folder / checkpoints.HISTORY
  try:
    reading.expect_plain_file(path)
    with path.open('rb') as file:
      file.seek(0, os.SEEK_END)
      file.seek(max(0, file.tell() - 1000))
      lines = file.read().decode(errors='replace').split('\n')[:-1]
    return int(next(csv.reader(lines[-1:]))[0])
  except (OSError, ValueError, IndexError, StopIteration, csv.Error):
    return 0
