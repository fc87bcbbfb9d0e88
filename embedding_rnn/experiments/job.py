"""The folder of a job: what was submitted, and what became of its runs.

  job.json           the experiment, its runs, settings and resources; written
                     once
  runs/NAME.jsonl    what happened to the run NAME, a line for each event
  logs/              what the runs wrote to the terminal, and submitit's files

All else about a run is in its own folder, and in what Slurm says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import platform
import typing
from collections.abc import Mapping
from typing import Any

from embedding_rnn.experiments import events
from embedding_rnn.experiments.events import History
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.model.hparams import HParams, default_hps
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import files, reading
from embedding_rnn.utils.dataclass_flags import option

JOBS = 'jobs'  # folder in a log_root
_JOB = 'job.json'
_TYPES = {
  'experiment': str,
  'runs': dict[str, dict],
  'settings': dict,
  'resources': dict,
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """What all runs of an experiment share; see `training.train`."""

  data_dir: str = option(
    './data/notes',
    'Folder of the data. If it is missing or empty, the embedded note '
    'collection is written to it.',
  )
  log_root: str = option('./logs', 'Folder of the run folders.')
  seed: int = option(0, 'Of the weights, the batches and the samples.')
  checkpoint_path: str | None = option(
    None,
    'A run folder or a 2017 checkpoint whose weights training starts from, or '
    'pretrained: the run in the package. default_run then has the sizes of '
    'that run, and fine-tunes it.',
  )
  precision: str = option(
    'float32',
    'Of the matrix products in training; bfloat16 is for GPUs that have it.',
    choices=('float32', 'bfloat16'),
  )
  deterministic_ops: bool = option(
    False, 'The same bits on every repeat, on GPUs too; slower there.'
  )


@dataclasses.dataclass(frozen=True)
class Job:
  """Runs that were submitted together; see `create_job` and `read_job`."""

  folder: pathlib.Path
  experiment: str
  runs: Mapping[str, HParams]
  settings: Settings
  resources: Resources

  @property
  def name(self) -> str:
    """The folder's name, which Slurm knows the job by, too."""
    return self.folder.name

  @property
  def logs(self) -> pathlib.Path:
    """Folder of the logs."""
    return self.folder / 'logs'

  def run_folder(self, run_name: str) -> pathlib.Path:
    """Where a run is trained."""
    return pathlib.Path(self.settings.log_root, run_name)

  def events_path(self, run_name: str) -> pathlib.Path:
    """The file of a run's events."""
    return self.folder / 'runs' / f'{run_name}.jsonl'

  def record(self, run_name: str, event: str, **metadata: Any) -> None:
    """Adds to what happened to a run, see `events.record`."""
    events.record(self.events_path(run_name), event, **metadata)

  def history(self, run_name: str) -> History:
    """What happened to a run."""
    return events.read_history(self.events_path(run_name))

  def record_death(self, run_name: str) -> None:
    """Counts that a run's process ended too early, unless it was asked to."""
    history = self.history(run_name)
    is_known = history.last_event in ('stop', 'died')
    if not (is_known or history.is_final or history.is_cancelled):
      self.record(run_name, 'died')


def create_job(
  experiment: str,
  runs: Mapping[str, HParams],
  settings: Settings,
  resources: Resources,
) -> Job:
  """Makes the folder of a new job in `settings.log_root`."""
  root = pathlib.Path(settings.log_root, JOBS)
  root.mkdir(parents=True, exist_ok=True)
  now = datetime.datetime.now()
  while True:
    folder = root / f'{experiment}-{now:%Y%m%d-%H%M%S}'
    try:
      folder.mkdir()
      break
    except FileExistsError:  # of the same second
      now += datetime.timedelta(seconds=1)
  for name in ('logs', 'runs'):
    (folder / name).mkdir()
  values = {
    'experiment': experiment,
    'created': now.astimezone().isoformat(timespec='seconds'),
    'host': platform.node(),
    'settings': {
      field.name: getattr(settings, field.name)
      for field in dataclasses.fields(Settings)
    },
    'resources': dataclasses.asdict(resources),
    'runs': {name: hps.values() for name, hps in runs.items()},
  }
  files.write_json(folder / _JOB, values)
  return read_job(folder)


def read_job(folder: str | os.PathLike[str]) -> Job:
  """Reads what `create_job` wrote.

  Raises:
    FileNotFoundError: if there is no such job.
    DamagedFileError: if its file is damaged.
  """
  path = pathlib.Path(folder) / _JOB
  try:
    values = reading.parse_json(reading.read_bytes(path), finite=False)
    reading.expect_types(values, _TYPES)
    resources: dict[str, Any] = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in values['resources'].items()
    }
    # Once there were also jobs in the background of a machine.
    if (cluster := resources.pop('cluster', 'slurm')) != 'slurm':
      raise ValueError(f'it is no job of Slurm, but {cluster!r}')
    settings = values['settings']
    for cls, of_class in ((Settings, settings), (Resources, resources)):
      hints = typing.get_type_hints(cls).items()
      known = {name: hint for name, hint in hints if name in of_class}
      reading.expect_types(of_class, known)
    return Job(
      path.parent,
      values['experiment'],
      {
        name: default_hps().override_from_dict(hps)
        for name, hps in values['runs'].items()
      },
      Settings(**settings),
      Resources(**resources),
    )
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise files.DamagedFileError(
      f"'{path}' is damaged, or of another version: {error}; the runs are safe "
      'in their own folders: submit the experiment again to go on with them.'
    ) from error


def find_job(log_root: str | os.PathLike[str], name: str | None) -> Job:
  """Reads a job.

  Args:
    log_root: where its runs are.
    name: its name, or its folder; None: the newest.

  Raises:
    FileNotFoundError: if there is no such job, with the names of those that
      there are.
    DamagedFileError: if its file is damaged.
  """
  if name and (pathlib.Path(name) / _JOB).is_file():
    return read_job(pathlib.Path(name).absolute())
  folders = list_jobs(log_root)
  if name is None and folders:
    return read_job(folders[-1])
  for folder in folders:
    if folder.name == name:
      return read_job(folder)
  known = ', '.join(folder.name for folder in folders[-10:]) or 'none'
  wanted = 'no job' if name is None else f'no job {name!r}'
  raise FileNotFoundError(
    f"There is {wanted} in '{pathlib.Path(log_root, JOBS)}'; the newest are: "
    f'{known}. Give the --log_root that it was submitted with.'
  )


def list_jobs(log_root: str | os.PathLike[str]) -> list[pathlib.Path]:
  """The folders of the jobs in a log_root, oldest first."""
  paths = pathlib.Path(log_root, JOBS).absolute().glob(f'*/{_JOB}')
  return [
    path.parent for path in sorted(paths, key=lambda path: path.stat().st_mtime)
  ]


def find_runs(path: str | os.PathLike[str]) -> dict[str, pathlib.Path]:
  """The folders of runs by name: of one, of those in a folder, or of a job.

  Raises:
    FileNotFoundError: if there is none.
  """
  folder = pathlib.Path(path)
  if _may_be_run(folder):
    return {folder.resolve().name: folder}
  if folder.is_dir():
    with contextlib.suppress(FileNotFoundError):
      # Not the log_root that the job knows, for it may have been moved since.
      log_root = folder.resolve().parent.parent
      return {name: log_root / name for name in read_job(folder).runs}
    runs = {p.name: p for p in sorted(folder.iterdir()) if _may_be_run(p)}
    if runs:
      return runs
  raise FileNotFoundError(
    f"There are no runs in '{folder}'; give the folder of a run, the folder "
    'that has the runs in it (--log_root), or the folder of a job.'
  )


def _may_be_run(folder: pathlib.Path) -> bool:
  """Whether a run was begun here, even if its manifest is lost."""
  has_hparams = (folder / checkpoints.HPARAMS).is_file()
  return folder.is_dir() and (has_hparams or checkpoints.is_run(folder))
