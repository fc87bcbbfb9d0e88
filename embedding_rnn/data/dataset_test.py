import dataclasses
import json

import numpy as np
import pytest

from embedding_rnn.data import dataset, provenance, splits
from embedding_rnn.data.transforms import Transforms


def test_splits_and_notes_are_those_of_2017(folder, hps, golden):
  notes = dataset.open_dataset(folder, hps, int(golden['random_state']))
  for name in splits.SPLITS:
    np.testing.assert_array_equal(notes.rows[name], golden[f'idx_{name}'])
  frames, pitches = notes.notes(golden['idx_train'])
  assert frames.dtype == pitches.dtype == np.float32
  np.testing.assert_array_equal(frames, golden['raw'][golden['idx_train']])
  np.testing.assert_array_equal(
    pitches.argmax(axis=1), golden['pitch_index'][golden['idx_train']]
  )
  np.testing.assert_array_equal(
    notes.velocities.argmax(axis=1), golden['vel_index']
  )
  assert isinstance(notes.frames, np.memmap)
  assert notes.codec is None and notes.metadata == {}
  assert notes.instrument_ids is notes.instrument_family_ids is None


def test_notes_come_in_the_order_of_the_rows(folder, hps, golden):
  notes = dataset.open_dataset(folder, hps)
  for rows in ([5, 0, 39, 5, 7], [], [3]):
    frames, _ = notes.notes(np.array(rows, int))
    np.testing.assert_array_equal(frames, golden['raw'][rows])
  rows = np.array([9, 3, 30, 2, 1])
  chunks = list(notes.chunks(rows, chunk_size=2))
  assert [len(chunk) for chunk in chunks] == [2, 2, 1]
  np.testing.assert_array_equal(np.concatenate(chunks), golden['raw'][rows])


@pytest.mark.parametrize('dtype', [np.float16, np.float64, '>f4'])
def test_other_float_types_become_float32(folder, hps, golden, dtype):
  stored = golden['raw'].astype(dtype)
  np.save(folder / 'train_z.npy', stored)
  np.save(folder / 'train_pitch_one_hot.npy', np.eye(128, dtype=bool)[:40])
  frames, pitches = dataset.open_dataset(folder, hps).notes(np.arange(40))
  assert frames.dtype == pitches.dtype == np.float32
  np.testing.assert_array_equal(frames, stored.astype(np.float32))
  np.testing.assert_array_equal(pitches, np.eye(128)[:40])


def test_splits_of_the_data_set_come_first(folder, hps):
  given = np.arange(40, dtype=np.int8) % 3
  np.save(folder / 'splits.npy', given)
  np.save(folder / 'instrument_ids.npy', np.arange(40) // 4)
  notes = dataset.open_dataset(folder, hps)
  for value, name in enumerate(splits.SPLITS):
    np.testing.assert_array_equal(
      notes.rows[name], np.flatnonzero(given == value)
    )


def test_instruments_are_not_shared_between_splits(folder, hps):
  ids = np.arange(40) // 4
  np.save(folder / 'instrument_ids.npy', ids)
  np.save(folder / 'instrument_family_ids.npy', ids % 2)
  info = {'codec': 'sines', 'instruments': [f'i{i}' for i in range(10)]}
  (folder / 'dataset.json').write_text(json.dumps(info))
  notes = dataset.open_dataset(folder, hps, seed=3)
  expected = splits.instrument_split(ids, 3)
  for name, rows in notes.rows.items():
    np.testing.assert_array_equal(rows, expected[name])
  assert notes.codec == 'sines' and notes.metadata == info
  np.testing.assert_array_equal(notes.instrument_ids, ids)
  np.testing.assert_array_equal(notes.instrument_family_ids, ids % 2)


def test_overfit_trains_on_the_validation_split(folder, hps):
  normal = dataset.open_dataset(folder, hps)
  hps.overfit = 1
  overfit = dataset.open_dataset(folder, hps)
  np.testing.assert_array_equal(overfit.rows['train'], normal.rows['valid'])
  for name in ('valid', 'test'):
    np.testing.assert_array_equal(overfit.rows[name], normal.rows[name])


def test_pca_is_fitted_to_the_training_split(folder, hps, golden, monkeypatch):
  hps.pca_dim_reduce = 1
  notes = dataset.open_dataset(folder, hps, int(golden['random_state']))
  transforms = dataset.fit_transforms(notes, hps)
  np.testing.assert_allclose(
    transforms.pca.variance, golden['pca_explained_variance'], rtol=1e-6
  )
  # Of too many notes, some from the whole range are used.
  monkeypatch.setattr(dataset, 'MAX_FITTED_NOTES', 5)
  rows = np.sort(notes.rows['train'])[[0, 6, 13, 20, 27]]
  few = dataset.fit_transforms(notes, hps)
  expected = Transforms.fit(hps, [golden['raw'][rows]])
  np.testing.assert_allclose(few.pca.mean, expected.pca.mean, atol=1e-9)


@pytest.mark.parametrize(
  'name', ['train_z.npy', 'train_pitch_one_hot.npy', 'train_vels_one_hot.npy']
)
def test_other_content_of_as_many_notes_is_noticed(folder, hps, name):
  described = provenance.describe_dataset(dataset.open_dataset(folder, hps), 0)
  provenance.open_same_dataset(folder, hps, described)
  array = np.load(folder / name)
  np.save(folder / name, np.roll(array, 1, axis=-1))
  with pytest.raises(ValueError, match=r'as many notes .* but others'):
    provenance.open_same_dataset(folder, hps, described)
  del described['data_sha256']  # of a version before
  provenance.open_same_dataset(folder, hps, described)


def test_names_of_instruments_and_families(run):
  notes = run.open_dataset()
  names = notes.names('instrument_families', np.arange(3))
  ids = notes.instrument_family_ids[:3]
  known = notes.metadata['instrument_families']
  assert names == [known[i] for i in ids]
  nameless = dataclasses.replace(notes, metadata={})
  assert nameless.names('instrument_families', np.arange(1)) == [
    f'instrument_family{ids[0]}'
  ]
  without = dataclasses.replace(notes, instrument_family_ids=None)
  assert without.names('instrument_families', np.arange(1)) is None
