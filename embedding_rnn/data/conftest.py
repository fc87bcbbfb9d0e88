"""A data set of 2017, for several tests."""

import numpy as np
import pytest

from embedding_rnn.model.hparams import default_hps


@pytest.fixture(scope='session')
def golden(testdata):
  """Notes of 2017's data, and what became of them; not to be changed."""
  with np.load(testdata / 'rnn' / 'data_transform.npz') as file:
    return dict(file)


@pytest.fixture
def hps(golden):
  """For the data set in `folder`."""
  hps = default_hps().parse('batch_size=4')
  hps.max_seq_len = golden['raw'].shape[1]
  return hps


@pytest.fixture
def folder(tmp_path, golden):
  """A data set of the notes of `golden`."""
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
