"""The decoder frame by frame, and the loop in which it writes notes."""

from typing import NamedTuple

import tensorflow as tf

from embedding_rnn import mixture, scan


class Drawn(NamedTuple):
  """What the loop gives."""

  frames: tf.Tensor  # [B, T, W]
  log_density: tf.Tensor  # [B], of all given frames after the others, in nats


class Decoder:
  """The decoder of a model, frame by frame.

  What is the same in all frames is made once: the kernels here, and what z and
  pitch add to the first layer's gates in `begin`.

  Attributes:
    layers: for each layer its kernels and its other weights, see `Cell.fused`.
    head: kernel and bias of the head, feature-major.
  """

  def __init__(self, model):
    self._model = model
    first, *rest = model.decoder_cells
    self.layers = [first.fused(model.width)]
    self.layers += [cell.fused(cell.units) for cell in rest]
    self.head = [tf.transpose(model.head.kernel), model.head.bias[:, None]]

  def begin(self, context, batch_size) -> tuple[list, dict]:
    """-> state of each layer, and offsets of the first one's gates.

    Args:
      context: `[Z + C, B]`, see `Model.context`, or None.
      batch_size: B.
    """
    model, offsets = self._model, {}
    if context is not None:
      offsets = model.decoder_cells[0].offsets(context, model.width)
    return model.initial_states(context, batch_size), offsets

  def step(self, x, states, offsets) -> tuple[mixture.Mixture, list]:
    """-> mixtures `[B, W, K]` of the frame after x `[W, B]`, and new states."""
    model, new_states = self._model, []
    for cell, (kernels, params), state in zip(
      model.decoder_cells, self.layers, states, strict=True
    ):
      product = scan.products(kernels)
      new_state = cell.step({'x': x}, state, params | offsets, product)
      new_states.append(tuple(new_state))
      x, offsets = new_state[0], {}
    kernel, bias = self.head
    outputs = tf.transpose(tf.matmul(kernel, x) + bias)
    return mixture.from_head(outputs, model.width), new_states


def generate(
  model,
  pitches,
  z,
  uniform,
  normal,
  temperature,
  temperature_2,
  greedy,
  top_p=1.0,
  given=None,
  is_given=None,
) -> Drawn:
  """Notes from given random numbers, as a graph.

  Args:
    model: an embedding_rnn.Model.
    pitches: one-hot `[B, 128]`; not read if unconditional.
    z: `[B, Z]`; not read if unconditional.
    uniform: in [0, 1), `[B, T, W]`; chooses the components.
    normal: standard normal `[B, T, W]`, the noise.
    temperature: see `sampling.sample`, also for the next three.
    temperature_2: as above.
    greedy: as above.
    top_p: as above.
    given: `[B, T, W]`, frames to be put in; where frames are differences, what
      they shall add up to, the sum over all frames up to each.
    is_given: bool `[B, T]`, where `given` counts.
  """
  batch_size, num_frames, width = (
    size or tf.shape(uniform)[i] for i, size in enumerate(uniform.shape)
  )
  context = model.context(pitches, z) if model.conditional else None
  decoder = Decoder(model)
  states, offsets = decoder.begin(context, batch_size)
  uniform, normal = _time_major(uniform), _time_major(normal)
  if given is not None:
    given, is_given = _time_major(given), _time_major(is_given[..., None])

  def body(t, x, states, total, log_density, frames):
    mix, states = decoder.step(x, states, offsets)
    values = mix.draw(
      uniform[t], normal[t], temperature, temperature_2, greedy, top_p
    )
    if given is not None:
      target = given[t] - total if model.hps.difference_input else given[t]
      values = tf.where(is_given[t], target, values)
      density = tf.where(is_given[t], mix.log_prob(values), 0.0)
      log_density += tf.reduce_sum(density, axis=-1)
    total += values
    frames = frames.write(t, values)
    return t + 1, tf.transpose(values), states, total, log_density, frames

  frames = tf.TensorArray(
    tf.float32, num_frames, element_shape=uniform.shape[1:]
  )
  *_, log_density, frames = tf.while_loop(
    lambda t, *_: t < num_frames,
    body,
    (
      0,
      tf.zeros([width, batch_size]),
      states,
      tf.zeros([batch_size, width]),
      tf.zeros([batch_size]),
      frames,
    ),
    maximum_iterations=num_frames,
  )
  return Drawn(_time_major(frames.stack()), log_density)


def _time_major(x):
  """`[B, T, ...]` to `[T, B, ...]`, or back."""
  return tf.transpose(x, [1, 0, 2])
