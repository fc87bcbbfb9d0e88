"""Which notes are for training, validation and test."""

from __future__ import annotations

import math

import numpy as np

SPLITS = ('train', 'valid', 'test')  # splits.npy holds the index in this.
_FRACTIONS = (0.7, 0.15, 0.15)


def random_split(num_notes: int, seed: int) -> dict[str, np.ndarray]:
  """The split of 2017: 70 % train, the rest halved at random.

  Gives the rows that scikit-learn's `train_test_split(rows, test_size=0.3,
  random_state=seed)`, and then again with 0.5, gives.

  Args:
    num_notes: N.
    seed: from 0 to 2**32 - 1.

  Returns:
    For each split its rows, in random order. With very few notes some are
    empty.
  """
  rest, train = _cut(np.arange(num_notes), 0.3, seed)
  valid, test = _cut(rest, 0.5, seed)
  return {'train': train, 'valid': valid, 'test': test}


def _cut(
  rows: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  permuted = rows[np.random.RandomState(seed).permutation(len(rows))]
  size = math.ceil(fraction * len(rows))
  return permuted[:size], permuted[size:]


def instrument_split(
  instrument_ids: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
  """Gives whole instruments to splits, for about 70/15/15 % of the notes.

  Instruments are taken from the one with the most notes to the one with the
  fewest, those of equal size in random order. Each goes to the split that lacks
  the most notes.

  Args:
    instrument_ids: `[N]` ints.
    seed: from 0 to 2**32 - 1.

  Returns:
    For each split its rows, in ascending order. With fewer than three
    instruments some are empty.
  """
  instruments, index, counts = np.unique(
    instrument_ids, return_inverse=True, return_counts=True
  )
  order = np.random.RandomState(seed).permutation(len(instruments))
  order = order[np.argsort(-counts[order], kind='stable')]
  lacking = np.array(_FRACTIONS) * len(instrument_ids)
  split_of = np.full(len(instruments), -1)
  for num_done, instrument in enumerate(order):
    empty = np.setdiff1d(np.arange(3), split_of)
    # The last instruments are for the splits that still have none.
    choices = empty if len(order) - num_done <= len(empty) else np.arange(3)
    choice = choices[np.argmax(lacking[choices])]
    split_of[instrument] = choice
    lacking[choice] -= counts[instrument]
  return given_split(split_of[index])


def given_split(splits: np.ndarray) -> dict[str, np.ndarray]:
  """For each split its rows, ascending, of indices `[N]` in `SPLITS`."""
  return {
    name: np.flatnonzero(splits == value) for value, name in enumerate(SPLITS)
  }
