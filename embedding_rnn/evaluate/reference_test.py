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
  assert found['sample_level_jump'] == pytest.approx(1.0)
  found = real.reconstruction_measures(real.notes)
  for kind in ('loudness_error', 'attack_error', 'log_spectral_distance'):
    assert found[f'reconstruction_{kind}_db'] == 0.0
  assert found['reconstruction_level_jump'] == pytest.approx(1.0)
  assert found['mse'] == 0.0
  assert found['mse_per_note'] == [0.0] * 12


class _Sines:
  """Decodes a note as a sine; its first channel is its level in dB."""

  sample_rate, hop_length = 16000, 512

  def decode(self, frames, _):
    level_db = np.repeat(frames[..., 0] - 20.0, self.hop_length, axis=1)
    time = np.arange(level_db.shape[1]) / self.sample_rate
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * 1000 * time)


def test_levels_are_measured_in_decibels(dataset):
  real = reference.Reference(dataset, num_decoded_notes=3, codec=_Sines())
  jumps = np.abs(np.diff(real.notes[real.decoded, :, 0], axis=1)).mean()
  found = real.real_measures()
  assert found['level_jump_db'] == pytest.approx(jumps, rel=1e-5)
  made = real.notes.copy()
  made[:, 0, 0] += 3.0
  found = real.reconstruction_measures(made, drawn=1.5 * real.notes)
  assert found['reconstruction_level_jump'] == pytest.approx(1.5, rel=1e-5)
  attack = found['reconstruction_attack_error_db']
  assert attack == pytest.approx(3.0, abs=1e-4)
  loudness = found['reconstruction_loudness_error_db']
  assert loudness == pytest.approx(3.0 / 125, rel=1e-4)
  assert 0 < found['reconstruction_log_spectral_distance_db'] < 3.0 / 20
  found = real.sample_measures(0.5 * real.notes)
  assert found['sample_level_jump'] == pytest.approx(0.5, rel=1e-5)


def test_other_notes_are_measured_as_a_whole_or_by_their_splits(dataset):
  whole = reference.Reference(dataset, notes=dataset)
  every_row = np.arange(len(dataset.frames))
  np.testing.assert_array_equal(whole.rows, every_row)
  assert (whole.name, whole.split) == ('data', None)
  part = reference.Reference(dataset, notes=dataset, split='valid')
  np.testing.assert_array_equal(part.rows, dataset.rows['valid'])
  alone = reference.Reference(None, notes=dataset)
  assert not len(alone.train_notes)
  assert alone.real_measures().keys() == {
    *('frechet_distance', 'squared_mmd', 'level_jump_db'),
  }
  rows = dataset.rows | {'valid': dataset.rows['valid'][:0]}
  empty = dataclasses.replace(dataset, rows=rows)
  with pytest.raises(ValueError, match='has no valid notes'):
    reference.Reference(dataset, notes=empty, split='valid')
  with pytest.raises(ValueError, match='expected one of them'):
    reference.Reference(None)


def test_silence_is_out_of_tune(dataset):
  mute = types.SimpleNamespace(
    sample_rate=16000,
    hop_length=512,
    decode=lambda frames, _: np.zeros((len(frames), 16000)),
  )
  real = reference.Reference(dataset, num_decoded_notes=2, codec=mute)
  found = real.sample_measures(real.notes)
  assert found['sample_pitch_accuracy'] == 0.0
  assert found['sample_pitch_error_cents'] is None
  assert 'sample_level_jump' not in found  # nothing to compare with
  found = real.reconstruction_measures(real.notes)
  assert found['reconstruction_log_spectral_distance_db'] is None
  assert found['reconstruction_attack_error_db'] == 0.0


def test_a_single_note_has_no_distance(dataset):
  rows = dataset.rows | {'test': dataset.rows['test'][:1]}
  one = dataclasses.replace(dataset, rows=rows, instrument_family_ids=None)
  real = reference.Reference(one)
  assert real.sample_measures(real.notes) == {}
  assert real.real_measures() == {'level_jump_db': None}
  found = real.reconstruction_measures(real.notes + 2.0)
  assert found['mse'] == pytest.approx(4.0, rel=1e-6)
