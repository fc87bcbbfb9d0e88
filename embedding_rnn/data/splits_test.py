"""Tests of splits.py against golden numbers of 2017 and scikit-learn."""

import numpy as np
import pytest
from sklearn import model_selection

from embedding_rnn.data import splits


def assert_partition(rows, num_notes):
  together = np.concatenate([rows[name] for name in splits.SPLITS])
  np.testing.assert_array_equal(np.sort(together), np.arange(num_notes))


def test_random_split_is_that_of_2017(golden):
  rows = splits.random_split(len(golden['raw']), int(golden['random_state']))
  for name in splits.SPLITS:
    np.testing.assert_array_equal(rows[name], golden[f'idx_{name}'])


@pytest.mark.parametrize('num_notes', [4, 5, 10, 11, 100, 1003])
@pytest.mark.parametrize('seed', [0, 7, 2**32 - 1])
def test_random_split_is_that_of_scikit_learn(num_notes, seed):
  train, rest = model_selection.train_test_split(
    np.arange(num_notes), test_size=0.3, random_state=seed
  )
  test, valid = model_selection.train_test_split(
    rest, test_size=0.5, random_state=seed
  )
  rows = splits.random_split(num_notes, seed)
  np.testing.assert_array_equal(rows['train'], train)
  np.testing.assert_array_equal(rows['valid'], valid)
  np.testing.assert_array_equal(rows['test'], test)
  assert_partition(rows, num_notes)


def test_random_split_of_very_few_notes_is_a_partition():
  for num_notes in range(4):
    assert_partition(splits.random_split(num_notes, 0), num_notes)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_instrument_split_shares_no_instrument(seed):
  rng = np.random.default_rng(seed)
  ids = rng.choice([3, 5, 8, *range(100, 150)], size=2000)
  rows = splits.instrument_split(ids, seed)
  assert_partition(rows, 2000)
  sets = [set(ids[rows[name]]) for name in splits.SPLITS]
  assert sum(map(len, sets)) == len(set.union(*sets)) == 53
  for name, fraction in zip(splits.SPLITS, (0.7, 0.15, 0.15), strict=True):
    assert abs(len(rows[name]) - fraction * 2000) <= 20
    assert (np.diff(rows[name]) > 0).all()


def test_instrument_split_depends_on_the_seed_alone():
  ids = np.repeat(np.arange(40), 10)
  first, again, other = (splits.instrument_split(ids, s) for s in (0, 0, 1))
  np.testing.assert_array_equal(first['test'], again['test'])
  assert set(first['test']) != set(other['test'])
  assert [len(first[name]) for name in splits.SPLITS] == [280, 60, 60]


@pytest.mark.parametrize(
  'counts', [[1, 1, 1], [90, 5, 5], [1, 2, 500], [9] * 4]
)
def test_instrument_split_leaves_no_split_empty(counts):
  ids = np.repeat(np.arange(len(counts)), counts)
  rows = splits.instrument_split(ids, 0)
  assert_partition(rows, len(ids))
  assert all(len(rows[name]) for name in splits.SPLITS)
  assert max(counts) in (len(rows['train']), 9)


def test_given_split():
  rows = splits.given_split(np.array([2, 0, 1, 0, 2]))
  assert {name: list(r) for name, r in rows.items()} == {
    'train': [1, 3],
    'valid': [2],
    'test': [0, 4],
  }
