"""Arithmetic of latents: between two notes, and from one note to another.

Latents come from `Run.encode` or `Run.draw_latents` and are sampled
by `Run.sample`:

  z = run.encode(notes).z
  path = latents.interpolate(z[0], z[1], np.linspace(0, 1, 9))
  frames = run.sample(60, path)

They are those before the tanh of a model with clip_z_with_tanh. Where latents
are not near N(0, I), as with no_sample_vae, 'straight' is the natural way
between two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
  import tensorflow as tf

_KINDS = ('spherical', 'straight')
_PARALLEL = 1e-6  # radians from 0 or pi
# Of the gradient descent on latents (Adam), in which their scale is about 1.
_NUM_REFINEMENTS, _REFINEMENT_RATE = 20, 0.06
_DECAYS, _EPSILON = (0.9, 0.99), 1e-7


def interpolate(
  start: npt.ArrayLike,
  end: npt.ArrayLike,
  fractions: npt.ArrayLike,
  kind: str = 'spherical',
) -> np.ndarray:
  """Latents on the way from one to another.

  The spherical way turns at a constant rate from one direction to the other
  (Shoemake 1985) while the length changes at a constant rate. In between it
  stays as far from the origin as samples of the prior are, all of which lie
  near a sphere; a straight way comes too near (White, arXiv 1609.04468).

  Where there is no turn (parallel or zero latents, or Z = 1) the way is
  straight. Between opposite directions, where any way round is as short, it
  passes near the coordinate axis that is most nearly at right angles to both.

  Args:
    start: `[..., Z]`.
    end: `[..., Z]`.
    fractions: `[F]`, each from 0 (start) to 1 (end).
    kind: 'spherical' or 'straight'.

  Returns:
    float32 `[..., F, Z]`.

  Raises:
    ValueError: for another kind, latents of different sizes, fractions out of
      range, or NaN.
  """
  if kind not in _KINDS:
    raise ValueError(f'kind={kind!r}: expected one of {", ".join(_KINDS)}.')
  start, end = _check_latents(start, end)
  fractions = np.asarray(fractions, np.float64)
  if fractions.ndim != 1 or not ((0 <= fractions) & (fractions <= 1)).all():
    raise ValueError(
      f'fractions={fractions}: expected a list of numbers from 0 to 1.'
    )
  start, end, t = start[..., None, :], end[..., None, :], fractions[:, None]
  result = (1 - t) * start + t * end
  if kind == 'spherical' and start.shape[-1] > 1:
    turned, is_turn = _turn(start, end, t)
    result = np.where(is_turn, turned, result)
  return result.astype(np.float32)


def analogy(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> np.ndarray:
  """What a has and b has not, given to c: a - b + c.

  With latents of a loud and a soft note of one instrument and a soft one of
  another, the result should be a loud one of that other.

  Args:
    a: `[..., Z]`.
    b: `[..., Z]`.
    c: `[..., Z]`.

  Returns:
    float32 `[..., Z]`.

  Raises:
    ValueError: for latents of different sizes, or NaN.
  """
  a, b, c = _check_latents(a, b, c)
  return (a - b + c).astype(np.float32)


def refine(model: Any, frames: Any, pitches: Any, z: Any) -> tf.Tensor:
  """Latents that are nearer to their notes than those of an encoder.

  The encoder's latent is where gradient descent on the squared error begins
  (semi-amortised inference: Kim et al., arXiv 1802.02550). The weights stay as
  they are, and so does the size of the latent. Each note keeps the best of the
  latents on its way, and depends on no other.

  Args:
    model: an embedding_rnn.Model that hears no frames, so that a note is a
      function of z and pitch.
    frames: `[B, T, W]` in the model's format.
    pitches: one-hots `[B, 128]`.
    z: `[B, Z]`, to start from.

  Returns:
    `[B, Z]`.
  """
  import tensorflow as tf  # processes that draw figures do without it

  def error_and_gradient(z):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(z)
      made = model.free_running_mean(frames, pitches, z)
      error = tf.reduce_mean(tf.square(frames - made), axis=[1, 2])
    return error, tape.gradient(error, z)

  def better(error, z, best_error, best_z):
    is_better = error < best_error
    return (
      tf.where(is_better, error, best_error),
      tf.where(is_better[:, None], z, best_z),
    )

  def body(i, z, first, second, best_error, best_z):
    error, gradient = error_and_gradient(z)
    best_error, best_z = better(error, z, best_error, best_z)
    steps = tf.cast(i + 1, z.dtype)
    first = _DECAYS[0] * first + (1 - _DECAYS[0]) * gradient
    second = _DECAYS[1] * second + (1 - _DECAYS[1]) * tf.square(gradient)
    unbiased = tf.sqrt(1 - _DECAYS[1] ** steps) / (1 - _DECAYS[0] ** steps)
    z -= _REFINEMENT_RATE * unbiased * first / (tf.sqrt(second) + _EPSILON)
    return i + 1, z, first, second, best_error, best_z

  zeros, best_error = tf.zeros_like(z), tf.fill([tf.shape(z)[0]], np.inf)
  _, last_z, _, _, best_error, best_z = tf.while_loop(
    lambda i, *_: i < _NUM_REFINEMENTS,
    body,
    (0, z, zeros, zeros, best_error, z),
    maximum_iterations=_NUM_REFINEMENTS,
  )
  made = model.free_running_mean(frames, pitches, last_z)
  error = tf.reduce_mean(tf.square(frames - made), axis=[1, 2])
  return better(error, last_z, best_error, best_z)[1]


def _turn(start, end, t):
  """-> the spherical way, and where it exists; see `interpolate`."""
  lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (start, end)]
  a, b = (
    x / np.where(length > 0, length, 1.0)
    for x, length in zip((start, end), lengths, strict=True)
  )
  cosine = np.sum(a * b, axis=-1, keepdims=True)
  across = b - cosine * a
  sine = np.linalg.norm(across, axis=-1, keepdims=True)
  angle = np.arctan2(sine, cosine)
  is_opposite = angle > np.pi - _PARALLEL
  nearest_axis = np.argmin(np.abs(a), axis=-1)
  axis = np.eye(a.shape[-1])[nearest_axis]
  axis = axis - np.sum(axis * a, axis=-1, keepdims=True) * a
  across = np.where(is_opposite, axis, across)
  norm = np.linalg.norm(across, axis=-1, keepdims=True)
  across = across / np.where(norm > 0, norm, 1.0)
  length = (1 - t) * lengths[0] + t * lengths[1]
  turned = length * (np.cos(t * angle) * a + np.sin(t * angle) * across)
  is_turn = (angle > _PARALLEL) & (lengths[0] > 0) & (lengths[1] > 0)
  return turned, is_turn


def _check_latents(*given: npt.ArrayLike) -> list[np.ndarray]:
  latents = [np.asarray(z, np.float64) for z in given]
  shapes = [z.shape for z in latents]
  if any(not shape or shape[-1:] != shapes[0][-1:] for shape in shapes):
    raise ValueError(
      f'Latents of shapes {", ".join(map(str, shapes))}: expected [..., Z], '
      'with the same Z.'
    )
  try:
    np.broadcast_shapes(*shapes)
  except ValueError:
    raise ValueError(
      f'Latents of shapes {", ".join(map(str, shapes))}: expected as many of '
      'each, or one.'
    ) from None
  if not all(np.isfinite(z).all() for z in latents):
    raise ValueError('The latents hold NaN or infinity; repair them.')
  return latents
