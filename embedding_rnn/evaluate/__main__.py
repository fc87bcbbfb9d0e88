"""Measures trained runs: metrics.json and a table, for one run or a sweep.

Examples:
  python -m embedding_rnn.evaluate --run_dir=logs/default_local
  python -m embedding_rnn.evaluate --run_dir=logs --num_importance_samples=64

Likelihood, reconstructions and samples are measured on held-out notes, as are
simple baselines. If beside a run there is one with the same name and
_unconditional at its end, it is a baseline, too. A folder of runs gives a table
with a row for each of them; a run that fails is named, the others go on.
"""

from __future__ import annotations

import collections
import gc
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import app, flags, logging

# TensorFlow reads it when it starts: warnings of its compiler are no news.
if __name__ == '__main__':
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from embedding_rnn import figures
from embedding_rnn.audio.codec import Codec
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.evaluate import measures
from embedding_rnn.experiments import grids, job
from embedding_rnn.figures import drawing
from embedding_rnn.nsynth import codec
from embedding_rnn.training import checkpoints
from embedding_rnn.training.trained_run import Run, load_run
from embedding_rnn.utils import cli, files

_COLUMNS = {
  'code_size': 'code',
  'nll_nats_per_value': 'NLL',
  'reconstruction_nats_per_value': 'reconstruction',
  'kl_nats_per_note': 'KL',
  'active_units': 'active',
  'mse': 'MSE',
  'frechet_distance': 'Fréchet',
  'squared_mmd': 'MMD²',
  'reconstruction_pitch_accuracy': 'in tune',
  'reconstruction_loudness_error_db': 'loudness',
  'sample_pitch_accuracy': 'samples in tune',
}
_UNITS = (
  'Reconstruction and NLL, of a VAE an upper bound, are in nats a value, KL in '
  'nats a note, loudness errors in dB. Fréchet and MMD² are distances of '
  'samples; those of real notes are of two halves of them. Nats compare only '
  'between models of the same values.'
)


def _codec_of(run: Run) -> Codec | None:
  return codec.codec_of_data(run.info, run.hps.seq_width)


def evaluate_runs(
  run_dirs: Mapping[str, str | os.PathLike[str]],
  *,
  output_dirs: Mapping[str, str | os.PathLike[str]] | None = None,
  data_dir: str | os.PathLike[str] | None = None,
  split: str = 'test',
  num_importance_samples: int = 32,
  num_decoded_notes: int = 32,
  seed: int = 0,
  choose_codec: Callable[[Run], Codec | None] = _codec_of,
) -> dict[str, Any]:
  """Measures runs and writes metrics.json and metrics.txt for each.

  Args:
    run_dirs: their folders by name.
    output_dirs: where to write by name; the runs' folders if None.
    data_dir: folder of the data; as in training if None.
    split: see `evaluation.evaluate`, as for the others.
    num_importance_samples: as above.
    num_decoded_notes: as above.
    seed: as above.
    choose_codec: gives what decodes the notes of a run.

  Returns:
    Under 'runs' by name what `evaluation.evaluate` gives; under 'failed' by
    name what went wrong.

  Raises:
    ValueError: for an argument out of range.
  """
  measures.check_settings(
    split, num_importance_samples, num_decoded_notes, seed
  )
  references = {}

  def evaluate_run(folder):
    run = load_run(folder)
    dataset = run.open_dataset(data_dir)
    key = dataset.data_dir, run.hps.data_set, run.info['split_sha256']
    if key not in references:
      references[key] = measures.Reference(
        dataset,
        split=split,
        num_decoded_notes=num_decoded_notes,
        codec=choose_codec(run) if num_decoded_notes else None,
        seed=seed,
      )
    return measures.measure(
      run, references[key], num_importance_samples, _unconditional_beside(run)
    )

  results, failed = {}, {}
  for number, (name, folder) in enumerate(run_dirs.items(), 1):
    logging.info('Evaluating %s (%d of %d)', name, number, len(run_dirs))
    gc.collect()  # of the run before, whose graph refers to itself
    try:
      checkpoints.expect_run(folder)
      target = output_dirs[name] if output_dirs else folder
      target = files.make_output_dir(target)
      results[name] = evaluate_run(folder)
      measures.write_metrics(target, results[name])
    except Exception as error:  # such as a GPU's memory that is too small
      logging.debug('The error was raised here:', exc_info=True)
      logging.error('%s failed: %s: %s', name, type(error).__name__, error)
      failed[name] = str(error)
  return {'runs': results, 'failed': failed}


def _unconditional_beside(run: Run) -> Run | None:
  """The unconditional run of the same name, if there is one that fits."""
  folder = f'{pathlib.Path(run.folder).resolve()}{grids.UNCONDITIONAL}'
  if not run.model.conditional or not checkpoints.is_run(folder):
    return None
  try:
    beside = load_run(folder)
    measures.check_unconditional(run, beside)
  except (ValueError, OSError) as error:
    logging.warning('Without the unconditional baseline: %s', error)
    return None
  return beside


def format_runs(results: Mapping[str, Any]) -> str:
  """What `evaluate_runs` gives, as tables: one for each set of notes.

  Each has the runs, those with the least error first, and then the baselines.
  """
  groups = collections.defaultdict(list)
  for name, result in results['runs'].items():
    groups[result['data_dir'], tuple(result['rows'])].append((name, result))
  lines = []
  for (data_dir, rows), members in groups.items():
    split = members[0][1]['split']
    lines += [f"{len(rows)} {split} notes of '{data_dir}'", '']
    lines += [cli.format_table(_table(members)), '']
  lines += [_UNITS] * bool(groups)
  failed = results['failed'].items()
  lines += [f'Failed: {name}: {problem}' for name, problem in failed]
  return '\n'.join(lines)


def _table(members: Sequence[tuple[str, dict]]) -> list[dict[str, Any]]:
  """The rows of a table of runs and of their baselines."""
  runs, others = [], {}
  for name, result in members:
    for kind, model in result['models'].items():
      if kind == 'run':
        runs.append(_row(name, model))
      elif kind != 'unconditional':  # a run of its own
        label = measures.HEADINGS[kind]
        if kind == 'pca':
          label = f'{label} of {model["code_size"]}'
        row = _row(label, model)
        others[label, row['values']] = row
  runs.sort(key=lambda row: math.inf if row['MSE'] is None else row['MSE'])
  table = runs + [others[key] for key in sorted(others, key=str)]
  keys = [k for k in table[0] if any(row[k] is not None for row in table)]
  return [{key: row[key] for key in keys} for row in table]


def _row(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
  density = model['density']
  row = {'run or baseline': name}
  row |= {heading: model[key] for key, heading in _COLUMNS.items()}
  return row | {'values': density['variables'] if density else None}


def _draw_errors(results: Mapping[str, Any], folder: pathlib.Path) -> None:
  """Draws figure 6 of 2017: the errors of all notes in each run."""
  errors = {
    name: result['models']['run']['mse_per_note']
    for name, result in results.items()
  }
  errors = {name: values for name, values in errors.items() if values}
  if errors:
    figure = figures.errors_figure(errors, title='Held-out notes')
    drawing.write_figure(folder / 'errors.png', figure)


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string(
    'run_dir', None, 'Folder of a trained run, or of several, or of a job.'
  )
  flags.DEFINE_string(
    'data_dir', None, 'Folder of the data; default: as in training.'
  )
  flags.DEFINE_string(
    'output_dir', None, 'Folder to write to; default: the run folders.'
  )
  flags.DEFINE_enum('split', 'test', list(SPLITS), 'Which notes to measure on.')
  flags.DEFINE_integer(
    'num_importance_samples',
    32,
    'Latents for each note in the bound on the likelihood.',
  )
  flags.DEFINE_integer(
    'num_decoded_notes', 32, 'Notes to decode to audio; 0 for no audio.'
  )
  flags.DEFINE_integer('seed', 0, 'The same seed gives the same numbers.')
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
  folder = files.make_output_dir(args.output_dir or args.run_dir)
  is_sweep = pathlib.Path(args.run_dir) not in run_dirs.values()
  output_dirs = None
  if args.output_dir is not None:
    output_dirs = {n: folder / n if is_sweep else folder for n in run_dirs}
  results = evaluate_runs(
    run_dirs,
    output_dirs=output_dirs,
    data_dir=args.data_dir,
    split=args.split,
    num_importance_samples=args.num_importance_samples,
    num_decoded_notes=args.num_decoded_notes,
    seed=args.seed,
    choose_codec=lambda run: codec.codec_from_flags(
      run.info, run.hps.seq_width
    ),
  )
  if is_sweep:
    text = format_runs(results)
    _draw_errors(results['runs'], folder)
    files.write_json(folder / measures.METRICS, results)
    files.write_text(folder / measures.TABLE, text + '\n')
    logging.info('%s', text)
  else:
    for result in results['runs'].values():
      logging.info('%s', measures.format_metrics(result))
  if results['failed']:
    raise ValueError(
      f'{len(results["failed"])} of {len(run_dirs)} runs failed: '
      + '\n'.join(f'{n}: {e}' for n, e in results['failed'].items())
    )
  logging.info("Written: '%s'", folder / measures.METRICS)


if __name__ == '__main__':
  define_flags()
  app.run(cli.report_errors(main))
