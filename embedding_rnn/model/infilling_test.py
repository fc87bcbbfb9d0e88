"""Bridged gaps against NumPy's interpolation of each channel."""

import numpy as np
import pytest

from embedding_rnn.model import infilling


def test_bridge_is_interpolation_of_each_channel():
  rng = np.random.default_rng(0)
  notes = rng.normal(size=(6, 20, 4)).astype(np.float32)
  is_known = rng.random((6, 20)) < [[0.1], [0.3], [0.5], [0.9], [1.1], [0.0]]
  is_known[:, 7] = True
  bridged = infilling.bridge(notes, is_known)
  assert bridged.dtype == np.float32
  frames = np.arange(20)
  for note, known, actual in zip(notes, is_known, bridged, strict=True):
    for channel in range(4):
      expected = np.interp(frames, frames[known], note[known, channel])
      np.testing.assert_allclose(actual[:, channel], expected, atol=1e-6)
    np.testing.assert_array_equal(actual[known], note[known])


def test_look_ahead():
  rng = np.random.default_rng(0)
  frames = rng.normal(size=(5, 12, 3))
  is_known = rng.random((5, 12)) < 0.3
  goal, steps = infilling.look_ahead(frames, is_known)
  for n in range(5):
    for t in range(12):
      ahead = np.flatnonzero(is_known[n, t:])
      if len(ahead):
        assert steps[n, t] == ahead[0] + 1
        np.testing.assert_array_equal(goal[n, t], frames[n, t + ahead[0]])
      else:
        assert steps[n, t] == np.inf


def test_check_known_blots_out():
  notes = np.arange(12.0).reshape(2, 3, 2)
  notes[:, 1] = np.nan
  blotted, is_known = infilling.check_known(notes, [True, False, True])
  np.testing.assert_array_equal(is_known, [[True, False, True]] * 2)
  np.testing.assert_array_equal(blotted, np.nan_to_num(notes))


@pytest.mark.parametrize(
  ('notes', 'is_known', 'message'),
  [
    (np.zeros((3, 2)), np.ones(3, bool), r'notes of shape \(3, 2\)'),
    (np.zeros((1, 3, 2)), np.ones(2, bool), r'is_known of \(2,\)'),
    (np.zeros((1, 3, 2)), np.ones(3), 'float64: expected bool'),
    (np.zeros((1, 3, 2)), np.zeros((1, 3), bool), 'at least one known'),
  ],
)
def test_check_known_refuses(notes, is_known, message):
  with pytest.raises(ValueError, match=message):
    infilling.check_known(notes, is_known)
