"""The NSynth WaveNet autoencoder (Engel et al. 2017, arXiv 1704.01279).

A non-causal encoder turns audio, 16 kHz in -1..1, into a frame of 16 numbers
every 512 samples; a WaveNet decoder gives the distribution of each sample's
mu-law class, given those frames and the samples before it.
"""

import functools
import os
import re
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from embedding_rnn.audio import checks
from embedding_rnn.model import tf1_checkpoint
from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.decoder import WaveNetDecoder
from embedding_rnn.nsynth.encoder import WaveNetEncoder
from embedding_rnn.nsynth.fastgen.runtime import generate_codes

_AVERAGE = '/ExponentialMovingAverage'
_STEP = 'global_step'
_BOOKKEEPING = rf'{_STEP}|beta[12]_power|.*/Adam(_1)?|.*{_AVERAGE}'


class WaveNetAutoencoder(keras.Model):
  """Encodes audio as frames, and tells how likely audio is given frames.

  The sizes are by default those of the published checkpoint (h512_bo16). The
  weights of the encoder and of the decoder are made when first needed: to
  encode takes no decoder.

  Args:
    width: channels of the decoder's residual layers.
    skip_width: channels of its skip connections.
    num_layers: its residual layers.
    num_stages: layers in which the dilation doubles, before it is 1 again.
    ae_width: channels of the encoder's residual layers.
    ae_num_layers: its residual layers.
    ae_num_stages: as num_stages, of the encoder.
    ae_bottleneck_width: channels of a frame.
    ae_hop_length: samples to a frame.

  Raises:
    ValueError: for a size below 1.
  """

  def __init__(
    self,
    width: int = 512,
    skip_width: int = 256,
    num_layers: int = 30,
    num_stages: int = 10,
    ae_width: int = 128,
    ae_num_layers: int = 30,
    ae_num_stages: int = 10,
    ae_bottleneck_width: int = 16,
    ae_hop_length: int = 512,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self._sizes = {
      'width': width,
      'skip_width': skip_width,
      'num_layers': num_layers,
      'num_stages': num_stages,
      'ae_width': ae_width,
      'ae_num_layers': ae_num_layers,
      'ae_num_stages': ae_num_stages,
      'ae_bottleneck_width': ae_bottleneck_width,
      'ae_hop_length': ae_hop_length,
    }
    for name, size in self._sizes.items():
      if size < 1:
        raise ValueError(f'{name}={size}: expected at least 1.')
    self.bottleneck_width = ae_bottleneck_width
    self.hop_length = ae_hop_length
    self.encoder = WaveNetEncoder(
      ae_width, ae_num_layers, ae_num_stages, ae_bottleneck_width, ae_hop_length
    )
    self.decoder = WaveNetDecoder(
      width,
      skip_width,
      num_layers,
      num_stages,
      ae_bottleneck_width,
      ae_hop_length,
    )

  def get_config(self):
    """The sizes, for Keras."""
    return super().get_config() | self._sizes

  def build(self, input_shape=None):
    """Makes all weights that are not there yet."""
    _build(self.encoder, self.decoder)
    self.built = True

  def encode(self, audio: npt.ArrayLike) -> tf.Tensor:
    """The frames of notes.

    Args:
      audio: `[B, samples]` in -1..1, 16 kHz; cut to a whole number of hops.

    Returns:
      float32 `[B, samples // hop_length, bottleneck_width]`.

    Raises:
      ValueError: for audio that is not finite, far beyond -1..1, shorter than a
        hop, or of the wrong rank or type.
    """
    audio = checks.check_audio(audio, self.hop_length)
    _build(self.encoder)
    whole = audio.shape[1] // self.hop_length * self.hop_length
    codes = mu_law.encode(audio[:, :whole])
    return self.encoder.encode(mu_law.to_signal(codes))

  def log_probs(
    self, audio: npt.ArrayLike, encodings: npt.ArrayLike
  ) -> tf.Tensor:
    """Log probabilities of each sample's classes, given the samples before it.

    Args:
      audio: `[B, frames * hop_length]` in -1..1, 16 kHz.
      encodings: `[B, frames, bottleneck_width]`.

    Returns:
      float32 `[B, frames * hop_length, 256]`, in nats; see `mu_law.to_classes`.

    Raises:
      ValueError: for audio as in `encode`, or encodings that are not finite or
        not of that shape.
    """
    audio = checks.check_audio(audio, self.hop_length)
    encodings = checks.check_encodings(encodings, self.bottleneck_width)
    num_samples = encodings.shape[1] * self.hop_length
    if audio.shape != (len(encodings), num_samples):
      raise ValueError(
        f'audio of shape {audio.shape} and encodings of shape '
        f'{encodings.shape}: expected as many notes, and {self.hop_length} '
        f'samples a frame, that is audio [{len(encodings)}, {num_samples}]. '
        'Cut the audio to a whole number of frames.'
      )
    # A note at a time: at full size a layer takes a gigabyte for 4 seconds.
    notes = zip(audio, encodings, strict=True)
    return tf.concat([self._log_probs(*note) for note in notes], axis=0)

  @functools.cached_property
  def _log_probs(self):
    _build(self.decoder)

    def log_probs(audio, encodings):
      signal = mu_law.to_signal(mu_law.encode(audio[None]))
      return tf.nn.log_softmax(self.decoder(signal, encodings[None]))

    signature = [
      tf.TensorSpec([None], tf.float32),
      tf.TensorSpec([None, self.bottleneck_width], tf.float32),
    ]
    return tf.function(log_probs, signature, autograph=False)

  def generate(
    self,
    encodings: npt.ArrayLike,
    seed: int | None = None,
    greedy: bool = False,
    weights: str = 'float32',
    runtime: str | None = None,
  ) -> tf.Tensor:
    """Audio of frames, drawn sample by sample; see also `fastgen`.

    Args:
      encodings: `[B, frames, bottleneck_width]`.
      seed: of all randomness; fresh randomness if None. A note's randomness
        depends on its place in the batch, not on the size of the batch, so that
        its audio does not either, beyond rounding.
      greedy: take the likeliest class of each sample; the seed has no effect
        then.
      weights: 'float32', or 'int8' to round them to 8 bits.
      runtime: what generates; see `runtime.choose_runtime`.

    Returns:
      float32 `[B, frames * hop_length]` in -1..1, 16 kHz.

    Raises:
      ValueError: for encodings that are not finite or not of that shape, or for
        weights or a runtime that there are not.
    """
    encodings = checks.check_encodings(encodings, self.bottleneck_width)
    if seed is None:
      seed = int(np.random.SeedSequence().generate_state(1)[0])
    _build(self.decoder)
    codes = generate_codes(
      self.decoder, encodings, seed, greedy, weights, runtime
    )
    return mu_law.decode(codes)

  def losses_of_notes(self, audio: tf.Tensor) -> tf.Tensor:
    """Cross entropy of each note, encoded and decoded; differentiable.

    Args:
      audio: float32 `[B, frames * hop_length]` in -1..1, 16 kHz.

    Returns:
      `[B]`, in nats a sample.
    """
    codes = mu_law.encode(audio)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=mu_law.to_classes(codes), logits=self(mu_law.to_signal(codes))
    )
    return tf.reduce_mean(nats, axis=1)

  def loss_and_gradients(
    self, audio: tf.Tensor
  ) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The mean of `losses_of_notes` and its gradients.

    The gradients are in the order of `trainable_variables`; that of the last
    `res` layer, which nothing reads, is zero.
    """
    self.build()
    weights = [v.value for v in self.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(weights)
      loss = tf.reduce_mean(self.losses_of_notes(audio))
    return loss, tape.gradient(
      loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )

  def call(self, signal):
    """Logits `[B, n, 256]` of a signal `[B, n]`; see `mu_law.to_signal`."""
    return self.decoder(signal, self.encoder(signal))

  def restore_tf1_checkpoint(
    self,
    path: str | os.PathLike[str],
    averaged: bool = False,
    encoder_only: bool = False,
  ) -> int:
    """Loads the weights of a checkpoint of Magenta's, such as the published.

    Args:
      path: a folder, a prefix like 'model.ckpt-200000', or one of its files.
      averaged: load the moving averages, not the raw weights. Magenta's encoder
        and generator use the raw ones.
      encoder_only: leave the decoder as it is; enough to encode, and lighter.

    Returns:
      The number of training steps behind the checkpoint.

    Raises:
      FileNotFoundError: there is no checkpoint at path.
      ValueError: it is damaged, or of other sizes; the message names every
        variable that is missing, left over or of another shape. The model is
        then unchanged.
    """
    suffix = _AVERAGE if averaged else ''
    parts = [self.encoder] if encoder_only else [self.encoder, self.decoder]
    restored = [name for part in parts for name in part.tf1_shapes]
    shapes = self.encoder.tf1_shapes | self.decoder.tf1_shapes
    # Whichever of the two is not loaded is no surprise.
    raw = '|'.join(re.escape(name) for name in shapes)
    read, step = tf1_checkpoint.open_weights(
      os.fspath(path),
      {f'{name}{suffix}': shape for name, shape in shapes.items()},
      re.compile(f'{_BOOKKEEPING}|{raw}'),
      _STEP,
      [f'{name}{suffix}' for name in restored],
    )
    if encoder_only:
      _build(self.encoder)
    else:
      self.build()
    for part in parts:
      for name, variable in part.tf1_variables.items():
        value = read(f'{name}{suffix}')
        variable.assign(tf.reshape(value, variable.shape))
    return step


def _build(*parts):
  for part in parts:
    if not part.built:
      part.build()
