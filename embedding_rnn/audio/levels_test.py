import numpy as np
import pytest
from scipy import signal

from embedding_rnn.audio import levels

RATE = 16_000


def sine(hz, seconds=4.0, amplitude=1.0, phase=0.0):
  time = np.arange(int(seconds * RATE)) / RATE
  return amplitude * np.sin(2 * np.pi * hz * time + phase)


@pytest.mark.parametrize('amplitude', [1.0, 0.1, 1e-5])
def test_loudness_is_that_of_the_standard(amplitude):
  # ITU-R BS.1770: a sine of 997 Hz at full scale in one channel has -3.01.
  loudness = levels.loudness_lufs(sine(997, amplitude=amplitude), RATE)
  expected = -3.01 + 20 * np.log10(amplitude)
  assert loudness == pytest.approx(expected, abs=0.15)


def test_what_follows_the_sound_is_gated():
  tone = sine(440, 2.0, 0.1)
  rung_out = np.concatenate([tone, np.zeros(6 * RATE)])
  expected = levels.loudness_lufs(tone, RATE)
  assert levels.loudness_lufs(rung_out, RATE) == pytest.approx(expected, abs=1)


def test_silence_and_short_sounds():
  assert levels.loudness_lufs(np.zeros(RATE), RATE) == -np.inf
  assert levels.loudness_lufs(np.zeros(0), RATE) == -np.inf
  assert levels.true_peak_dbfs(np.zeros(RATE)) == -np.inf
  assert levels.listening_gain_db(np.zeros(9), [np.zeros(9)], RATE) == 0
  # Half a block of a sound has half its mean square.
  short, block = (levels.loudness_lufs(sine(997, s), RATE) for s in (0.2, 0.4))
  assert short == pytest.approx(block - 3.01, abs=0.1)


def test_true_peak_lies_between_samples():
  # Samples of a quarter of the rate, none of them at a crest.
  tone = sine(RATE / 4, 1.0, phase=np.pi / 4) * signal.windows.tukey(RATE, 0.2)
  assert 20 * np.log10(np.abs(tone).max()) == pytest.approx(-3.01, abs=0.01)
  assert levels.true_peak_dbfs(tone) == pytest.approx(0, abs=0.1)


def test_a_long_sound_is_looked_at_in_pieces(monkeypatch):
  tone = sine(RATE / 4, 1.0, phase=np.pi / 4)
  tone *= np.linspace(0.2, 1, RATE)  # the crest is in the last piece
  whole = levels.true_peak_dbfs(tone)
  monkeypatch.setattr(levels, '_SAMPLES_AT_ONCE', 999)
  assert levels.true_peak_dbfs(tone) == pytest.approx(whole, abs=1e-6)
  # Where pieces meet, there are no edges.
  steady = sine(RATE / 4, 1.0, phase=np.pi / 4) * signal.windows.hann(RATE)
  assert levels.true_peak_dbfs(steady) == pytest.approx(0, abs=0.1)


def test_one_gain_for_a_group():
  reference = sine(997, amplitude=0.01)
  gain = levels.listening_gain_db(reference, [reference], RATE)
  loudness = levels.loudness_lufs(reference * 10 ** (gain / 20), RATE)
  assert loudness == pytest.approx(levels.LOUDNESS_LUFS, abs=1e-6)
  # A louder one does not count, unless it would be above the peak.
  group = [reference, 2 * reference]
  assert levels.listening_gain_db(reference, group, RATE) == gain
  group = [reference, 90 * reference]
  gain = levels.listening_gain_db(reference, group, RATE)
  peak = levels.true_peak_dbfs(group[1] * 10 ** (gain / 20))
  assert peak == pytest.approx(levels.MAX_PEAK_DBFS)


@pytest.mark.parametrize('length', [0, 1, 20, RATE])
def test_fades_only_the_edges(length):
  audio = np.ones(length, np.float32)
  faded = levels.fade_edges(audio, RATE)
  assert (audio == 1).all() and faded.dtype == audio.dtype
  np.testing.assert_array_equal(faded, faded[::-1])
  assert (np.diff(faded[: length // 2]) >= 0).all()
  assert (faded[48 : length - 48] == 1).all()
  assert length < 2 or faded[0] == 0
