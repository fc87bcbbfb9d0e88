import numpy as np
import pytest

from embedding_rnn import evaluation


def test_errors_are_means_over_the_whole_split(run, monkeypatch):
  dataset = run.open_dataset()
  notes, pitches = dataset.notes(dataset.rows['valid'])
  made = run.reconstruct(notes, pitches, greedy='mean')
  flat = np.broadcast_to(notes.mean(axis=1, keepdims=True), notes.shape)
  # Chunks that do not divide the split: the last one must count its own notes.
  monkeypatch.setattr(evaluation, '_CHUNK_SIZE', 5)
  errors = evaluation.evaluate_reconstruction(run, dataset, 'valid')
  assert errors == {
    'num_notes': 12,
    'reconstruction_mse': pytest.approx(np.mean((notes - made) ** 2), rel=1e-5),
    'mean_frame_mse': pytest.approx(np.mean((notes - flat) ** 2), rel=1e-5),
  }


def test_the_better_guess_of_the_unconditional_model_counts(
  run, unconditional_run
):
  dataset = run.open_dataset()
  notes, _ = dataset.notes(dataset.rows['test'])
  errors = evaluation.evaluate_reconstruction(
    run, dataset, unconditional_run=unconditional_run
  )
  mean_note = unconditional_run.sample([60], greedy='mean')[0]
  mean = unconditional_run.sample([60] * 64, seed=0).mean(axis=0)
  expected = min(np.mean((notes - guess) ** 2) for guess in (mean_note, mean))
  assert errors['unconditional_mse'] == pytest.approx(expected, rel=1e-5)


def test_refuses_another_split(run):
  with pytest.raises(ValueError, match="one of train, valid, test, got 'all'"):
    evaluation.evaluate_reconstruction(run, run.open_dataset(), 'all')
