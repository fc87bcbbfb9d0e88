"""The decoder of the NSynth WaveNet autoencoder: frames to distributions."""

import tensorflow as tf

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.convolution import (
  Convolution,
  ConvolutionalPart,
  pad_time,
)


class WaveNetDecoder(ConvolutionalPart):
  """Causal gated residual layers that read the samples before, and the frames.

  Section 2 of arXiv 1704.01279.

  Args:
    width: channels of the residual layers.
    skip_width: channels of the skip connections.
    num_layers: residual layers.
    num_stages: layers in which the dilation doubles, before it is 1 again.
    bottleneck_width: channels of a frame.
    hop_length: samples to a frame.
  """

  def __init__(
    self,
    width: int,
    skip_width: int,
    num_layers: int,
    num_stages: int,
    bottleneck_width: int,
    hop_length: int,
  ):
    super().__init__(name='decoder')
    self.width = width
    self.hop_length = hop_length
    self.start = Convolution(1, width, 3, name='startconv')
    self.skip_start = Convolution(width, skip_width, name='skip_start')
    self.dilated, self.condition, self.residual, self.skip = [], [], [], []
    for i in range(num_layers):
      dilation = 2 ** (i % num_stages)
      self.dilated.append(
        Convolution(width, 2 * width, 3, dilation, name=f'dilatedconv_{i + 1}')
      )
      self.condition.append(
        Convolution(bottleneck_width, 2 * width, name=f'cond_map_{i + 1}')
      )
      self.residual.append(Convolution(width, width, name=f'res_{i + 1}'))
      self.skip.append(Convolution(width, skip_width, name=f'skip_{i + 1}'))
    self.out = Convolution(skip_width, skip_width, name='out1')
    self.condition_out = Convolution(
      bottleneck_width, skip_width, name='cond_map_out1'
    )
    self.logits = Convolution(skip_width, mu_law.NUM_CLASSES, name='logits')

  @property
  def convolutions(self) -> list[Convolution]:
    """All layers with weights."""
    return [
      self.start,
      self.skip_start,
      *self.dilated,
      *self.condition,
      *self.residual,
      *self.skip,
      self.out,
      self.condition_out,
      self.logits,
    ]

  def call(self, signal, frames):
    """Logits of each sample given the samples before it, differentiable.

    Args:
      signal: `[B, frames * hop_length]`, see `mu_law.to_signal`.
      frames: `[B, frames, bottleneck_width]`.

    Returns:
      `[B, frames * hop_length, 256]`.
    """
    x = self.start(pad_time(signal[:, :-1, None], 3))
    skips = self.skip_start(x)
    last = len(self.dilated) - 1
    for i, dilated in enumerate(self.dilated):
      past = pad_time(x, 2 * dilated.dilation)
      hidden = self._add_frames(dilated(past), self.condition[i](frames))
      gate, value = tf.split(hidden, 2, axis=-1)
      gated = tf.sigmoid(gate) * tf.tanh(value)
      skips += self.skip[i](gated)
      if i < last:  # nothing reads what the last layer would add to x
        x += self.residual[i](gated)
    hidden = self.out(tf.nn.relu(skips))
    hidden = self._add_frames(hidden, self.condition_out(frames))
    return self.logits(tf.nn.relu(hidden))

  def _add_frames(self, x, frames):
    """Adds to each sample of `[B, n, C]` its frame of `[B, frames, C]`."""
    hops = tf.reshape(
      x, [tf.shape(x)[0], -1, self.hop_length, frames.shape[-1]]
    )
    return tf.reshape(hops + frames[:, :, None], tf.shape(x))
