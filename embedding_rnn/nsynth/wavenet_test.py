"""Checkpoints and input of the WaveNet autoencoder, good and bad.

That the values are right is what wavenet_golden_test.py checks.
"""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth import WaveNetAutoencoder, encoder, mu_law
from embedding_rnn.nsynth.conftest import CHECKPOINT, TINY_SIZES

PREFIX = 'model.ckpt-200000'
DATA = f'{PREFIX}.data-00000-of-00001'


@pytest.fixture
def folder(tmp_path):
  path = shutil.copytree(CHECKPOINT, tmp_path / 'ckpt')
  return pathlib.Path(path)


def test_published_sizes():
  model = WaveNetAutoencoder()
  shapes = model.encoder.tf1_shapes | model.decoder.tf1_shapes
  assert sum(map(np.prod, shapes.values())) == 61_804_048
  assert shapes['dilatedconv_30/W'] == (1, 3, 512, 1024)
  assert shapes['ae_bottleneck/W'] == (1, 1, 128, 16)
  assert not model.variables


@pytest.mark.parametrize('name', ['', 'checkpoint', PREFIX, DATA])
@pytest.mark.parametrize('averaged', [False, True])
def test_folder_prefix_or_any_file(folder, name, averaged):
  model = WaveNetAutoencoder(**TINY_SIZES)
  assert model.restore_tf1_checkpoint(folder / name, averaged) == 200000
  reader = tf.train.load_checkpoint(str(folder))
  for part in (model.encoder, model.decoder):
    for name, variable in part.tf1_variables.items():
      suffix = '/ExponentialMovingAverage' if averaged else ''
      expected = reader.get_tensor(name + suffix)
      np.testing.assert_array_equal(
        variable.numpy(), expected.reshape(variable.shape)
      )


def test_encoding_needs_no_decoder(tiny):
  model = WaveNetAutoencoder(**TINY_SIZES)
  model.restore_tf1_checkpoint(CHECKPOINT, encoder_only=True)
  np.testing.assert_array_equal(
    model.encode(tiny['wav']), tiny.model.encode(tiny['wav'])
  )
  assert not model.decoder.built


def test_nothing_there(tmp_path):
  with pytest.raises(FileNotFoundError, match='No TensorFlow 1 checkpoint'):
    WaveNetAutoencoder(**TINY_SIZES).restore_tf1_checkpoint(tmp_path)


@pytest.mark.parametrize('encoder_only', [False, True])
@pytest.mark.parametrize(
  ('sizes', 'message'),
  [
    ({'ae_width': 8}, r'ae_res_2/W is \(1, 1, 12, 12\), .* \(1, 1, 8, 8\)'),
    ({'num_layers': 7}, r'missing skip_7/biases \(8,\)'),
    ({'num_layers': 5}, r'left over skip_6/biases \(8,\)'),
  ],
)
def test_another_model_is_named_and_nothing_changes(
  folder, sizes, message, encoder_only
):
  model = WaveNetAutoencoder(**TINY_SIZES | sizes)
  model.build()
  before = [v.numpy() for v in model.variables]
  with pytest.raises(ValueError, match=message):
    model.restore_tf1_checkpoint(folder, encoder_only=encoder_only)
  for variable, value in zip(model.variables, before, strict=True):
    np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize('name', [f'{PREFIX}.index', DATA])
def test_truncated(folder, name):
  content = (folder / name).read_bytes()
  (folder / name).write_bytes(content[: len(content) // 2])
  model = WaveNetAutoencoder(**TINY_SIZES)
  with pytest.raises(ValueError, match='damaged or truncated'):
    model.restore_tf1_checkpoint(folder)
  assert not model.variables


def test_keras_config_and_weights(tiny, tmp_path):
  path = tmp_path / 'model.weights.h5'
  tiny.model.save_weights(path)
  model = WaveNetAutoencoder.from_config(tiny.model.get_config())
  model.build()
  model.load_weights(path)
  np.testing.assert_array_equal(
    model.encode(tiny['wav']), tiny.model.encode(tiny['wav'])
  )


@pytest.mark.parametrize('block_length', [1, 200, 8192])
@pytest.mark.parametrize('length', [32, 128, 544, 1024])
def test_blocks_do_not_show(monkeypatch, block_length, length):
  monkeypatch.setattr(encoder, '_BLOCK_LENGTH', block_length)
  model = WaveNetAutoencoder(
    **TINY_SIZES | {'ae_num_layers': 9, 'ae_num_stages': 8}
  )
  audio = np.random.default_rng(0).uniform(-1, 1, [2, length])
  frames = model.encode(audio)
  signal = mu_law.to_signal(mu_law.encode(audio))
  np.testing.assert_allclose(frames, model.encoder(signal), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
  ('audio', 'message'),
  [
    (np.full([1, 64], np.nan), 'nan at row 0, sample 0'),
    (np.full([1, 64], -np.inf), '-inf at row 0, sample 0'),
    (np.zeros([1, 31]), r'\(1, 31\).* 32 samples'),
    (np.zeros([1, 0]), r'\(1, 0\)'),
    (np.zeros([0, 64]), r'\(0, 64\).* at least one note'),
    (np.zeros([64]), r'\(64,\).*audio\[None\]'),
    (np.zeros([1, 64], np.int16), 'int16.*Divide'),
    (np.full([1, 64], 12345.0), 'reaches 12345'),
  ],
)
def test_bad_audio(tiny, audio, message):
  with pytest.raises(ValueError, match=message):
    tiny.model.encode(audio)
  with pytest.raises(ValueError, match=message):
    tiny.model.log_probs(audio, np.zeros([1, 2, 5]))


@pytest.mark.parametrize(
  ('encodings', 'message'),
  [
    (np.zeros([1, 2, 16]), r'\(1, 2, 16\): expected \[B, frames, 5\]'),
    (np.zeros([2, 5]), r'\(2, 5\).*encodings\[None\]'),
    (np.zeros([1, 0, 5]), r'\(1, 0, 5\)'),
    (np.full([1, 2, 5], np.nan), 'nan at row 0, frame 0, channel 0'),
  ],
)
def test_bad_encodings(tiny, encodings, message):
  with pytest.raises(ValueError, match=message):
    tiny.model.log_probs(np.zeros([1, 64]), encodings)
  with pytest.raises(ValueError, match=message):
    tiny.model.generate(encodings)


@pytest.mark.parametrize('shape', [(1, 96), (1, 65), (2, 64)])
def test_audio_and_encodings_disagree(tiny, shape):
  with pytest.raises(ValueError, match=r'that is audio \[1, 64\]'):
    tiny.model.log_probs(np.zeros(shape), np.zeros([1, 2, 5]))


def test_bad_size():
  with pytest.raises(ValueError, match='num_stages=0: expected at least 1'):
    WaveNetAutoencoder(num_stages=0)
