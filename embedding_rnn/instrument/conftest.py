"""What the tests of instruments share."""

import numpy as np
import pytest

from embedding_rnn.conftest import tiny_run
from embedding_rnn.training.prior import LatentPrior


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
