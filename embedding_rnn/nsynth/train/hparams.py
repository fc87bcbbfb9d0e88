"""Hyperparameters of the WaveNet autoencoder and its training.

They are here, without TensorFlow, so that bad ones are refused at once.
"""

from __future__ import annotations

import numpy as np

from embedding_rnn.data.preparation.recordings import NUM_SAMPLES
from embedding_rnn.model.hparams import HParams
from embedding_rnn.utils import memory

# Those of `WaveNetAutoencoder`, whose defaults they are.
SIZES = {
  'width': 512,
  'skip_width': 256,
  'num_layers': 30,
  'num_stages': 10,
  'ae_width': 128,
  'ae_num_layers': 30,
  'ae_num_stages': 10,
  'ae_bottleneck_width': 16,
  'ae_hop_length': 512,
}
_MAX_SIZE = 65_536
_MAXIMA: dict[str, float] = {
  'num_layers': 1000,
  'ae_num_layers': 1000,
  # Dilations beyond a note would see nothing.
  'num_stages': 16,
  'ae_num_stages': 16,
  'num_steps': 1_000_000_000,
  'save_every': 1_000_000_000,
  'batch_size': 1_000_000,
  'learning_rate': float(np.finfo(np.float32).max),
}


def default_hps() -> HParams:
  """The sizes and the training of 2017: h512_bo16 on chunks of 6144 samples.

  Of training these are num_steps, batch_size (crops in a step), crop_length
  (samples), save_every (steps from one evaluation to the next), learning_rate
  (at the first step; it falls to a hundredth of it by step 240,000), and trial
  (number of a repeat).
  """
  return HParams(
    **SIZES,
    crop_length=6144,
    batch_size=32,
    num_steps=250_000,
    save_every=1000,
    learning_rate=2e-4,
    trial=0,
  )


def check_hparams(hps: HParams) -> None:
  """Raises ValueError for values that make no model, or no training of it."""
  for name, value in hps.values().items():
    maximum = _MAXIMA.get(name, _MAX_SIZE)
    if name != 'trial' and not 0 < value <= maximum:  # NaN, too
      raise ValueError(
        f'{name}={value}: expected more than 0, at most {maximum:,}.'
      )
  hop = hps.ae_hop_length
  if hps.crop_length % hop or hps.crop_length > NUM_SAMPLES:
    raise ValueError(
      f'crop_length={hps.crop_length}: expected a multiple of ae_hop_length, '
      f'{hop}, up to {NUM_SAMPLES}, such as {12 * hop}.'
    )
  # Weights of the dilated convolutions, of 3 taps and two outputs (one in the
  # encoder), and of those of one tap; with gradients and averages, four each.
  weights = hps.num_layers * (7 * hps.width + hps.skip_width) * hps.width
  weights += hps.ae_num_layers * 4 * hps.ae_width**2
  memory.expect_memory(
    4 * 4 * weights,
    f'Training with width={hps.width}, num_layers={hps.num_layers}, '
    f'ae_width={hps.ae_width}, ae_num_layers={hps.ae_num_layers}',
    'set smaller ones',
  )
