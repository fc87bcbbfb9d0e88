"""How good a run's reconstructions are, on every note of a split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from embedding_rnn import commands, data
from embedding_rnn.trained_run import Run

_CHUNK_SIZE = 512  # notes in memory at a time
_NUM_AVERAGED = 64  # samples


def evaluate_reconstruction(
  run: Run,
  dataset: data.NoteDataset,
  split: str = 'test',
  unconditional_run: Run | None = None,
) -> dict[str, Any]:
  """How near reconstructions come to the notes of a split, and two baselines.

  All errors are mean squares over every value of every note of the split, in
  the format of the data, so that transforms do not count.

  Args:
    run: a conditional run; reconstructs from the mean of z, each value being
      the mean of its mixture.
    dataset: its data.
    split: 'train', 'valid' or 'test'.
    unconditional_run: a run that knows neither z nor pitch. It has two ways to
      guess all notes at once, its mean note and the mean of 64 samples;
      the better one counts.

  Returns:
    'num_notes', 'reconstruction_mse', 'mean_frame_mse' (each note's own mean
    frame, repeated) and, if there is such a run, 'unconditional_mse'.

  Raises:
    ValueError: for another split.
  """
  if split not in dataset.rows:
    raise ValueError(
      f'split must be one of {", ".join(dataset.rows)}, got {split!r}.'
    )
  guesses = _guesses(unconditional_run) if unconditional_run else []
  rows = dataset.rows[split]
  totals = np.zeros(2 + len(guesses))
  starts = range(0, len(rows), _CHUNK_SIZE)
  for start in tqdm(starts, desc=f'Evaluating {split}', unit='chunk'):
    notes, pitches = dataset.notes(rows[start : start + _CHUNK_SIZE])
    made = run.reconstruct(notes, pitches, greedy='mean', seed=0)
    mean_frame = notes.mean(axis=1, keepdims=True)
    estimates = [made, mean_frame, *guesses]
    totals += [
      np.square(notes - estimate, dtype=np.float64).sum()
      for estimate in estimates
    ]
  means = totals / (len(rows) * np.prod(dataset.frames.shape[1:]))
  result = {
    'num_notes': len(rows),
    'reconstruction_mse': float(means[0]),
    'mean_frame_mse': float(means[1]),
  }
  if guesses:
    result['unconditional_mse'] = float(means[2:].min())
  return result


def _guesses(run: Run) -> list[np.ndarray]:
  """Two notes `[T, W]` with which an unconditional run may guess any note."""
  pitches = np.zeros((_NUM_AVERAGED, run.hps.context_vec_size), np.float32)
  pitches[:, 60] = 1.0  # Without effect; it says how many notes are wanted.
  mean_note = run.sample(pitches[:1], greedy='mean', seed=0)
  samples = run.sample(pitches, seed=0)
  return [np.asarray(mean_note)[0], np.mean(samples, axis=0)]


def format_errors(errors: Mapping[str, Any]) -> str:
  """What `evaluation.evaluate_reconstruction` gives, as a table."""
  names = {
    'reconstruction_mse': 'reconstruction',
    'mean_frame_mse': "repeat the note's mean frame",
    'unconditional_mse': 'unconditional model',
  }
  rows = [
    {'held-out notes': name, 'mean squared error': errors[key]}
    for key, name in names.items()
    if key in errors
  ]
  rows[0]['held-out notes'] += f' of {errors["num_notes"]} notes'
  return commands.format_table(rows)
