"""How it stands with the runs of a job: Slurm, events and run folders."""

from __future__ import annotations

import collections
import datetime
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from embedding_rnn.experiments import slurm
from embedding_rnn.experiments.events import History
from embedding_rnn.experiments.job import Job
from embedding_rnn.experiments.slurm import Activity
from embedding_rnn.training import progress
from embedding_rnn.utils import cli
from embedding_rnn.utils.files import DamagedFileError

FINISHED = 'FINISHED'
REQUEUED = 'REQUEUED'  # saved or died, and waits to go on
DIED = 'DIED'  # its process is gone, and only `wait` would start it again
FAILED = 'FAILED'  # for good
CANCELLED = 'CANCELLED'
UNKNOWN = 'UNKNOWN'  # Slurm does not answer
# All other states are Slurm's own, and may change by themselves.
OVER = (FINISHED, DIED, FAILED, CANCELLED)

_NOTE_WIDTH = 160  # characters


class RunStatus(NamedTuple):
  """How it stands with a run of a job.

  Attributes:
    name: the run's.
    state: one of the above, or Slurm's, as 'PENDING' and 'RUNNING'.
    step: steps done.
    num_steps: steps to do.
    best_cost: validation cost at the best step so far; None before the first.
    seconds_to_go: an estimate from its speed so far; None without one.
    seconds_left: of its time limit, after which it is queued again.
    host: where it runs, or last ran.
    num_restarts: how often it was started again.
    note: the last error, or what it waits for.
  """

  name: str
  state: str
  step: int
  num_steps: int
  best_cost: float | None
  seconds_to_go: float | None
  seconds_left: float | None
  host: str
  num_restarts: int
  note: str


def read_status(
  job: Job, run_names: Sequence[str] | None = None
) -> list[RunStatus]:
  """How it stands with runs of a job, all if none are named."""
  try:
    activities, problem = slurm.activities(job), ''
  except ConnectionError as error:
    activities, problem = {}, str(error)
  return [
    _read_run(job, name, activities.get(name), problem)
    for name in run_names or job.runs
  ]


def _read_run(
  job: Job, name: str, activity: Activity | None, problem: str
) -> RunStatus:
  history, hps = job.history(name), job.runs[name]
  step, best_cost, to_go, damage, is_finished = 0, None, None, '', False
  try:
    run = progress.read_progress(job.run_folder(name))
  except FileNotFoundError:
    pass  # not begun
  except DamagedFileError as error:
    damage = str(error)
  else:
    saved, step = run.state, run.step
    best_cost, is_finished = saved.best_cost, saved.is_finished(hps)
    if saved.step and not is_finished:
      to_go = saved.seconds / saved.step * (hps.num_steps - step)
  state = _state(job, history, is_finished, activity, problem)
  if state == CANCELLED and not history.is_cancelled:
    # By scancel, which Slurm will forget.
    job.record(name, 'cancel')
  activity = activity or Activity(state)
  reason = '' if state == CANCELLED else activity.reason
  notes = (history.error, damage, problem, reason)
  return RunStatus(
    name,
    state,
    step,
    hps.num_steps,
    best_cost,
    to_go if state not in OVER else None,
    activity.seconds_left,
    activity.host or history.host,
    max(0, history.num_starts - 1),
    '' if state == FINISHED else next(filter(None, notes), ''),
  )


def _state(
  job: Job,
  history: History,
  is_finished: bool,
  activity: Activity | None,
  problem: str,
) -> str:
  if is_finished:
    return FINISHED
  if activity and activity.is_live:
    is_again = activity.state == 'PENDING' and history.num_starts
    return REQUEUED if is_again else activity.state
  if history.is_cancelled or (activity and activity.state == 'CANCELLED'):
    return CANCELLED
  if problem:
    return UNKNOWN
  deaths = history.num_deaths + (history.last_event not in ('stop', 'died'))
  is_for_good = history.is_final or deaths > job.resources.max_restarts
  return FAILED if is_for_good else DIED


def make_status_table(job: Job, statuses: Sequence[RunStatus]) -> Table:
  """A table of a job's runs, with how many there are of each state."""
  table = cli.make_table(
    [
      {
        'run': status.name,
        'state': status.state,
        'step': f'{status.step}/{status.num_steps}',
        'best valid cost': status.best_cost,
        'to go': _format_seconds(status.seconds_to_go),
        'time limit in': _format_seconds(status.seconds_left),
        'host': status.host,
        'restarts': status.num_restarts,
        'note': textwrap.shorten(status.note, _NOTE_WIDTH, placeholder='…'),
      }
      for status in statuses
    ]
  )
  if table.columns:
    table.columns[-1].no_wrap = False  # rather than cut the others short
  counts = collections.Counter(status.state for status in statuses)
  summary = ', '.join(f'{count} {state}' for state, count in counts.items())
  table.title, table.title_justify = Text(f'{job.name}: {summary}'), 'left'
  return table


def _format_seconds(seconds: float | None) -> str | None:
  if seconds is None:
    return None
  return str(datetime.timedelta(seconds=max(0, round(seconds))))
