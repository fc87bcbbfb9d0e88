"""A density of latents given family, pitch and velocity, fitted after training.

N(0, I) is where training draws latents to, not where those of notes lie (Ghosh
et al., arXiv 1903.12436). Here their means are a regression on family, pitch
and velocity, and what is left over is a mixture of Gaussians whose weights
depend on the family. All of it is a function of weights and data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data import checks, metadata
from embedding_rnn.data.dataset import NoteDataset, some_rows
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model import distribution, sampling

_MAX_NOTES = 16_384  # that it is fitted to
_MAX_COMPONENTS, _NOTES_A_COMPONENT = 32, 256
_RIDGE, _LEAST_VARIANCE = 10.0, 1e-5
_REG_COVAR = 0.3  # of residuals of unit variance
_PRIOR_NOTES = 5.0  # with the weights of all families, added to each
_OCTAVES = np.arange(21, 109, 12)  # from the lowest key of a piano
_NEAR_SEMITONES = 6
_NUM_STEPS, _TOLERANCE = 60, 1e-3  # of EM


@dataclasses.dataclass(frozen=True, eq=False)
class LatentPrior:
  """Where the latents of notes lie.

  Attributes:
    families: names of those that there are training notes of; one without a
      name if the data has none.
    counts: training notes of each family and pitch, `[F, 128]`.
    coefficients: of the regression, `[D, Z]`.
    weights: of the mixture for each family, `[F, K]`.
    means: of its components, `[K, Z]`.
    factors: their covariances are factor times its transpose, `[K, Z, Z]`.
  """

  families: tuple[str, ...]
  counts: np.ndarray
  coefficients: np.ndarray
  weights: np.ndarray
  means: np.ndarray
  factors: np.ndarray

  @classmethod
  def fit(
    cls,
    z: np.ndarray,
    families: Sequence[str] | None,
    pitches: np.ndarray,
    velocities: np.ndarray,
  ) -> LatentPrior:
    """Fits it to the latents `[N, Z]` of notes.

    Args:
      z: the latents.
      families: a name for each; None if there are none.
      pitches: MIDI numbers `[N]`.
      velocities: MIDI numbers `[N]`.
    """
    z = np.asarray(z, np.float64)
    names, ids = np.unique(families or [''] * len(z), return_inverse=True)
    counts = np.zeros((len(names), NUM_MIDI))
    np.add.at(counts, (ids, pitches), 1)
    inputs = _inputs(ids, len(names), pitches, velocities)
    ridge = np.full(inputs.shape[1], _RIDGE)
    ridge[0] = 1e-6  # the bias is free
    coefficients = np.linalg.solve(
      inputs.T @ inputs + np.diag(ridge), inputs.T @ z
    )
    residuals = z - inputs @ coefficients
    covariance = np.atleast_2d(np.cov(residuals, rowvar=False, bias=True))
    scale = np.linalg.cholesky(covariance + _LEAST_VARIANCE * np.eye(len(z[0])))
    white = np.linalg.solve(scale, residuals.T).T
    number = min(_MAX_COMPONENTS, max(1, len(z) // _NOTES_A_COMPONENT))
    mixture = fit_mixture(white, number, _REG_COVAR if number > 1 else 0.0)
    shares = mixture.responsibilities(white)
    of_family = np.eye(len(names))[ids].T @ shares
    of_family += _PRIOR_NOTES * mixture.weights
    return cls(
      families=tuple(map(str, names)),
      counts=counts,
      coefficients=coefficients,
      weights=of_family / of_family.sum(axis=1, keepdims=True),
      means=mixture.means @ scale.T,
      factors=scale @ mixture.factors,
    )

  def sample(
    self,
    normal: np.ndarray,
    uniform: np.ndarray,
    pitches: np.ndarray,
    families: str | Sequence[str | None] | None = None,
    velocities: Any = None,
  ) -> np.ndarray:
    """Latents of notes that are asked for.

    Args:
      normal: draws from N(0, 1), `[N, Z]`.
      uniform: draws from 0 to 1, `[N, 2]`.
      pitches: MIDI numbers `[N]`.
      families: a name for each, or one for all. For None, one is drawn: of
        those of the training notes whose pitches are near.
      velocities: MIDI numbers `[N]`, or one for all; 100 if None.

    Returns:
      float32 `[N, Z]`.

    Raises:
      ValueError: for a family that there is not, another number of them, or
        what is no velocity.
    """
    ids = self._ids(families, pitches, uniform[:, 0])
    velocities = _check_velocities(velocities, len(pitches))
    chosen = _choose(self.weights[ids], uniform[:, 1])
    inputs = _inputs(ids, len(self.families), pitches, velocities)
    z = inputs @ self.coefficients + self.means[chosen]
    z += np.einsum('nij,nj->ni', self.factors[chosen], normal)
    return z.astype(np.float32)

  def log_prob(
    self,
    z: np.ndarray,
    families: Sequence[str] | None,
    pitches: np.ndarray,
    velocities: np.ndarray,
  ) -> np.ndarray:
    """Log densities `[N]` of latents `[N, Z]`; arguments as of `fit`."""
    ids = self._ids(families or [''] * len(z), pitches, np.zeros(len(z)))
    inputs = _inputs(ids, len(self.families), pitches, velocities)
    residuals = z - inputs @ self.coefficients
    parts = Mixture(self.weights[ids], self.means, self.factors)
    return np.logaddexp.reduce(parts.log_joint(residuals), axis=1)

  def arrays(self) -> dict[str, np.ndarray]:
    """What `from_arrays` takes: all of it, for a file."""
    fields = dataclasses.fields(self)
    return {
      field.name: np.asarray(getattr(self, field.name)) for field in fields
    }

  @classmethod
  def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LatentPrior:
    """The prior of which `arrays` were given; KeyError if one is missing."""
    names = [field.name for field in dataclasses.fields(cls)]
    values: dict[str, Any] = {name: arrays[name] for name in names}
    return cls(**values | {'families': tuple(map(str, values['families']))})

  def _ids(self, families, pitches, uniform):
    """-> indices of families `[N]`."""
    if families is None or isinstance(families, str):
      families = [families] * len(pitches)
    if len(families) != len(pitches):
      raise ValueError(
        f'{len(families)} families but {len(pitches)} pitches; give one for '
        'each, or one for all.'
      )
    self.check_families(families)
    distances = np.abs(np.subtract.outer(pitches, np.arange(NUM_MIDI)))
    has_notes = self.counts.any(axis=0)
    nearest = distances[:, has_notes].min(axis=1, keepdims=True)
    near = distances <= np.maximum(nearest, _NEAR_SEMITONES)
    ids = _choose(near @ self.counts.T, uniform)
    known = {name: i for i, name in enumerate(self.families)}
    asked = [known.get(name, -1) for name in families]
    return np.where(np.asarray(asked) >= 0, asked, ids)

  def check_families(self, families: Sequence[str | None]) -> None:
    """Raises ValueError for names of families that it does not know."""
    there_are = f'there are: {", ".join(self.families)}'
    if self.families == ('',):
      there_are = 'the notes that it was trained on have no families'
    for name in families:
      if name is not None and name not in self.families:
        raise ValueError(f'There is no family {name!r}; {there_are}.')


def fit_prior(
  model: Any, dataset: NoteDataset, transforms: Transforms, encode: Any = None
) -> LatentPrior:
  """The prior of the training notes as a model encodes them.

  Args:
    model: a conditional model.
    dataset: the notes. Of more than 16384 for training, so many are used,
      evenly spread.
    transforms: from them to the model's format.
    encode: of `compiled_encode`, if there is one already.
  """
  encode = encode or compiled_encode(model)
  rows = some_rows(np.sort(dataset.rows['train']), _MAX_NOTES)
  z = [
    sampling.in_batches(encode, [transforms.forward(frames)], 64).z.numpy()
    for frames in dataset.chunks(rows)
  ]
  pitches, velocities = dataset.midi_numbers(rows)
  families = dataset.names(metadata.FAMILIES, rows)
  return LatentPrior.fit(np.concatenate(z), families, pitches, velocities)


def compiled_encode(model: Any) -> Any:
  """The method `encode` of a model, compiled."""
  return tf.function(
    model.encode, autograph=False, jit_compile=distribution.prefers_xla()
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
  """A mixture of Gaussians in D dimensions.

  Attributes:
    weights: `[K]`; or `[N, K]`, others for each point.
    means: `[K, D]`.
    factors: lower triangles of which the covariances are squares, `[K, D, D]`.
  """

  weights: np.ndarray
  means: np.ndarray
  factors: np.ndarray

  def log_joint(self, x: np.ndarray) -> np.ndarray:
    """Log density of points `[N, D]` and component, `[N, K]`."""
    parts = []
    for mean, factor in zip(self.means, self.factors, strict=True):
      white = (x - mean) @ np.linalg.inv(factor).T
      log_volume = np.log(np.diag(factor)).sum()
      parts.append(-0.5 * np.square(white).sum(axis=1) - log_volume)
    constant = 0.5 * x.shape[1] * np.log(2 * np.pi)
    return np.log(self.weights) + np.stack(parts, axis=1) - constant

  def responsibilities(self, x: np.ndarray) -> np.ndarray:
    """Probabilities of the components given points `[N, D]`, `[N, K]`."""
    joint = self.log_joint(x)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))


def fit_mixture(
  x: np.ndarray, num_components: int, reg_covar: float
) -> Mixture:
  """Fits a mixture to points `[N, D]` by expectation maximisation.

  Args:
    x: the points.
    num_components: K.
    reg_covar: what is added to variances, so that none vanishes.
  """
  shares = np.eye(num_components)[_clusters(x, num_components)]
  mixture = _maximise(x, shares, reg_covar)
  before = -np.inf
  for _ in range(_NUM_STEPS):
    joint = mixture.log_joint(x)
    total = np.logaddexp.reduce(joint, axis=1, keepdims=True)
    mixture = _maximise(x, np.exp(joint - total), reg_covar)
    if abs(total.mean() - before) < _TOLERANCE:
      break
    before = total.mean()
  return mixture


def _maximise(x: np.ndarray, shares: np.ndarray, reg_covar: float) -> Mixture:
  """The likeliest mixture, given each component's share in each point."""
  sizes = shares.sum(axis=0) + 1e-14
  means = shares.T @ x / sizes[:, None]
  factors = []
  for share, size, mean in zip(shares.T, sizes, means, strict=True):
    covariance = (share[:, None] * (x - mean)).T @ (x - mean) / size
    covariance += max(reg_covar, 1e-9) * np.eye(x.shape[1])
    factors.append(np.linalg.cholesky(covariance))
  return Mixture(sizes / sizes.sum(), means, np.stack(factors))


def _clusters(x: np.ndarray, number: int) -> np.ndarray:
  """Clusters of points, `[N]`: k-means++ and some steps of k-means."""
  random = np.random.RandomState(0)
  centres = x[:1]
  squares = np.square(x - centres).sum(axis=1)
  for _ in range(1, number):
    row = _choose(squares[None] + 1e-12, random.random_sample(1))
    centres = np.concatenate([centres, x[row]])
    squares = np.minimum(squares, np.square(x - x[row]).sum(axis=1))
  for _ in range(20):
    distances = np.square(centres).sum(axis=1) - 2 * x @ centres.T
    nearest = distances.argmin(axis=1)
    centres = np.stack(
      [
        x[nearest == k].mean(axis=0) if (nearest == k).any() else centre
        for k, centre in enumerate(centres)
      ]
    )
  return nearest


def _choose(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
  """Columns of weights `[N, K]`, drawn in proportion, `[N]`."""
  cumulative = np.cumsum(weights, axis=1)
  chosen = uniform[:, None] * cumulative[:, -1:] < cumulative
  return chosen.argmax(axis=1)


def _inputs(
  ids: np.ndarray, num_families: int, pitches: np.ndarray, velocities: Any
) -> np.ndarray:
  """What latents are regressed on, `[N, D]`."""
  families = np.eye(num_families)[ids]
  pitch, velocity = (
    np.asarray(pitches)[:, None],
    velocities[:, None] / 127 - 0.5,
  )
  octaves = np.exp(-0.5 * np.square((pitch - _OCTAVES) / 12))
  height = (pitch - 64) / 43
  return np.concatenate(
    [
      np.ones_like(velocity),
      families,
      octaves,
      velocity,
      velocity**2,
      families * height,
      families * velocity,
      octaves * velocity,
    ],
    axis=1,
  )


def _check_velocities(velocities: Any, number: int) -> np.ndarray:
  given = np.asarray(
    checks.DEFAULT_VELOCITY if velocities is None else velocities
  )
  if (
    given.dtype.kind not in 'iu'
    or given.shape not in ((), (number,))
    or not ((given >= 0) & (given < NUM_MIDI)).all()
  ):
    raise ValueError(
      f'velocity={velocities!r}: expected a MIDI velocity from 0 to '
      f'{NUM_MIDI - 1} for each of the {number} notes, or one for all.'
    )
  return np.broadcast_to(given, (number,))
