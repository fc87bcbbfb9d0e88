"""Which draws are chosen, against audio and against all draws."""

import numpy as np
import pytest
import scipy.signal

from embedding_rnn.audio import codec
from embedding_rnn.data import notes
from embedding_rnn.instrument import choosing
from embedding_rnn.instrument.voice import VELOCITIES, Voice

CODEC = codec.HarmonicCodec()


@pytest.mark.parametrize('family', ['string', 'bass', 'flute', 'mallet'])
def test_levels_and_centroids_are_those_of_the_audio(family):
  (row,) = [row for name, row, _ in notes.originals() if family in name]
  frames = notes.load().frames[row]
  midi_pitch = int(notes.load().midi_pitch[row])
  audio = CODEC.decode(frames, midi_pitch).astype(np.float64)
  power = np.square(np.abs(np.fft.rfft(audio)))
  hz = np.fft.rfftfreq(len(audio), 1 / CODEC.sample_rate)
  features_db = codec.frames_to_features(
    frames, midi_pitch, codec.load_linear_map()
  )
  level, centroid = choosing.level_and_centroid(features_db, midi_pitch)
  mean_square = 10 * np.log10(np.square(audio).mean())
  assert level == pytest.approx(mean_square, abs=1)
  assert centroid == pytest.approx((power * hz).sum() / power.sum(), rel=0.05)


def played(audio, key, is_brighter):
  """Frames at each velocity: 6 dB louder, and brighter or duller each time."""
  layers = []
  for i in range(len(VELOCITIES)):
    share = (i if is_brighter else len(VELOCITIES) - 1 - i) / 4
    bright = scipy.signal.lfilter([1, -0.9], [1], audio)
    heard = share * bright + (1 - share) * audio
    heard *= 0.01 * 2**i / np.sqrt(np.square(heard).mean())
    layers.append(CODEC.encode(heard, key))
  return np.stack(layers)


def test_what_rises_and_who_is_a_neighbour():
  originals = {name: audio for name, _, audio in notes.originals()}
  (reed,) = [audio for name, audio in originals.items() if 'reed' in name]
  (organ,) = [audio for name, audio in originals.items() if 'organ' in name]
  duller, brighter = (
    played(reed, 61, is_brighter) for is_brighter in (False, True)
  )
  place = VELOCITIES.index(choosing.NEIGHBOUR_VELOCITY)
  other = CODEC.encode(organ, 61)
  first, second, third = choosing.measure(
    np.stack([brighter, duller, brighter[::-1]])[:, None],
    np.stack([brighter[place], other, brighter[1]])[:, None],
    [61],
  )
  assert first.level_rises == first.brightness_rises == 1
  assert first.brightness_semitones > 1
  assert second.level_rises == 1 and second.brightness_rises == 0
  assert second.brightness_semitones < -1
  assert third.level_rises == third.brightness_rises == 0
  # The next key's colour is the same but for what the pitch alone explains.
  assert first.neighbours_db < 0.5 < 2 < second.neighbours_db


def test_the_best_draw_of_a_seed_is_chosen(playable_run):
  voice = choosing.choose_voice(playable_run, 'flute', seed=5)
  again = choosing.choose_voice(playable_run, 'flute', seed=5)
  pitches, velocities = [50, 70], [25, 127]
  z = voice.latents(pitches, velocities)
  np.testing.assert_array_equal(again.latents(pitches, velocities), z)
  draws = [
    Voice(playable_run, 'flute', 5, draw) for draw in range(choosing.MAX_DRAWS)
  ]
  measured = choosing.measure_voices(playable_run, draws)
  enough = choosing.LEAST_BRIGHTNESS_RISES
  for number in range(32, 129, 32):
    # By hand: of those whose neighbours are near, the one that rises most.
    near = [m.neighbours_db <= 1.5 for m in measured[:number]]
    tuples = [(yes, *m[:3]) for yes, m in zip(near, measured, strict=False)]
    best = tuples.index(max(tuples))
    if measured[best].brightness_rises >= enough:
      break
  np.testing.assert_array_equal(draws[best].latents(pitches, velocities), z)
  other = choosing.choose_voice(playable_run, 'flute', seed=6)
  assert not np.allclose(other.latents(pitches, velocities), z)


def test_an_instrument_of_any_family_is_of_one(playable_run):
  families = {Voice(playable_run, None, seed).family for seed in range(20)}
  assert families == {'flute', 'string'}
  voice = choosing.choose_voice(playable_run, None, 3)
  same = choosing.choose_voice(playable_run, voice.family, 3)
  pitches, velocities = range(21, 109), [100] * 88
  np.testing.assert_array_equal(
    voice.latents(pitches, velocities), same.latents(pitches, velocities)
  )
