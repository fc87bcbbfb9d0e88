"""Measures several runs, and shows them in one table."""

from __future__ import annotations

import collections
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from embedding_rnn import figures
from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import provenance
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.evaluate import measures, tables
from embedding_rnn.evaluate.reference import Reference
from embedding_rnn.experiments import grids
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
  'reconstruction_log_spectral_distance_db': 'spectrum',
  'reconstruction_loudness_error_db': 'loudness',
  'reconstruction_attack_error_db': 'attack',
  'reconstruction_level_jump': 'jumps',
  'frechet_distance': 'Fréchet',
  'squared_mmd': 'MMD²',
  'sample_level_jump': 'samples jump',
  'reconstruction_pitch_accuracy': 'in tune',
  'sample_pitch_accuracy': 'samples in tune',
}
_UNITS = (
  'Reconstruction and NLL, of a VAE an upper bound, are in nats a value, KL in '
  'nats a note, errors of spectrum, loudness and attack in dB; jumps of the '
  'level are relative to those of real notes. Fréchet and MMD² are distances '
  'of samples; those of real notes are of two halves of them. Nats compare '
  'only between models of the same values.'
)


def _codec_of(run: Run) -> Codec | None:
  return codec.codec_of_data(run.info, run.hps.seq_width)


def evaluate_runs(
  run_dirs: Mapping[str, str | os.PathLike[str]],
  *,
  output_dirs: Mapping[str, str | os.PathLike[str]] | None = None,
  data_dir: str | os.PathLike[str] | None = None,
  notes: str | os.PathLike[str] | None = None,
  split: str | None = None,
  num_importance_samples: int = 32,
  num_decoded_notes: int = 32,
  controls: Mapping[str, Any] | None = None,
  seed: int = 0,
  choose_codec: Callable[[Run], Codec | None] = _codec_of,
) -> dict[str, Any]:
  """Measures runs and writes metrics.json and metrics.txt for each.

  Args:
    run_dirs: their folders by name.
    output_dirs: where to write by name; `tables.default_output_dir` if None.
    data_dir: folder of the runs' data; as in training if None.
    notes: other notes to measure on, see `provenance.open_notes`.
    split: see `measures.evaluate`, as for the others.
    num_importance_samples: as above.
    num_decoded_notes: as above.
    controls: as above.
    seed: as above.
    choose_codec: gives what decodes the notes of a run.

  Returns:
    Under 'runs' by name what `measures.evaluate` gives; under 'failed' by
    name what went wrong.

  Raises:
    ValueError: for an argument out of range.
  """
  measures.check_settings(
    split, num_importance_samples, num_decoded_notes, seed, controls
  )
  references: dict[Any, Reference] = {}

  def evaluate_run(name: str, folder: str | os.PathLike[str]) -> dict[str, Any]:
    number = list(run_dirs).index(name) + 1
    logging.info('Evaluating %s (%d of %d)', name, number, len(run_dirs))
    checkpoints.expect_run(folder)
    target = files.make_output_dir(
      output_dirs[name]
      if output_dirs
      else tables.default_output_dir(folder, notes)
    )
    run = load_run(folder)
    others = provenance.open_notes(notes, run.hps, run.info) if notes else None
    dataset = _open_dataset(run, data_dir, is_needed=others is None)
    key: tuple = run.hps.data_set, run.info['split_sha256']
    key += (dataset.data_dir if dataset else None,)
    if key not in references:
      references[key] = Reference(
        dataset,
        notes=others,
        split=split,
        num_decoded_notes=num_decoded_notes,
        codec=choose_codec(run) if num_decoded_notes else None,
        seed=seed,
      )
    result = measures.measure(
      run,
      references[key],
      num_importance_samples,
      _unconditional_beside(run),
      controls,
    )
    tables.write_metrics(target, result)
    return result

  results, failed = cli.for_each(run_dirs, evaluate_run)
  return {'runs': results, 'failed': failed}


def _open_dataset(
  run: Run, data_dir: str | os.PathLike[str] | None, is_needed: bool
) -> NoteDataset | None:
  """The run's data; None if they are gone, and only wanted for baselines."""
  try:
    return run.open_dataset(data_dir)
  except (OSError, ValueError) as error:
    if is_needed or data_dir is not None:
      raise
    logging.warning(
      "Without baselines, and with features scaled by the notes' own spread, "
      "since the run's data cannot be read: %s",
      error,
    )
    return None


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
    which = tables.describe_notes({**members[0][1], 'notes': None})
    lines += [f"{len(rows)} {which} of '{data_dir}'", '']
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
        label = tables.HEADINGS[kind]
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


def draw_errors(results: Mapping[str, Any], folder: pathlib.Path) -> None:
  """Draws figure 6 of 2017: the errors of all notes in each run."""
  errors = {
    name: result['models']['run']['mse_per_note']
    for name, result in results.items()
  }
  errors = {name: values for name, values in errors.items() if values}
  if errors:
    figure = figures.errors_figure(errors, title='Held-out notes')
    drawing.write_figure(folder / 'errors.png', figure)
