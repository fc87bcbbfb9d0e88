"""Tests of codec_choice.py; whole_path_test.py has it in use."""

import pytest

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.nsynth import codec as codec_choice
from embedding_rnn.nsynth.codec import choose_codec, codec_of_data
from embedding_rnn.nsynth.wavenet_codec import WaveNetCodec


class Fake(WaveNetCodec):
  """A WaveNet without weights: its path tells it from others."""

  @property
  def checkpoint(self):
    digest = f'{self._path.rpartition("/")[2]}-{self._averaged}'
    return {'step': 9, 'averaged': self._averaged, 'encoder_sha256': digest}


@pytest.fixture(autouse=True)
def fake(monkeypatch):
  monkeypatch.setattr(codec_choice, 'WaveNetCodec', Fake)


def data_of(path, averaged=False):
  return {'codec': 'wavenet', 'checkpoint': Fake(path, averaged).checkpoint}


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


def test_another_width():
  for info in ({'codec': 'harmonic'}, {'codec': 'wavenet'}):
    path = 'a' if info['codec'] == 'wavenet' else None
    with pytest.raises(ValueError, match='16 channels, but seq_width is 5'):
      codec_of_data(info, 5, None, path)


def test_flags(parse_flags):
  parse_flags(codec_choice.define_flags, [])
  codec = codec_choice.codec_from_flags({'codec': 'harmonic'}, 16)
  assert codec.name == 'harmonic'
  assert codec_choice.codec_from_flags({}, 16) is None
  flags = codec_choice.flags.FLAGS
  flags.codec, flags.nsynth_checkpoint_path, flags.averaged = (
    'wavenet',
    'a',
    True,
  )
  codec = codec_choice.codec_from_flags({}, 16)
  assert codec.checkpoint['encoder_sha256'] == 'a-True'
