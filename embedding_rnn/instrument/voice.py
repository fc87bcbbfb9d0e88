"""One instrument of a run's making: its notes at any key, loudness and length.

The fitted prior says where latents lie given family, pitch and velocity. One
draw of its noise, kept over all keys and velocities, is one instrument: from
note to note its latent moves only as those of real instruments do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # else, TensorFlow would be imported
  from embedding_rnn.training.prior import LatentPrior
  from embedding_rnn.training.trained_run import Run

VELOCITIES = (25, 50, 75, 100, 127)  # NSynth's, which runs are trained on
LOWEST_PITCH, HIGHEST_PITCH = 21, 108  # likewise
_HELD_SECONDS, RELEASE_SECONDS = 3, 1  # of the 4 s of a note
_NOTES_AT_ONCE = 64
_ATTACK_FRAMES = 6  # that are never stretched


class Voice:
  """An instrument that was drawn from a run's prior.

  Args:
    run: with a prior and a codec.
    family: of the instrument; for None, one is drawn by the seed.
    seed: of the draws.
    draw: which of them.

  Attributes:
    family: of the instrument; None if the run knows of none.

  Raises:
    ValueError: for a run without a prior or a family that it does not know.
  """

  def __init__(
    self, run: Run, family: str | None = None, seed: int = 0, draw: int = 0
  ):
    if run.prior is None:
      raise ValueError(
        f"The run at '{run.folder}' has no prior to draw instruments from; "
        'train it with this version, or take --pretrained.'
      )
    run.prior.check_families([family])
    self._run, self._prior = run, run.prior
    self.family = family or _draw_family(run.prior, seed)
    random = _random(seed, draw + 1)
    self._uniform = random.random_sample((1, 2))
    self._normal = random.standard_normal((1, run.hps.z_size))

  def latents(
    self, pitches: npt.ArrayLike, velocities: npt.ArrayLike
  ) -> np.ndarray:
    """Its latents at MIDI pitches and velocities `[N]`, `[N, Z]`."""
    number = len(np.asarray(pitches))
    return self._prior.sample(
      np.repeat(self._normal, number, axis=0),
      np.repeat(self._uniform, number, axis=0),
      np.asarray(pitches, int),
      None if self.family is None else [self.family] * number,
      np.asarray(velocities, int),
    )

  def notes(
    self, pitches: npt.ArrayLike, velocities: npt.ArrayLike
  ) -> np.ndarray:
    """Its notes, 3 s held and 1 s released, frames `[N, T, W]`.

    A velocity between two of NSynth's is between their notes.

    Args:
      pitches: MIDI numbers `[N]`.
      velocities: MIDI numbers `[N]`.
    """
    wanted = np.clip(np.asarray(velocities), VELOCITIES[0], VELOCITIES[-1])
    above = np.searchsorted(VELOCITIES, wanted)
    below = np.maximum(above - 1, 0)
    layers = np.asarray(VELOCITIES)
    width = np.maximum(layers[above] - layers[below], 1)
    weight = ((wanted - layers[below]) / width)[:, None, None]
    softer, louder = (
      self._layer(pitches, layers[places]) for places in (below, above)
    )
    return ((1 - weight) * softer + weight * louder).astype(np.float32)

  def _layer(
    self, pitches: npt.ArrayLike, velocities: np.ndarray
  ) -> np.ndarray:
    z = self.latents(pitches, velocities)
    return sample_notes(self._run, pitches, velocities, z)


def sample_notes(
  run: Run, pitches: npt.ArrayLike, velocities: npt.ArrayLike, z: np.ndarray
) -> np.ndarray:
  """Notes of a run without chance: the means of its mixtures.

  Args:
    run: what makes them.
    pitches: MIDI numbers `[N]`.
    velocities: MIDI numbers `[N]`.
    z: latents `[N, Z]`.

  Returns:
    Frames `[N, T, W]`.
  """
  # A sampler is compiled for one number of notes only.
  number = len(z)
  padding = -number % _NOTES_AT_ONCE
  keys, layers = (
    np.pad(np.asarray(x, int), (0, padding), 'edge')
    for x in (pitches, velocities)
  )
  return run.sample(
    keys,
    np.pad(z, ((0, padding), (0, 0)), 'edge'),
    velocity=layers,
    greedy='mean',
    batch_size=_NOTES_AT_ONCE,
  )[:number]


def _draw_family(prior: LatentPrior, seed: int) -> str | None:
  """One for the whole keyboard, as likely as there are notes of it."""
  counts = prior.counts.sum(axis=1)
  place = _random(seed, 0).choice(len(counts), p=counts / counts.sum())
  return prior.families[place] or None


def _random(seed: int, stream: int) -> np.random.RandomState:
  key = np.array([seed % 2**64, stream], np.uint64)
  return np.random.RandomState(np.random.Philox(key=key))


def with_length(frames: np.ndarray, num_held: int) -> np.ndarray:
  """A note that is held for longer or shorter.

  Between its attack and its release, a longer note is stretched. The release
  begins where the shorter note has come to: it is moved in level and colour,
  which in frames is an offset.

  Args:
    frames: held for 3 of 4 s, `[T, W]`.
    num_held: frames to hold it for, at least 1.

  Returns:
    `[num_held + T / 4, W]`.
  """
  held = len(frames) * _HELD_SECONDS // (_HELD_SECONDS + RELEASE_SECONDS)
  if num_held <= held:
    kept = frames[:num_held]
  else:
    attack = frames[:_ATTACK_FRAMES]
    rest = frames[_ATTACK_FRAMES:held]
    places = np.linspace(0, len(rest) - 1, num_held - _ATTACK_FRAMES)
    before = np.minimum(places.astype(int), len(rest) - 2)
    part = (places - before)[:, None]
    rest = (1 - part) * rest[before] + part * rest[before + 1]
    kept = np.concatenate([attack, rest])
  release = frames[held:] + (kept[-1] - frames[held - 1])
  return np.concatenate([kept, release]).astype(np.float32)
