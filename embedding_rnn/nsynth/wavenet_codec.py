"""The NSynth WaveNet autoencoder as a codec."""

from __future__ import annotations

import functools
import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from embedding_rnn import nsynth
from embedding_rnn.audio.codec import Codec
from embedding_rnn.training import checkpoints

if TYPE_CHECKING:  # else, TensorFlow would be imported
  from embedding_rnn.nsynth.runs import TrainedAutoencoder


class WaveNetCodec(Codec):
  """Encodes and decodes by a checkpoint, which is read when it is needed.

  A note is worked on by itself, so that its frames do not depend on the rest of
  the batch. The pitch is of no account. The same frames give the same audio, as
  long as they have the same place in their batch.

  Args:
    checkpoint_path: a run of `nsynth.train`, or a checkpoint of 2017: a folder,
      a prefix like 'model.ckpt-200000', or one of its files. For errors see
      `nsynth.load_autoencoder`.
    averaged: use the moving averages of the weights.
    seed: of decoding.
    greedy: decode to the likeliest samples; the seed has no effect then.
    weights: 'float32', or 'int8' to decode with weights of 8 bits.
    **sizes: of the `WaveNetAutoencoder`, by default those of the published
      checkpoint; a run knows its own.

  Raises:
    DamagedFileError: for a run that is damaged, or of another model.
  """

  name = 'wavenet'
  sample_rate = 16_000
  uses_gpu = True

  def __init__(
    self,
    checkpoint_path: str | os.PathLike[str],
    averaged: bool = False,
    *,
    seed: int = 0,
    greedy: bool = False,
    weights: str = 'float32',
    **sizes: int,
  ):
    self._path, self._averaged = os.path.abspath(checkpoint_path), averaged
    self._decoding = {'seed': seed, 'greedy': greedy, 'weights': weights}
    self._sizes = sizes
    self._is_run = checkpoints.is_run(self._path)
    if self._is_run:
      run = checkpoints.read_run(self._path, checkpoints.WAVENET)
      sizes = run.hps.values()
    self.num_channels = sizes.get('ae_bottleneck_width', 16)
    self.hop_length = sizes.get('ae_hop_length', 512)

  def __reduce__(self):
    """Other processes read the checkpoint themselves."""
    settings = {**self._decoding, **self._sizes}
    make = functools.partial(WaveNetCodec, **settings)
    return make, (self._path, self._averaged)

  @property
  def checkpoint(self) -> dict[str, Any]:
    """What tells the checkpoint from others.

    That is its number of steps, whether the weights are averaged, and the
    SHA-256 of the encoder's weights, in the order of their names.
    """
    model, step, _ = self._encoder
    digest = hashlib.sha256()
    for name, variable in sorted(model.encoder.tf1_variables.items()):
      digest.update(name.encode())
      digest.update(variable.numpy().astype('<f4').tobytes())
    return {
      'step': step,
      'averaged': self._averaged,
      'encoder_sha256': digest.hexdigest(),
    }

  def _encode(self, audio: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    return self._encoder.model.encode(audio).numpy()

  def _decode(self, frames: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    return self._decoder.model.generate(frames, **self._decoding).numpy()

  @functools.cached_property
  def _encoder(self) -> TrainedAutoencoder:
    return self._load(encoder_only=True)

  @functools.cached_property
  def _decoder(self) -> TrainedAutoencoder:
    if self._is_run:
      return self._encoder  # It is whole.
    return self._load(encoder_only=False)

  def _load(self, encoder_only):
    return nsynth.load_autoencoder(
      self._path, self._averaged, encoder_only, **self._sizes
    )
