"""Ways to name a 2017 checkpoint, and ways in which one can be wrong.

That the values arrive where they belong is what golden_test.py checks.
"""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn

TESTDATA = pathlib.Path(__file__).parents[1] / 'testdata' / 'rnn'
NAME = 'ckpt_g01_lstm_enclstm_bidir1_step3'
SIZES = (
  'rnn_size=16,enc_rnn_size=10,z_size=6,num_mixture=3,max_seq_len=9,'
  'batch_size=4'
)


def make_model(overrides=''):
  hps = embedding_rnn.default_hps().parse(SIZES).parse(overrides)
  return embedding_rnn.Model(hps)


@pytest.fixture
def folder(tmp_path):
  return pathlib.Path(shutil.copytree(TESTDATA / NAME, tmp_path / NAME))


@pytest.mark.parametrize(
  'name',
  [
    '',
    'checkpoint',
    'embedding_rnn',
    'embedding_rnn.index',
    'embedding_rnn.data-00000-of-00001',
  ],
)
def test_folder_prefix_or_any_file(folder, name):
  model = make_model()
  assert embedding_rnn.restore_tf1_checkpoint(model, folder / name) == 3
  reader = tf.train.load_checkpoint(str(folder / 'embedding_rnn'))
  expected = reader.get_tensor('embedding_rnn/RNN/LSTMCell/w_hh')
  np.testing.assert_array_equal(model.decoder_cells[0].w_hh.numpy(), expected)


def test_folder_without_its_checkpoint_file(folder):
  (folder / 'checkpoint').unlink()
  assert embedding_rnn.restore_tf1_checkpoint(make_model(), folder) == 3


@pytest.mark.parametrize('name', ['', 'model.ckpt-7', 'no/such/folder'])
def test_nothing_there(tmp_path, name):
  with pytest.raises(FileNotFoundError, match='No TensorFlow 1 checkpoint'):
    embedding_rnn.restore_tf1_checkpoint(make_model(), tmp_path / name)


@pytest.mark.parametrize(
  ('overrides', 'message'),
  [
    ('rnn_size=8', r'RNN/LSTMCell/w_hh is \(16, 64\), the model has \(8, 32\)'),
    ('model=layer_norm', 'missing embedding_rnn/RNN/LayerNormLSTMCell/w_hh'),
    ('unconditional=1', 'left over embedding_rnn/ENC_RNN/fw/LSTMCell/bias'),
  ],
)
def test_another_model_is_named_and_nothing_changes(folder, overrides, message):
  model = make_model(overrides)
  before = [v.numpy() for v in model.weights]
  with pytest.raises(ValueError, match=message):
    embedding_rnn.restore_tf1_checkpoint(model, folder)
  for variable, value in zip(model.weights, before, strict=True):
    np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize('name', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('kept', [0.0, 0.5, 0.99])
def test_truncated_and_nothing_changes(folder, name, kept):
  path = folder / f'embedding_rnn.{name}'
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * kept)])
  model = make_model()
  before = [v.numpy() for v in model.weights]
  with pytest.raises(ValueError, match='damaged or truncated'):
    embedding_rnn.restore_tf1_checkpoint(model, folder)
  for variable, value in zip(model.weights, before, strict=True):
    np.testing.assert_array_equal(variable.numpy(), value)


def test_folders_that_tensorflow_cannot_open(folder, tmp_path):
  (folder / 'checkpoint').write_bytes(b'\xff\xfe')  # no text
  model = make_model()
  embedding_rnn.restore_tf1_checkpoint(model, folder)
  odd = folder.rename(tmp_path / 'nsynth [v1]')
  with pytest.raises(ValueError, match='rename the folder'):
    embedding_rnn.restore_tf1_checkpoint(model, odd)


def test_data_file_missing(folder):
  (folder / 'embedding_rnn.data-00000-of-00001').unlink()
  with pytest.raises(ValueError, match='damaged or truncated'):
    embedding_rnn.restore_tf1_checkpoint(make_model(), folder)
