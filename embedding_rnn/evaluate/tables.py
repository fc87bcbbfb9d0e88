"""What `measures.evaluate` gives, as files and as rows for people."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.utils import cli, files, reading

METRICS, TABLE = 'metrics.json', 'metrics.txt'
MEASURE_AGAIN = 'measure the run again with python -m embedding_rnn.evaluate'
_CHECKSUM = 'sha256'  # of all that stands before it
_CHECKSUM_LENGTH = 64  # hexadecimal digits
# What there is to say of a model; the wording is that of the table.
MEASURES = {
  'code_size': 'numbers in the code of a note',
  'nll_nats_per_value': 'negative log likelihood, nats a value',
  'mse': 'reconstruction: mean squared error',
  'reconstruction_log_spectral_distance_db': (
    'reconstruction: log-spectral distance, dB'
  ),
  'reconstruction_loudness_error_db': 'reconstruction: loudness error, dB',
  'reconstruction_attack_error_db': (
    'reconstruction: error of the first 20 ms, dB'
  ),
  'reconstruction_level_jump': 'reconstruction: level jump, real notes = 1',
  'frechet_distance': 'samples: Fréchet distance',
  'frechet_distance_at_temperature_1': (
    'samples: Fréchet distance at temperature 1'
  ),
  'squared_mmd': 'samples: squared MMD',
  'family_accuracy': 'samples: taken for the family asked for',
  'sample_loudness_error_db': 'samples: mean loudness error, dB',
  'sample_level_jump': 'samples: level jump, real notes = 1',
  'level_jump_db': 'level jump, dB a frame',
  'negative_elbo_nats_per_value': 'negative ELBO, nats a value',
  'reconstruction_nats_per_value': 'reconstruction, nats a value',
  'kl_nats_per_note': 'KL, nats a note',
  'kl_nats_per_latent': 'KL, nats a latent',
  'active_units': 'active units',
  'reconstruction_pitch_accuracy': 'reconstruction: pitch accuracy',
  'reconstruction_pitch_error_cents': 'reconstruction: pitch error, cents',
  'sample_pitch_accuracy': 'samples: pitch accuracy',
  'sample_pitch_error_cents': 'samples: pitch error, cents',
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
    {f'{result["num_notes"]} {describe_notes(result)}': label}
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
  if controls := run.get('controls'):
    values = ' and '.join(f'{name} {x:g}' for name, x in controls.items())
    note += (
      f'\nThey are drawn at {values}, and so are reconstructions to measure '
      'their level jumps; all else is measured of their means.'
    )
  if result.get('codec') == HarmonicCodec.name:
    note += (
      '\nPitch comes last, for it says little: the codec is told it, and '
      'hardly anything that it decodes is out of tune.'
    )
  return rows, note


def describe_notes(result: Mapping[str, Any]) -> str:
  """Which notes were measured on: 'test notes', or 'notes of NAME'."""
  words = [result['split']] * bool(result['split']) + ['notes']
  if result.get('notes'):
    words += ['of', result['notes']]
  return ' '.join(words)


def format_metrics(result: Mapping[str, Any]) -> str:
  """The table and the note below it, as text."""
  rows, note = tabulate(result)
  return f'{cli.format_table(rows)}\n\n{note}'


def name_of(path: str | os.PathLike[str]) -> str:
  """What other notes are called: their folder, or their file without .npz."""
  return pathlib.Path(os.path.abspath(path)).name.removesuffix('.npz')


def default_output_dir(
  folder: str | os.PathLike[str], notes: str | os.PathLike[str] | None
) -> pathlib.Path:
  """Where results go: a run's folder; for other notes, metrics_NAME in it."""
  path = pathlib.Path(folder)
  return path / f'metrics_{name_of(notes)}' if notes else path


def write_metrics(
  folder: str | os.PathLike[str], result: Mapping[str, Any]
) -> None:
  """Writes metrics.json and metrics.txt to a folder."""
  folder = pathlib.Path(folder)
  checksum = {_CHECKSUM: reading.checksum(result)}
  files.write_text(folder / TABLE, format_metrics(result) + '\n')
  files.write_json(folder / METRICS, {**result, **checksum})


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
