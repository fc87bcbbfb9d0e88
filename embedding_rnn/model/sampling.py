"""The autoregressive sampler: seeded, batched, with all its controls."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from embedding_rnn.model import infilling
from embedding_rnn.model.hparams import MAX_FRAMES, HParams
from embedding_rnn.utils import memory

# In functions, else: commands check their controls before its import.
if TYPE_CHECKING:
  import tensorflow as tf

  from embedding_rnn.model.decoder import Drawn

MAX_CANDIDATES = 1000
_GREEDY = (False, True, 'mean')
_MAX_TEMPERATURE_2 = 1000  # beyond it, there is nothing but noise
_ARRAYS = 4  # of all frames, that are there at once: noises, frames, batches


def sample(
  model: Any,
  pitches: Any = None,
  z: Any = None,
  *,
  num_frames: int | None = None,
  temperature: float = 1.0,
  temperature_2: float = 1.0,
  greedy: bool | str = False,
  top_p: float = 1.0,
  given: Any = None,
  is_given: Any = None,
  num_candidates: int = 1,
  seed: int | None = None,
  batch_size: int | None = None,
) -> tf.Tensor:
  """Draws notes from a model, frame by frame.

  Args:
    model: an embedding_rnn.Model.
    pitches: one-hot `[B, 128]`; for an unconditional model only B counts.
    z: `[B, Z]`; drawn from N(0, I) if None. Not for unconditional models.
    num_frames: T; that of `given` if there is any, else hps.max_seq_len.
    temperature: of the choice of a component, above 0; below 1 it favours the
      likely ones.
    temperature_2: of the component's noise, from 0 to 1000: its variance is
      scaled.
    greedy: True takes the likeliest component. Noise is still added, as in
      2017; with temperature_2=0 the result is deterministic. 'mean' is truly
      greedy: each value is the mean of its mixture.
    top_p: from above 0 to 1; below 1, only the likeliest components are drawn
      from, see `mixture.truncate`. Without effect if greedy.
    given: `[B, T, W]` in the model's format: notes of which some frames are to
      be kept. With hps.difference_input, where frames are differences, what is
      kept is their sum up to a frame, for that is the original frame. The loop
      goes on from given frames, and is drawn towards those that come next.
    is_given: bool `[B, T]`, where `given` counts, in the model's order (with
      hps.difference_input the last frame of a note comes first).
    num_candidates: how many to draw of each note. The one that leads up to the
      given frames best is returned: that of the largest weight in importance
      sampling, see `Decoder.generate`.
    seed: of all randomness; fresh randomness if None. A note's randomness
      depends on its place in the batch, not on the size of the batch.
    batch_size: notes (each candidate counts) to sample at a time; all if None.
      The result does not depend on it, beyond rounding.

  Returns:
    float32 `[B, T, W]` in the model's format.

  Raises:
    ValueError: for arguments out of range or of the wrong shape.
  """
  import tensorflow as tf

  check_controls(temperature, temperature_2, greedy, top_p)
  greedy = greedy if isinstance(greedy, str) else bool(greedy)
  pitches = _check_pitches(model, pitches)
  goal, pull = _check_given(model, given, is_given, len(pitches))
  num_frames = _choose_num_frames(model, num_frames, goal)
  check_size('num_candidates', num_candidates, MAX_CANDIDATES)
  if num_candidates > 1 and goal is None:
    raise ValueError(
      f'num_candidates={num_candidates}: expected no more than 1 without given '
      'frames to choose by.'
    )
  values = len(pitches) * num_candidates * num_frames * model.width
  memory.expect_memory(
    _ARRAYS * 4 * values,
    f'Sampling {len(pitches)} notes of {num_frames} frames, each '
    f'{num_candidates} times',
    'sample fewer or shorter notes at a time',
  )
  seed = _concrete(seed)
  z = _check_z(model, z, len(pitches), seed)
  if num_candidates > 1:
    pitches, z, goal, pull = (
      None if x is None else tf.repeat(x, num_candidates, axis=0)
      for x in (pitches, z, goal, pull)
    )
  shape = [len(pitches), num_frames, model.width]
  uniform = tf.random.stateless_uniform(shape, _seed_pair(seed, 1))
  normal = tf.random.stateless_normal(shape, _seed_pair(seed, 2))
  controls = (
    tf.constant(temperature, tf.float32),
    tf.constant(temperature_2, tf.float32),
    greedy,
    1.0 if top_p == 1 else tf.constant(top_p, tf.float32),
  )
  drawn = in_batches(
    lambda pitches, z, uniform, normal, *known: model.generate(
      pitches, z, uniform, normal, *controls, *known
    ),
    [pitches, z, uniform, normal, goal, pull],
    len(pitches) if batch_size is None else batch_size,
  )
  return _choose(drawn, num_candidates)


def default_controls(hps: HParams) -> dict[str, float]:
  """The temperatures of `sample` at which notes of a model are made and judged.

  Commands take them where the user says nothing. With errors that hang together
  from frame to frame (hps.error_order), the level of a note is then about as
  steady as a real one's; with white errors, notes are drawn as in 2017.
  """
  if hps.error_order:
    return {'temperature': 0.5, 'temperature_2': 0.25}
  return {'temperature': 1.0, 'temperature_2': 1.0}


def check_controls(
  temperature: float = 1.0,
  temperature_2: float = 1.0,
  greedy: bool | str = False,
  top_p: float = 1.0,
) -> None:
  """Raises ValueError for controls of `sample` that are out of range."""
  if not 0 < _as_float32(temperature) < np.inf:
    raise ValueError(f'temperature={temperature!r}: expected more than 0.')
  if not 0 <= _as_float32(temperature_2) <= _MAX_TEMPERATURE_2:
    raise ValueError(
      f'temperature_2={temperature_2!r}: expected at least 0, at most '
      f'{_MAX_TEMPERATURE_2}.'
    )
  if greedy not in _GREEDY:
    raise ValueError(f"greedy={greedy!r}: expected False, True or 'mean'.")
  if not 0 < _as_float32(top_p) <= 1:
    raise ValueError(f'top_p={top_p!r}: expected more than 0 and at most 1.')


def check_size(name: str, value: Any, maximum: int, minimum: int = 1) -> None:
  """Raises ValueError for a size that is no whole number, or out of range."""
  is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
  if not is_whole or not minimum <= value <= maximum:
    raise ValueError(
      f'{name}={value!r}: expected a whole number, at least {minimum}, at most '
      f'{maximum:,}.'
    )


def check_seed(seed: Any) -> None:
  """Raises ValueError for a seed that is not a whole number of 64 bits."""
  is_whole = isinstance(seed, numbers.Integral)
  if not is_whole or not -(2**63) <= seed < 2**63:
    raise ValueError(f'seed={seed!r}: expected a whole number of 64 bits.')


def _as_float32(value: Any) -> float:
  """As the graph sees it, where very small or large is 0 or infinite."""
  if not isinstance(value, numbers.Real):
    return np.nan
  with np.errstate(over='ignore'):
    return float(np.float32(value))


def draw_latents(
  model: Any, num_notes: int, seed: int | None = None
) -> tf.Tensor:
  """Latents `[num_notes, Z]` from the prior N(0, I).

  They are those that `sample` draws with the same seed when z is None. A model
  with no_sample_vae was not trained to have a prior, so that its notes from
  here may be unlike any note; vary latents of real notes instead.

  Raises:
    ValueError: for an unconditional model, or less than one note.
  """
  import tensorflow as tf

  if not model.conditional:
    raise ValueError('An unconditional model has no latents to draw.')
  if num_notes < 1:
    raise ValueError(f'num_notes={num_notes}: expected at least 1.')
  shape = [num_notes, model.hps.z_size]
  return tf.random.stateless_normal(shape, _seed_pair(_concrete(seed), 0))


def _seed_pair(seed: int, purpose: int) -> tf.Tensor:
  import tensorflow as tf

  return tf.constant([seed, purpose], tf.int64)


def _concrete(seed: int | None) -> int:
  if seed is None:
    return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
  check_seed(seed)
  return int(seed)


def _check_pitches(model, pitches):
  import tensorflow as tf

  if pitches is None:
    raise ValueError(
      'pitches=None: expected one-hots [B, 128]; an unconditional model takes '
      'its batch size from them.'
    )
  pitches = tf.convert_to_tensor(pitches, tf.float32)
  size = model.condition_size
  if pitches.shape.rank != 2 or pitches.shape[1] != size or not len(pitches):
    raise ValueError(
      f'pitches of shape {tuple(pitches.shape)}: expected one-hots '
      f'[B, {size}], at least one.'
    )
  return pitches


def _check_z(model, z, num_notes, seed):
  import tensorflow as tf

  if not model.conditional:
    if z is not None:
      raise ValueError('An unconditional model takes no z; pass z=None.')
    return None
  if z is None:
    return draw_latents(model, num_notes, seed)
  z = tf.convert_to_tensor(z, tf.float32)
  shape = [num_notes, model.hps.z_size]
  if z.shape != shape:
    raise ValueError(f'z of shape {tuple(z.shape)}: expected {shape}.')
  if not np.isfinite(z).all():
    raise ValueError('z holds NaN or infinity; repair the latents.')
  return z


def _check_given(model, given, is_given, num_notes):
  """-> goal and pull of `Decoder.generate`, or None and None."""
  import tensorflow as tf

  if (given is None) != (is_given is None):
    raise ValueError('given and is_given: expected both or neither.')
  if given is None:
    return None, None
  given, is_given = np.asarray(given), np.asarray(is_given)
  expected = (num_notes, *given.shape[1:2], model.width)
  if given.shape != expected or is_given.shape != expected[:2]:
    raise ValueError(
      f'given of shape {given.shape} and is_given of {is_given.shape}: '
      f'expected [{num_notes}, T, {model.width}] and [{num_notes}, T].'
    )
  if is_given.dtype != bool:
    raise ValueError(f'is_given of dtype {is_given.dtype}: expected bool.')
  if not np.isfinite(given).all():
    raise ValueError('given holds NaN or infinity; repair the notes.')
  if model.hps.difference_input:
    given = np.cumsum(given, axis=1, dtype=np.float64)
  goal, steps = infilling.look_ahead(given, is_given)
  return tf.constant(goal, tf.float32), tf.constant(1 / steps, tf.float32)


def _choose_num_frames(model, num_frames, goal):
  if num_frames is None:
    return model.hps.max_seq_len if goal is None else goal.shape[1]
  check_size('num_frames', num_frames, MAX_FRAMES)
  if goal is not None and num_frames != goal.shape[1]:
    raise ValueError(
      f'num_frames={num_frames}, but {goal.shape[1]} frames in given; leave '
      'num_frames out.'
    )
  return num_frames


def _choose(drawn: Drawn, num_candidates: int) -> tf.Tensor:
  """The best candidate of each note."""
  import tensorflow as tf

  if num_candidates == 1:
    return drawn.frames
  weights = tf.reshape(drawn.log_weight, [-1, num_candidates])
  best = tf.argmax(weights, axis=1, output_type=tf.int32)
  starts = tf.range(len(weights)) * num_candidates
  return tf.gather(drawn.frames, starts + best)


def in_batches(function: Callable, arrays: list, batch_size: int) -> Any:
  """Applies a function to slices of arrays and joins its results.

  Args:
    function: of tensors `[B, ...]`, giving tensors `[B, ...]`, row by row.
    arrays: its arguments, `[N, ...]` each, or None.
    batch_size: B, at most N is used. The last slice is filled up with copies of
      the last row, so that the function is compiled for one size only.

  Returns:
    What the function gives, for all N rows.

  Raises:
    ValueError: for a batch size below 1.
  """
  import tensorflow as tf

  if batch_size < 1:
    raise ValueError(f'batch_size={batch_size}: expected at least 1.')
  num_rows = next(len(x) for x in arrays if x is not None)
  if batch_size >= num_rows:
    return function(*arrays)
  parts = []
  for start in range(0, num_rows, batch_size):
    rows = tf.minimum(tf.range(start, start + batch_size), num_rows - 1)
    parts.append(
      function(*(None if x is None else tf.gather(x, rows) for x in arrays))
    )
  return tf.nest.map_structure(
    lambda *slices: tf.concat(slices, axis=0)[:num_rows], *parts
  )
