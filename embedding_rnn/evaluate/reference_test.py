import dataclasses
import types

import numpy as np
import pytest

from embedding_rnn.evaluate import reference


def test_of_a_large_split_some_notes_are_taken_by_the_seed(
  dataset, monkeypatch
):
  monkeypatch.setattr(reference, '_MAX_NOTES', 5)
  monkeypatch.setattr(reference, '_MAX_TRAIN_NOTES', 3)
  taken = [reference.Reference(dataset, seed=seed) for seed in (0, 0, 1)]
  for real in taken:
    assert len(set(real.rows)) == 5
    assert set(real.rows) <= set(dataset.rows['test'])
    np.testing.assert_array_equal(real.notes, dataset.notes(real.rows)[0])
    assert len(real.train_notes) == 3
  np.testing.assert_array_equal(taken[0].rows, taken[1].rows)
  assert set(taken[0].rows) != set(taken[2].rows)


def test_notes_as_samples_are_as_near_as_can_be(dataset, codec):
  real = reference.Reference(dataset, num_decoded_notes=3, codec=codec)
  assert len(set(real.decoded)) == 3
  found = real.sample_measures(real.notes)
  assert found['frechet_distance'] == pytest.approx(0.0, abs=1e-6)
  assert found['sample_loudness_error_db'] == 0.0
  assert found['sample_pitch_accuracy'] == 1.0
  found = real.reconstruction_measures(real.notes)
  assert found['mse'] == found['reconstruction_loudness_error_db'] == 0.0
  assert found['mse_per_note'] == [0.0] * 12


def test_silence_is_out_of_tune(dataset):
  mute = types.SimpleNamespace(
    sample_rate=16000, decode=lambda frames, _: np.zeros((len(frames), 16000))
  )
  real = reference.Reference(dataset, num_decoded_notes=2, codec=mute)
  found = real.sample_measures(real.notes)
  assert found['sample_pitch_accuracy'] == 0.0
  assert found['sample_pitch_error_cents'] is None


def test_a_single_note_has_no_distance(dataset):
  rows = dataset.rows | {'test': dataset.rows['test'][:1]}
  one = dataclasses.replace(dataset, rows=rows, instrument_family_ids=None)
  real = reference.Reference(one)
  assert real.real_measures() == real.sample_measures(real.notes) == {}
  found = real.reconstruction_measures(real.notes + 2.0)
  assert found['mse'] == pytest.approx(4.0, rel=1e-6)
