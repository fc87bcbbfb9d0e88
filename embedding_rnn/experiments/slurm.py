"""Jobs on a Slurm cluster: one job array, and what squeue says of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import submitit

from embedding_rnn.experiments.job import Job
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.experiments.worker import Task

_UNLIMITED = 10**9  # times that a run may reach its time limit
_SAVING_SECONDS = 180  # before the limit, a run is asked to save
_MIN_MINUTES = 10
_OURS = 'array error job_name open_mode output requeue signal time'.split()
_ENDED = (
  'BOOT_FAIL',
  'CANCELLED',
  'COMPLETED',
  'DEADLINE',
  'FAILED',
  'NODE_FAIL',
  'OUT_OF_MEMORY',
  'PREEMPTED',
  'REVOKED',
  'TIMEOUT',
)

# After srun, with its exit status in $?. A run whose process died goes on under
# the same id, unless Slurm ended it, or has queued it again already.
_TEARDOWN = r"""
status=$?
id=$SLURM_JOB_ID
if [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
  id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi
state=$(squeue --noheader --jobs="$id" --format=%T)
if ((status)) && [[ $state == RUNNING ]]; then
  case $status:$(tail --lines=1 "$events") in
    # 140: asked to save by SIGUSR2, before Python could take note of it.
    140:* | *'"event": "stop"'*) scontrol requeue "$id" ;;
    *'"final": true'*) ;;
    *)
      # On a full disk nothing can be counted, so nothing is tried again.
      echo "{\"event\": \"died\", \"time\": $(date +%s), \"status\": $status}" \
        >>"$events" &&
        deaths=$(grep --count '"event": "died"' "$events") &&
        ((deaths <= max_restarts)) && scontrol requeue "$id"
      ;;
  esac
fi
exit "$status"
"""


class Activity(NamedTuple):
  """What Slurm says of a run.

  Attributes:
    state: in its words: 'PENDING', 'RUNNING', 'FAILED' and so on.
    host: where it runs, or ran.
    seconds_left: of its time limit; None: it has none, or does not run.
    reason: why it is in this state.
  """

  state: str
  host: str = ''
  seconds_left: float | None = None
  reason: str = ''

  @property
  def is_live(self) -> bool:
    """Whether Slurm will still do something for the run."""
    return self.state not in _ENDED


def check_resources(resources: Resources) -> None:
  """Raises ValueError if no job can have them, or there is no Slurm."""
  if not shutil.which('sbatch') or not shutil.which('srun'):
    raise ValueError(
      '--local=false: there is no Slurm here (no sbatch on the PATH). Submit '
      'on a login node of the cluster, or use --local=true to train right here.'
    )
  if resources.time_minutes < _MIN_MINUTES:
    raise ValueError(
      f'--time of {resources.time_minutes} minutes: expected at least '
      f'{_MIN_MINUTES}, since runs save {_SAVING_SECONDS} s before the limit.'
    )
  for option in resources.slurm:
    if option.startswith('-') or _name(option) in ('', *_OURS):
      raise ValueError(
        f'--slurm={option}: expected an option of sbatch as name=value, and '
        f'none of {", ".join(_OURS)}, which are set for every job.'
      )
  if resources.memory_gb is not None and not resources.memory_gb > 0:
    raise ValueError(
      f'--memory_gb={resources.memory_gb}: expected more than 0; leave it out '
      "for the cluster's default."
    )


def _name(option: str) -> str:
  """The name of an option of sbatch, as submitit writes it."""
  return option.partition('=')[0].replace('-', '_')


def submit(job: Job, run_names: Sequence[str]) -> None:
  """Gives runs to Slurm, as one job array.

  Raises:
    ValueError: if sbatch refuses them.
  """
  executor = _executor(job, run_names)
  # Within a job, its variables would go for this one's; but not the user's own.
  own = {
    name: value
    for name, value in os.environ.items()
    if name == 'SLURM_CONF' or name.startswith('SBATCH_')
  }
  try:
    with (
      submitit.helpers.clean_env(),
      submitit.core.utils.environment_variables(**own),
      executor.batch(),
    ):
      submitted = [
        executor.submit(Task(), str(job.folder), name) for name in run_names
      ]
  except submitit.core.utils.FailedJobError as error:
    message = str(error).strip().replace('\n', ' ')
    raise ValueError(
      f'Slurm refuses the job: {message}. Change the resources that it names '
      '(--partition, --gpus, --cpus, --memory_gb, --time, --slurm).'
    ) from error
  for name, slurm_job in zip(run_names, submitted, strict=True):
    job.record(name, 'submit', id=slurm_job.job_id)


def _executor(job: Job, run_names: Sequence[str]) -> submitit.SlurmExecutor:
  """What submits runs, with sbatch's options and the script around them."""
  resources = job.resources
  executor = submitit.SlurmExecutor(
    job.logs, max_num_timeout=_UNLIMITED, python=resources.python_command
  )
  options = {
    _name(option): option.partition('=')[2] for option in resources.slurm
  }
  optional = {
    'partition': resources.partition,
    'gpus_per_node': 1 if resources.gpus is None else resources.gpus or None,
    'mem': resources.memory_gb and f'{round(resources.memory_gb * 1024)}M',
  }
  executor.update_parameters(
    job_name=job.name,
    nodes=resources.nodes,
    ntasks_per_node=1,
    cpus_per_task=resources.cpus,
    time=resources.time_minutes,
    signal_delay_s=_SAVING_SECONDS,
    array_parallelism=resources.array_parallelism or len(run_names),
    setup=[*resources.setup_lines(), *_run_variables(job, run_names)],
    teardown=[_TEARDOWN],
    # srun does not take it from sbatch; and if one task dies, all are to.
    srun_args=[f'--cpus-per-task={resources.cpus}', '--kill-on-bad-exit=1'],
    additional_parameters={
      'requeue': True,
      **{name: value or True for name, value in options.items()},
    },
    **{name: value for name, value in optional.items() if value is not None},
  )
  return executor


def _run_variables(job: Job, run_names: Sequence[str]) -> list[str]:
  """Shell variables about the run of each task of the array."""
  paths = [shlex.quote(str(job.events_path(name))) for name in run_names]
  return [
    f'max_restarts={job.resources.max_restarts}',
    f'all_events=({" ".join(paths)})',
    'events=${all_events[${SLURM_ARRAY_TASK_ID:-0}]}',
    # What was before is then no answer to how this process ends.
    r'echo "{\"event\": \"launch\", \"time\": $(date +%s)}" >>"$events"',
  ]


def activities(job: Job) -> dict[str, Activity]:
  """What Slurm says of the runs of a job; those it has forgotten are missing.

  It forgets a job some minutes after its end (its MinJobAge); without
  accounting, nothing is left of it then.

  Raises:
    ConnectionError: if Slurm does not answer.
  """
  lines = _ask(
    'squeue',
    '--noheader',
    '--array',
    '--states=all',
    f'--name={job.name}',
    '--format=%i|%T|%N|%L|%r',
  ).splitlines()
  by_id = {}
  for line in lines:
    slurm_id, state, nodes, time_left, reason = line.split('|', 4)
    by_id[slurm_id] = Activity(
      state,
      nodes,
      _seconds(time_left) if state == 'RUNNING' else None,
      '' if reason == 'None' else reason,
    )
  result = {}
  for name in job.runs:
    ids = job.history(name).ids
    if ids and ids[-1] in by_id:
      result[name] = by_id[ids[-1]]
  return result


def cancel(job: Job, run_names: Sequence[str]) -> None:
  """Ends runs; those that train save first.

  Raises:
    ConnectionError: if Slurm does not answer.
  """
  live = activities(job)
  ids = [
    job.history(name).ids[-1]
    for name in run_names
    if name in live and live[name].is_live
  ]
  if ids:
    _ask('scancel', *ids)


def _ask(*command: str) -> str:
  try:
    return subprocess.run(
      command, check=True, capture_output=True, text=True, timeout=60
    ).stdout
  except FileNotFoundError as error:
    raise ConnectionError(
      f'There is no {command[0]} here; ask on a login node of the cluster.'
    ) from error
  except subprocess.SubprocessError as error:
    message = getattr(error, 'stderr', '') or str(error)
    raise ConnectionError(
      f'{command[0]} failed: {message.strip()}; try again when Slurm answers.'
    ) from error


def _seconds(text: str) -> float | None:
  """Slurm's days-hours:minutes:seconds as seconds; None: no limit."""
  if not re.fullmatch(r'(\d+-)?[\d:]+', text):
    return None
  days, _, clock = text.rpartition('-')
  seconds = 0
  for part in clock.split(':'):
    seconds = 60 * seconds + int(part)
  return seconds + 24 * 3600 * int(days or 0)
