"""What is done to notes before the model sees them, and how it is undone.

Frames `[N, T, W]` are first differenced in time, then projected on principal
components, each only if the hyperparameters ask for it. The inverse goes the
other way. Both are for arrays, and with `xp=tf.experimental.numpy` for tensors.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from embedding_rnn.model.hparams import HParams
from embedding_rnn.utils import files, reading


class Difference:
  """Reversed first differences in time.

  A zero frame is put after the note, time is reversed, and each frame is
  replaced by its difference from the one before. So frame 0 of the result is
  the note's last frame, and the note is the reversed cumulative sum.
  """

  def forward(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Notes `[N, T, W]` to their differences, of the same shape."""
    frames = _as_float(frames, xp)[..., ::-1, :]
    steps = frames[..., 1:, :] - frames[..., :-1, :]
    return xp.concatenate([frames[..., :1, :], steps], axis=-2)

  def inverse(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Differences `[N, T, W]` to notes, of the same shape."""
    frames = _as_float(frames, xp)
    # In float64, or the rounding errors of all frames would add up.
    notes = xp.cumsum(frames, axis=-2, dtype=np.float64)[..., ::-1, :]
    return xp.array(notes, frames.dtype)

  def to_arrays(self) -> dict[str, np.ndarray]:
    """Nothing: there is nothing to remember."""
    return {}

  @classmethod
  def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Difference:
    """The transform, from what `to_arrays` gave."""
    del arrays
    return cls()


class WhitenedPCA:
  """Principal components of the channels, scaled to unit variance.

  Attributes:
    mean: the mean frame, `[W]`.
    components: the orthonormal principal directions, `[K, W]`, in the order of
      their variance.
    variance: the variance of the data in each direction, `[K]`.
  """

  def __init__(
    self, mean: np.ndarray, components: np.ndarray, variance: np.ndarray
  ):
    self.mean = np.asarray(mean, np.float64)
    self.components = np.asarray(components, np.float64)
    self.variance = np.asarray(variance, np.float64)
    shapes = self.mean.shape, self.components.shape, self.variance.shape
    if self.components.ndim != 2 or shapes != (
      self.components.shape[1:],
      self.components.shape,
      self.components.shape[:1],
    ):
      raise ValueError(
        'mean, components and variance must be [W], [K, W] and [K], got '
        f'{shapes[0]}, {shapes[1]} and {shapes[2]}.'
      )
    finite = all(
      np.isfinite(a).all() for a in (self.mean, self.components, self.variance)
    )
    if not finite or not (self.variance > 0).all():
      raise ValueError(
        'mean, components and variance must be finite and the variance '
        f'positive, got variance {self.variance}; fit the PCA again.'
      )

  @classmethod
  def fit(
    cls, frames: np.ndarray | Iterable[np.ndarray], num_components: int
  ) -> WhitenedPCA:
    """Finds the principal components of frames.

    Memory does not grow with the number of frames. The signs of the
    components, which the mathematics leaves open, are such that the largest
    entry of each is positive.

    Args:
      frames: `[..., W]`, or an iterable of such arrays.
      num_components: how many to keep, K, from 1 to W.

    Returns:
      The fitted transform.

    Raises:
      ValueError: for K out of range, fewer than two frames, NaN or infinity,
        or data with fewer than K directions in which it varies.
    """
    if isinstance(frames, np.ndarray):
      frames = [frames]
    count, mean, scatter = _moments(frames)
    if not 1 <= num_components <= len(mean):
      raise ValueError(
        f'n_pca_components must be from 1 to the {len(mean)} channels of the '
        f'data, got {num_components}.'
      )
    if count < 2:
      raise ValueError(
        f'PCA needs at least two frames, got {count}; use more notes.'
      )
    if not np.isfinite(scatter).all():
      raise ValueError(
        'The frames given to PCA hold NaN or infinity; repair the data.'
      )
    variance, directions = np.linalg.eigh(scatter / (count - 1))
    variance, directions = variance[::-1], directions.T[::-1]  # Largest first.
    rank = int(np.sum(variance > 1e-12 * max(variance[0], 1e-300)))
    if rank < num_components:
      raise ValueError(
        f'The data varies in only {rank} directions, so n_pca_components can '
        f'be at most {rank}, got {num_components}.'
      )
    components = directions[:num_components]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(num_components), largest])
    return cls(mean, components * signs[:, None], variance[:num_components])

  def forward(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Frames `[..., W]` to components `[..., K]` of unit variance."""
    frames = _as_float(frames, xp)
    _check_width(frames, len(self.mean))
    centred = xp.asarray(frames, np.float64) - self.mean
    scores = centred @ self.components.T / np.sqrt(self.variance)
    return xp.asarray(scores, frames.dtype)

  def inverse(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Components `[..., K]` to frames `[..., W]`."""
    frames = _as_float(frames, xp)
    _check_width(frames, len(self.components))
    scores = xp.asarray(frames, np.float64) * np.sqrt(self.variance)
    return xp.asarray(scores @ self.components + self.mean, frames.dtype)

  def to_arrays(self) -> dict[str, np.ndarray]:
    """All that `from_arrays` needs: mean, components and variance."""
    return {
      'mean': self.mean,
      'components': self.components,
      'variance': self.variance,
    }

  @classmethod
  def from_arrays(cls, arrays: dict[str, np.ndarray]) -> WhitenedPCA:
    """The transform, from what `to_arrays` gave."""
    return cls(arrays['mean'], arrays['components'], arrays['variance'])


class OneScale:
  """Frames less their mean, divided by one number.

  Attributes:
    mean: the mean frame, `[W]`.
    scale: the number, the root of the channels' mean variance.
  """

  def __init__(self, mean: np.ndarray, scale: float):
    self.mean = np.asarray(mean, np.float64)
    self.scale = float(scale)
    if self.mean.ndim != 1 or not (
      np.isfinite(self.mean).all() and 0 < self.scale < np.inf
    ):
      raise ValueError(
        'mean must be finite, [W], and scale finite and positive, got shape '
        f'{self.mean.shape} and scale {self.scale}; fit the scale again.'
      )

  @classmethod
  def fit(cls, frames: Iterable[np.ndarray]) -> OneScale:
    """The transform for frames, an iterable of arrays `[..., W]`."""
    count, mean, scatter = _moments(frames)
    return cls(mean, np.sqrt(np.trace(scatter) / (count * len(mean))))

  def forward(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Frames `[..., W]` to scaled ones, of the same shape."""
    frames = _as_float(frames, xp)
    precise = xp.asarray(frames, np.float64)
    return xp.asarray((precise - self.mean) / self.scale, frames.dtype)

  def inverse(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Scaled frames `[..., W]` to frames, of the same shape."""
    frames = _as_float(frames, xp)
    precise = xp.asarray(frames, np.float64)
    return xp.asarray(precise * self.scale + self.mean, frames.dtype)

  def to_arrays(self) -> dict[str, np.ndarray]:
    """All that `from_arrays` needs: mean and scale."""
    return {'mean': self.mean, 'scale': np.float64(self.scale)}

  @classmethod
  def from_arrays(cls, arrays: dict[str, np.ndarray]) -> OneScale:
    """The transform, from what `to_arrays` gave."""
    return cls(arrays['mean'], float(arrays['scale']))


# In their order, by the name of the attribute.
_STEPS: dict[str, Any] = {
  'difference': Difference,
  'pca': WhitenedPCA,
  'one_scale': OneScale,
}


class Transforms:
  """The transforms of a run, in their order: difference, then PCA or scale.

  Example:
    >>> transforms = Transforms.fit(hps, [train_frames])
    >>> batch = transforms.forward(frames)      # what the model sees
    >>> frames = transforms.inverse(samples)    # back to notes

  Attributes:
    seq_width: channels of a note's frame.
    width: channels of a frame that the model sees.
  """

  def __init__(
    self,
    seq_width: int,
    difference: Difference | None = None,
    pca: WhitenedPCA | None = None,
    one_scale: OneScale | None = None,
  ):
    if pca and one_scale:
      raise ValueError(
        'PCA and one_scale: expected one of them; a PCA on one scale has the '
        'same variance for all components.'
      )
    if one_scale and len(one_scale.mean) != seq_width:
      raise ValueError(
        f'The scale is for frames of {len(one_scale.mean)} channels, but '
        f'seq_width is {seq_width}; fit it again.'
      )
    if pca and len(pca.mean) != seq_width:
      raise ValueError(
        f'The PCA is for frames of {len(pca.mean)} channels, but seq_width is '
        f'{seq_width}; fit it again.'
      )
    self.seq_width = seq_width
    self.difference = difference
    self.pca = pca
    self.one_scale = one_scale
    self.width = len(pca.components) if pca else seq_width

  @classmethod
  def fit(cls, hps: HParams, train_chunks: Iterable[np.ndarray]) -> Transforms:
    """Builds what `hps` asks for and fits it to the training notes.

    Args:
      hps: of these, seq_width, difference_input, pca_dim_reduce,
        n_pca_components and one_scale are read. With the last, all components
        of a PCA are divided by one number, too.
      train_chunks: arrays `[n, T, seq_width]` of notes; not read without PCA
        or one_scale.

    Returns:
      The fitted transforms.

    Raises:
      ValueError: as `WhitenedPCA.fit`, or for notes of another width.
    """
    result = cls(hps.seq_width, Difference() if hps.difference_input else None)
    chunks = (result.forward(chunk) for chunk in train_chunks)
    if hps.pca_dim_reduce:
      pca = WhitenedPCA.fit(chunks, hps.n_pca_components)
      if hps.one_scale:
        variance = np.full_like(pca.variance, pca.variance.mean())
        pca = WhitenedPCA(pca.mean, pca.components, variance)
      return cls(hps.seq_width, result.difference, pca)
    if hps.one_scale:
      scale = OneScale.fit(chunks)
      return cls(hps.seq_width, result.difference, one_scale=scale)
    return result

  def forward(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Notes `[N, T, seq_width]` to model format `[N, T, width]`, float32."""
    frames = _as_float(frames, xp)
    _check_width(frames, self.seq_width)
    for step in self._steps().values():
      frames = step.forward(frames, xp) if step else frames
    return xp.asarray(frames, np.float32)

  def inverse(self, frames: np.ndarray, xp: Any = np) -> np.ndarray:
    """Model format `[N, T, width]` to notes `[N, T, seq_width]`, float32."""
    # Between the steps in float64, so that only the result is rounded.
    frames = xp.asarray(frames, np.float64)
    _check_width(frames, self.width)
    for step in reversed(self._steps().values()):
      frames = step.inverse(frames, xp) if step else frames
    return xp.asarray(frames, np.float32)

  def _steps(self) -> dict[str, Any]:
    return {name: getattr(self, name) for name in _STEPS}

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes everything to one .npz file, whole or not at all."""
    arrays = {
      'seq_width': np.int64(self.seq_width),
      'difference': np.int64(self.difference is not None),
      'pca': np.int64(self.pca is not None),
    }
    if self.one_scale:  # Versions that have none do not ask for it.
      arrays['one_scale'] = np.int64(1)
    for name, step in self._steps().items():
      if step:
        for key, value in step.to_arrays().items():
          arrays[f'{name}_{key}'] = value
    files.write_arrays(path, arrays)

  @classmethod
  def load(cls, path: str | os.PathLike[str]) -> Transforms:
    """Reads what `save` wrote.

    Args:
      path: the .npz file.

    Returns:
      The same transforms.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, or not a file of transforms.
    """
    reading.expect_plain_file(path)
    try:
      with open(path, 'rb') as file:
        content = io.BytesIO(file.read())
    except FileNotFoundError as error:
      raise FileNotFoundError(
        f'No transforms at {os.fspath(path)!r}; they are written when a run '
        'starts to train.'
      ) from error
    try:
      with np.load(content, allow_pickle=False) as file:
        arrays = dict(file)
      steps: dict[str, Any] = {}
      for name, kind in _STEPS.items():
        own = {
          key.removeprefix(f'{name}_'): value
          for key, value in arrays.items()
          if key.startswith(f'{name}_')
        }
        if name == 'one_scale':
          arrays.setdefault(name, np.int64(0))
        steps[name] = kind.from_arrays(own) if int(arrays[name]) else None
      return cls(int(arrays['seq_width']), **steps)
    except files.ARRAY_DAMAGE as error:
      raise ValueError(
        f'{os.fspath(path)!r} is damaged or holds no transforms: {error}; '
        'restore it from a copy, or train the run again.'
      ) from error


def _as_float(frames: np.ndarray, xp: Any) -> np.ndarray:
  """As float32, or float64 if it is that."""
  frames = xp.asarray(frames)
  return xp.asarray(frames, xp.result_type(frames, np.float32))


def _check_width(frames: np.ndarray, width: int) -> None:
  if frames.ndim < 2 or frames.shape[-1] != width:
    raise ValueError(
      f'Expected frames [N, T, {width}], got shape {frames.shape}; frames of '
      'another width belong to other data or other transforms.'
    )


def _moments(
  chunks: Iterable[np.ndarray],
) -> tuple[int, np.ndarray, np.ndarray]:
  """Count, mean [W] and scatter matrix [W, W] of the frames in all chunks."""
  count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
  for chunk in chunks:
    frames = chunk.reshape(-1, chunk.shape[-1]).astype(np.float64)
    if not len(frames):
      continue
    if not count:
      mean = np.zeros(frames.shape[1])
      scatter = np.zeros((frames.shape[1], frames.shape[1]))
    elif frames.shape[1] != len(mean):
      raise ValueError(
        f'All frames must have {len(mean)} channels as the first ones do, got '
        f'shape {chunk.shape}.'
      )
    # Chan, Golub & LeVeque (1979): merge two sets of centred moments.
    chunk_mean = frames.mean(axis=0)
    centred = frames - chunk_mean
    shift = chunk_mean - mean
    total = count + len(frames)
    scatter += centred.T @ centred
    scatter += np.outer(shift, shift) * (count * len(frames) / total)
    mean = mean + shift * (len(frames) / total)
    count = total
  if not count:
    raise ValueError('PCA needs at least two frames, got none; use more notes.')
  return count, mean, scatter
