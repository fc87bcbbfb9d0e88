"""A data set of 2017, and what writes TFRecords, for several tests."""

import numpy as np
import pytest
import tensorflow as tf

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
  for name, key in (('pitch', 'pitch_index'), ('vels', 'vel_index')):
    one_hots = np.eye(128, dtype=np.float32)[golden[key]]
    np.save(tmp_path / f'train_{name}_one_hot.npy', one_hots)
  return tmp_path


def write_records(path, *records):
  """Writes a file of TFRecords, each of values by name."""
  with tf.io.TFRecordWriter(str(path)) as file:
    for values in records:
      features = {name: _feature(value) for name, value in values.items()}
      example = tf.train.Example(features=tf.train.Features(feature=features))
      file.write(example.SerializeToString())


def _feature(value):
  """Of a number, text or bytes, or a list of them."""
  values = np.atleast_1d(value)
  if values.dtype.kind == 'f':
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
  if values.dtype.kind == 'i':
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
  texts = [
    bytes(text) if isinstance(text, bytes) else str(text).encode()
    for text in values
  ]
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
