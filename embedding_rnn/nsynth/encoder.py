"""The encoder of the NSynth WaveNet autoencoder: audio to frames."""

import functools

import tensorflow as tf

from embedding_rnn.model import distribution
from embedding_rnn.nsynth.convolution import (
  Convolution,
  ConvolutionalPart,
  pad_time,
)

# Samples that one layer works on at a time on a CPU: they stay in its cache.
_BLOCK_LENGTH = 8192


class WaveNetEncoder(ConvolutionalPart):
  """Non-causal residual layers, then the mean of each hop.

  Section 3 of arXiv 1704.01279.

  Args:
    width: channels of the residual layers.
    num_layers: residual layers.
    num_stages: layers in which the dilation doubles, before it is 1 again.
    bottleneck_width: channels of a frame.
    hop_length: samples to a frame.
  """

  def __init__(
    self,
    width: int,
    num_layers: int,
    num_stages: int,
    bottleneck_width: int,
    hop_length: int,
  ):
    super().__init__(name='encoder')
    self.hop_length = hop_length
    self.start = Convolution(1, width, 3, name='ae_startconv')
    self.dilated, self.residual = [], []
    for i in range(num_layers):
      dilation = 2 ** (i % num_stages)
      self.dilated.append(
        Convolution(width, width, 3, dilation, name=f'ae_dilatedconv_{i + 1}')
      )
      self.residual.append(Convolution(width, width, name=f'ae_res_{i + 1}'))
    self.bottleneck = Convolution(width, bottleneck_width, name='ae_bottleneck')

  @property
  def convolutions(self) -> list[Convolution]:
    """All layers with weights."""
    return [self.start, *self.dilated, *self.residual, self.bottleneck]

  def call(self, signal):
    """Frames of a signal, differentiable.

    Args:
      signal: `[B, frames * hop_length]`, see `mu_law.to_signal`.

    Returns:
      `[B, frames, bottleneck_width]`.
    """
    x = self.start(pad_time(signal[..., None], 1, 1))
    for dilated, residual in zip(self.dilated, self.residual, strict=True):
      padded = pad_time(x, dilated.dilation, dilated.dilation)
      x = _residual_layer(padded, x, dilated, residual)
    return self._pool(x)

  def encode(self, signal: tf.Tensor) -> tf.Tensor:
    """As `call`, but fast: not differentiable and with little memory.

    A layer goes through a note block by block, a note at a time.
    """
    notes = [self._encode_note(signal[row][None]) for row in range(len(signal))]
    return tf.concat(notes, axis=0)

  def _encode_note(self, signal):
    start, layers, pool = self._functions
    x = start(signal)
    blocks = tf.split(x, self._block_lengths(x.shape[1]), axis=1)
    for dilated, layer in zip(self.dilated, layers, strict=True):
      silence = tf.zeros([1, dilated.dilation, x.shape[2]])
      ends = [silence, *blocks, silence]
      blocks = [layer(*ends[i : i + 3]) for i in range(len(blocks))]
    return pool(tf.concat(blocks, axis=1))

  def _block_lengths(self, length):
    if distribution.prefers_xla():
      return [length]
    # A layer sees no farther than the next block.
    reach = max(dilated.dilation for dilated in self.dilated)
    block_length = max(_BLOCK_LENGTH, reach)
    num_blocks = max(1, length // block_length)
    last = length - (num_blocks - 1) * block_length
    return [block_length] * (num_blocks - 1) + [last]

  @functools.cached_property
  def _functions(self):
    """The parts of `encode`, compiled for any length."""
    width = self.start.out_width
    block = tf.TensorSpec([1, None, width], tf.float32)

    def compiled(function, *signature):
      return tf.function(function, input_signature=signature, autograph=False)

    def layer(dilated, residual, before, x, after):
      reach = dilated.dilation
      padded = tf.concat([before[:, -reach:], x, after[:, :reach]], axis=1)
      return _residual_layer(padded, x, dilated, residual)

    start = compiled(
      lambda signal: self.start(pad_time(signal[..., None], 1, 1)),
      tf.TensorSpec([1, None], tf.float32),
    )
    layers = [
      compiled(functools.partial(layer, *pair), block, block, block)
      for pair in zip(self.dilated, self.residual, strict=True)
    ]
    return start, layers, compiled(self._pool, block)

  def _pool(self, x):
    frames = tf.reshape(
      x, [tf.shape(x)[0], -1, self.hop_length, self.start.out_width]
    )
    # Means of projections are projections of means, but those are fewer.
    return self.bottleneck(tf.reduce_mean(frames, axis=2))


def _residual_layer(padded, x, dilated, residual):
  """-> x + two convolutions of `padded`, which is x and its surroundings."""
  hidden = dilated(tf.nn.relu(padded))
  return x + residual(tf.nn.relu(hidden))
