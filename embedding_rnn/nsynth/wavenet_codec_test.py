import pickle

import numpy as np
import pytest

from embedding_rnn.nsynth.conftest import TESTDATA
from embedding_rnn.nsynth.wavenet_codec import WaveNetCodec
from embedding_rnn.nsynth.wavenet_test import TINY

CHECKPOINT = TESTDATA / 'tiny_ckpt'


@pytest.fixture(scope='module')
def codec():
  return WaveNetCodec(CHECKPOINT, **TINY)


def audio_of(num_notes, num_samples=128):
  rng = np.random.default_rng(0)
  return rng.uniform(-1, 1, (num_notes, num_samples)).astype(np.float32)


def test_encodes_as_the_model(codec, tiny):
  audio = audio_of(3)
  frames = codec.encode(audio, [60, 61, 62])
  np.testing.assert_array_equal(frames, tiny.model.encode(audio))
  np.testing.assert_array_equal(codec.encode(audio[1], 0), frames[1])
  assert (codec.hop_length, codec.num_channels) == (32, 5)


@pytest.mark.parametrize('weights', ['float32', 'int8'])
def test_decodes_as_the_model(tiny, weights):
  codec = WaveNetCodec(CHECKPOINT, weights=weights, **TINY)
  frames = tiny.model.encode(audio_of(2, 64)).numpy()
  np.testing.assert_allclose(
    codec.decode(frames, [60, 61]),
    tiny.model.generate(frames, seed=0, weights=weights),
    atol=1e-6,
  )


def test_published_sizes_by_default():
  codec = WaveNetCodec('not read yet')
  assert (codec.hop_length, codec.num_channels) == (512, 16)
  assert (codec.name, codec.sample_rate) == ('wavenet', 16_000)


def test_another_process_gets_the_same(codec):
  other = pickle.loads(pickle.dumps(codec))
  assert other.checkpoint == codec.checkpoint
  audio = audio_of(1)
  np.testing.assert_array_equal(
    other.encode(audio, [0]), codec.encode(audio, [0])
  )


def test_checkpoints_are_told_apart(codec):
  averaged = WaveNetCodec(CHECKPOINT, averaged=True, **TINY).checkpoint
  assert codec.checkpoint['step'] == averaged['step'] == 200_000
  assert codec.checkpoint['encoder_sha256'] != averaged['encoder_sha256']
  assert (codec.checkpoint['averaged'], averaged['averaged']) == (False, True)


def test_bad_checkpoint(tmp_path):
  with pytest.raises(FileNotFoundError, match='No TensorFlow 1 checkpoint'):
    WaveNetCodec(tmp_path).encode(audio_of(1, 512), [60])
  with pytest.raises(ValueError, match='ae_startconv/W is'):
    WaveNetCodec(CHECKPOINT).encode(audio_of(1, 512), [60])
