"""Pitches found, against tones that were made."""

import numpy as np
import pytest

from embedding_rnn.audio.harmonics import midi_to_hz
from embedding_rnn.audio.pitch import estimate_pitch


def tone(f0_hz, sample_rate, seconds=1.0):
  """Decaying harmonics."""
  time = np.arange(int(seconds * sample_rate)) / sample_rate
  numbers = np.arange(1, int(sample_rate / 2 / f0_hz))[:20]
  partials = np.sin(2 * np.pi * f0_hz * numbers[:, None] * time)
  return (partials / numbers[:, None]).sum(axis=0) * np.exp(-2 * time)


@pytest.mark.parametrize('sample_rate', [16_000, 44_100])
@pytest.mark.parametrize('midi_pitch', [24, 60, 96])
def test_tones(midi_pitch, sample_rate):
  f0_hz = midi_to_hz(midi_pitch) * 2 ** (20 / 1200)
  found = estimate_pitch(tone(f0_hz, sample_rate), sample_rate)
  assert found.midi_pitch == midi_pitch
  assert found.cents == pytest.approx(20, abs=10.1)
  assert found.confidence > 0.8


def test_noise_has_no_pitch():
  noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
  assert estimate_pitch(noise).confidence < 0.3
  assert estimate_pitch(np.zeros(16_000)).confidence == 0
