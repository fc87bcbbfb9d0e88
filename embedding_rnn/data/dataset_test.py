"""Tests of data.py: from files to batches."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.data import arrays, splits
from embedding_rnn.data import dataset as data
from embedding_rnn.data.transforms import Difference, Transforms
from embedding_rnn.model.hparams import default_hps

GOLDEN = pathlib.Path(__file__).parents[1] / 'testdata/rnn/data_transform.npz'


@pytest.fixture(scope='module')
def golden():
  with np.load(GOLDEN) as file:
    return dict(file)


@pytest.fixture
def hps(golden):
  hps = default_hps().parse('batch_size=4')
  hps.max_seq_len = golden['raw'].shape[1]
  return hps


@pytest.fixture
def folder(tmp_path, golden):
  np.save(tmp_path / 'train_z.npy', golden['raw'])
  np.save(
    tmp_path / 'train_pitch_one_hot.npy',
    np.eye(128, dtype=np.float32)[golden['pitch_index']],
  )
  np.save(
    tmp_path / 'train_vels_one_hot.npy',
    np.eye(128, dtype=np.float32)[golden['vel_index']],
  )
  return tmp_path


def test_splits_and_notes_are_those_of_2017(folder, hps, golden):
  dataset = data.open_dataset(folder, hps, int(golden['random_state']))
  for name in splits.SPLITS:
    np.testing.assert_array_equal(dataset.rows[name], golden[f'idx_{name}'])
  frames, pitches = dataset.notes(golden['idx_train'])
  assert frames.dtype == pitches.dtype == np.float32
  np.testing.assert_array_equal(frames, golden['raw'][golden['idx_train']])
  np.testing.assert_array_equal(
    pitches.argmax(axis=1), golden['pitch_index'][golden['idx_train']]
  )
  np.testing.assert_array_equal(
    dataset.velocities.argmax(axis=1), golden['vel_index']
  )
  assert isinstance(dataset.frames, np.memmap)
  assert dataset.codec is None and dataset.info == {}
  assert dataset.instrument_ids is dataset.instrument_family_ids is None


def test_batches_hold_the_notes_of_2017(folder, hps, golden):
  dataset = data.open_dataset(folder, hps, int(golden['random_state']))
  transforms = data.fit_transforms(dataset, hps)
  for split in splits.SPLITS:
    batches = data.evaluation_batches(dataset, transforms, split, 4)
    ours, pitches = (
      np.concatenate(part)
      for part in zip(
        *[b[:2] for b in batches.as_numpy_iterator()], strict=True
      )
    )
    for note, pitch in zip(
      golden[f'batch_{split}_x'], golden[f'batch_{split}_pitch'], strict=True
    ):
      same = (ours == note).all(axis=(1, 2)) & (pitches.argmax(axis=1) == pitch)
      assert same.any()


def test_notes_come_in_the_order_of_the_rows(folder, hps, golden):
  dataset = data.open_dataset(folder, hps)
  for rows in ([5, 0, 39, 5, 7], [], [3]):
    frames, _ = dataset.notes(np.array(rows, int))
    np.testing.assert_array_equal(frames, golden['raw'][rows])
  rows = np.array([9, 3, 30, 2, 1])
  chunks = list(dataset.chunks(rows, chunk_size=2))
  assert [len(chunk) for chunk in chunks] == [2, 2, 1]
  np.testing.assert_array_equal(np.concatenate(chunks), golden['raw'][rows])


@pytest.mark.parametrize('dtype', [np.float16, np.float64, '>f4'])
def test_other_float_types_become_float32(folder, hps, golden, dtype):
  stored = golden['raw'].astype(dtype)
  np.save(folder / 'train_z.npy', stored)
  np.save(folder / 'train_pitch_one_hot.npy', np.eye(128, dtype=bool)[:40])
  frames, pitches = data.open_dataset(folder, hps).notes(np.arange(40))
  assert frames.dtype == pitches.dtype == np.float32
  np.testing.assert_array_equal(frames, stored.astype(np.float32))
  np.testing.assert_array_equal(pitches, np.eye(128)[:40])


def test_splits_of_the_data_set_come_first(folder, hps):
  given = np.arange(40, dtype=np.int8) % 3
  np.save(folder / 'splits.npy', given)
  np.save(folder / 'instrument_ids.npy', np.arange(40) // 4)
  dataset = data.open_dataset(folder, hps)
  for value, name in enumerate(splits.SPLITS):
    np.testing.assert_array_equal(
      dataset.rows[name], np.flatnonzero(given == value)
    )


def test_instruments_are_not_shared_between_splits(folder, hps):
  ids = np.arange(40) // 4
  np.save(folder / 'instrument_ids.npy', ids)
  np.save(folder / 'instrument_family_ids.npy', ids % 2)
  info = {'codec': 'sines', 'instruments': [f'i{i}' for i in range(10)]}
  (folder / 'dataset.json').write_text(json.dumps(info))
  dataset = data.open_dataset(folder, hps, seed=3)
  expected = splits.instrument_split(ids, 3)
  for name, rows in dataset.rows.items():
    np.testing.assert_array_equal(rows, expected[name])
  assert dataset.codec == 'sines' and dataset.info == info
  np.testing.assert_array_equal(dataset.instrument_ids, ids)
  np.testing.assert_array_equal(dataset.instrument_family_ids, ids % 2)


def test_overfit_trains_on_the_validation_split(folder, hps):
  normal = data.open_dataset(folder, hps)
  hps.overfit = 1
  overfit = data.open_dataset(folder, hps)
  np.testing.assert_array_equal(overfit.rows['train'], normal.rows['valid'])
  for name in ('valid', 'test'):
    np.testing.assert_array_equal(overfit.rows[name], normal.rows[name])


def test_pca_is_fitted_to_the_training_split(folder, hps, golden, monkeypatch):
  hps.pca_dim_reduce = 1
  dataset = data.open_dataset(folder, hps, int(golden['random_state']))
  transforms = data.fit_transforms(dataset, hps)
  np.testing.assert_allclose(
    transforms.pca.variance, golden['pca_explained_variance'], rtol=1e-6
  )
  # Of too many notes, some from the whole range are used.
  monkeypatch.setattr(data, '_PCA_MAX_NOTES', 5)
  rows = np.sort(dataset.rows['train'])[[0, 6, 13, 20, 27]]
  few = data.fit_transforms(dataset, hps)
  expected = Transforms.fit(hps, [golden['raw'][rows]])
  np.testing.assert_allclose(few.pca.mean, expected.pca.mean, atol=1e-9)


def test_batch_rows_go_through_every_epoch():
  batches = [data.batch_rows(10, 3, seed=5, step=step) for step in range(6)]
  for epoch in (batches[:3], batches[3:]):
    rows = np.concatenate(epoch)
    assert len(set(rows)) == 9 and set(rows) <= set(range(10))
  assert set(np.concatenate(batches)) == set(range(10))
  assert np.concatenate(batches[:3]).tolist() != (
    np.concatenate(batches[3:]).tolist()
  )


def test_batch_rows_are_a_function_of_seed_and_step():
  expected = {step: data.batch_rows(50, 8, 1, step) for step in range(40)}
  for step in (39, 0, 20, 7, 39):
    data._permutation.cache_clear()
    np.testing.assert_array_equal(
      data.batch_rows(50, 8, 1, step), expected[step]
    )
  assert (data.batch_rows(50, 8, 2, 0) != expected[0]).any()
  # What a caller does to its batch is not seen by others.
  data.batch_rows(50, 8, 1, 0)[:] = -1
  np.testing.assert_array_equal(data.batch_rows(50, 8, 1, 0), expected[0])


def test_batch_rows_never_change():
  # A run that was begun with another version must go on with the same batches:
  # these are NumPy's frozen RandomState on Philox with the key (seed, epoch).
  bits = np.random.Philox(key=np.array([7, 2], np.uint64))
  expected = np.random.RandomState(bits).permutation(6)
  rows = [data.batch_rows(6, 2, seed=7, step=step) for step in (6, 7, 8)]
  np.testing.assert_array_equal(np.concatenate(rows), expected)
  assert expected.tolist() == [1, 3, 4, 2, 0, 5]  # NumPy 2.4


@pytest.mark.parametrize(
  'arguments', [(10, 11, 0, 0), (10, 0, 0, 0), (10, 2, -1, 0), (10, 2, 0, -1)]
)
def test_batch_rows_refuse(arguments):
  with pytest.raises(ValueError, match=r'must (be|not)'):
    data.batch_rows(*arguments)


@pytest.mark.parametrize('pca_dim_reduce', [0, 1])
def test_training_batches(folder, hps, golden, pca_dim_reduce):
  hps.pca_dim_reduce = pca_dim_reduce
  dataset = data.open_dataset(folder, hps)
  transforms = data.fit_transforms(dataset, hps)
  batches = data.training_batches(
    dataset, transforms, hps, seed=9, first_step=5, num_steps=4
  )
  width = 6 if pca_dim_reduce else 16
  assert batches.element_spec == (
    tf.TensorSpec([4, 21, width], tf.float32),
    tf.TensorSpec([4, 128], tf.float32),
  )
  batches = list(batches.as_numpy_iterator())
  assert len(batches) == 4
  train = dataset.rows['train']
  for step, (batch, pitches) in enumerate(batches, start=5):
    rows = train[data.batch_rows(len(train), 4, 9, step)]
    assert (batch[:, 0] == 0).all()
    expected = Difference().forward(golden['raw'][rows])
    if pca_dim_reduce:
      expected = transforms.pca.forward(expected)
    np.testing.assert_array_equal(batch[:, 1:], expected)
    np.testing.assert_array_equal(
      pitches, np.eye(128)[golden['pitch_index'][rows]]
    )


def test_training_batches_go_on_at_any_step(folder, hps):
  dataset = data.open_dataset(folder, hps)
  transforms = data.fit_transforms(dataset, hps)

  def batches(first_step, count):
    endless = data.training_batches(dataset, transforms, hps, 0, first_step)
    return list(endless.take(count).as_numpy_iterator())

  whole = batches(0, 20)
  for (batch, pitches), (again, again_pitches) in zip(
    whole[13:], batches(13, 7), strict=True
  ):
    np.testing.assert_array_equal(batch, again)
    np.testing.assert_array_equal(pitches, again_pitches)


@pytest.mark.parametrize('batch_size', [1, 4, 5, 28, 64])
def test_evaluation_batches_hold_every_note_once(folder, hps, batch_size):
  dataset = data.open_dataset(folder, hps)
  transforms = data.fit_transforms(dataset, hps)
  batches = data.evaluation_batches(dataset, transforms, 'train', batch_size)
  assert batches.element_spec == (
    tf.TensorSpec([batch_size, 21, 16], tf.float32),
    tf.TensorSpec([batch_size, 128], tf.float32),
    tf.TensorSpec([batch_size], tf.float32),
  )
  batch, pitches, weight = (
    np.concatenate(part)
    for part in zip(*batches.as_numpy_iterator(), strict=True)
  )
  frames, expected_pitches = dataset.notes(dataset.rows['train'])
  assert len(weight) == -(-28 // batch_size) * batch_size
  np.testing.assert_array_equal(weight, np.arange(len(weight)) < 28)
  np.testing.assert_array_equal(batch[:28, 1:], transforms.forward(frames))
  np.testing.assert_array_equal(pitches[:28], expected_pitches)
  assert (batch[:, 0] == 0).all() and np.isfinite(batch).all()


def test_evaluation_batches_refuse(folder, hps):
  dataset = data.open_dataset(folder, hps)
  transforms = data.fit_transforms(dataset, hps)
  with pytest.raises(ValueError, match="one of train, valid, test, got 'tset'"):
    data.evaluation_batches(dataset, transforms, 'tset', 4)
  with pytest.raises(ValueError, match='at least 1, got 0'):
    data.evaluation_batches(dataset, transforms, 'test', 0)


def test_pages_of_the_files_are_let_go(tmp_path):
  path = tmp_path / 'large.npy'
  np.save(path, np.ones([4000, 125, 16], np.float32))
  array = arrays.open_frames(str(path), 125, 16)

  def mapped_kb():
    status = pathlib.Path('/proc/self/smaps')
    if not status.exists():
      pytest.skip('needs /proc/self/smaps to see what is mapped')
    entry = status.read_text().split(f'{path}\n')[1]
    return int(entry.split('Rss:')[1].split()[0])

  assert mapped_kb() < 1000  # Checking read all 32 MB.
  assert array[::8].sum() == 500 * 125 * 16
  assert mapped_kb() > 4000
  arrays.release(array)
  assert mapped_kb() < 1000
