"""Generation of audio from frames, on whatever runs it fastest here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from embedding_rnn.model import sampling
from embedding_rnn.nsynth.decoder import WaveNetDecoder
from embedding_rnn.nsynth.fastgen.choices import BATCH_SIZES, choose_runtime
from embedding_rnn.nsynth.fastgen.tensorflow_loop import (
  GeneratorState,
  TensorFlowGenerator,
)
from embedding_rnn.utils import cli

# Samples, about, that are generated between two looks at the result.
_CHUNK_LENGTH = 512

_SOON = 5.0  # seconds, within which nobody misses a progress bar


class Generator(Protocol):
  """A decoder made ready to generate batches of one size.

  Generators of float32 weights give the same codes, beyond rounding, and can go
  on from each other's states.

  Attributes:
    hop_length: samples to a frame.
  """

  hop_length: int

  def initial_state(self) -> GeneratorState:
    """The state before the first sample."""

  def __call__(
    self, frames: Any, uniform: Any, state: GeneratorState
  ) -> tuple[Any, GeneratorState]:
    """Generates the next frames.

    Args:
      frames: float32 `[B, frames, bottleneck_width]`.
      uniform: numbers in [0, 1) that choose the classes, float32
        `[B, frames * hop_length]`; None takes the likeliest classes.
      state: after the frames before, or the initial state. It is used up: its
        memory may be written to.

    Returns:
      codes, int32 `[B, frames * hop_length]`, and the state after them.
    """

  def measure_step(self) -> float:
    """Seconds that one sample of all notes takes, measured on a few."""


def make_generator(
  decoder: WaveNetDecoder,
  batch_size: int,
  weights: str = 'float32',
  runtime: str | None = None,
) -> Generator:
  """Makes a decoder, whose weights are not to change, ready to generate.

  For weights, runtime and errors see `choose_runtime`.
  """
  runtime = choose_runtime(runtime, weights)
  if runtime == 'tensorflow':
    return TensorFlowGenerator(decoder, batch_size)
  # Where it is not used, its package need not be there.
  from embedding_rnn.nsynth.fastgen import litert

  return litert.LiteRTGenerator(decoder, batch_size, is_int8=weights == 'int8')


def draw_uniform(
  seed: int, notes: Sequence[int], frames: range, hop_length: int
) -> np.ndarray:
  """The random numbers of some frames of some notes.

  They depend on the seed, the note's number and the frame; not on the rest of
  the batch, on what is generated at a time, or on the device.

  Returns:
    float32 `[len(notes), len(frames) * hop_length]` in [0, 1).
  """
  key = tf.constant([seed, 0], tf.int64)
  places = [[note, frame] for note in notes for frame in frames]
  uniform = _draw_frames(key, tf.constant(places, tf.int64), hop_length)
  return uniform.numpy().reshape(len(notes), -1)


@tf.function(autograph=False, reduce_retracing=True)
def _draw_frames(key, places, hop_length):
  def of_frame(place):
    folded = key
    for number in tf.unstack(place):
      folded = tf.random.experimental.stateless_fold_in(
        folded, number, alg='philox'
      )
    return tf.random.stateless_uniform([hop_length], folded, alg='philox')

  return tf.map_fn(of_frame, places, fn_output_signature=tf.float32)


def stream(
  generator: Generator,
  frames: np.ndarray,
  seed: int,
  greedy: bool = False,
  notes: Sequence[int] | None = None,
  state: GeneratorState | None = None,
) -> Iterator[tuple[np.ndarray, GeneratorState]]:
  """Generates notes, and gives what there is of them now and then.

  Args:
    generator: for batches of B.
    frames: float32 `[B, frames, bottleneck_width]`.
    seed: see `draw_uniform`.
    greedy: take the likeliest classes; the seed has no effect then.
    notes: numbers of the notes, on which their randomness depends; 0, 1, ... if
      None.
    state: to go on from; from the beginning if None. The frames are whole
      notes all the same.

  Yields:
    The next codes of each note, int32 `[B, samples]`, and the state after them.
  """
  sampling.check_seed(seed)
  num_notes, num_frames, _ = frames.shape
  notes = range(num_notes) if notes is None else notes
  state = generator.initial_state() if state is None else state
  hop_length = generator.hop_length
  size = max(1, _CHUNK_LENGTH // hop_length)
  for start in range(int(state.num_samples) // hop_length, num_frames, size):
    stop = min(start + size, num_frames)
    uniform = None
    if not greedy:
      uniform = draw_uniform(seed, notes, range(start, stop), hop_length)
    codes, state = generator(frames[:, start:stop], uniform, state)
    yield np.asarray(codes), state


def generate_codes(
  decoder: WaveNetDecoder,
  frames: np.ndarray,
  seed: int,
  greedy: bool = False,
  weights: str = 'float32',
  runtime: str | None = None,
) -> np.ndarray:
  """Generates any number of notes, some at a time, as `stream` does.

  For weights, runtime and errors see `choose_runtime`.

  Returns:
    Codes, int32 `[N, frames * hop_length]`.
  """
  runtime = choose_runtime(runtime, weights)
  num_notes, num_frames, _ = frames.shape
  codes = np.empty([num_notes, num_frames * decoder.hop_length], np.int32)
  generator, size = None, BATCH_SIZES[runtime]
  with cli.progress_bar(
    total=codes.size, desc='audio', unit='sample', unit_scale=True, delay=_SOON
  ) as bar:
    for start in range(0, num_notes, size):
      notes = range(start, min(start + size, num_notes))
      if generator is None or len(notes) < size:
        generator = make_generator(decoder, len(notes), weights, runtime)
      some = frames[notes.start : notes.stop]
      end = 0
      for chunk, _ in stream(generator, some, seed, greedy, notes):
        begin, end = end, end + chunk.shape[1]
        codes[notes.start : notes.stop, begin:end] = chunk
        bar.update(chunk.size)
  return codes
