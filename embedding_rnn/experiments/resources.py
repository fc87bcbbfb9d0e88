"""What each run of a job gets, and the flags that say so."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import shlex
import sys
import sysconfig

from absl import flags

from embedding_rnn.utils import dataclass_flags
from embedding_rnn.utils.dataclass_flags import option

flags.disclaim_key_flags()  # they belong to the command that defines them


@dataclasses.dataclass(frozen=True)
class Resources:
  """What each run of a job gets from Slurm.

  All are flags of the same name, but for the time.
  """

  partition: str | None = option(None, 'Of Slurm.')
  nodes: int = option(1, 'Machines for each run.', minimum=1)
  gpus: int | None = option(None, 'On each node; 1 if not given.', minimum=0)
  cpus: int = option(4, 'Cores on each node.', minimum=1)
  memory_gb: float | None = option(None, 'On each node.', minimum=0.0)
  time_minutes: int = 12 * 60  # after which a run saves and queues again
  array_parallelism: int | None = option(
    None, 'Runs at a time; all if not given.', minimum=1
  )
  setup: tuple[str, ...] = option(
    (), 'A shell command to run first, as "module load cuda".', repeated=True
  )
  python: str | None = option(
    None,
    'Command of the Python to run, as venv/bin/python or "apptainer exec --nv '
    'image.sif python"; this one if not given.',
  )
  max_restarts: int = option(
    3,
    'How often a run goes on after its process died, before it is given up.',
    minimum=0,
  )
  slurm: tuple[str, ...] = option(
    (), 'A further option of sbatch, as account=name.', repeated=True
  )

  @property
  def python_command(self) -> str:
    """What starts Python, for a shell."""
    return self.python or shlex.quote(sys.executable)

  def setup_lines(self) -> list[str]:
    """What a shell is to do before it starts Python."""
    # Whatever is in the working directory.
    lines = ['export PYTHONSAFEPATH=1']
    root = pathlib.Path(__file__).absolute().parents[2]
    if root != pathlib.Path(sysconfig.get_path('purelib')):  # a clone
      path = f'{shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}'
      lines.append(f'export PYTHONPATH={path}')
    return [*lines, *self.setup]


def define_flags() -> None:
  """Defines the flags that say what each run of a job gets."""
  dataclass_flags.define(Resources)
  flags.DEFINE_string(
    'time',
    '12',
    'Hours, H:MM:SS or D-HH:MM:SS after which a run saves, queues again and '
    'goes on.',
  )


def resources_from_flags() -> Resources:
  """What the flags of `define_flags` say.

  Raises:
    ValueError: for a time that is none.
  """
  minutes = _parse_minutes(flags.FLAGS.time)
  return dataclass_flags.read(Resources, time_minutes=minutes)


def expect_defaults(resources: Resources) -> None:
  """Raises ValueError if something is asked for that only a job would get."""
  for field in dataclasses.fields(Resources):
    if getattr(resources, field.name) != field.default:
      name = {'time_minutes': 'time'}.get(field.name, field.name)
      raise ValueError(
        f'--{name} goes with --local=false, which submits the runs; they would '
        'be trained right here.'
      )


def _parse_minutes(text: str) -> int:
  """Whole minutes of hours, H:MM:SS or D-HH:MM:SS."""
  if match := re.fullmatch(r'(?:(\d+)-)?(\d+):(\d\d):(\d\d)', text):
    days, clock_hours, minutes, seconds = (int(g or 0) for g in match.groups())
    total = ((days * 24 + clock_hours) * 60 + minutes) * 60 + seconds
    return math.ceil(total / 60)
  try:
    hours = float(text)
  except ValueError:
    hours = math.nan
  if not 0 < hours < math.inf:
    raise ValueError(
      f'--time={text}: expected hours, as 12 or 0.5, or H:MM:SS, or D-HH:MM:SS.'
    )
  return math.ceil(60 * hours)
