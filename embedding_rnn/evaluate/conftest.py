"""What the tests of measures, their tables and their command share."""

import pytest

from embedding_rnn.audio.codec import get_codec
from embedding_rnn.conftest import save_run
from embedding_rnn.evaluate import measures
from embedding_rnn.training import checkpoints


@pytest.fixture
def logs(tmp_path, run, unconditional_run):
  """A folder of a run, its baseline, and a run without a checkpoint."""
  folder = tmp_path / 'logs'
  save_run(folder / 'small', run)
  save_run(folder / 'small_unconditional', unconditional_run)
  files = checkpoints.RunFiles(run.hps, run.transforms, run.info)
  checkpoints.create_run(folder / 'begun', files)
  return folder


@pytest.fixture(scope='session')
def dataset(run):
  """The data of the tiny run."""
  return run.open_dataset()


@pytest.fixture(scope='session')
def codec(run):
  """What decodes it."""
  return get_codec(run.info['codec'])


@pytest.fixture(scope='session')
def result(run, unconditional_run, dataset, codec):
  """What is measured of the tiny run."""
  return measures.evaluate(
    run,
    dataset,
    unconditional_run=unconditional_run,
    codec=codec,
    num_importance_samples=2,
    num_decoded_notes=2,
    seed=3,
  )
