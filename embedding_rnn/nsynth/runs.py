"""Runs of the WaveNet autoencoder, and what comes of them."""

from __future__ import annotations

import os
from typing import NamedTuple

from embedding_rnn.model.hparams import HParams
from embedding_rnn.nsynth.train.hparams import SIZES
from embedding_rnn.nsynth.wavenet import WaveNetAutoencoder
from embedding_rnn.training import checkpoints

AVERAGES = 'averages.npz'


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


def make_model(hps: HParams) -> WaveNetAutoencoder:
  """A model of these sizes, with weights."""
  sizes = {name: hps.get(name) for name in SIZES}
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
