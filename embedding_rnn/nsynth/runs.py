"""Runs of the WaveNet autoencoder: their hyperparameters and their results."""

from __future__ import annotations

import inspect
import os
from typing import NamedTuple

import numpy as np

from embedding_rnn.data.preparation.recordings import NUM_SAMPLES
from embedding_rnn.model.hparams import HParams
from embedding_rnn.nsynth.wavenet import WaveNetAutoencoder
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import memory

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
AVERAGES = 'averages.npz'
_SIZES = {
  name: parameter.default
  for name, parameter in inspect.signature(
    WaveNetAutoencoder
  ).parameters.items()
  if isinstance(parameter.default, int)
}


class TrainedAutoencoder(NamedTuple):
  """What a checkpoint holds.

  Attributes:
    model: with the weights, or their averages; of a run those of the best
      validation cost.
    step: number of training steps behind them.
    costs: of a run, those of its raw weights: for 'valid' and 'test' their
      "cost", in nats a sample; {} if not known.
  """

  model: WaveNetAutoencoder
  step: int
  costs: dict[str, dict[str, float]]


def default_hps() -> HParams:
  """The sizes and the training of 2017: h512_bo16 on chunks of 6144 samples.

  Of training these are num_steps, batch_size (crops in a step), crop_length
  (samples), save_every (steps from one evaluation to the next), learning_rate
  (at the first step; it falls to a hundredth of it by step 240,000), and trial
  (number of a repeat).
  """
  return HParams(
    **_SIZES,
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


def make_model(hps: HParams) -> WaveNetAutoencoder:
  """A model of these sizes, with weights."""
  sizes = {name: hps.get(name) for name in _SIZES}
  # Without a name, Keras would number it, and with it all weights.
  model = WaveNetAutoencoder(**sizes, name=checkpoints.WAVENET)
  model.build()
  return model


def load_autoencoder(
  path: str | os.PathLike[str],
  averaged: bool = False,
  encoder_only: bool = False,
  **sizes: int,
) -> TrainedAutoencoder:
  """Loads a run of ours, or a checkpoint of 2017.

  Args:
    path: the folder of a run, or as in
      `WaveNetAutoencoder.restore_tf1_checkpoint`.
    averaged: the moving averages of the weights, not these themselves.
    encoder_only: do without the decoder, if that saves something.
    **sizes: of the `WaveNetAutoencoder` of 2017; by default the published.

  Raises:
    FileNotFoundError: if there is nothing, or a run has no weights yet.
    ValueError: for a file that is missing, damaged, or does not fit, or a run
      of another model.
  """
  if checkpoints.is_run(path):
    return _load_run(path, averaged)
  model = WaveNetAutoencoder(**sizes)
  step = model.restore_tf1_checkpoint(path, averaged, encoder_only)
  return TrainedAutoencoder(model, step, {})


def _load_run(folder, averaged):
  run = checkpoints.read_run(folder, checkpoints.WAVENET)
  name = AVERAGES if averaged else checkpoints.WEIGHTS
  save, (weights, costs) = checkpoints.read_save(
    folder,
    checkpoints.BEST,
    lambda save: (save.read_arrays(name), checkpoints.read_costs(save)),
  )
  model = make_model(run.hps)
  checkpoints.assign_weights(model, weights, os.path.join(save.path, name))
  return TrainedAutoencoder(model, save.step, costs)
