"""The decoder frame by frame, and the loop in which it writes notes."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from embedding_rnn.model import mixture, scan


class Drawn(NamedTuple):
  """What the loop gives."""

  frames: tf.Tensor  # [B, T, W]
  log_weight: tf.Tensor  # [B], importance of the notes as candidates, in nats


class Led(NamedTuple):
  """What `Decoder.lead` gives."""

  values: tf.Tensor  # [frames * W, B]
  mix: mixture.Components  # that they are of
  errors: tf.Tensor  # after the step
  total: tf.Tensor | None  # [W, B], with the step
  log_weight: tf.Tensor  # [B], of the step


class Decoder:
  """The decoder of a model, step by step; a step is mostly one frame.

  What is the same in all frames is made once: the kernels here, and what z and
  pitch add to the first layer's gates in `begin`.

  Attributes:
    layers: for each layer its kernels and its other weights, see `Cell.fused`.
    head: kernel and bias of the head, feature-major.
    error_weights: of the autoregression of errors, if there is one.
  """

  def __init__(self, model: Any):
    self._model = model
    first, *rest = model.decoder_cells
    self.layers = [first.fused(model.heard_width)]
    self.layers += [cell.fused(cell.units) for cell in rest]
    self.head = [tf.transpose(model.head.kernel), model.head.bias[:, None]]
    self.error_weights = tf.zeros([])
    if model.hps.error_order:
      kernel = tf.convert_to_tensor(model.error_kernel)
      self.error_weights = mixture.error_weights(kernel)

  def begin(self, context: Any, batch_size: Any) -> tuple[list, dict]:
    """-> state of each layer, and offsets of the first one's gates.

    Args:
      context: `[Z + C, B]`, see `Model.context`, or None.
      batch_size: B.
    """
    model, offsets = self._model, {}
    if context is not None:
      offsets = model.decoder_cells[0].offsets(context, model.heard_width)
    return model.initial_states(context, batch_size), offsets

  def step(
    self, x: tf.Tensor, states: list, offsets: dict
  ) -> tuple[mixture.Components, tf.Tensor | None, list]:
    """What comes after the frames of the step before.

    Args:
      x: these, `[frames * W, B]`; no values of them for a decoder that hears
        none.
      states: of each layer.
      offsets: see `begin`.

    Returns:
      Components `[K, frames * W, B]`, gates of errors `[frames * W, B]` or
      None, and new states.
    """
    model, new_states = self._model, []
    for cell, (kernels, params), state in zip(
      model.decoder_cells, self.layers, states, strict=True
    ):
      product = scan.products(kernels)
      new_state = cell.step({'x': x}, state, params | offsets, product)
      new_states.append(tuple(new_state))
      x, offsets = new_state[0], {}
    kernel, bias = self.head
    return *model.read_head(tf.matmul(kernel, x) + bias), new_states

  def no_errors(self, batch_size: Any) -> tf.Tensor:
    """The errors before a note, see `mixture.error_shift`."""
    model = self._model
    return tf.zeros([model.hps.error_order * model.width, batch_size])

  def lead(
    self,
    mix: mixture.Components,
    gate: tf.Tensor | None,
    drawn: tf.Tensor,
    errors: tf.Tensor,
    total: tf.Tensor | None = None,
    goal: Any = None,
    pull: Any = None,
  ) -> Led:
    """The frames of a step, one after another, from what was drawn for them.

    Args:
      mix: mixtures of the step.
      gate: of their errors, or None.
      drawn: from the mixtures as they are, `[frames * W, B]`.
      errors: before the step.
      total: of the frames before the step, `[W, B]`; for a goal alone.
      goal: see `generate`, of the step's frames, `[frames * W, B]`.
      pull: likewise, `[frames, B]`.
    """
    model, width = self._model, self._model.width
    mean = mix.expectation()
    frames, shifts, log_weight = [], [], 0.0
    for i in range(model.hps.frames_per_step):
      span = slice(i * width, (i + 1) * width)
      values = drawn[span]
      if gate is not None:
        weights = self.error_weights
        shifts.append(mixture.error_shift(gate[span], errors, weights))
        values += shifts[-1]
      if goal is not None:
        own = mixture.Components(*(x[:, span] for x in mix))
        own = own if gate is None else own.moved(shifts[-1])
        part = pull[i : i + 1]
        before = tf.where(part < 1, own.log_prob(values), 0.0)
        target = goal[span]
        if model.hps.difference_input:
          target -= total
        values = (1 - part) * values + part * target
        log_weight += tf.reduce_sum(own.log_prob(values) - before, axis=0)
        total += values
      if gate is not None:
        errors = tf.concat([values - mean[span], errors[:-width]], axis=0)
      frames.append(values)
    if gate is not None:
      mix = mix.moved(tf.concat(shifts, axis=0))
    return Led(tf.concat(frames, axis=0), mix, errors, total, log_weight)

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
    per_step = model.hps.frames_per_step
    num_steps = -(-num_frames // per_step)

    def steps_of(x):
      return tf.transpose(by_step(x, per_step), [1, 2, 0])

    uniform, normal = steps_of(uniform), steps_of(normal)
    if goal is not None:
      goal, pull = steps_of(goal), steps_of(pull[..., None])

    def body(s, x, states, errors, total, log_weight, steps):
      mix, gate, states = self.step(x, states, offsets)
      values = mix.draw(
        uniform[s], normal[s], temperature, temperature_2, greedy, top_p
      )
      if goal is not None or gate is not None:
        known = () if goal is None else (goal[s], pull[s])
        values, _, errors, total, more = self.lead(
          mix, gate, values, errors, total, *known
        )
        log_weight += more
      x = values[: model.heard_width]
      steps = steps.write(s, values)
      return s + 1, x, states, errors, total, log_weight, steps

    steps = tf.TensorArray(
      tf.float32, num_steps, element_shape=uniform.shape[1:]
    )
    *_, log_weight, steps = tf.while_loop(
      lambda s, *_: s < num_steps,
      body,
      (
        0,
        tf.zeros([model.heard_width, batch_size]),
        states,
        self.no_errors(batch_size),
        tf.zeros([width, batch_size]),
        tf.zeros([batch_size]),
        steps,
      ),
      maximum_iterations=num_steps,
    )
    frames = tf.reshape(steps.stack(), [-1, width, batch_size])[:num_frames]
    frames = tf.transpose(frames, [2, 0, 1])
    return Drawn(frames, log_weight)


def by_step(frames: tf.Tensor, frames_per_step: int) -> tf.Tensor:
  """Frames `[B, T, W]` by steps, `[B, S, frames_per_step * W]`.

  Zeros fill up the last step.
  """
  if frames_per_step == 1:
    return frames
  batch_size, num_frames = (
    frames.shape[i] or tf.shape(frames)[i] for i in (0, 1)
  )
  padding = [[0, 0], [0, -num_frames % frames_per_step], [0, 0]]
  shape = [batch_size, -(-num_frames // frames_per_step), -1]
  steps = tf.reshape(tf.pad(frames, padding), shape)
  width = frames.shape[2] * frames_per_step
  return tf.ensure_shape(steps, [*steps.shape[:2], width])


def with_first_input(frames: np.ndarray) -> np.ndarray:
  """Notes `[B, T, W]` after the decoder's first input, zero: `[B, T + 1, W]`.

  Of the result, all frames but the last are inputs, and each is followed by the
  frame that is to be predicted from it.
  """
  return np.pad(frames, ((0, 0), (1, 0), (0, 0)))
