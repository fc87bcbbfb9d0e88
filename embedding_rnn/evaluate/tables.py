"""What `measures.evaluate` gives, as files and as rows for people."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from embedding_rnn.utils import cli, files, reading

METRICS, TABLE = 'metrics.json', 'metrics.txt'
MEASURE_AGAIN = 'measure the run again with python -m embedding_rnn.evaluate'
_CHECKSUM = 'sha256'  # of all that stands before it
_CHECKSUM_LENGTH = 64  # hexadecimal digits
# What there is to say of a model; the wording is that of the table.
MEASURES = {
  'code_size': 'numbers in the code of a note',
  'nll_nats_per_value': 'negative log likelihood, nats a value',
  'negative_elbo_nats_per_value': 'negative ELBO, nats a value',
  'reconstruction_nats_per_value': 'reconstruction, nats a value',
  'kl_nats_per_note': 'KL, nats a note',
  'kl_nats_per_latent': 'KL, nats a latent',
  'active_units': 'active units',
  'mse': 'reconstruction: mean squared error',
  'reconstruction_pitch_accuracy': 'reconstruction: pitch accuracy',
  'reconstruction_pitch_error_cents': 'reconstruction: pitch error, cents',
  'reconstruction_loudness_error_db': 'reconstruction: loudness error, dB',
  'frechet_distance': 'samples: Fréchet distance',
  'squared_mmd': 'samples: squared MMD',
  'family_accuracy': 'samples: taken for the family asked for',
  'sample_pitch_accuracy': 'samples: pitch accuracy',
  'sample_pitch_error_cents': 'samples: pitch error, cents',
  'sample_loudness_error_db': 'samples: mean loudness error, dB',
}
HEADINGS = {
  'real': 'real notes',
  'mean_frame': 'mean frame',
  'pca': 'PCA',
  'ar1': 'AR(1)',
  'unconditional': 'unconditional',
}


def tabulate(result: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
  """The rows of a table, and what to know of them.

  The table has a row for each measure and a column for each model.
  """
  models = result['models']
  headings = HEADINGS | {'run': result['name']}
  run = models['run']
  lines = {
    label: [model.get(key) for model in models.values()]
    for key, label in MEASURES.items()
  }
  for family in run.get('family_accuracies') or ():
    lines[f'samples: {family}, taken for it'] = [
      (model.get('family_accuracies') or {}).get(family)
      for model in models.values()
    ]
  rows = [
    {f'{result["num_notes"]} {result["split"]} notes': label}
    | dict(zip([headings[name] for name in models], values, strict=True))
    for label, values in lines.items()
    if any(value is not None for value in values)
  ]
  note = (
    f'A note has {run["density"]["values_per_note"]} values: '
    f'{run["density"]["variables"]}.'
  )
  if run['likelihood'] == 'bound':
    note += (
      '\nThe negative log likelihood of the run is an upper bound, from '
      f'{result["num_importance_samples"]} latents a note; others are exact.'
    )
  if run.get('prior') == 'fitted':
    note += (
      '\nSamples of the run are drawn from its fitted prior, asked for the '
      'pitches, velocities and families of the notes.'
    )
  return rows, note


def format_metrics(result: Mapping[str, Any]) -> str:
  """The table and the note below it, as text."""
  rows, note = tabulate(result)
  return f'{cli.format_table(rows)}\n\n{note}'


def write_metrics(
  folder: str | os.PathLike[str], result: Mapping[str, Any]
) -> None:
  """Writes metrics.json and metrics.txt to a folder."""
  folder = pathlib.Path(folder)
  checksum = {_CHECKSUM: reading.checksum(result)}
  files.write_json(folder / METRICS, {**result, **checksum})
  files.write_text(folder / TABLE, format_metrics(result) + '\n')


def read_metrics(path: pathlib.Path) -> dict[str, Any]:
  """Reads the metrics.json of one run.

  Raises:
    ValueError: if it is damaged, or something else.
  """
  fix = f'{MEASURE_AGAIN}, or remove the file'
  metrics = reading.read_json(path, fix, hints={'step': int, 'models': dict})
  # By its length, lest a flipped bit of its name hides it; old ones have none.
  name, checksum = list(metrics.items())[-1]
  try:
    if isinstance(checksum, str) and len(checksum) == _CHECKSUM_LENGTH:
      del metrics[name]
      if (name, checksum) != (_CHECKSUM, reading.checksum(metrics)):
        raise ValueError('its SHA-256 is not the one that it says')
    tabulate(metrics)
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
      f"'{path}' is damaged, or not the metrics of one run ({error!r}); {fix}."
    ) from error
  return metrics
