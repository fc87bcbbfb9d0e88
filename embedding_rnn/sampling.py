"""The autoregressive sampler: one compiled loop over frames, batched."""

import numpy as np
import tensorflow as tf

from embedding_rnn import mixture, scan


def sample(
  model,
  pitches=None,
  z=None,
  *,
  num_frames: int | None = None,
  temperature: float = 1.0,
  temperature_2: float = 1.0,
  greedy: bool | str = False,
  seed: int | None = None,
  batch_size: int | None = None,
) -> tf.Tensor:
  """Draws notes from a model, frame by frame.

  Args:
    model: an embedding_rnn.Model.
    pitches: one-hot `[B, 128]`; for an unconditional model only B counts.
    z: `[B, Z]`; drawn from N(0, I) if None. Not for unconditional models.
    num_frames: T; hps.max_seq_len if None.
    temperature: of the choice of a component, above 0; below 1 it favours the
      likely ones.
    temperature_2: of the component's noise, at least 0: its variance is scaled.
    greedy: True takes the likeliest component. Noise is still added, as in
      2017; with temperature_2=0 the result is deterministic. 'mean' is truly
      greedy: each value is the mean of its mixture.
    seed: of all randomness; fresh randomness if None. A note's randomness
      depends on its place in the batch, not on the size of the batch.
    batch_size: notes to sample at a time; all if None. The result does not
      depend on it, beyond rounding.

  Returns:
    float32 `[B, T, W]` in the model's format.

  Raises:
    ValueError: for arguments out of range or of the wrong shape.
  """
  num_frames = model.hps.max_seq_len if num_frames is None else num_frames
  if num_frames < 1:
    raise ValueError(f'num_frames={num_frames}: expected at least 1.')
  if not temperature > 0:
    raise ValueError(f'temperature={temperature}: expected more than 0.')
  if greedy not in (False, True, 'mean'):
    raise ValueError(f"greedy={greedy!r}: expected False, True or 'mean'.")
  if not temperature_2 >= 0:
    raise ValueError(f'temperature_2={temperature_2}: expected at least 0.')
  if pitches is None:
    raise ValueError(
      'pitches=None: expected one-hots [B, 128]; an unconditional model takes '
      'its batch size from them.'
    )
  pitches = tf.convert_to_tensor(pitches, tf.float32)
  size = model.hps.context_vec_size
  if pitches.shape.rank != 2 or pitches.shape[1] != size or not len(pitches):
    raise ValueError(
      f'pitches of shape {tuple(pitches.shape)}: expected one-hots '
      f'[B, {size}], at least one.'
    )
  num_notes = len(pitches)
  if seed is None:
    seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)
  z_seed, uniform_seed, normal_seed = (
    tf.constant([seed, i], tf.int64) for i in range(3)
  )
  if model.conditional:
    shape = [num_notes, model.hps.z_size]
    if z is None:
      z = tf.random.stateless_normal(shape, z_seed)
    z = tf.convert_to_tensor(z, tf.float32)
    if z.shape != shape:
      raise ValueError(f'z of shape {tuple(z.shape)}: expected {shape}.')
  elif z is not None:
    raise ValueError('An unconditional model takes no z; pass z=None.')
  shape = [num_notes, num_frames, model.width]
  uniform = tf.random.stateless_uniform(shape, uniform_seed)
  normal = tf.random.stateless_normal(shape, normal_seed)
  controls = (
    tf.constant(temperature, tf.float32),
    tf.constant(temperature_2, tf.float32),
    greedy,
  )
  return in_batches(
    lambda *numbers: model.generate(*numbers, *controls),
    [pitches, z, uniform, normal],
    num_notes if batch_size is None else batch_size,
  )


def in_batches(function, arrays, batch_size: int):
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
  if batch_size < 1:
    raise ValueError(f'batch_size={batch_size}: expected at least 1.')
  num_rows = next(len(x) for x in arrays if x is not None)
  batch_size = min(batch_size, num_rows)
  parts = []
  for start in range(0, num_rows, batch_size):
    rows = tf.minimum(tf.range(start, start + batch_size), num_rows - 1)
    parts.append(
      function(*(None if x is None else tf.gather(x, rows) for x in arrays))
    )
  return tf.nest.map_structure(
    lambda *slices: tf.concat(slices, axis=0)[:num_rows], *parts
  )


def generate(
  model, pitches, z, uniform, normal, temperature, temperature_2, greedy
) -> tf.Tensor:
  """The loop of `sample` as a graph, from given random numbers.

  `uniform` `[B, T, W]` in [0, 1) chooses the components, `normal` `[B, T, W]`
  is the noise; all else is as in `sample`. Returns frames `[B, T, W]`.
  """
  batch_size, num_frames, width = uniform.shape
  context = model.context(pitches, z) if model.conditional else None
  first, *rest = model.decoder_cells
  layers = [_layer(first, context, width)]
  layers += [_layer(cell, None, cell.units) for cell in rest]
  head_kernel = tf.transpose(model.head.kernel)
  head_bias = model.head.bias[:, None]
  uniform, normal = (tf.transpose(x, [1, 0, 2]) for x in (uniform, normal))

  def body(t, x, states, frames):
    new_states = []
    for layer, state in zip(layers, states, strict=True):
      new_states.append(layer(x, state))
      x = new_states[-1][0]
    outputs = tf.transpose(tf.matmul(head_kernel, x) + head_bias)
    mix = mixture.from_head(outputs, width)
    values = mix.draw(uniform[t], normal[t], temperature, temperature_2, greedy)
    return t + 1, tf.transpose(values), new_states, frames.write(t, values)

  frames = tf.TensorArray(
    tf.float32, num_frames, element_shape=[batch_size, width]
  )
  *_, frames = tf.while_loop(
    lambda t, *_: t < num_frames,
    body,
    (
      0,
      tf.zeros([width, batch_size]),
      model.initial_states(context, batch_size),
      frames,
    ),
    maximum_iterations=num_frames,
  )
  return tf.transpose(frames.stack(), [1, 0, 2])


def _layer(cell, context, width):
  """-> function of one frame `[width, B]` and the state; kernels made once."""
  kernels, params = cell.fused(width, context)
  product = scan.products(kernels)
  return lambda x, state: tuple(cell.step({'x': x}, state, params, product))
