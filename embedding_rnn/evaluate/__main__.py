"""Measures trained runs: metrics.json and a table, for one run or a sweep.

Examples:
  python -m embedding_rnn.evaluate --run_dir=logs/default_local
  python -m embedding_rnn.evaluate --run_dir=logs --num_importance_samples=64
  python -m embedding_rnn.evaluate --run_dir=logs/mine --notes=data/other

Likelihood, reconstructions and samples are measured on held-out notes, as are
simple baselines. If beside a run there is one with the same name and
_unconditional at its end, it is a baseline, too. A folder of runs gives a table
with a row for each of them; a run that fails is named, the others go on.
"""

import pathlib

from absl import flags

from embedding_rnn.data.splits import SPLITS
from embedding_rnn.evaluate import tables
from embedding_rnn.experiments import job
from embedding_rnn.nsynth import codec
from embedding_rnn.utils import cli, files


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string(
    'run_dir', None, 'Folder of a trained run, or of several, or of a job.'
  )
  flags.DEFINE_string(
    'data_dir', None, 'Folder of the data; default: as in training.'
  )
  flags.DEFINE_string(
    'notes',
    None,
    'Other notes to measure on: the folder of a data set, or a .npz file of '
    'frames [N, T, W], midi_pitch [N] and, if you like, velocity [N].',
  )
  flags.DEFINE_string(
    'output_dir',
    None,
    'Folder to write to; default: the run folders, or with --notes '
    'metrics_NAME in them.',
  )
  flags.DEFINE_enum(
    'split',
    None,
    list(SPLITS),
    'Which notes to measure on; default: test, or with --notes all.',
  )
  flags.DEFINE_integer(
    'num_importance_samples',
    32,
    'Latents for each note in the bound on the likelihood.',
    lower_bound=1,
  )
  flags.DEFINE_integer(
    'num_decoded_notes', 32, 'Notes to decode to audio; 0 for no audio.', 0
  )
  for name in ('temperature', 'temperature_2'):
    flags.DEFINE_float(
      name, None, 'Of samples; default: as synthesize.py makes them.'
    )
  flags.DEFINE_integer('seed', 0, 'The same seed gives the same numbers.', 0)
  codec.define_flags()


def main(argv: list[str]) -> None:
  """The command: measures the runs of --run_dir and shows a table.

  Raises:
    FileNotFoundError: if there is no run.
    ValueError: for flags out of range, or, after all is written, if a run
      failed.
    OSError: if the folder of a sweep cannot be written to.
  """
  del argv
  args = flags.FLAGS
  if args.run_dir is None:
    raise ValueError(
      'Set --run_dir to the folder of a trained run, or of several.'
    )
  run_dirs = job.find_runs(args.run_dir)
  folder = files.make_output_dir(
    args.output_dir or tables.default_output_dir(args.run_dir, args.notes)
  )
  is_sweep = pathlib.Path(args.run_dir) not in run_dirs.values()
  output_dirs = None
  if args.output_dir is not None:
    output_dirs = {n: folder / n if is_sweep else folder for n in run_dirs}
  # TensorFlow is imported when all that can be said before has been said.
  from embedding_rnn.evaluate import sweep

  results = sweep.evaluate_runs(
    run_dirs,
    output_dirs=output_dirs,
    data_dir=args.data_dir,
    notes=args.notes,
    split=args.split,
    num_importance_samples=args.num_importance_samples,
    num_decoded_notes=args.num_decoded_notes,
    controls={
      name: args[name].value
      for name in ('temperature', 'temperature_2')
      if args[name].value is not None
    },
    seed=args.seed,
    choose_codec=lambda run: codec.codec_from_flags(
      run.info, run.hps.seq_width
    ),
  )
  if is_sweep:
    text = sweep.format_runs(results)
    sweep.draw_errors(results['runs'], folder)
    files.write_text(folder / tables.TABLE, text + '\n')
    files.write_json(folder / tables.METRICS, results)
    cli.write_result(text)
  else:
    for result in results['runs'].values():
      cli.write_result(tables.format_metrics(result))
  cli.expect_no_failures(results['failed'], len(run_dirs))
  cli.write_result(f"Written: '{folder / tables.METRICS}'")


if __name__ == '__main__':
  define_flags()
  cli.run(main)
