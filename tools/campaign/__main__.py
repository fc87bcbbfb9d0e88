r"""Attacks every command with bad inputs, damaged files, and kills.

Example:
  python tools/campaign --seed=0 --bad_inputs=500 --damages=150 --kills=60

Cases are generated from the seed. A bad input is a command line or a file that
must be refused in a few lines, within ten seconds, or, where it may be meant,
must not end in a traceback. A damage is one to a file of a run or its data:
what goes on with them must name it, or give the same as without it. A kill is a
signal at a random moment: the same command, given again, must end with what it
ends with undisturbed, weights to the last bit.

Most commands are forked from a process that has imported TensorFlow; every
twentieth starts as a user starts it. A failure is shown with the command to
give in its folder, which is kept.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time

import children  # before what imports NumPy

sys.path.insert(0, str(children.ROOT))

# Not absl's, for those would be defined in the forked commands, too.
_FLAGS = (
  ('seed', 0, 'of all cases'),
  ('bad_inputs', 500, 'number of bad command lines and files'),
  ('damages', 150, 'number of damages to files of runs and data'),
  ('kills', 60, 'number of signals at random moments'),
)


def main() -> int:
  """Runs the campaign; 1 if anything in it failed."""
  import attacks
  import stage

  from embedding_rnn.utils import cli

  args = _parse_command_line()
  children.import_everything()
  folder = pathlib.Path(args.work_dir or tempfile.mkdtemp(prefix='campaign-'))
  start = time.monotonic()
  built = stage.build(folder / 'stage')
  rows, failed = [], 0
  for name in attacks.ATTACKS:
    if count := getattr(args, name):
      result = attacks.run(name, count, args.seed, built, folder)
      failed += len(result.failures)
      rows.append(result.row())
  cli.write_result(cli.format_table(rows))
  minutes, seconds = divmod(round(time.monotonic() - start), 60)
  cli.write_result(f'Seed {args.seed}, {minutes} min {seconds:02d} s.')
  if failed:
    cli.write_result(f"{failed} cases failed; their folders are in '{folder}'.")
    return 1
  shutil.rmtree(folder)
  return 0


def _parse_command_line() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  for name, default, what in _FLAGS:
    parser.add_argument(f'--{name}', type=int, default=default, help=what)
  parser.add_argument(
    '--work_dir', help='a new folder to work in; default: a temporary one'
  )
  return parser.parse_args()


if __name__ == '__main__':
  sys.exit(main())
