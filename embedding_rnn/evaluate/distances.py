"""How far two sets of notes lie apart, as sets: do samples look like notes?

Each note is described by a few features; the two clouds of features are then
compared by the Fréchet distance of Gaussians fitted to them (Heusel et al.,
arXiv 1706.08500) and by the maximum mean discrepancy (Gretton et al., JMLR 13,
2012). Neither pairs notes up.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_ROWS_AT_ONCE = 1024
_MAX_MEDIAN_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class NoteFeatures:
  """Four features of each channel, in units of their spread over real notes.

  They are the channel's level (mean over time), its range (standard deviation
  over time), its course (mean of the second half less that of the first) and
  its roughness (root mean square of the steps between frames): timbre, dynamics
  and what samplers get wrong most often, frames that jitter. A note's values
  themselves would be 2000 dimensions, in which the covariance of a few hundred
  notes says little, and its principal components would not see any jitter.

  Attributes:
    mean: of the notes that it was fitted to, `[4 W]`.
    std: theirs, `[4 W]`; 1 for features that do not vary.
  """

  mean: np.ndarray
  std: np.ndarray

  @classmethod
  def fit(cls, notes: np.ndarray) -> NoteFeatures:
    """The features, scaled by real notes `[N, T, W]`."""
    features = _describe(notes)
    std = features.std(axis=0)
    return cls(features.mean(axis=0), np.where(std > 0, std, 1.0))

  def __call__(self, notes: np.ndarray) -> np.ndarray:
    """Notes `[N, T, W]` -> float64 features `[N, 4 W]`."""
    return (_describe(notes) - self.mean) / self.std


def _describe(notes: np.ndarray) -> np.ndarray:
  notes = np.asarray(notes, np.float64)
  num_frames = notes.shape[1]
  halves = notes[:, num_frames // 2 :], notes[:, : (num_frames + 1) // 2]
  course = halves[0].mean(axis=1) - halves[1].mean(axis=1)
  steps = np.square(np.diff(notes, axis=1)).sum(axis=1) / max(1, num_frames - 1)
  return np.concatenate(
    [notes.mean(axis=1), notes.std(axis=1), course, np.sqrt(steps)], axis=1
  )


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
  """The squared Fréchet distance of Gaussians fitted to two sets of features.

  It grows when the sets are small: compare it with that of two halves of one
  set. A covariance of fewer rows than features is singular, which is no problem
  here: nothing is inverted.

  Args:
    first: `[N, D]`, at least two rows.
    second: `[M, D]`, at least two rows.

  Raises:
    ValueError: for other shapes, or features that are not finite.
  """
  first, second = _check(first, second)
  return frechet_distance_of_gaussians(
    first.mean(axis=0),
    np.atleast_2d(np.cov(first, rowvar=False)),
    second.mean(axis=0),
    np.atleast_2d(np.cov(second, rowvar=False)),
  )


def frechet_distance_of_gaussians(
  mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray
) -> float:
  """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and Landau, 1982)."""
  # With C = R R^T, tr (C1 C2)^(1/2) is the sum of the singular values of
  # R1^T R2: no square root of a matrix that is not symmetric.
  cross = _root(cov_1).T @ _root(cov_2)
  trace = np.linalg.svd(cross, compute_uv=False).sum()
  distance = np.square(mean_1 - mean_2).sum()
  distance += np.trace(cov_1) + np.trace(cov_2) - 2.0 * trace
  return max(0.0, float(distance))


def _root(cov: np.ndarray) -> np.ndarray:
  """R with R R^T = cov."""
  variance, directions = np.linalg.eigh(cov)
  return directions * np.sqrt(np.maximum(variance, 0.0))


def median_distance(features: np.ndarray) -> float:
  """Median Euclidean distance between rows `[N, D]`: a kernel's bandwidth.

  Of more than 1000 rows, so many are used, evenly spread. It is 1 if there are
  not two rows, or most of them are equal.
  """
  if len(features) < 2:
    return 1.0
  rows = np.linspace(0, len(features) - 1, min(len(features), _MAX_MEDIAN_ROWS))
  features = features[rows.astype(int)]
  pairs = np.triu_indices(len(features), 1)
  squares = _square_distances(features, features)[pairs]
  return float(np.sqrt(np.median(squares))) or 1.0


def squared_mmd(
  first: np.ndarray, second: np.ndarray, bandwidth: float
) -> float:
  """The squared maximum mean discrepancy of two sets of features, unbiased.

  The kernel is exp(-|x - y|^2 / (2 bandwidth^2)). It is 0 on average, and so
  negative half the time, if both sets are drawn from one distribution, whatever
  their sizes. The usual bandwidth is the `median_distance` of the reference;
  for the sets, and errors, see `frechet_distance`.
  """
  first, second = _check(first, second)
  if not bandwidth > 0:
    raise ValueError(f'bandwidth={bandwidth}: expected more than 0.')
  n, m = len(first), len(second)
  within = (_kernel_sum(first, first, bandwidth) - n) / (n * (n - 1))
  within += (_kernel_sum(second, second, bandwidth) - m) / (m * (m - 1))
  between = _kernel_sum(first, second, bandwidth) / (n * m)
  return float(within - 2.0 * between)


def _kernel_sum(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
  """The kernel of all pairs, summed, in blocks."""
  total = 0.0
  for start in range(0, len(x), _ROWS_AT_ONCE):
    squares = _square_distances(x[start : start + _ROWS_AT_ONCE], y)
    total += np.exp(squares / (-2.0 * bandwidth**2)).sum()
  return total


def _square_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
  return np.maximum(squares - 2.0 * (x @ y.T), 0.0)


def _check(
  first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  first, second = (np.asarray(x, np.float64) for x in (first, second))
  shapes = first.shape, second.shape
  if (
    [len(shape) for shape in shapes] != [2, 2]
    or first.shape[1] != second.shape[1]
    or min(len(first), len(second)) < 2
  ):
    raise ValueError(
      'Expected two sets of features [N, D] and [M, D], at least two rows '
      f'each, got shapes {shapes[0]} and {shapes[1]}.'
    )
  if not (np.isfinite(first).all() and np.isfinite(second).all()):
    raise ValueError('The features hold NaN or infinity; expected finite ones.')
  return first, second
