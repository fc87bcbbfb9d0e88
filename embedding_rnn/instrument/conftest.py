"""What the tests of instruments share."""

import numpy as np
import pytest

from embedding_rnn.conftest import tiny_run
from embedding_rnn.data import notes
from embedding_rnn.training.prior import LatentPrior


class OneNote:
  """A voice that plays a note of the collection at any pitch.

  Args:
    family: of the note.
  """

  def __init__(self, family='string'):
    (row,) = [row for name, row, _ in notes.originals() if family in name]
    self.frames = notes.load().frames[row]
    self.calls = 0

  def notes(self, pitches, velocities):
    """As of `Voice`."""
    del velocities
    self.calls += len(pitches)
    return np.repeat(self.frames[None], len(pitches), axis=0)

  def latents(self, pitches, velocities):
    """As of `Voice`."""
    del velocities
    return np.zeros((len(pitches), 2))


@pytest.fixture(scope='module')
def playable_run(tiny_data_dir):
  """A run of the least size with a prior, of random latents."""
  run = tiny_run(tiny_data_dir, velocity_context=1)
  random = np.random.default_rng(0)
  families = ['flute', 'string'] * 100
  pitches = random.integers(21, 109, 200)
  velocities = random.choice([25, 50, 75, 100, 127], 200)
  z = random.normal(size=(200, 4)) + pitches[:, None] / 64
  object.__setattr__(
    run, 'prior', LatentPrior.fit(z, families, pitches, velocities)
  )
  return run
