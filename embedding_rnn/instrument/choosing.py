"""Which draw of a prior is an instrument: the one whose notes belong together.

Of real instruments, notes become louder with velocity, most become brighter,
and those of neighbouring keys are alike. Draws of the prior are measured for
that on a grid of keys and velocities, and the best one is taken. Levels are
those of the harmonic codec's features, so nothing needs to be decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from embedding_rnn.audio import codec, harmonics
from embedding_rnn.instrument.voice import (
  HIGHEST_PITCH,
  VELOCITIES,
  Voice,
  sample_notes,
)

if TYPE_CHECKING:  # else, TensorFlow would be imported
  from embedding_rnn.training.trained_run import Run

NUM_DRAWS, MAX_DRAWS = 32, 128
# So often do steps of velocity make notes of real instruments brighter, and
# half of their semitone neighbours differ by less: benchmarks/instruments.py.
LEAST_BRIGHTNESS_RISES = 0.75
MOST_NEIGHBOURS_DB = 1.5
NEIGHBOUR_VELOCITY = 100
_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of a family's keys, low to high
_HELD = 0.75  # of a note's frames
_RANGE_DB = 60.0  # what lies further below a note's loudest level is silence
_AUDIBLE_DB = harmonics.MIN_DB + 3.0  # as in the codec's synthesis
_NUM_BINS = 257  # of the spectrum that noise is spread over


class Coherence(NamedTuple):
  """How well the notes of an instrument belong together.

  Attributes:
    level_rises: share of the steps from one velocity to the next that make a
      note louder.
    brightness_rises: the same of its spectral centroid.
    brightness_semitones: by which the centroid rises from the softest to the
      loudest velocity, the median over keys.
    neighbours_db: log-spectral distance of semitone neighbours, the mean over
      keys.
  """

  level_rises: float
  brightness_rises: float
  brightness_semitones: float
  neighbours_db: float


def choose_voice(run: Run, family: str | None = None, seed: int = 0) -> Voice:
  """The instrument of a seed: of its draws, the one that coheres best.

  First, neighbouring keys are to differ by no more than most of real
  instruments do; then levels are to rise with velocity at as many steps as
  possible, then brightness, and then brightness by as much as possible. While
  brightness rises less often than that of real instruments, more are drawn.

  Args:
    run: with a prior, on the harmonic codec's frames.
    family: of the instrument; for None, one is drawn by the seed.
    seed: of the draws.

  Raises:
    ValueError: for a run without a prior or a family that it does not know.
  """
  draws: list[tuple[Coherence, Voice]] = []
  for start in range(0, MAX_DRAWS, NUM_DRAWS):
    numbers = range(start, start + NUM_DRAWS)
    voices = [Voice(run, family, seed, number) for number in numbers]
    measured = measure_voices(run, voices)
    draws += zip(measured, voices, strict=True)
    coherence, voice = max(draws, key=lambda drawn: _rank(drawn[0]))
    if coherence.brightness_rises >= LEAST_BRIGHTNESS_RISES:
      break
  return voice


def measure_voices(
  run: Run, voices: Sequence[Voice], places: Sequence[float] = _PLACES
) -> list[Coherence]:
  """Measures instruments of one family at some of its keys.

  Args:
    run: that they are of.
    voices: the instruments.
    places: of the keys among those of the family, from 0 to 1; by default five,
      by which draws are chosen.
  """
  keys = _keys_to_measure(run, voices[0].family, places)
  grid = [(key, velocity) for key in keys for velocity in VELOCITIES]
  grid += [(key + 1, NEIGHBOUR_VELOCITY) for key in keys]
  pitches, velocities = np.array(grid).T
  z = np.concatenate([voice.latents(pitches, velocities) for voice in voices])
  number = len(voices)
  frames = sample_notes(
    run, np.tile(pitches, number), np.tile(velocities, number), z
  )
  frames = frames.reshape(number, len(grid), *frames.shape[1:])
  split = len(keys) * len(VELOCITIES)
  layers = frames[:, :split].reshape(
    number, len(keys), len(VELOCITIES), *frames.shape[2:]
  )
  return measure(layers, frames[:, split:], keys)


def measure(
  layers: np.ndarray, neighbours: np.ndarray, keys: Sequence[int]
) -> list[Coherence]:
  """Measures instruments by their notes.

  Args:
    layers: frames `[N, K, 5, T, W]` at K keys and `VELOCITIES`.
    neighbours: `[N, K, T, W]`, a semitone above, at `NEIGHBOUR_VELOCITY`.
    keys: MIDI pitches `[K]`.
  """
  held = round(layers.shape[-2] * _HELD)
  layers, neighbours = layers[..., :held, :], neighbours[..., :held, :]
  place = VELOCITIES.index(NEIGHBOUR_VELOCITY)
  levels, brightness, distances = [], [], []
  for i, key in enumerate(keys):
    features_db = _features_db(layers[:, i], key)
    level, centroid = level_and_centroid(features_db, key)
    levels.append(np.diff(level, axis=1))
    brightness.append(np.diff(12 * np.log2(centroid), axis=1))
    above_db = _features_db(neighbours[:, i], key + 1)
    distances.append(_distance_db(features_db[:, place], above_db, key))
  louder, brighter = np.stack(levels, axis=1), np.stack(brightness, axis=1)
  return [
    Coherence(*map(float, row))
    for row in zip(
      (louder > 0).mean(axis=(1, 2)),
      (brighter > 0).mean(axis=(1, 2)),
      np.median(brighter.sum(axis=2), axis=1),
      np.mean(distances, axis=0),
      strict=True,
    )
  ]


def level_and_centroid(
  features_db: np.ndarray, midi_pitch: int
) -> tuple[np.ndarray, np.ndarray]:
  """Levels in dB and spectral centroids in Hz, of the power over the time.

  Args:
    features_db: `[..., T, features]`, of one pitch.
    midi_pitch: of them.

  Returns:
    Two arrays `[...]`.
  """
  is_audible = features_db >= _AUDIBLE_DB
  power = (10.0 ** (features_db / 10.0) * is_audible).mean(axis=-2)
  rows = power.reshape(-1, power.shape[-1])
  count = harmonics.harmonic_count(midi_pitch)
  partials = harmonics.expand_groups(rows[:, : harmonics.NUM_PARTIALS], count)
  bands = np.log(rows[:, -harmonics.NUM_BANDS :] + harmonics.TINY)
  noise = np.exp(harmonics.spread_bands(bands, 2 * (_NUM_BINS - 1)))
  powers = np.concatenate([partials, noise / _NUM_BINS], axis=1)
  f0_hz = harmonics.midi_to_hz(midi_pitch)
  frequencies_hz = np.concatenate(
    [
      f0_hz * np.arange(1, count + 1),
      np.linspace(0, harmonics.SAMPLE_RATE / 2, _NUM_BINS),
    ]
  )
  total = powers.sum(axis=1)
  centroid = powers @ frequencies_hz / total
  shape = power.shape[:-1]
  return (10 * np.log10(total)).reshape(shape), centroid.reshape(shape)


def _keys_to_measure(
  run: Run, family: str | None, places: Sequence[float]
) -> list[int]:
  """Some keys of those that the run has learnt of a family."""
  prior = run.prior
  if prior is None:
    raise ValueError(f"The run at '{run.folder}' has no prior.")
  counts = prior.counts[prior.families.index(family or '')]
  learnt = np.minimum(np.flatnonzero(counts), HIGHEST_PITCH - 1)
  return [int(learnt[round(q * (len(learnt) - 1))]) for q in places]


def _features_db(frames: np.ndarray, midi_pitch: int) -> np.ndarray:
  levels = codec.frames_to_features(frames, midi_pitch, codec.load_linear_map())
  return np.clip(levels, harmonics.MIN_DB, 0.0)


def _distance_db(
  features_db: np.ndarray, above_db: np.ndarray, key: int
) -> npt.NDArray[np.float64]:
  """Mean difference of levels of neighbours, of what both keys have room for.

  Args:
    features_db: `[N, T, features]` of a key.
    above_db: likewise, of the next one.
    key: MIDI pitch of the first.

  Returns:
    `[N]`.
  """
  is_there = harmonics.feature_mask(key) & harmonics.feature_mask(key + 1)
  both = np.stack([features_db, above_db])[..., is_there]
  floor = both.max(axis=(0, 2, 3))[:, None, None] - _RANGE_DB
  first, second = np.maximum(both, floor)
  return np.abs(first - second).mean(axis=(1, 2))


def _rank(measured: Coherence) -> tuple[float, ...]:
  return (
    measured.neighbours_db <= MOST_NEIGHBOURS_DB,
    measured.level_rises,
    measured.brightness_rises,
    measured.brightness_semitones,
  )
