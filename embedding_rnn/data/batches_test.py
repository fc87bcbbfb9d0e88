import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.data import batches, dataset, splits
from embedding_rnn.data.transforms import Difference


def test_batches_hold_the_notes_of_2017(folder, hps, golden):
  notes = dataset.open_dataset(folder, hps, int(golden['random_state']))
  transforms = dataset.fit_transforms(notes, hps)
  for split in splits.SPLITS:
    result = batches.evaluation_batches(notes, transforms, split, 4)
    ours, pitches = (
      np.concatenate(part)
      for part in zip(*[b[:2] for b in result.as_numpy_iterator()], strict=True)
    )
    for note, pitch in zip(
      golden[f'batch_{split}_x'], golden[f'batch_{split}_pitch'], strict=True
    ):
      same = (ours == note).all(axis=(1, 2)) & (pitches.argmax(axis=1) == pitch)
      assert same.any()


def test_batch_rows_go_through_every_epoch():
  result = [batches.batch_rows(10, 3, seed=5, step=step) for step in range(6)]
  for epoch in (result[:3], result[3:]):
    rows = np.concatenate(epoch)
    assert len(set(rows)) == 9 and set(rows) <= set(range(10))
  assert set(np.concatenate(result)) == set(range(10))
  assert np.concatenate(result[:3]).tolist() != (
    np.concatenate(result[3:]).tolist()
  )


def test_batch_rows_are_a_function_of_seed_and_step():
  expected = {step: batches.batch_rows(50, 8, 1, step) for step in range(40)}
  for step in (39, 0, 20, 7, 39):
    batches._permutation.cache_clear()
    np.testing.assert_array_equal(
      batches.batch_rows(50, 8, 1, step), expected[step]
    )
  assert (batches.batch_rows(50, 8, 2, 0) != expected[0]).any()
  # What a caller does to its batch is not seen by others.
  batches.batch_rows(50, 8, 1, 0)[:] = -1
  np.testing.assert_array_equal(batches.batch_rows(50, 8, 1, 0), expected[0])


def test_batch_rows_never_change():
  # A run that was begun with another version must go on with the same batches:
  # these are NumPy's frozen RandomState on Philox with the key (seed, epoch).
  bits = np.random.Philox(key=np.array([7, 2], np.uint64))
  expected = np.random.RandomState(bits).permutation(6)
  rows = [batches.batch_rows(6, 2, seed=7, step=step) for step in (6, 7, 8)]
  np.testing.assert_array_equal(np.concatenate(rows), expected)
  assert expected.tolist() == [1, 3, 4, 2, 0, 5]  # NumPy 2.4


@pytest.mark.parametrize(
  'arguments', [(10, 11, 0, 0), (10, 0, 0, 0), (10, 2, -1, 0), (10, 2, 0, -1)]
)
def test_batch_rows_refuse(arguments):
  with pytest.raises(ValueError, match=r'must (be|not)'):
    batches.batch_rows(*arguments)


@pytest.mark.parametrize('pca_dim_reduce', [0, 1])
def test_training_batches(folder, hps, golden, pca_dim_reduce):
  hps.pca_dim_reduce = pca_dim_reduce
  notes = dataset.open_dataset(folder, hps)
  transforms = dataset.fit_transforms(notes, hps)
  result = batches.training_batches(
    notes, transforms, hps, seed=9, first_step=5, num_steps=4
  )
  width = 6 if pca_dim_reduce else 16
  assert result.element_spec == (
    tf.TensorSpec([4, 21, width], tf.float32),
    tf.TensorSpec([4, 128], tf.float32),
  )
  result = list(result.as_numpy_iterator())
  assert len(result) == 4
  train = notes.rows['train']
  for step, (batch, pitches) in enumerate(result, start=5):
    rows = train[batches.batch_rows(len(train), 4, 9, step)]
    assert (batch[:, 0] == 0).all()
    expected = Difference().forward(golden['raw'][rows])
    if pca_dim_reduce:
      expected = transforms.pca.forward(expected)
    np.testing.assert_array_equal(batch[:, 1:], expected)
    np.testing.assert_array_equal(
      pitches, np.eye(128)[golden['pitch_index'][rows]]
    )


def test_training_batches_go_on_at_any_step(folder, hps):
  notes = dataset.open_dataset(folder, hps)
  transforms = dataset.fit_transforms(notes, hps)

  def some(first_step, count):
    endless = batches.training_batches(notes, transforms, hps, 0, first_step)
    return list(endless.take(count).as_numpy_iterator())

  whole = some(0, 20)
  for (batch, pitches), (again, again_pitches) in zip(
    whole[13:], some(13, 7), strict=True
  ):
    np.testing.assert_array_equal(batch, again)
    np.testing.assert_array_equal(pitches, again_pitches)


@pytest.mark.parametrize('batch_size', [1, 4, 5, 28, 64])
def test_evaluation_batches_hold_every_note_once(folder, hps, batch_size):
  notes = dataset.open_dataset(folder, hps)
  transforms = dataset.fit_transforms(notes, hps)
  result = batches.evaluation_batches(notes, transforms, 'train', batch_size)
  assert result.element_spec == (
    tf.TensorSpec([batch_size, 21, 16], tf.float32),
    tf.TensorSpec([batch_size, 128], tf.float32),
    tf.TensorSpec([batch_size], tf.float32),
  )
  batch, pitches, weight = (
    np.concatenate(part)
    for part in zip(*result.as_numpy_iterator(), strict=True)
  )
  frames, expected_pitches = notes.notes(notes.rows['train'])
  assert len(weight) == -(-28 // batch_size) * batch_size
  np.testing.assert_array_equal(weight, np.arange(len(weight)) < 28)
  np.testing.assert_array_equal(batch[:28, 1:], transforms.forward(frames))
  np.testing.assert_array_equal(pitches[:28], expected_pitches)
  assert (batch[:, 0] == 0).all() and np.isfinite(batch).all()


def test_evaluation_batches_refuse(folder, hps):
  notes = dataset.open_dataset(folder, hps)
  transforms = dataset.fit_transforms(notes, hps)
  with pytest.raises(ValueError, match="one of train, valid, test, got 'tset'"):
    batches.evaluation_batches(notes, transforms, 'tset', 4)
  with pytest.raises(ValueError, match='at least 1, got 0'):
    batches.evaluation_batches(notes, transforms, 'test', 0)
