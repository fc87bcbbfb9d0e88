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

flags.disclaim_key_flags()  # they belong to the command that defines them


@dataclasses.dataclass(frozen=True)
class Resources:
  """What each run of a job gets, and from whom.

  Attributes:
    cluster: 'slurm', or 'local' for processes on this machine.
    partition: of Slurm; None: the cluster's default.
    nodes: machines for each run.
    gpus: on each node; None: 1, or locally 0 where there are none.
    cpus: cores on each node; Slurm only, as are the next two.
    memory_gb: on each node; None: the cluster's default.
    time_minutes: after which a run saves and queues again.
    array_parallelism: runs at a time; None: all, or locally one for each GPU.
    setup: shell commands to run first.
    python: the command that starts Python in the job; None: this Python.
    max_restarts: of a run whose process died, before it is given up.
    slurm: further options of sbatch, as 'account=name'.
  """

  cluster: str = 'slurm'
  partition: str | None = None
  nodes: int = 1
  gpus: int | None = None
  cpus: int = 4
  memory_gb: float | None = None
  time_minutes: int = 12 * 60
  array_parallelism: int | None = None
  setup: tuple[str, ...] = ()
  python: str | None = None
  max_restarts: int = 3
  slurm: tuple[str, ...] = ()

  @property
  def python_command(self) -> str:
    """What starts Python, for a shell."""
    return self.python or shlex.quote(sys.executable)

  def setup_lines(self) -> list[str]:
    """What a shell is to do before it starts Python."""
    lines = [
      'export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"',
      'export PYTHONSAFEPATH=1',  # whatever is in the working directory
    ]
    root = package_root()
    if root != pathlib.Path(sysconfig.get_path('purelib')):  # a clone
      path = f'{shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}'
      lines.append(f'export PYTHONPATH={path}')
    return [*lines, *self.setup]


def package_root() -> pathlib.Path:
  """The folder to be on Python's path for this package to be found."""
  return pathlib.Path(__file__).absolute().parents[2]


def define_flags() -> None:
  """Defines the flags that say what each run of a job gets."""
  default = Resources()
  flags.DEFINE_enum(
    'cluster',
    default.cluster,
    ['slurm', 'local'],
    'With --local=false: Slurm, or jobs in the background of this machine.',
  )
  flags.DEFINE_string('partition', None, 'Of Slurm.')
  flags.DEFINE_integer('nodes', default.nodes, 'Machines for each run.', 1)
  flags.DEFINE_integer(
    'gpus', None, 'On each node; 1, or on a machine without any 0.', 0
  )
  flags.DEFINE_integer(
    'cpus', default.cpus, 'Cores on each node, with Slurm.', 1
  )
  flags.DEFINE_float('memory_gb', None, 'On each node, with Slurm.', 0.0)
  flags.DEFINE_string(
    'time',
    '12',
    'With Slurm: hours, H:MM:SS or D-HH:MM:SS after which a run saves, queues '
    'again and goes on.',
  )
  flags.DEFINE_integer(
    'array_parallelism',
    None,
    'Runs at a time; all, or with --cluster=local as many as there are GPUs.',
    1,
  )
  flags.DEFINE_multi_string(
    'setup', [], 'A shell command to run first, as "module load cuda".'
  )
  flags.DEFINE_string(
    'python',
    None,
    'Command of the Python to run, as venv/bin/python or "apptainer exec --nv '
    'image.sif python"; this one if not given.',
  )
  flags.DEFINE_integer(
    'max_restarts',
    default.max_restarts,
    'How often a run goes on after its process died, before it is given up.',
    0,
  )
  flags.DEFINE_multi_string(
    'slurm', [], 'A further option of sbatch, as account=name.'
  )


def expect_no_resource_flags() -> None:
  """Raises ValueError if a flag of `define_flags` is given in vain."""
  for field in dataclasses.fields(Resources):
    name = {'time_minutes': 'time'}.get(field.name, field.name)
    if flags.FLAGS[name].present:
      raise ValueError(
        f'--{name} goes with --local=false, which submits the runs; they would '
        'be trained right here.'
      )


def resources_from_flags() -> Resources:
  """What the flags of `define_flags` say.

  Raises:
    ValueError: for a time that is none.
  """
  args = flags.FLAGS
  values = {
    field.name: args[field.name].value
    for field in dataclasses.fields(Resources)
    if field.name != 'time_minutes'
  }
  values |= {name: tuple(values[name] or ()) for name in ('setup', 'slurm')}
  return Resources(time_minutes=_parse_minutes(args.time), **values)


def _parse_minutes(text: str) -> int:
  """Whole minutes of hours, H:MM:SS or D-HH:MM:SS."""
  if match := re.fullmatch(r'(?:(\d+)-)?(\d+):(\d\d):(\d\d)', text):
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
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
