"""Who runs jobs, by the names that --cluster takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from embedding_rnn.experiments import local, slurm
from embedding_rnn.experiments.job import Activity, Job
from embedding_rnn.experiments.resources import Resources


class Scheduler(Protocol):
  """What each of the modules does."""

  def complete(self, resources: Resources) -> Mapping[str, Any]:
    """What `resources` leaves open."""

  def submit(self, job: Job, run_names: Sequence[str]) -> None:
    """Takes runs of a job over."""

  def activities(self, job: Job) -> Mapping[str, Activity]:
    """What becomes of the runs of a job; those that are over may be missing."""

  def cancel(self, job: Job, run_names: Sequence[str]) -> None:
    """Ends runs; those that train save first."""


SCHEDULERS: dict[str, Scheduler] = {'slurm': slurm, 'local': local}
