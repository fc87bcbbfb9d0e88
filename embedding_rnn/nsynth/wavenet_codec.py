"""The NSynth WaveNet autoencoder as a codec."""

from __future__ import annotations

import functools
import hashlib
import os
from typing import Any

import numpy as np

from embedding_rnn import nsynth
from embedding_rnn.codec import Codec


class WaveNetCodec(Codec):
  """Encodes and decodes by a checkpoint, which is read when it is needed.

  A note is worked on by itself, so that its frames do not depend on the rest of
  the batch. The pitch is of no account.

  Args:
    checkpoint_path: a folder, a prefix like 'model.ckpt-200000', or one of its
      files; see `WaveNetAutoencoder.restore_tf1_checkpoint`, also for errors.
    averaged: use the moving averages of the weights.
    weights: 'float32', or 'int8' to decode with weights of 8 bits.
    **sizes: of the `WaveNetAutoencoder`, by default those of the published
      checkpoint.
  """

  name = 'wavenet'
  sample_rate = 16_000

  def __init__(
    self,
    checkpoint_path: str | os.PathLike[str],
    averaged: bool = False,
    *,
    weights: str = 'float32',
    **sizes: int,
  ):
    self._arguments = os.path.abspath(checkpoint_path), averaged, sizes
    self._weights = weights
    self.num_channels = sizes.get('ae_bottleneck_width', 16)
    self.hop_length = sizes.get('ae_hop_length', 512)

  def __reduce__(self):
    """Other processes read the checkpoint themselves."""
    path, averaged, sizes = self._arguments
    make = functools.partial(WaveNetCodec, weights=self._weights, **sizes)
    return make, (path, averaged)

  @property
  def checkpoint(self) -> dict[str, Any]:
    """What tells the checkpoint from others.

    That is its number of steps, whether the weights are averaged, and the
    SHA-256 of the encoder's weights, in the order of their names.
    """
    model, step = self._encoder
    digest = hashlib.sha256()
    for name, variable in sorted(model.encoder.tf1_variables.items()):
      digest.update(name.encode())
      digest.update(variable.numpy().astype('<f4').tobytes())
    return {
      'step': step,
      'averaged': self._arguments[1],
      'encoder_sha256': digest.hexdigest(),
    }

  def _encode(self, audio: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    return self._encoder[0].encode(audio).numpy()

  def _decode(self, frames: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    model, _ = self._decoder
    return model.generate(frames, seed=0, weights=self._weights).numpy()

  @functools.cached_property
  def _encoder(self) -> tuple[nsynth.WaveNetAutoencoder, int]:
    return self._restore(encoder_only=True)

  @functools.cached_property
  def _decoder(self) -> tuple[nsynth.WaveNetAutoencoder, int]:
    return self._restore(encoder_only=False)

  def _restore(self, encoder_only):
    path, averaged, sizes = self._arguments
    model = nsynth.WaveNetAutoencoder(**sizes)
    return model, model.restore_tf1_checkpoint(path, averaged, encoder_only)
