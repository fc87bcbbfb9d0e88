"""Generation of audio, a sample at a time, as one compiled loop of TensorFlow.

A dilated layer reads its inputs of now and of d and 2d samples ago. Those are
kept in a ring of 2d places for each layer, zero at first, so that a sample
takes one step and not the whole past (as in arXiv 1611.09482).
"""

import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from embedding_rnn.model import distribution
from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.decoder import WaveNetDecoder


class GeneratorState(NamedTuple):
  """What generation needs to know of the past; a pause may keep it.

  Attributes:
    num_samples: generated so far, int32.
    signal: the last three samples as the decoder reads them, `[B, 3]`.
    rings: inputs of all dilated layers, `[sum of 2d, B, width]`.
  """

  num_samples: tf.Tensor
  signal: tf.Tensor
  rings: tf.Tensor


class TensorFlowGenerator:
  """A `runtime.Generator` that stays on the device of the weights.

  Args:
    decoder: with weights; later changes of them have effect.
    batch_size: notes that are generated together.
  """

  def __init__(self, decoder: WaveNetDecoder, batch_size: int):
    self.hop_length = decoder.hop_length
    self._decoder = decoder
    self._batch_size = batch_size
    self._dilations = np.array([c.dilation for c in decoder.dilated], np.int32)
    ends = np.cumsum(2 * self._dilations, dtype=np.int32)
    self._starts = ends - 2 * self._dilations
    shape = [int(ends[-1]), batch_size, decoder.width]
    self._rings = tf.Variable(tf.zeros(shape), trainable=False)
    self._run = tf.function(
      self._loop, autograph=False, jit_compile=distribution.prefers_xla()
    )

  def initial_state(self) -> GeneratorState:
    """The state before the first sample."""
    return GeneratorState(
      tf.constant(0),
      tf.zeros([self._batch_size, 3]),
      tf.zeros(self._rings.shape),
    )

  def __call__(
    self, frames: Any, uniform: Any, state: GeneratorState
  ) -> tuple[tf.Tensor, GeneratorState]:
    """See `runtime.Generator`."""
    self._rings.assign(state.rings)
    codes, num_samples, signal = self._run(
      tf.convert_to_tensor(frames),
      None if uniform is None else tf.convert_to_tensor(uniform),
      tf.convert_to_tensor(state.num_samples),
      tf.convert_to_tensor(state.signal),
    )
    return codes, GeneratorState(num_samples, signal, tf.identity(self._rings))

  def measure_step(self) -> float:
    """See `runtime.Generator`; compiles the loop for single frames."""
    width = self._decoder.condition_out.in_width
    frame = tf.zeros([self._batch_size, 1, width])
    uniform = tf.zeros([self._batch_size, self.hop_length])
    for _ in range(2):
      start = time.perf_counter()
      self(frame, uniform, self.initial_state())[0].numpy()
    return (time.perf_counter() - start) / self.hop_length

  def _loop(self, frames, uniform, start, signal):
    decoder, batch_size = self._decoder, self._batch_size
    num_steps = frames.shape[1] * decoder.hop_length
    weights = _Weights(decoder)
    conditions, out_conditions = weights.conditions(frames)

    def body(step, signal, codes):
      num_samples = start + step
      oldest = self._starts + num_samples % (2 * self._dilations)
      middle = self._starts + (num_samples + self._dilations) % (
        2 * self._dilations
      )
      past = tf.gather(self._rings, tf.stack([oldest, middle]))
      frame = step // decoder.hop_length
      logits, inputs = weights.step(
        signal, past, conditions[frame], out_conditions[frame]
      )
      self._rings.scatter_update(tf.IndexedSlices(inputs, oldest))
      if uniform is None:
        classes = tf.argmax(logits, axis=1, output_type=tf.int32)
      else:
        classes = draw_classes(logits, uniform[:, step])
      new_codes = mu_law.to_codes(classes)
      newest = mu_law.to_signal(new_codes)[:, None]
      signal = tf.concat([signal[:, 1:], newest], axis=1)
      return step + 1, signal, codes.write(step, new_codes)

    codes = tf.TensorArray(tf.int32, num_steps, element_shape=[batch_size])
    _, signal, codes = tf.while_loop(
      lambda step, *_: step < num_steps,
      body,
      (0, signal, codes),
      maximum_iterations=num_steps,
    )
    return tf.transpose(codes.stack()), start + num_steps, signal


class _Weights:
  """The decoder's weights, laid out for a step of one sample."""

  def __init__(self, decoder):
    self.decoder = decoder
    width = decoder.width
    kernels = tf.stack(
      [tf.convert_to_tensor(c.kernel) for c in decoder.dilated]
    )
    self.past_kernels = tf.reshape(
      kernels[:, :2], [len(decoder.dilated), 2 * width, 2 * width]
    )
    self.kernels = [tf.convert_to_tensor(c.kernel)[2] for c in decoder.dilated]
    self.residual = [
      (c.kernel[0], tf.convert_to_tensor(c.bias)) for c in decoder.residual
    ]
    self.skip_kernel = tf.concat([c.kernel[0] for c in decoder.skip], axis=0)
    self.skip_bias = tf.add_n(
      [tf.convert_to_tensor(c.bias) for c in decoder.skip]
    )
    self.start_kernel = decoder.start.kernel[:, 0]

  def conditions(self, frames):
    """What frames `[B, F, Z]` add, with all biases that come with it.

    Returns:
      For the layers `[F, L, B, 2W]`, and for the end `[F, B, skip_width]`.
    """
    decoder, by_frame = self.decoder, tf.transpose(frames, [1, 0, 2])
    pairs = zip(decoder.condition, decoder.dilated, strict=True)
    conditions = [
      condition(by_frame) + dilated.bias for condition, dilated in pairs
    ]
    return tf.stack(conditions, axis=1), decoder.condition_out(by_frame)

  def step(self, signal, past, conditions, out_condition):
    """One sample.

    Args:
      signal: the last three samples, `[B, 3]`.
      past: each dilated layer's inputs of 2d and d samples ago,
        `[2, L, B, W]`.
      conditions: `[L, B, 2W]`.
      out_condition: `[B, skip_width]`.

    Returns:
      logits `[B, 256]`, and each dilated layer's input `[L, B, W]`.
    """
    decoder = self.decoder
    from_past = conditions + tf.matmul(
      tf.concat([past[0], past[1]], axis=-1), self.past_kernels
    )
    x = tf.matmul(signal, self.start_kernel) + decoder.start.bias
    skips = decoder.skip_start(x) + self.skip_bias
    inputs, gated = [], []
    for i, kernel in enumerate(self.kernels):
      inputs.append(x)
      gate, value = tf.split(tf.matmul(x, kernel) + from_past[i], 2, axis=-1)
      gated.append(tf.sigmoid(gate) * tf.tanh(value))
      if i + 1 < len(self.kernels):
        residual, bias = self.residual[i]
        x += tf.matmul(gated[-1], residual) + bias
    skips += tf.matmul(tf.concat(gated, axis=-1), self.skip_kernel)
    hidden = decoder.out(tf.nn.relu(skips)) + out_condition
    return decoder.logits(tf.nn.relu(hidden)), tf.stack(inputs)


def draw_classes(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
  """Classes `[B]` drawn from logits `[B, C]` by uniform numbers `[B]`.

  The class is the first whose cumulative probability reaches the number.
  """
  cumulative = tf.cumsum(tf.nn.softmax(logits), axis=1)
  below = tf.cast(cumulative < uniform[:, None], tf.int32)
  # Rounding may leave the last sum a little under 1.
  return tf.minimum(tf.reduce_sum(below, axis=1), logits.shape[1] - 1)
