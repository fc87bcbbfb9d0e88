"""Training runs of the WaveNet autoencoder, as in 2017.

They are made by the same step loop as those of Embedding RNN, and so are saved,
resumed, stopped and spread over devices as these are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from embedding_rnn import __version__
from embedding_rnn.data.preparation.base import Source
from embedding_rnn.model.hparams import HParams
from embedding_rnn.nsynth import runs
from embedding_rnn.nsynth.runs import TrainedAutoencoder
from embedding_rnn.nsynth.train import hparams
from embedding_rnn.nsynth.train.crops import Crops
from embedding_rnn.nsynth.train.optimizer import AveragingAdam, StepwiseRate
from embedding_rnn.nsynth.wavenet import WaveNetAutoencoder
from embedding_rnn.training import checkpoints, progress, task
from embedding_rnn.training.checkpoints import RunFiles
from embedding_rnn.training.objective import Batch, Objective


def train(
  hps: HParams,
  source: Source,
  run_dir: str | os.PathLike[str],
  *,
  resume: bool = False,
  seed: int = 0,
  deterministic_ops: bool = False,
  strategy: tf.distribute.Strategy | None = None,
) -> TrainedAutoencoder:
  """Trains a WaveNet autoencoder, or goes on with it.

  Its cost is the cross entropy of the next sample's mu-law class, in nats a
  sample; ln 256, 5.545, is that of a guess. Beside the best weights a run keeps
  the moving averages of the weights at that step. Signals and workers are as of
  `training.train`.

  Args:
    hps: hyperparameters, see `hparams.default_hps`.
    source: of the notes, such as `sources.open_source` or
      `sources.EmbeddedNotes` gives.
    run_dir: the run's folder; made if it is not there.
    resume: go on with the run in the folder, which must have the same notes
      and, but for num_steps and save_every, the same hyperparameters.
    seed: of weights and crops, at least 0; `hps.trial` is added to it.
    deterministic_ops: see `training.train`.
    strategy: see `training.train`.

  Returns:
    The model with the weights of the best validation cost.

  Raises:
    ValueError: for bad hyperparameters, bad notes, or other notes than the
      run's; else as of `training.train`.
  """
  hparams.check_hparams(hps)
  task.check_run_seed(hps, seed)
  task.run_task(
    _AudioTask(hps, source, seed),
    run_dir,
    resume=resume,
    deterministic_ops=deterministic_ops,
    strategy=strategy,
  )
  return runs.load_autoencoder(run_dir)


class AudioObjective(Objective):
  """Cross entropy of audio that was encoded and decoded; see `Objective`.

  Args:
    model: with weights.
    hps: of the training.
    seed: of the crops.
    crops: of the notes.
  """

  cost_names = ('cost',)

  def __init__(
    self, model: WaveNetAutoencoder, hps: HParams, seed: int, crops: Crops
  ):
    self.model, self.hps, self.seed = model, hps, seed
    self._crops = crops
    self._rate = StepwiseRate(hps.learning_rate)

  def make_optimizer(self) -> AveragingAdam:
    """As of `Objective`."""
    return AveragingAdam(self._rate)

  def training_batches(self, first_step: int) -> Iterable[Batch]:
    """One tensor, `[B, L]`."""
    return self._crops.training_batches(
      self.seed, first_step, self.hps.num_steps
    )

  def evaluation_batches(self, split: str) -> Iterable[Batch]:
    """`[B, L]` and weights `[B]`."""
    return self._crops.evaluation_batches(split)

  def total_costs(self, sums: np.ndarray) -> dict[str, float]:
    """As of `Objective`."""
    nats, weight = sums
    return {'cost': float(nats / weight)}

  def values_at_step(self, step: int) -> dict[str, float]:
    """As of `Objective`."""
    return {'learning_rate': float(self._rate(step))}

  def arrays_to_keep(
    self, optimizer: keras.optimizers.Optimizer
  ) -> dict[str, Mapping[str, np.ndarray]]:
    """The averages, under the names of their weights."""
    pairs = zip(self.model.trainable_variables, optimizer.averages, strict=True)
    averages = {variable.path: average.numpy() for variable, average in pairs}
    return {runs.AVERAGES: averages}

  def gradients(
    self, part: Batch, step: tf.Tensor, means: Sequence[tf.Tensor] = ()
  ) -> tuple[Sequence[tf.Tensor], list[tf.Tensor]]:
    """As of `Objective`."""
    loss, gradients = self.model.loss_and_gradients(*part)
    return [loss], gradients

  def evaluation_sums(self, part: Batch, number: tf.Tensor) -> tf.Tensor:
    """Sums of nats a sample and of weight."""
    audio, weight = part
    losses = self.model.losses_of_notes(audio)
    return tf.stack([tf.reduce_sum(losses * weight), tf.reduce_sum(weight)])


class _AudioTask(task.TrainingTask):
  """Runs of the autoencoder; the arguments are those of `train`."""

  kind = checkpoints.WAVENET

  def __init__(self, hps, source, seed):
    self.hps, self._source, self._seed = hps, source, seed

  def begin(self):
    crops = self._open_crops()
    info = {
      'kind': self.kind,
      'source': self._source.name,
      'source_sha256': self._source.sha256,
      'num_notes': {name: len(rows) for name, rows in crops.rows.items()},
      'seed': self._seed,
      'version': __version__,
    }
    return RunFiles(self.hps.copy(), None, info), crops

  def expect_same_run(self, run):
    progress.expect_same_run(run, self.hps, self._seed)

  def open_data(self, run):
    if self._source.sha256 != run.info['source_sha256']:
      raise ValueError(
        f'{self._source.name} holds other notes than the run was trained on, '
        f'those of {run.info["source"]}; give these with --source.'
      )
    return self._open_crops()

  def make_objective(self, run, data, is_new):
    seed = run.info['seed'] + run.hps.trial
    if is_new:
      keras.utils.set_random_seed(seed)
    return AudioObjective(runs.make_model(run.hps), run.hps, seed, data)

  def _open_crops(self):
    return Crops(self._source, self.hps.crop_length, self.hps.batch_size)
