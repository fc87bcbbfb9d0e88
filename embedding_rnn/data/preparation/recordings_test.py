import numpy as np
import pytest

from embedding_rnn.data.preparation import recordings
from embedding_rnn.data.preparation.recordings import Policy, Recording, prepare

RATE = 16_000
LENGTH = 64_000


def tone(rate, seconds, hz=440.0, channels=None):
  wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)
  wave = wave.astype(np.float32)
  return wave if channels is None else np.stack([wave] * channels, axis=1)


def recording(audio, rate=RATE):
  return Recording(audio, rate, len(audio))


def test_what_is_as_it_should_be_stays_as_it_is():
  audio = tone(RATE, 4)
  prepared = prepare(recording(audio), RATE, LENGTH)
  np.testing.assert_array_equal(prepared.audio, audio)
  assert prepared.seconds == 4
  assert not prepared.is_silent
  assert Policy().remarks(prepared) == []


@pytest.mark.parametrize('rate', [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_the_sound(rate):
  prepared = prepare(recording(tone(rate, 4.05), rate), RATE, LENGTH)
  inner = slice(1000, -1000)
  np.testing.assert_allclose(
    prepared.audio[inner], tone(RATE, 4)[inner], atol=2e-3
  )


def test_channels_are_averaged():
  stereo = tone(RATE, 4, channels=2)
  stereo[:, 1] = 0
  prepared = prepare(recording(stereo), RATE, LENGTH)
  np.testing.assert_allclose(prepared.audio, stereo[:, 0] / 2)
  assert prepared.num_channels == 2


def test_only_the_beginning_was_read():
  whole = tone(44_100, 10)
  part = whole[: int(recordings.READ_SECONDS * 44_100)]
  prepared = prepare(Recording(part, 44_100, len(whole)), RATE, LENGTH)
  np.testing.assert_allclose(
    prepared.audio,
    prepare(recording(whole, 44_100), RATE, LENGTH).audio,
    atol=1e-6,
  )
  assert Policy().remarks(prepared) == [('cut', 'it lasts 10.000 s')]


def test_short():
  prepared = prepare(recording(tone(RATE, 1.5)), RATE, LENGTH)
  np.testing.assert_array_equal(prepared.audio[:24_000], tone(RATE, 1.5))
  assert not prepared.audio[24_000:].any()
  reason = 'it lasts only 1.500 s'
  assert Policy().remarks(prepared) == [('padded', reason)]
  assert Policy(short='skip').remarks(prepared) == [('skipped', reason)]


@pytest.mark.parametrize('offset', [0.0, 0.25])
def test_silent(offset):
  audio = np.full(LENGTH, offset, np.float32)
  audio[::2] += 5e-5
  prepared = prepare(recording(audio), RATE, LENGTH)
  assert Policy().remarks(prepared) == [('skipped', 'it is silent')]
  assert Policy(silent='keep').remarks(prepared) == [('kept', 'it is silent')]
  loud = prepare(recording(audio + 1e-3 * tone(RATE, 4)), RATE, LENGTH)
  assert not loud.is_silent


def test_skipped_once_though_short_and_silent():
  prepared = prepare(recording(np.zeros(100, np.float32)), RATE, LENGTH)
  assert [action for action, _ in Policy().remarks(prepared)] == ['skipped']


@pytest.mark.parametrize(
  ('audio', 'rate', 'message'),
  [
    (np.zeros(0, np.float32), RATE, 'no samples'),
    (np.zeros((0, 2), np.float32), RATE, 'no samples'),
    (np.array([0, 0, np.nan], np.float32), RATE, 'nan at sample 2'),
    (np.array([0, -np.inf], np.float32), RATE, '-inf at sample 1'),
    (np.zeros(100, np.int16), RATE, 'int16'),
    (np.full(100, 3e4, np.float32), RATE, 'reaches 30000'),
    (np.zeros(100, np.float32), 0, 'sample rate is 0 Hz'),
    (np.zeros(100, np.float32), 10**9, 'sample rate is 1000000000 Hz'),
  ],
)
def test_damaged(audio, rate, message):
  with pytest.raises(ValueError, match=message):
    prepare(Recording(audio, rate, len(audio)), RATE, LENGTH)


@pytest.mark.parametrize('name', ['short', 'silent', 'damaged'])
def test_unknown_policy(name):
  with pytest.raises(ValueError, match=f"{name}='loud': expected .* or "):
    Policy(**{name: 'loud'})
