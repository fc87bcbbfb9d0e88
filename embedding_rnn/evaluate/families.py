"""Which instrument family notes sound like, to a classifier of real notes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

_SHRINKAGE = 0.05  # of the covariance towards a multiple of I


@dataclasses.dataclass(frozen=True, eq=False)
class FamilyClassifier:
  """Linear discriminant analysis of the features of notes (Fisher, 1936).

  Attributes:
    families: their names.
    coefficients: `[D, F]`.
    intercepts: `[F]`.
  """

  families: tuple[str, ...]
  coefficients: np.ndarray
  intercepts: np.ndarray

  @classmethod
  def fit(
    cls, features: np.ndarray, families: Sequence[str]
  ) -> FamilyClassifier:
    """Fits it to the features `[N, D]` of notes, and their families `[N]`."""
    names, ids = np.unique(families, return_inverse=True)
    members = np.eye(len(names))[ids]
    sizes = members.sum(axis=0)
    means = members.T @ features / sizes[:, None]
    within = features - means[ids]
    covariance = within.T @ within / len(features)
    size = np.trace(covariance) / len(covariance) or 1.0
    covariance *= 1 - _SHRINKAGE
    covariance += _SHRINKAGE * size * np.eye(len(covariance))
    coefficients = np.linalg.solve(covariance, means.T)
    intercepts = -0.5 * (means.T * coefficients).sum(axis=0)
    intercepts += np.log(sizes / len(features))
    return cls(tuple(map(str, names)), coefficients, intercepts)

  def __call__(self, features: np.ndarray) -> np.ndarray:
    """The likeliest family of each of some notes, names `[N]`."""
    scores = features @ self.coefficients + self.intercepts
    return np.asarray(self.families)[scores.argmax(axis=1)]

  def measures(
    self, features: np.ndarray, families: Sequence[str]
  ) -> dict[str, float | dict[str, float]]:
    """How often notes are taken for what they are, or are to be.

    Args:
      features: `[N, D]`.
      families: of each note, `[N]`; notes of those that the classifier does not
        know are left out.

    Returns:
      'family_accuracy' over all notes, and 'family_accuracies' by family.
    """
    wanted = np.asarray(families)
    is_right = self(features) == wanted
    shares = {
      name: float(is_right[wanted == name].mean())
      for name in self.families
      if (wanted == name).any()
    }
    if not shares:
      return {}
    known = np.isin(wanted, self.families)
    return {
      'family_accuracy': float(is_right[known].mean()),
      'family_accuracies': shares,
    }
