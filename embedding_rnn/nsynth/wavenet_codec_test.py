import pickle
import shutil

import numpy as np
import pytest

from embedding_rnn.nsynth import load_autoencoder
from embedding_rnn.nsynth.conftest import TESTDATA
from embedding_rnn.nsynth.wavenet_codec import WaveNetCodec
from embedding_rnn.nsynth.wavenet_test import TINY
from embedding_rnn.training.trained_run_test import make_data, make_run

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


def test_seed_and_greedy(tiny):
  frames = tiny.model.encode(audio_of(1, 64)).numpy()
  decoded = [
    WaveNetCodec(CHECKPOINT, **settings, **TINY).decode(frames, [60])
    for settings in ({}, {'seed': 0}, {'seed': 1}, {'greedy': True})
  ]
  np.testing.assert_array_equal(decoded[0], decoded[1])
  assert (decoded[0] != decoded[2]).any()
  np.testing.assert_allclose(
    decoded[3], tiny.model.generate(frames, greedy=True), atol=1e-6
  )
  other = pickle.loads(pickle.dumps(WaveNetCodec(CHECKPOINT, seed=7, **TINY)))
  assert other._decoding['seed'] == 7 and other.num_channels == 5


def test_encodings_of_the_wrong_width(codec):
  with pytest.raises(ValueError, match=r'frames must be \[B, T, 5\]'):
    codec.decode(np.zeros((1, 4, 16), np.float32), [60])


@pytest.mark.parametrize('averaged', [False, True])
def test_a_run_of_ours(wavenet_run, averaged):
  codec = WaveNetCodec(wavenet_run, averaged)
  assert (codec.hop_length, codec.num_channels) == (256, 4)
  trained = load_autoencoder(wavenet_run, averaged)
  audio = audio_of(2, 512)
  frames = codec.encode(audio, [60, 61])
  np.testing.assert_array_equal(frames, trained.model.encode(audio))
  np.testing.assert_array_equal(
    codec.decode(frames[:, :1], [60, 61]),
    trained.model.generate(frames[:, :1], seed=0),
  )
  assert codec.checkpoint['step'] == trained.step
  other = WaveNetCodec(wavenet_run, not averaged)
  assert (
    other.checkpoint['encoder_sha256'] != codec.checkpoint['encoder_sha256']
  )


def test_runs_that_are_no_codec(wavenet_run, tmp_path):
  make_run(tmp_path / 'rnn', make_data(tmp_path / 'data'))
  with pytest.raises(ValueError, match='embedding_rnn, expected wavenet'):
    WaveNetCodec(tmp_path / 'rnn')
  folder = shutil.copytree(wavenet_run, tmp_path / 'damaged')
  for path in folder.glob('best-*/averages.npz'):
    path.write_bytes(path.read_bytes()[:-9])
  WaveNetCodec(folder).encode(audio_of(1, 512), [60])
  with pytest.raises(ValueError, match=r'averages.npz.* damaged or truncated'):
    WaveNetCodec(folder, averaged=True).encode(audio_of(1, 512), [60])
