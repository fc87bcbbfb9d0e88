"""Generation of audio on a CPU, by LiteRT.

Two things make it faster than the compiled loop of TensorFlow. XNNPACK, which
runs LiteRT's graphs, keeps the weights in the order in which its products of
few rows read them. And a dilated layer looks ahead: of its three inputs, those
of d and 2d samples ago are known for the next d samples already, so for up to
16 samples at a time they are multiplied at once. Of the published sizes' 60 M
weights a step then reads 35 M. That changes no sum, so the codes are the same.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.decoder import WaveNetDecoder
from embedding_rnn.nsynth.fastgen.litert_graph import Graph
from embedding_rnn.nsynth.fastgen.tensorflow_loop import GeneratorState

# Samples to look ahead. With more, a product reads its weights more rarely, but
# then arithmetic takes most of its time already.
_AHEAD = 16

# What a sample takes of a layer is too little for more threads to share; of a
# narrow layer even for two, which may wait long for one another.
_MAX_THREADS = 8
_NARROW = 128

_SIGNAL_OF_CLASS = mu_law.to_signal(
  mu_law.to_codes(np.arange(mu_law.NUM_CLASSES))
).numpy()


class LiteRTGenerator:
  """A `runtime.Generator` for a CPU.

  Args:
    decoder: with weights; later changes of them have no effect.
    batch_size: notes that are generated together.
    is_int8: round the weights, and the inputs they are multiplied with, to 8
      bits; but not those of the first layer and of the last two.
  """

  def __init__(
    self, decoder: WaveNetDecoder, batch_size: int, is_int8: bool = False
  ):
    self.hop_length, self._batch_size = decoder.hop_length, batch_size
    self._width = decoder.width
    dilations = np.array([c.dilation for c in decoder.dilated])
    ends = np.cumsum(2 * dilations)
    self._dilations, self._starts = dilations, ends - 2 * dilations
    # A call begins with a frame, so that blocks begin where they would if all
    # were generated at once.
    longest = math.gcd(self.hop_length, _AHEAD)
    layers: dict[int, list[int]] = {}
    for i, dilation in enumerate(dilations.tolist()):
      layers.setdefault(math.gcd(dilation, longest), []).append(i)
    self._lengths = [math.gcd(d, longest) for d in dilations.tolist()]
    # The largest first: for a moment, a graph takes several times its memory.
    self._present = _Present(decoder, batch_size, is_int8)
    self._past = [
      _Past(decoder, layers[length], length, batch_size, is_int8)
      for length in sorted(layers, reverse=True)
    ]
    self._condition_kernels = np.concatenate(
      [c.kernel.numpy()[0] for c in decoder.condition], axis=1
    )
    pairs = zip(decoder.condition, decoder.dilated, strict=True)
    self._condition_bias = np.concatenate(
      [condition.bias + dilated.bias for condition, dilated in pairs]
    )
    self._out_kernel = decoder.condition_out.kernel.numpy()[0]
    self._out_bias = decoder.condition_out.bias.numpy()

  def initial_state(self) -> GeneratorState:
    """The state before the first sample."""
    shape = int(2 * self._dilations.sum()), self._batch_size, self._width
    return GeneratorState(
      np.zeros([], np.int32),
      np.zeros([self._batch_size, 3], np.float32),
      np.zeros(shape, np.float32),
    )

  def __call__(
    self, frames: Any, uniform: Any, state: GeneratorState
  ) -> tuple[np.ndarray, GeneratorState]:
    """See `runtime.Generator`."""
    num_steps = frames.shape[1] * self.hop_length
    codes = np.empty([self._batch_size, num_steps], np.int32)
    uniform = None if uniform is None else np.asarray(uniform)

    def choose(step, logits):
      if uniform is None:
        classes = logits.argmax(axis=1)
      else:
        classes = draw_classes(logits, uniform[:, step])
      codes[:, step] = mu_law.to_codes(classes)
      return classes

    return codes, self.run(frames, choose, state, num_steps)

  def measure_step(self) -> float:
    """See `runtime.Generator`."""
    frame = np.zeros([self._batch_size, 1, len(self._out_kernel)], np.float32)
    num_steps = min(2 * _AHEAD, self.hop_length)
    for _ in range(2):
      start = time.perf_counter()
      state = self.initial_state()
      self.run(frame, lambda _, logits: logits.argmax(1), state, num_steps)
    return (time.perf_counter() - start) / num_steps

  def run(
    self,
    frames: np.ndarray,
    choose: Callable[[int, np.ndarray], np.ndarray],
    state: GeneratorState,
    num_steps: int,
  ) -> GeneratorState:
    """Generates some samples, whose classes are chosen elsewhere.

    Args:
      frames: float32 `[B, frames, bottleneck_width]`.
      choose: makes the classes `[B]` of a sample from its number and its logits
        `[B, 256]`.
      state: as of `runtime.Generator`.
      num_steps: samples, at most frames * hop_length.

    Returns:
      The state after them.
    """
    frames = np.asarray(frames, np.float32)
    start = int(state.num_samples)
    signal, rings = (
      np.require(values, requirements='W')
      for values in (state.signal, state.rings)
    )
    past = [np.empty(0)] * len(self._lengths)
    for step in range(num_steps):
      frame, offset = divmod(step, self.hop_length)
      if offset == 0:
        conditions, out_condition = self._conditions(frames[:, frame])
      places = self._starts + (start + step) % (2 * self._dilations)
      for group in self._past:
        if step % group.length == 0:
          group.look_ahead(start + step, places, rings, conditions, past)
      logits, rings[places] = self._present(
        signal,
        [ahead[step % n] for ahead, n in zip(past, self._lengths, strict=True)],
        out_condition,
      )
      classes = choose(step, logits)
      signal[:, :2] = signal[:, 1:]
      signal[:, 2] = _SIGNAL_OF_CLASS[classes]
    return GeneratorState(np.int32(start + num_steps), signal, rings)

  def _conditions(self, frames):
    """What frames `[B, Z]` add: to the layers `[L, B, 2W]`, and in the end."""
    conditions = frames @ self._condition_kernels + self._condition_bias
    by_layer = conditions.reshape(self._batch_size, len(self._lengths), -1)
    return by_layer.swapaxes(0, 1), frames @ self._out_kernel + self._out_bias


class _Past:
  """The products of some dilated layers with inputs of d and 2d samples ago."""

  def __init__(self, decoder, layers, length, batch_size, is_int8):
    self.length, self._batch_size = length, batch_size
    self._layers = layers
    self._dilations = [decoder.dilated[i].dilation for i in layers]
    graph = Graph(is_int8)
    width = decoder.width
    self._inputs, self._outputs = [], []
    for i in layers:
      kernel = decoder.dilated[i].kernel.numpy()[:2]
      x = graph.input(length * batch_size, 2 * width)
      self._inputs.append(x)
      self._outputs.append(graph.dense(x, kernel.reshape(2 * width, -1)))
    self._interpreter = graph.finish(self._outputs, _num_threads(width))

  def look_ahead(self, num_samples, places, rings, conditions, past):
    """Puts products and conditions, `[length, B, 2W]`, into a list by layer.

    Args:
      num_samples: generated so far, a multiple of the length.
      places: in the rings, of each layer's input of 2d samples ago.
      rings: see `GeneratorState`.
      conditions: `[L, B, 2W]`.
      past: the list.
    """
    shape = self.length, self._batch_size, -1
    for i, x, dilation in zip(
      self._layers, self._inputs, self._dilations, strict=True
    ):
      oldest = places[i]
      is_late = num_samples % (2 * dilation) >= dilation
      middle = oldest - dilation if is_late else oldest + dilation
      inputs = self._interpreter.tensor(x)().reshape(shape)
      width = rings.shape[2]
      inputs[..., :width] = rings[oldest : oldest + self.length]
      inputs[..., width:] = rings[middle : middle + self.length]
      del inputs  # LiteRT refuses to run while anyone sees its tensors
    self._interpreter.invoke()
    for i, output in zip(self._layers, self._outputs, strict=True):
      products = self._interpreter.get_tensor(output).reshape(shape)
      products += conditions[i]
      past[i] = products


class _Present:
  """All else that a sample takes."""

  def __init__(self, decoder, batch_size, is_int8):
    graph = Graph(is_int8)
    self._signal = graph.input(batch_size, 3)
    self._out_condition = graph.input(batch_size, decoder.out.out_width)
    self._past = [
      graph.input(batch_size, 2 * decoder.width) for _ in decoder.dilated
    ]
    x = graph.dense(
      self._signal,
      decoder.start.kernel.numpy()[:, 0],
      decoder.start.bias.numpy(),
      is_exact=True,
    )
    self._inputs, gated = self._add_layers(graph, decoder, x)
    skips = self._add_skips(graph, decoder, x, gated)
    hidden = _add_dense(graph, decoder.out, graph.relu(skips), is_exact=True)
    hidden = graph.relu(graph.add(hidden, self._out_condition))
    self._logits = _add_dense(graph, decoder.logits, hidden, is_exact=True)
    self._interpreter = graph.finish(
      [self._logits, *self._inputs], _num_threads(decoder.width)
    )

  def _add_layers(self, graph, decoder, x):
    """Inputs and gated values of the dilated layers."""
    inputs: list[int] = []
    gated: list[int] = []
    for i, dilated in enumerate(decoder.dilated):
      if i > 0:
        x = graph.add(x, _add_dense(graph, decoder.residual[i - 1], gated[-1]))
      inputs.append(x)
      hidden = graph.dense(x, dilated.kernel.numpy()[2])
      gate, value = graph.split(graph.add(hidden, self._past[i]))
      gated.append(graph.multiply(graph.sigmoid(gate), graph.tanh(value)))
    return inputs, gated

  def _add_skips(self, graph, decoder, x, gated):
    """The sum of the skip connections."""
    bias = sum(c.bias.numpy() for c in (decoder.skip_start, *decoder.skip))
    skips = graph.dense(x, decoder.skip_start.kernel.numpy()[0], bias)
    kernel = np.concatenate([c.kernel.numpy()[0] for c in decoder.skip])
    for part in graph.concatenate(gated):
      columns = graph.num_columns(part)
      skips = graph.add(skips, graph.dense(part, kernel[:columns]))
      kernel = kernel[columns:]
    return skips

  def __call__(self, signal, past, out_condition):
    """Logits `[B, 256]`, and the dilated layers' inputs, `[B, W]` of each."""
    interpreter = self._interpreter
    interpreter.set_tensor(self._signal, signal)
    interpreter.set_tensor(self._out_condition, out_condition)
    for place, value in zip(self._past, past, strict=True):
      interpreter.set_tensor(place, value)
    interpreter.invoke()
    inputs = [interpreter.get_tensor(x) for x in self._inputs]
    return interpreter.get_tensor(self._logits), inputs


def _add_dense(graph, convolution, x, is_exact=False):
  """Adds a convolution of length 1 to a graph."""
  return graph.dense(
    x, convolution.kernel.numpy()[0], convolution.bias.numpy(), is_exact
  )


def draw_classes(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
  """As `tensorflow_loop.draw_classes`, of arrays."""
  probs = np.exp(logits - logits.max(axis=1, keepdims=True))
  probs /= probs.sum(axis=1, keepdims=True)
  below = np.cumsum(probs, axis=1) < uniform[:, None]
  return np.minimum(below.sum(axis=1), logits.shape[1] - 1)


def _num_threads(width):
  if width <= _NARROW:
    return 1
  return min(len(os.sched_getaffinity(0)), _MAX_THREADS)
