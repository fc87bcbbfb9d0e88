"""Training runs of Embedding RNN, and what they minimise."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from embedding_rnn import __version__
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import batches, provenance
from embedding_rnn.data.dataset import NoteDataset, fit_transforms, open_dataset
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.embedding_rnn import Costs, Model, seed_at_step
from embedding_rnn.model.hparams import (
  HParams,
  check_hparams,
  expect_enough_memory,
  names_that_shape,
)
from embedding_rnn.model.schedules import (
  LearningRate,
  kl_weight_at,
  make_optimizer,
)
from embedding_rnn.model.tf1_checkpoint import restore_tf1_checkpoint
from embedding_rnn.training import checkpoints
from embedding_rnn.training.checkpoints import RunFiles
from embedding_rnn.training.examples import Examples
from embedding_rnn.training.objective import Batch, Objective
from embedding_rnn.training.prior import compiled_encode, fit_prior
from embedding_rnn.training.progress import expect_same_run
from embedding_rnn.training.task import TrainingTask, check_run_seed, run_task
from embedding_rnn.training.trained_run import Run, load_run
from embedding_rnn.utils import settings

SPLIT_SEED = 0  # the same for all runs, so that their costs compare
_EVALUATION_SEED = 0


def train(
  hps: HParams,
  data_dir: str | os.PathLike[str],
  run_dir: str | os.PathLike[str],
  *,
  resume: bool = False,
  seed: int = 0,
  checkpoint_path: str | os.PathLike[str] | None = None,
  deterministic_ops: bool = False,
  precision: str = 'float32',
  strategy: tf.distribute.Strategy | None = None,
) -> Run:
  """Trains a model, or goes on with it, up to `hps.num_steps` steps.

  On Ctrl-C, SIGTERM or SIGHUP (if it is not ignored) the step is finished and
  saved before the signal takes its course; a second Ctrl-C stops at once. So it
  is on SIGUSR2, with which Slurm announces a time limit or preemption, if it
  has a handler.

  Where workers on several machines train one run, each calls this with the same
  arguments and must see the same folders. One of them writes. A signal to any
  stops all, at the latest after `trainer.LOG_EVERY` steps.

  Args:
    hps: hyperparameters.
    data_dir: the data set, see `dataset.open_dataset`.
    run_dir: the run's folder, `log_root/exp_name`; made if it is not there.
    resume: go on with the run in the folder, which must then be there and, but
      for num_steps and save_every, have the same hyperparameters. If it is
      finished, this returns at once.
    seed: of weights, batches, noise and dropout, at least 0; `hps.trial` is
      added to it, so that repeats differ. The split does not depend on it.
    checkpoint_path: weights to start from: a checkpoint of 2017, or the folder
      of another run, whose transforms are then taken over, too, or 'pretrained'
      for the run in the package.
    deterministic_ops: the same bits on every repeat, on GPUs too; on CPUs it is
      so anyway. TensorFlow has one such switch for the whole process, which
      stays on.
    precision: of the large matrix products, 'float32' or 'bfloat16', see
      `embedding_rnn.Model`; to go on with a run it must be the run's.
    strategy: how to use several devices; `distribution.choose_strategy()` if
      None, which takes all there are.

  Returns:
    The run, with the weights of the best validation cost.

  Raises:
    FileExistsError: there is a run in the folder, and resume is false.
    FileNotFoundError: there is none, and resume is true; or no data set.
    BlockingIOError: another process is training in the folder.
    NonFiniteCostError: a cost or gradient is not finite.
    DamagedFileError: a file of the run is damaged.
    ValueError: for bad data or hyperparameters, or a batch that the devices
      cannot share evenly.
    RuntimeError: another worker could not start.
  """
  check_hparams(hps)
  check_run_seed(hps, seed)
  if not tf.config.list_physical_devices('GPU'):  # they have their own
    expect_enough_memory(hps, is_training=True)
  path = checkpoints.absolute_path(checkpoint_path)
  run_task(
    _NoteTask(hps, data_dir, seed, path, precision),
    run_dir,
    resume=resume,
    deterministic_ops=deterministic_ops,
    strategy=strategy,
  )
  return load_run(run_dir)


class NoteObjective(Objective):
  """The costs of `embedding_rnn.Model` on notes; see `Objective`.

  Args:
    model: the model.
    seed: of batches, noise and dropout.
    dataset: the notes; None where only the compiled methods are needed.
    transforms: from the notes to the model's format, or None likewise.
  """

  cost_names = Costs._fields
  remedy = (
    'with a lower learning_rate or grad_clip, from the best weights of this '
    'one if you like (--checkpoint_path)'
  )

  def __init__(
    self,
    model: Model,
    seed: int,
    dataset: NoteDataset | None = None,
    transforms: Transforms | None = None,
  ):
    self.model, self.seed, self.hps = model, seed, model.hps
    self.grad_clip = model.hps.grad_clip
    self._dataset: Any = dataset
    self._transforms: Any = transforms

  def make_optimizer(self) -> keras.optimizers.Optimizer:
    """As of `Objective`."""
    return make_optimizer(self.hps)

  def training_batches(self, first_step: int) -> Iterable[Batch]:
    """(batch `[B, T + 1, W]`, pitches `[B, 128]`), see `data.batches`."""
    return batches.training_batches(
      self._dataset,
      self._transforms,
      self.hps,
      self.seed,
      first_step,
      num_steps=self.hps.num_steps - first_step,
    )

  def evaluation_batches(self, split: str) -> Iterable[Batch]:
    """(batch, pitches, weight `[B]`), see `data.batches`."""
    return batches.evaluation_batches(
      self._dataset, self._transforms, split, self.hps.batch_size
    )

  def total_costs(self, sums: np.ndarray) -> dict[str, float]:
    """As of `Objective`."""
    *parts, weight = sums
    costs = self.model.total_costs(
      *(tf.constant(x / weight, tf.float32) for x in parts)
    )
    return {name: float(x) for name, x in costs._asdict().items()}

  def values_at_step(self, step: int) -> dict[str, float]:
    """As of `Objective`."""
    return {
      'learning_rate': float(LearningRate.of(self.hps)(step)),
      'kl_weight': float(kl_weight_at(self.hps, step)),
    }

  def arrays_to_keep(
    self, optimizer: keras.optimizers.Optimizer
  ) -> dict[str, Mapping[str, np.ndarray]]:
    """The prior of the training notes' latents, see `prior`."""
    del optimizer
    if not self.model.conditional:
      return {}
    fitted = fit_prior(
      self.model, self._dataset, self._transforms, self._encode
    )
    return {checkpoints.PRIOR: fitted.arrays()}

  @functools.cached_property
  def _encode(self):
    return compiled_encode(self.model)

  def original_sounds(self) -> Mapping[str, np.ndarray]:
    """Of six validation notes, if there is a codec at hand to decode them."""
    return self._examples.originals() if self._examples else {}

  def made_sounds(self) -> Mapping[str, np.ndarray]:
    """Reconstructions of these, as `Run.reconstruct` makes them."""
    return self._examples.reconstructions() if self._examples else {}

  @functools.cached_property
  def _examples(self):
    has_codec = (self._dataset.codec, self.hps.seq_width) == (
      HarmonicCodec.name,
      HarmonicCodec.num_channels,
    )
    if not self.model.conditional or not has_codec:
      return None
    run = Run('', self.hps, self.model, self._transforms, {}, 0, {})
    return Examples(self._dataset, run)

  def gradients(
    self, part: Batch, step: tf.Tensor, means: Sequence[tf.Tensor] = ()
  ) -> tuple[Costs, list[tf.Tensor]]:
    """As of `Objective`."""
    return self.model.gradients_at_step(*part, self.seed, step, *means)

  def part_means(self, part: Batch, step: tf.Tensor) -> list[tf.Tensor]:
    """The raw KL, since its floor is that of the whole batch's mean."""
    if not self.model.conditional:
      return []
    seed = seed_at_step(self.seed, step)
    latent = self.model.encode(part[0][:, 1:], seed=seed)
    return [tf.reduce_mean(latent.kl_to_prior())]

  def evaluation_sums(self, part: Batch, number: tf.Tensor) -> tf.Tensor:
    """Sums of the costs of notes, and of weight."""
    batch, pitches, weight = part
    seed = seed_at_step(_EVALUATION_SEED, number)
    noise = self.model.draw_noise(batch, seed)
    notes = self.model.note_costs(batch, pitches, noise)
    return tf.stack(
      [*(tf.reduce_sum(x * weight) for x in notes), tf.reduce_sum(weight)]
    )


class _NoteTask(TrainingTask):
  """Runs of Embedding RNN; the arguments are those of `train`."""

  kind = checkpoints.EMBEDDING_RNN

  def __init__(self, hps, data_dir, seed, checkpoint_path, precision):
    self.hps = hps
    self._data_dir, self._seed = data_dir, seed
    self._checkpoint_path, self._precision = checkpoint_path, precision

  def begin(self):
    notes = open_dataset(self._data_dir, self.hps, SPLIT_SEED)
    other = find_start(self._checkpoint_path)
    if other:
      self._expect_fit(other, notes)
    transforms = other.transforms if other else fit_transforms(notes, self.hps)
    info = provenance.describe_dataset(notes, SPLIT_SEED) | {
      'seed': self._seed,
      'checkpoint_path': self._checkpoint_path,
      'precision': self._precision,
      'version': __version__,
    }
    return RunFiles(self.hps.copy(), transforms, info), notes

  def _expect_fit(self, other, notes):
    """Raises ValueError if weights of another run cannot be gone on with."""
    names = names_that_shape('model')
    before, now = other.hps.values(), self.hps.values()
    differing = settings.differences(
      before,
      {name: now[name] for name in names},
      wording='{name}={before!r} there, {now!r} here',
    )
    if differing:
      raise ValueError(
        f"The weights of '{self._checkpoint_path}' do not fit: "
        f'{"; ".join(differing)}. Give the values of there with --hparam.'
      )
    provenance.expect_same_codec(notes, other.info)

  def expect_same_run(self, run):
    expect_same_run(
      run, self.hps, self._seed, self._checkpoint_path, self._precision
    )

  def open_data(self, run):
    return provenance.open_same_dataset(self._data_dir, self.hps, run.info)

  def make_objective(self, run, data, is_new):
    seed, precision = run.info['seed'], checkpoints.precision_of(run)
    if is_new:
      path = run.info['checkpoint_path']
      model = _initial_model(run.hps, seed, path, precision)
    else:
      model = Model(run.hps, precision)
    return NoteObjective(model, seed + run.hps.trial, data, run.transforms)


def find_start(path: str | None) -> RunFiles | None:
  """The run to start from; None if the weights are no run's.

  Args:
    path: as `train` takes it.
  """
  if path is None or not checkpoints.is_run(checkpoints.folder_of(path)):
    return None
  return checkpoints.read_run(checkpoints.folder_of(path))


def _initial_model(hps, seed, checkpoint_path, precision='float32'):
  keras.utils.set_random_seed(seed + hps.trial)
  model = Model(hps, precision)
  if checkpoint_path is None:
    return model
  if find_start(checkpoint_path):
    other = load_run(checkpoints.folder_of(checkpoint_path))
    weights = checkpoints.weights_of(other.model)
    checkpoints.assign_weights(model, weights, other.folder)
  else:
    restore_tf1_checkpoint(model, checkpoint_path)
  return model
