"""What came of runs: a table of a sweep, best first, as text, CSV and figure.

Nothing here needs TensorFlow.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embedding_rnn.experiments import job
from embedding_rnn.model.hparams import names_that_shape
from embedding_rnn.training.progress import Progress, read_progress
from embedding_rnn.utils import cli, files

CSV, FIGURE = 'report.csv', 'report.png'

# Reconstruction costs are nats per value of what the model is fed, and the KL
# term has a weight and a floor; runs that differ in these do not compare.
_SCALE = names_that_shape('costs')
# Of a run's metadata, what was chosen, as hyperparameters are.
_CHOSEN = ('data_dir', 'seed', 'precision', 'checkpoint_path')
_COSTS = ('cost', 'r_cost', 'kl_cost', 'raw_kl')
_COLUMNS = (
  'run',
  'state',  # finished, unfinished, not started or damaged
  'group',
  'step',
  'num_steps',
  'best_step',
  *(f'{split}_{cost}' for split in ('valid', 'test') for cost in _COSTS),
  'hours',
  'num_params',
  'problem',
)
_HEADINGS = {
  'valid_cost': 'valid cost',
  'test_cost': 'test cost',
  'valid_r_cost': 'reconstruction',
  'valid_kl_cost': 'KL',
  'valid_raw_kl': 'raw KL',
  'best_step': 'best step',
  'step': 'steps',
  'hours': 'hours',
  'num_params': 'parameters',
}
_UNITS = (
  'Costs are those of the step with the best validation cost, in nats per '
  'value. Reconstruction and KL are of the validation split; KL is in nats per '
  'latent dimension, raw KL is before the floor kl_tolerance.'
)
_MIXED_KL = (
  "An unconditional run's cost has no KL term, a no_sample_vae run's only the "
  'floor of one: compare their reconstruction.'
)
_NUM_NAMES = 10  # of runs that have not started


@dataclasses.dataclass(frozen=True)
class Report:
  """The results of runs.

  Attributes:
    rows: one for each run, as the columns of report.csv: groups one after
      another, in each the best validation cost first, runs without one last.
      What is not known is None.
    varied: the settings in which the runs differ; the last columns.
    groups: the costs of two runs compare if their 'group' is the same; for each
      what its runs share and others have not, '' if there is only one.
  """

  rows: list[dict[str, Any]]
  varied: list[str]
  groups: dict[int, str]


def write_report(path: str | os.PathLike[str]) -> str:
  """Writes report.csv and report.png into the folder that they are about.

  Args:
    path: the folder of a run, of several runs, or of a job.

  Returns:
    The same as a table for people.

  Raises:
    FileNotFoundError: if there is no run.
  """
  folder = pathlib.Path(path)
  report = collect(job.find_runs(folder))
  lines = [_format(report), '']
  try:
    lines.append(_write(folder, report))
  except OSError as error:  # The table is of use without the files.
    lines.append(f'Nothing is written: {files.explain(error)}')
  return '\n'.join(lines)


def _write(folder: pathlib.Path, report: Report) -> str:
  """Writes the table, and a figure if there are costs; says which."""
  write_csv(folder / CSV, report)
  if any(row['valid_cost'] is not None for row in report.rows):
    title = folder.resolve().name
    from embedding_rnn.figures import sweep  # Help does without matplotlib.

    figure = sweep.sweep_figure(
      report.rows, report.varied, report.groups, title
    )
    with files.replacing(folder / FIGURE) as temporary:
      figure.savefig(temporary, format='png')
    return f"Written: '{folder / CSV}', '{folder / FIGURE}'"
  return (
    f"Written: '{folder / CSV}'; a figure needs a run with a validation cost."
  )


def collect(run_dirs: Mapping[str, str | os.PathLike[str]]) -> Report:
  """Reads how far runs are and what they cost.

  Args:
    run_dirs: their folders by name. One without a run in it has not started;
      one that cannot be read gets a row with the 'problem'.
  """
  rows, runs = [], {}
  bar = cli.progress_bar(run_dirs.items(), 'Reading runs', unit='run', delay=2)
  for name, folder in bar:
    try:
      runs[name] = read_progress(folder)
    except FileNotFoundError:
      values = {'state': 'not started'}
    except (ValueError, OSError) as error:
      values = {'state': 'damaged', 'problem': str(error)}
    else:
      values = _results(runs[name])
    rows.append(dict.fromkeys(_COLUMNS) | {'run': name} | values)
  rows.sort(key=_order)
  settings = {name: _settings(run) for name, run in runs.items()}
  varied = [key for key in _differing(settings.values()) if key not in _COLUMNS]
  groups = []  # the one with the best run first
  for row in rows:
    if row['run'] in runs:
      scale = _scale(runs[row['run']])
      if scale not in groups:
        groups.append(scale)
      row['group'] = groups.index(scale) + 1
    values = settings.get(row['run'], {})
    row |= {key: values.get(key) for key in varied}
  rows.sort(key=lambda row: row['group'] or math.inf)  # keeps the order else
  return Report(rows, varied, _describe(groups))


def write_csv(path: str | os.PathLike[str], report: Report) -> None:
  """Writes a table with all columns, in full precision, '' for None."""
  columns = [*_COLUMNS, *report.varied]
  with (
    files.replacing(path) as temporary,
    temporary.open('w', encoding='utf-8', newline='') as file,
  ):
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows(report.rows)


def _results(run: Progress) -> dict[str, Any]:
  costs = {
    f'{split}_{name}': run.costs.get(split, {}).get(name)
    for split, name in itertools.product(('valid', 'test'), _COSTS)
  }
  # A cost that is no number is none to sort by, or to draw.
  costs = {
    key: cost if cost is not None and math.isfinite(cost) else None
    for key, cost in costs.items()
  }
  return costs | {
    'state': 'finished' if run.is_finished else 'unfinished',
    'problem': run.problem or None,
    'step': run.step,
    'num_steps': run.hps.num_steps,
    'best_step': run.best_step,
    'hours': run.state.seconds / 3600,
    'num_params': run.info.get('num_params'),
  }


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
  cost = row['valid_cost']
  return cost is None, cost or 0.0, row['run']


def _settings(run: Progress) -> dict[str, Any]:
  settings = run.hps.values() | {key: run.info.get(key) for key in _CHOSEN}
  return {
    key: str(value) if isinstance(value, list) else value
    for key, value in settings.items()
  }


def _differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
  """The names whose values are not the same everywhere."""
  settings = list(settings)
  names = dict.fromkeys(itertools.chain.from_iterable(settings))
  return [
    name
    for name in names
    if any(s.get(name) != settings[0].get(name) for s in settings)
  ]


def _scale(run: Progress) -> dict[str, Any]:
  """What the scale of a run's costs depends on."""
  scale = {name: run.hps.get(name) for name in _SCALE}
  if not scale['pca_dim_reduce']:
    # Differences keep volumes, and so densities; their PCA is another matter.
    scale['n_pca_components'] = scale['difference_input'] = None
  return scale | {'split': str(run.info.get('split_sha256'))[:8]}


def _describe(groups: Sequence[Mapping[str, Any]]) -> dict[int, str]:
  differing = _differing(groups)
  return {
    number: ', '.join(
      f'{name}={group[name]}' for name in differing if group[name] is not None
    )
    for number, group in enumerate(groups, 1)
  }


def _format(report: Report) -> str:
  states = collections.Counter(row['state'] for row in report.rows)
  counts = ', '.join(f'{number} {state}' for state, number in states.items())
  noun = 'run' if len(report.rows) == 1 else 'runs'
  lines = [f'{len(report.rows)} {noun}: {counts}', '']
  rows = [row for row in report.rows if row['group']]
  if rows:
    table = [_cells(row, report) for row in rows]
    lines += [cli.format_table(table), '', _UNITS]
  if len(report.groups) > 1:
    lines.append('Costs compare only within a group:')
    lines += [f'  {n}: {text}' for n, text in report.groups.items()]
  if {'unconditional', 'no_sample_vae'} & set(report.varied):
    lines.append(_MIXED_KL)
  waiting = [r['run'] for r in report.rows if r['state'] == 'not started']
  if waiting:
    names = ', '.join(waiting[:_NUM_NAMES])
    more = f' and {len(waiting) - _NUM_NAMES} more'
    lines.append(f'Not started: {names}' + more * (len(waiting) > _NUM_NAMES))
  for row in report.rows:
    if row['problem']:
      lines.append(f'Damaged: {row["run"]}: {row["problem"]}')
  return '\n'.join(lines)


def _cells(row: Mapping[str, Any], report: Report) -> dict[str, Any]:
  """A row as people want to see it."""
  state = row['state']
  if state == 'unfinished':
    state = f'{row["step"]} of {row["num_steps"]}'
  cells = {'group': row['group']} if len(report.groups) > 1 else {}
  cells |= {'run': row['run'], 'state': state}
  cells |= {heading: row[key] for key, heading in _HEADINGS.items()}
  # Three digits after the point are too few for a learning rate.
  return cells | {
    key: None if row[key] is None else str(row[key]) for key in report.varied
  }
