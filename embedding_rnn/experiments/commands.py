"""The commands that look after jobs: status, wait, logs and cancel."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import logging
from absl.flags import argparse_flags
from rich.console import Console
from rich.live import Live

from embedding_rnn.experiments import slurm
from embedding_rnn.experiments.job import Job, find_job
from embedding_rnn.experiments.status import (
  CANCELLED,
  DIED,
  FAILED,
  FINISHED,
  OVER,
  RunStatus,
  make_status_table,
  read_status,
)
from embedding_rnn.utils import cli, locks

_POLL_SECONDS = 2.0
_TAIL_LINES = 40
_FILE_WIDTH = 200  # columns, for output that is not a terminal's


class _Parser(argparse.ArgumentParser):
  """Shows what was typed without effect on a terminal."""

  def error(self, message: str) -> NoReturn:
    super().error(cli.plain(message))


class _ParserOfFlags(_Parser, argparse_flags.ArgumentParser):
  """Knows the flags of absl, too."""


def parse_command_line(argv: Sequence[str]) -> argparse.Namespace:
  """Parses the command line of script_utils.py, or embedding-rnn jobs."""
  program = pathlib.Path(argv[0]).name
  parser = _ParserOfFlags(
    prog=f'python {program}' if program.endswith('.py') else program,
    description='Looks after jobs that run.py submitted.',
    epilog='Example: %(prog)s status --watch; each command has its own --help.',
  )
  subparsers = parser.add_subparsers(
    required=True, metavar='COMMAND', parser_class=_Parser
  )

  command = _add_command(
    subparsers, _status, 'Shows how runs stand.', '--watch', nargs='?'
  )
  command.add_argument(
    '--watch', action='store_true', help='keep the table up to date'
  )
  _add_command(
    subparsers,
    _wait,
    'Waits until all runs are at an end, and starts those again whose process '
    'died. Fails if not all are finished then.',
    'default_run-20250131-120000',
    nargs='?',
  )
  command = _add_command(
    subparsers,
    _logs,
    'Shows the end of what a run wrote to the terminal.',
    'default_run-20250131-120000 default_local --follow',
  )
  command.add_argument('run', metavar='RUN', help='name of a run')
  command.add_argument(
    '--follow', action='store_true', help='and what it writes from now on'
  )
  command = _add_command(
    subparsers,
    _cancel,
    'Ends runs, after they saved; submitted again, they go on.',
    'default_run-20250131-120000 default_local',
  )
  command.add_argument(
    'runs', metavar='RUN', nargs='*', help='names of runs; all if none is given'
  )
  return parser.parse_args(argv[1:])


def _add_command(
  subparsers: Any,
  function: Callable[[Job, argparse.Namespace], None],
  summary: str,
  example: str,
  **job_options: Any,
) -> argparse.ArgumentParser:
  """A command about a job; `job_options` are those of its argument."""
  name = function.__name__.removeprefix('_')
  command = subparsers.add_parser(
    name,
    help=summary,
    description=summary,
    epilog=f'Example: %(prog)s {example}',
  )
  command.set_defaults(function=function)
  command.add_argument(
    '--log_root', default='./logs', help='folder of the run folders'
  )
  command.add_argument(
    'job', metavar='JOB', help='name or folder of a job', **job_options
  )
  return command


def main(args: argparse.Namespace) -> None:
  """Does what a command line of `parse_command_line` says.

  Raises:
    FileNotFoundError: if there is no such job.
    ValueError: if there is no such run in it.
    ChildProcessError: if a run that was waited for did not finish.
    ConnectionError: if Slurm does not answer.
  """
  job = find_job(args.log_root, args.job)
  names = getattr(args, 'runs', None) or [getattr(args, 'run', None)]
  for name in filter(None, names):
    if name not in job.runs:
      raise ValueError(
        f'{job.name} has no run {name!r}; its runs are: {", ".join(job.runs)}.'
      )
  try:
    args.function(job, args)
  except KeyboardInterrupt:
    logging.info('%s goes on without this command.', job.name)
    raise


def _status(job: Job, args: argparse.Namespace) -> None:
  if args.watch:
    _watch(job, restarts=False)
  else:
    table = make_status_table(job, read_status(job))
    _console().print(table)


def _wait(job: Job, args: argparse.Namespace) -> None:
  del args
  statuses = _watch(job, restarts=True)
  others = [s.name for s in statuses if s.state != FINISHED]
  if others:
    raise ChildProcessError(
      f'{len(others)} of {len(statuses)} runs are not finished: '
      f'{", ".join(others)}. See what they wrote: {cli.PROGRAM} jobs logs '
      f'{job.folder} {others[0]}'
    )


def _cancel(job: Job, args: argparse.Namespace) -> None:
  slurm.activities(job)  # Raises if Slurm does not answer.
  ended = (FINISHED, FAILED, CANCELLED)
  names = [
    status.name
    for status in read_status(job)
    if status.state not in ended and (not args.runs or status.name in args.runs)
  ]
  for name in names:
    job.record(name, 'cancel')
  slurm.cancel(job, names)
  cancelled = ', '.join(names) or 'none; all are at an end.'
  cli.write_result(f'Cancelled: {cancelled}')


def _logs(job: Job, args: argparse.Namespace) -> None:
  seen: dict[pathlib.Path, int] = {}
  while True:
    is_over = not args.follow or (read_status(job, [args.run])[0].state in OVER)
    for path in _log_paths(job, args.run):
      with path.open('rb') as file:
        file.seek(seen.get(path, 0))
        lines = file.read().decode(errors='replace').splitlines()
        if path not in seen:
          lines = [f'=== {path}', *lines[-_TAIL_LINES:]]
        seen[path] = file.tell()
      sys.stdout.writelines(f'{line}\n' for line in lines)
    sys.stdout.flush()
    if is_over:
      break
    time.sleep(_POLL_SECONDS)
  if not seen:
    logging.info('%s has not written anything yet.', args.run)


def _log_paths(job: Job, run_name: str) -> list[pathlib.Path]:
  """Where a run writes to, in the order of its submissions."""
  return [
    path
    for job_id in job.history(run_name).ids
    for path in sorted(job.logs.glob(f'{job_id}_*_log.*'))
  ]


def _watch(job: Job, restarts: bool) -> list[RunStatus]:
  """Shows how runs stand until they are at an end; perhaps restarts them."""
  console = _console()
  suspects: set[str] = set()
  before: dict[str, str] = {}
  with Live(console=console, auto_refresh=False) as live:
    while True:
      statuses = read_status(job)
      live.update(make_status_table(job, statuses), refresh=True)
      states = {status.name: status.state for status in statuses}
      if restarts and not before and not set(states.values()) <= set(OVER):
        # Raises if Slurm does not answer. Later it may pause for a while.
        slurm.activities(job)
      if not console.is_terminal:
        for name, state in states.items():
          if state != before.get(name):
            logging.info('%s: %s', name, state)
      before = states
      dead = {name for name in states if states[name] == DIED}
      if restarts:
        # Twice dead is dead: its last files may be on their way to this node.
        _restart(job, dead & suspects)
        suspects = dead - suspects
      if not (restarts and dead) and set(states.values()) <= set(OVER):
        return statuses
      time.sleep(_POLL_SECONDS)


def _console() -> Console:
  console = Console()
  if not console.is_terminal:
    console.width = max(console.width, _FILE_WIDTH)
  return console


def _restart(job: Job, run_names: set[str]) -> None:
  """Submits runs again that are still dead."""
  if not run_names:
    return
  with locks.exclusive(job.folder / 'restart.lock'):
    statuses = read_status(job, sorted(run_names))
    names = [s.name for s in statuses if s.state == DIED]
    for name in names:
      job.record_death(name)
    if names:
      slurm.submit(job, names)
      logging.info('Submitted again: %s', ', '.join(names))
