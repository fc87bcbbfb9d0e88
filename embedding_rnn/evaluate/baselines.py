"""What a model must beat: simple ways to reconstruct, to sample, to predict.

Each is fitted to training notes and has those of the methods of a model that
make sense for it: `reconstruct`, `sample`, `log_prob`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

_RIDGE = 1e-6  # of the mean variance; a constant channel has no density else


class Baseline:
  """What all have; a method that makes no sense for one of them gives None.

  Attributes:
    min_size: notes, and frames of a note, that `fit` needs.
    takes_code_size: whether `fit` is told the code size of a model.
    in_model_format: whether its notes are as the model sees them.
  """

  min_size = 2
  takes_code_size = False
  in_model_format = False

  @property
  def code_size(self) -> int | None:
    """Numbers that `reconstruct` makes of a note."""

  def reconstruct(self, notes: np.ndarray) -> np.ndarray | None:
    """Notes `[N, T, W]` as they are after they were a code."""

  def sample(self, num_notes: int, seed: int) -> np.ndarray | None:
    """New notes, float32 `[num_notes, T, W]`."""

  def log_prob(self, notes: np.ndarray) -> np.ndarray | None:
    """Log density of notes `[N, T, W]`, in nats a note, `[N]`."""


@dataclasses.dataclass(frozen=True)
class MeanFrame(Baseline):
  """Each note as its own mean frame, repeated.

  Attributes:
    width: channels of a frame.
  """

  width: int
  min_size = 1

  @classmethod
  def fit(cls, notes: np.ndarray) -> MeanFrame:
    """That of notes `[N, T, W]`."""
    return cls(notes.shape[2])

  @property
  def code_size(self) -> int:
    """One number for each channel."""
    return self.width

  def reconstruct(self, notes: np.ndarray) -> np.ndarray:
    """Notes `[N, T, W]`, the same at each time."""
    return np.broadcast_to(notes.mean(axis=1, keepdims=True), notes.shape)


@dataclasses.dataclass(frozen=True)
class NotePCA(Baseline):
  """Principal components of whole notes: a linear code of a few numbers.

  As a generative model, its numbers are independent Gaussians.

  Attributes:
    mean: the mean note, `[T, W]`.
    components: orthonormal, the largest variance first, `[C, T * W]`.
    std: standard deviation of the code's numbers over the notes, `[C]`.
  """

  mean: np.ndarray
  components: np.ndarray
  std: np.ndarray
  takes_code_size = True

  @classmethod
  def fit(cls, notes: np.ndarray, code_size: int) -> NotePCA:
    """Finds the components of training notes.

    Args:
      notes: `[N, T, W]`, at least two.
      code_size: C; at most N or T * W of them are used.

    Raises:
      ValueError: for fewer notes, or a code size below 1.
    """
    if len(notes) < 2 or code_size < 1:
      raise ValueError(
        f'{len(notes)} notes and code_size={code_size}: expected at least two '
        'notes and one component.'
      )
    flat = np.asarray(notes, np.float64).reshape(len(notes), -1)
    mean = flat.mean(axis=0)
    values, components = _largest_singular(flat - mean, code_size)
    std = values / np.sqrt(len(flat) - 1)
    return cls(mean.reshape(notes.shape[1:]), components, std)

  @property
  def code_size(self) -> int:
    """One number for each component."""
    return len(self.components)

  def reconstruct(self, notes: np.ndarray) -> np.ndarray:
    """Notes `[N, T, W]` projected on the components, float32."""
    flat = (notes - self.mean).reshape(len(notes), -1)
    return self._decode(flat @ self.components.T)

  def sample(self, num_notes: int, seed: int) -> np.ndarray:
    """New notes, float32 `[num_notes, T, W]`."""
    shape = num_notes, len(self.components)
    normal = np.random.default_rng(seed).standard_normal(shape)
    return self._decode(normal * self.std)

  def _decode(self, code: np.ndarray) -> np.ndarray:
    notes = (code @ self.components).reshape(-1, *self.mean.shape)
    return (notes + self.mean).astype(np.float32)


def _largest_singular(
  matrix: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
  """The largest singular values, and their right vectors as rows."""
  if 4 * number < min(matrix.shape):  # beyond, the dense method is faster
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, values, vectors = scipy.sparse.linalg.svds(matrix, number, v0=start)
    return values[::-1], vectors[::-1]
  _, values, vectors = scipy.linalg.svd(matrix, full_matrices=False)
  return values[:number], vectors[:number]


@dataclasses.dataclass(frozen=True)
class Autoregression(Baseline):
  """Each frame a linear function of the one before, and Gaussian noise.

  x_0 ~ N(first_mean, first_cov); x_t = offset + matrix x_(t-1) + e_t with
  e_t ~ N(0, noise_cov). Fitted to the frames that a model sees: with PCA, these
  are whitened components; without, the model is the same one as in all of the
  components, for an invertible linear map only changes its coordinates.
  """

  first_mean: np.ndarray
  first_cov: np.ndarray
  offset: np.ndarray
  matrix: np.ndarray
  noise_cov: np.ndarray
  num_frames: int  # of a note
  in_model_format = True

  @classmethod
  def fit(cls, frames: np.ndarray) -> Autoregression:
    """The most likely one for notes `[N, T, W]`, N and T at least 2."""
    if frames.ndim != 3 or min(frames.shape[:2]) < 2:
      raise ValueError(
        f'Frames of shape {frames.shape}: expected [N, T, W], at least two '
        'notes of two frames.'
      )
    _, num_frames, width = frames.shape
    pairs = np.concatenate([frames[:, :-1], frames[:, 1:]], axis=2)
    mean, cov = _moments(pairs.reshape(-1, 2 * width))
    before, after = slice(None, width), slice(width, None)
    # With the ridge, a constant channel says nothing of the next frame.
    matrix = np.linalg.solve(_ridged(cov[before, before]), cov[before, after]).T
    noise_cov = (
      cov[after, after]
      - matrix @ cov[before, after]
      - cov[after, before] @ matrix.T
      + matrix @ cov[before, before] @ matrix.T
    )
    first_mean, first_cov = _moments(frames[:, 0])
    return cls(
      first_mean,
      _ridged(first_cov),
      mean[after] - matrix @ mean[before],
      matrix,
      _ridged(noise_cov),
      num_frames,
    )

  def log_prob(self, frames: np.ndarray) -> np.ndarray:
    """Log density of notes `[N, T, W]`, in nats a note, `[N]`."""
    frames = np.asarray(frames, np.float64)
    errors = frames[:, 1:] - self.offset - frames[:, :-1] @ self.matrix.T
    first = _log_normal(frames[:, 0] - self.first_mean, self.first_cov)
    return first + _log_normal(errors, self.noise_cov).sum(axis=1)

  def sample(self, num_notes: int, seed: int) -> np.ndarray:
    """New notes, float32 `[num_notes, T, W]`."""
    shape = self.num_frames, num_notes, len(self.offset)
    normal = np.random.default_rng(seed).standard_normal(shape)
    noise = normal @ np.linalg.cholesky(self.noise_cov).T
    frames = np.empty(shape)
    first = normal[0] @ np.linalg.cholesky(self.first_cov).T
    frames[0] = self.first_mean + first
    for t in range(1, self.num_frames):
      frames[t] = self.offset + frames[t - 1] @ self.matrix.T + noise[t]
    return frames.transpose(1, 0, 2).astype(np.float32)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  rows = np.asarray(rows, np.float64)
  mean = rows.mean(axis=0)
  return mean, (rows - mean).T @ (rows - mean) / len(rows)


def _ridged(cov: np.ndarray) -> np.ndarray:
  scale = np.trace(cov) / len(cov)
  return cov + np.eye(len(cov)) * (_RIDGE * scale or _RIDGE)


def _log_normal(errors: np.ndarray, cov: np.ndarray) -> np.ndarray:
  """Log density of N(0, cov) at `[..., W]`."""
  root = np.linalg.cholesky(cov)
  flat = errors.reshape(-1, len(cov)).T
  scaled = scipy.linalg.solve_triangular(root, flat, lower=True)
  squares = np.square(scaled).sum(axis=0).reshape(errors.shape[:-1])
  constant = len(cov) * np.log(2 * np.pi) + 2 * np.log(np.diag(root)).sum()
  return -0.5 * (squares + constant)
