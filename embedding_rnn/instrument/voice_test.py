"""Voices: one draw over keys and velocities, and notes of any length."""

import numpy as np
import pytest

from embedding_rnn.instrument.voice import VELOCITIES, Voice, with_length


def test_a_voice_is_one_draw_of_the_prior(playable_run):
  voice = Voice(playable_run, 'flute', seed=3)
  pitches, velocities = [40, 41, 90], [25, 100, 127]
  z = voice.latents(pitches, velocities)
  for i in range(3):
    alone = voice.latents(pitches[i : i + 1], velocities[i : i + 1])
    np.testing.assert_allclose(z[i], alone[0], atol=1e-6)
  # The draw is what is left when what the prior regresses on is taken away.
  prior = playable_run.prior
  means = [
    prior.sample(
      np.zeros((3, 4)), np.zeros((3, 2)), np.array(pitches), ['flute'] * 3,
      np.array(velocities),
    )
  ]  # fmt: skip
  rest = z - means[0]
  np.testing.assert_allclose(rest, np.tile(rest[:1], (3, 1)), atol=1e-5)
  other = Voice(playable_run, 'flute', seed=4).latents(pitches, velocities)
  assert not np.allclose(other, z)


def test_velocities_between_those_of_nsynth_lie_between(playable_run):
  voice = Voice(playable_run, 'string')
  soft, middle, loud = voice.notes([60] * 3, [50, 60, 75])
  np.testing.assert_allclose(middle, 0.6 * soft + 0.4 * loud, atol=1e-4)
  for velocity in VELOCITIES:
    z = voice.latents([60], [velocity])
    expected = playable_run.sample(60, z, velocity=velocity, greedy='mean')
    note = voice.notes([60], [velocity])
    np.testing.assert_allclose(note, expected, atol=1e-4)
  below, least = voice.notes([60, 60], [3, 25])
  np.testing.assert_allclose(below, least, atol=1e-6)


@pytest.mark.parametrize('num_held', [1, 7, 93, 94, 300])
def test_length(num_held):
  time = np.linspace(0, 1, 125)[:, None]
  frames = np.concatenate([np.sin(3 * time), 2 - time], axis=1)
  note = with_length(frames, num_held)
  assert note.shape == (num_held + 32, 2)
  np.testing.assert_allclose(note[:6], frames[:6]) if num_held > 6 else None
  # No step is larger than those of the note itself.
  most = np.abs(np.diff(frames, axis=0)).max(axis=0)
  assert (np.abs(np.diff(note, axis=0)).max(axis=0) <= most + 1e-6).all()
  if num_held == 93:
    np.testing.assert_allclose(note, frames, atol=1e-6)


def test_what_is_refused(playable_run, run):
  with pytest.raises(ValueError, match="no family 'kazoo'"):
    Voice(playable_run, 'kazoo')
  with pytest.raises(ValueError, match='has no prior'):
    Voice(run, 'flute')
