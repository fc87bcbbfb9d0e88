import numpy as np
import pytest

from embedding_rnn.audio import metrics
from embedding_rnn.audio.harmonics import midi_to_hz


def _tone(midi_pitch, seconds=1.5, harmonics=4):
  t = np.arange(int(16000 * seconds)) / 16000
  f0_hz = midi_to_hz(midi_pitch)
  tones = [
    np.sin(2 * np.pi * k * f0_hz * t) / k
    for k in range(1, harmonics + 1)
    if k * f0_hz < 7900
  ]
  return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


def test_equal_audio_has_no_distance():
  tone = _tone(60)
  assert metrics.log_spectral_distance(tone, tone) == 0.0
  assert metrics.loudness_error_db(tone, tone) == 0.0


def test_a_gain_is_its_distance():
  # White noise is far above the floor at all frequencies.
  noise = np.random.RandomState(0).normal(size=16000).astype(np.float32) * 0.1
  quieter = noise * 10 ** (-3 / 20)
  distance = metrics.log_spectral_distance(noise, quieter)
  assert distance == pytest.approx(3.0, abs=0.01)
  error = metrics.loudness_error_db(noise, quieter)
  assert error == pytest.approx(3.0, abs=1e-4)


def test_what_is_far_below_the_reference_does_not_count():
  tone = _tone(60)
  faint = tone + 1e-8 * np.random.RandomState(0).normal(size=len(tone))
  assert metrics.log_spectral_distance(tone, faint) < 0.01
  silence = np.zeros_like(tone)
  # Below the loudest frame by all of the range, not by minus infinity.
  assert metrics.loudness_error_db(tone, silence) == pytest.approx(60.0, abs=1)


def test_loudness_of_known_signals():
  audio = np.concatenate([np.ones(512), np.full(512, 0.1), np.zeros(600)])
  np.testing.assert_allclose(metrics.loudness_db(audio), [0.0, -20.0, -100.0])
  batch = metrics.loudness_db(np.stack([audio, audio]))
  assert batch.shape == (2, 3)
  sine = np.sin(2 * np.pi * 1000 / 16000 * np.arange(1024))
  np.testing.assert_allclose(metrics.loudness_db(sine), -3.0103, atol=1e-3)


def test_level_jumps_of_known_steps():
  levels_db = np.array([[0.0, -3.0, -3.0, -9.0], [-80.0, 0.0, -200.0, -200.0]])
  amplitudes = 10.0 ** (levels_db / 20)
  audio = np.repeat(amplitudes, 100, axis=1)
  jumps = metrics.level_jump_db(audio, hop_length=100)
  # Of the second note all but its loudest frame lies 60 dB below that.
  np.testing.assert_allclose(jumps, [(3 + 0 + 6) / 3, (60 + 60 + 0) / 3])
  louder = metrics.level_jump_db(3 * audio[0], hop_length=100)
  assert louder == pytest.approx(3.0)
  sine = np.sin(2 * np.pi * 1000 / 16000 * np.arange(5120))  # whole periods
  assert metrics.level_jump_db(sine) == pytest.approx(0.0, abs=1e-9)


def test_attack_error_is_that_of_the_first_20_ms():
  noise = 0.1 * np.random.RandomState(0).normal(size=16000)
  softer = noise.copy()
  softer[:320] *= 10 ** (-7 / 20)
  assert metrics.attack_error_db(noise, softer) == pytest.approx(-7, abs=1e-4)
  assert metrics.attack_error_db(softer, noise) == pytest.approx(7, abs=1e-4)
  later = noise.copy()
  later[320:] *= 10 ** (-7 / 20)
  assert metrics.attack_error_db(noise, later) == 0.0
  # At another rate, 20 ms are as many more samples.
  assert metrics.attack_error_db(noise, later, 32000) == pytest.approx(
    10 * np.log10((1 + 10**-0.7) / 2), abs=0.5
  )
  silent = noise.copy()
  silent[:320] = 0.0
  level = metrics.loudness_db(noise, 320)
  expected = level.max() - 60.0 - level[0]
  assert metrics.attack_error_db(noise, silent) == pytest.approx(
    expected, abs=1e-4
  )


@pytest.mark.parametrize('midi_pitch', [24, 36, 60, 84, 108])
@pytest.mark.parametrize('cents', [-40.0, 0.0, 15.0])
def test_pitch_error_of_known_tones(midi_pitch, cents):
  tone = _tone(midi_pitch + cents / 100)
  error = metrics.pitch_error_cents(tone, midi_pitch)
  assert error == pytest.approx(cents, abs=5.0)


def test_a_coarse_pitch_estimate_is_as_good_as_it_says():
  for cents in (-30.0, 4.0, 17.0):
    tone = _tone(60 + cents / 100)
    error = metrics.pitch_error_cents(tone, 60, resolution_cents=10.0)
    assert error == pytest.approx(cents, abs=10.0)


def test_loudness_of_sets_is_compared_by_their_means():
  rng = np.random.default_rng(0)
  noise = 0.1 * rng.normal(size=(3, 16000)).astype(np.float32)
  error = metrics.mean_loudness_error_db(noise, noise[::-1])
  assert error == pytest.approx(0.0, abs=1e-9)
  gains_db = np.array([-2.0, -4.0, -6.0])[:, None]
  quieter = noise * 10 ** (gains_db / 20)
  error = metrics.mean_loudness_error_db(noise, quieter)
  assert error == pytest.approx(4.0, abs=1e-3)
  # One more that is silent: below the loudest frame by all of the range.
  silence = np.zeros((1, 16000))
  level = metrics.loudness_db(noise)
  expected = np.mean(level.mean(axis=0) - (level.max() - 60.0))
  error = metrics.mean_loudness_error_db(noise, silence)
  assert error == pytest.approx(expected, abs=1e-6)


def test_pitch_error_of_noise_is_not_a_number():
  noise = np.random.RandomState(0).normal(size=16000).astype(np.float32)
  noise[::2] = 0.0
  assert np.isnan(metrics.pitch_error_cents(np.zeros(16000), 60))
  assert metrics.pitch_error_cents(noise, 60) != 0.0


def test_a_pitch_that_cannot_be_found_is_not_a_number():
  assert np.isnan(metrics.pitch_error_cents(_tone(60), 70))  # beyond the fifth
  assert metrics.pitch_error_cents(_tone(60), 66) == pytest.approx(-600, abs=3)
  assert np.isnan(metrics.pitch_error_cents(_tone(60), 120))  # above 8 kHz


def test_refuses_pairs_that_cannot_be_compared():
  tone = _tone(60)
  for metric in (
    metrics.log_spectral_distance,
    metrics.loudness_error_db,
    metrics.attack_error_db,
  ):
    with pytest.raises(ValueError, match=r'got \(24000,\) and \(23000,\)'):
      metric(tone, tone[:23000])
  with pytest.raises(ValueError, match='reference is silent'):
    metrics.log_spectral_distance(np.zeros(16000), tone[:16000])
