"""Tests of codec.py; whole_path_test.py has it in use."""

import pickle
import shutil

import numpy as np
import pytest
from absl import flags

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.conftest import save_run
from embedding_rnn.nsynth import load_autoencoder
from embedding_rnn.nsynth.codec import (
  WaveNetCodec,
  choose_codec,
  codec_from_flags,
  codec_of_data,
  define_flags,
)
from embedding_rnn.nsynth.conftest import CHECKPOINT, TINY_SIZES


@pytest.fixture(scope='module')
def codec():
  return WaveNetCodec(CHECKPOINT, **TINY_SIZES)


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
  codec = WaveNetCodec(CHECKPOINT, weights=weights, **TINY_SIZES)
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
  averaged = WaveNetCodec(CHECKPOINT, averaged=True, **TINY_SIZES).checkpoint
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
    WaveNetCodec(CHECKPOINT, **settings, **TINY_SIZES).decode(frames, [60])
    for settings in ({}, {'seed': 0}, {'seed': 1}, {'greedy': True})
  ]
  np.testing.assert_array_equal(decoded[0], decoded[1])
  assert (decoded[0] != decoded[2]).any()
  np.testing.assert_allclose(
    decoded[3], tiny.model.generate(frames, greedy=True), atol=1e-6
  )
  other = pickle.loads(
    pickle.dumps(WaveNetCodec(CHECKPOINT, seed=7, **TINY_SIZES))
  )
  assert other._decoding['seed'] == 7 and other.num_channels == 5


def test_frames_of_the_wrong_width(codec):
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


def test_runs_that_are_no_codec(run, wavenet_run, tmp_path):
  save_run(tmp_path / 'rnn', run)
  with pytest.raises(ValueError, match='embedding_rnn, expected wavenet'):
    WaveNetCodec(tmp_path / 'rnn')
  folder = shutil.copytree(wavenet_run, tmp_path / 'damaged')
  for path in folder.glob('best-*/averages.npz'):
    path.write_bytes(path.read_bytes()[:-9])
  WaveNetCodec(folder).encode(audio_of(1, 512), [60])
  with pytest.raises(ValueError, match=r'averages.npz.* damaged or truncated'):
    WaveNetCodec(folder, averaged=True).encode(audio_of(1, 512), [60])


# Which codec it is.


class Fake(WaveNetCodec):
  """A WaveNet without weights: its path tells it from others."""

  @property
  def checkpoint(self):
    digest = f'{self._path.rpartition("/")[2]}-{self._averaged}'
    return {'step': 9, 'averaged': self._averaged, 'encoder_sha256': digest}


@pytest.fixture
def fake(monkeypatch):
  monkeypatch.setattr('embedding_rnn.nsynth.codec.WaveNetCodec', Fake)


without_weights = pytest.mark.usefixtures('fake')


def data_of(path, averaged=False):
  return {'codec': 'wavenet', 'checkpoint': Fake(path, averaged).checkpoint}


@without_weights
def test_codec_and_checkpoint_go_together():
  assert isinstance(choose_codec('harmonic'), HarmonicCodec)
  assert isinstance(choose_codec('wavenet', 'x'), WaveNetCodec)
  with pytest.raises(ValueError, match='needs a checkpoint'):
    choose_codec('wavenet')
  for arguments in (('x', False), (None, True)):
    with pytest.raises(ValueError, match='are for --codec=wavenet'):
      choose_codec('harmonic', *arguments)
  with pytest.raises(ValueError, match="Unknown codec 'flac'"):
    choose_codec('flac')


@without_weights
def test_codec_of_data():
  harmonic = {'codec': 'harmonic'}
  for arguments in ((), ('harmonic',)):
    assert isinstance(codec_of_data(harmonic, 16, *arguments), HarmonicCodec)
  for averaged in (False, True):
    for arguments in ((None, 'a'), ('wavenet', 'a'), (None, 'a', averaged)):
      codec = codec_of_data(data_of('a', averaged), 16, *arguments)
      assert codec.checkpoint['averaged'] == averaged
  # Of frames that others made, the user knows the codec.
  codec = codec_of_data({}, 16, 'wavenet', 'a', True)
  assert codec.checkpoint['encoder_sha256'] == 'a-True'
  assert isinstance(codec_of_data({}, 16, 'harmonic'), HarmonicCodec)
  assert codec_of_data({'codec': 'wavenet'}, 16, None, 'a').num_channels == 16


@without_weights
@pytest.mark.parametrize(
  ('info', 'message'),
  [
    ({}, 'does not say which codec'),
    (data_of('a'), 'WaveNet at step 9 (raw weights, SHA-256 a-False…); set'),
    ({'codec': 'wavenet'}, 'of the WaveNet; set --nsynth_checkpoint_path'),
  ],
)
def test_no_codec(info, message, caplog):
  assert codec_of_data(info, 16) is None
  (record,) = caplog.records
  assert record.levelname == 'WARNING' and message in record.getMessage()


@without_weights
@pytest.mark.parametrize(
  ('info', 'arguments', 'message'),
  [
    ({'codec': 'harmonic'}, ('wavenet', 'a'), "of the codec 'harmonic'; 'wav"),
    ({'codec': 'harmonic'}, (None, 'a'), 'are for --codec=wavenet'),
    (data_of('a'), ('harmonic',), "of the codec 'wavenet'; 'harmonic' would"),
    (data_of('a'), ('wavenet',), 'needs a checkpoint'),
    (data_of('a'), (None, 'b'), r'step 9 .*SHA-256 a-False.*, but b is .*b-Fa'),
    (data_of('a'), (None, 'a', True), r'\(raw weights.*\(averaged weights'),
    ({}, (None, 'a'), "set --codec=wavenet if it is of the checkpoint 'a'"),
    ({'codec': 'flac'}, (), "Unknown codec 'flac'"),
  ],
)
def test_refusals(info, arguments, message):
  with pytest.raises(ValueError, match=message):
    codec_of_data(info, 16, *arguments)


@without_weights
def test_another_width():
  for info in ({'codec': 'harmonic'}, {'codec': 'wavenet'}):
    path = 'a' if info['codec'] == 'wavenet' else None
    with pytest.raises(ValueError, match='16 channels, but seq_width is 5'):
      codec_of_data(info, 5, None, path)


@without_weights
def test_flags(parse_flags):
  parse_flags(define_flags, [])
  assert codec_from_flags({'codec': 'harmonic'}, 16).name == 'harmonic'
  assert codec_from_flags({}, 16) is None
  args = flags.FLAGS
  args.codec, args.nsynth_checkpoint_path, args.averaged = 'wavenet', 'a', True
  codec = codec_from_flags({}, 16)
  assert codec.checkpoint['encoder_sha256'] == 'a-True'
