"""The decoder frame by frame, and the loop in which it writes notes."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from embedding_rnn.model import mixture, scan


class Drawn(NamedTuple):
  """What the loop gives."""

  frames: tf.Tensor  # [B, T, W]
  log_weight: tf.Tensor  # [B], importance of the notes as candidates, in nats


class Decoder:
  """The decoder of a model, frame by frame.

  What is the same in all frames is made once: the kernels here, and what z and
  pitch add to the first layer's gates in `begin`.

  Attributes:
    layers: for each layer its kernels and its other weights, see `Cell.fused`.
    head: kernel and bias of the head, feature-major.
  """

  def __init__(self, model: Any):
    self._model = model
    first, *rest = model.decoder_cells
    self.layers = [first.fused(model.width)]
    self.layers += [cell.fused(cell.units) for cell in rest]
    self.head = [tf.transpose(model.head.kernel), model.head.bias[:, None]]

  def begin(self, context: Any, batch_size: Any) -> tuple[list, dict]:
    """-> state of each layer, and offsets of the first one's gates.

    Args:
      context: `[Z + C, B]`, see `Model.context`, or None.
      batch_size: B.
    """
    model, offsets = self._model, {}
    if context is not None:
      offsets = model.decoder_cells[0].offsets(context, model.width)
    return model.initial_states(context, batch_size), offsets

  def step(
    self, x: tf.Tensor, states: list, offsets: dict
  ) -> tuple[mixture.Mixture, list]:
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
    self,
    pitches: tf.Tensor,
    z: tf.Tensor | None,
    uniform: tf.Tensor,
    normal: tf.Tensor,
    temperature: tf.Tensor,
    temperature_2: tf.Tensor,
    greedy: bool | str,
    top_p: tf.Tensor | float = 1.0,
    goal: Any = None,
    pull: Any = None,
  ) -> Drawn:
    """Notes from given random numbers, as a graph.

    What is drawn can be pulled towards the next frame that is known: all the
    way where it is due, and by 1 / n of the way where it is n - 1 frames ahead,
    as is done with conditioned diffusions (Delyon & Hu 2006). The weight of a
    note as a sample under that condition is the density of its frames over that
    of what was drawn in their place; for known frames, nothing was. What is the
    same for all draws is left out.

    Args:
      pitches: one-hot `[B, 128]`; not read if unconditional.
      z: `[B, Z]`; not read if unconditional.
      uniform: in [0, 1), `[B, T, W]`; chooses the components.
      normal: standard normal `[B, T, W]`, the noise.
      temperature: see `sampling.sample`, also for the next three.
      temperature_2: as above.
      greedy: as above.
      top_p: as above.
      goal: `[B, T, W]`, the next known frame, or with hps.difference_input what
        the frames up to it shall add up to; None if none is known.
      pull: `[B, T]`, the part of the way to go there in each frame: 1 where it
        is due, 0 where none is to come.
    """
    batch_size, num_frames, width = (
      size or tf.shape(uniform)[i] for i, size in enumerate(uniform.shape)
    )
    model = self._model
    context = model.context(pitches, z) if model.conditional else None
    states, offsets = self.begin(context, batch_size)
    uniform, normal = _time_major(uniform), _time_major(normal)
    if goal is not None:
      goal, pull = _time_major(goal), _time_major(pull[..., None])

    def body(t, x, states, total, log_weight, frames):
      mix, states = self.step(x, states, offsets)
      values = mix.draw(
        uniform[t], normal[t], temperature, temperature_2, greedy, top_p
      )
      if goal is not None:
        drawn = tf.where(pull[t] < 1, mix.log_prob(values), 0.0)
        target = goal[t] - total if model.hps.difference_input else goal[t]
        values = (1 - pull[t]) * values + pull[t] * target
        log_weight += tf.reduce_sum(mix.log_prob(values) - drawn, axis=-1)
      total += values
      frames = frames.write(t, values)
      return t + 1, tf.transpose(values), states, total, log_weight, frames

    frames = tf.TensorArray(
      tf.float32, num_frames, element_shape=uniform.shape[1:]
    )
    *_, log_weight, frames = tf.while_loop(
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
    return Drawn(_time_major(frames.stack()), log_weight)


def with_first_input(frames: np.ndarray) -> np.ndarray:
  """Notes `[B, T, W]` after the decoder's first input, zero: `[B, T + 1, W]`.

  Of the result, all frames but the last are inputs, and each is followed by the
  frame that is to be predicted from it.
  """
  return np.pad(frames, ((0, 0), (1, 0), (0, 0)))


def _time_major(x):
  """`[B, T, ...]` to `[T, B, ...]`, or back."""
  return tf.transpose(x, [1, 0, 2])
