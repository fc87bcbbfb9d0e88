"""A trained run, ready to use: notes in, notes out."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from embedding_rnn import checkpoints, compilation, data, sampling
from embedding_rnn.embedding_rnn import Latent, Model
from embedding_rnn.hparams import HParams
from embedding_rnn.transforms import Transforms


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A trained model with all that belongs to it; see `load_run`.

  Its methods take and give notes in the original format, `[N, T, seq_width]`,
  in batches of `batch_size`; pitches are MIDI numbers `[N]` or one-hots
  `[N, 128]`.

  Attributes:
    folder: where it was loaded from.
    hps: its hyperparameters, as training started with them.
    model: the model, with the weights of the best validation cost.
    transforms: between the original and the model's format.
    info: facts about the run: "data_dir", "codec" and its "checkpoint", "seed",
      "split_seed", "version", "num_notes" of each split, "instruments" and so
      on.
    step: number of training steps behind the weights.
    costs: for 'valid' and 'test' their "cost", "r_cost", "kl_cost" and
      "raw_kl"; see `embedding_rnn.Costs`.
  """

  folder: str
  hps: HParams
  model: Model
  transforms: Transforms
  info: dict[str, Any]
  step: int
  costs: dict[str, dict[str, float]]

  def encode(self, notes: npt.ArrayLike, *, batch_size: int = 64) -> Latent:
    """The latents of notes.

    Args:
      notes: `[N, T, seq_width]`.
      batch_size: notes at a time.

    Returns:
      A Latent of arrays `[N, Z]`; z is the mean, or with no_sample_vae the
      projection.

    Raises:
      ValueError: for notes of another shape, or that are not finite, or an
        unconditional model.
    """
    frames = self.transforms.forward(self._check_notes(notes))
    if not self.model.conditional:
      self.model.encode(frames[:1])  # Raises.
    latent = sampling.in_batches(self._encode, [frames], batch_size)
    return Latent(*(part.numpy() for part in latent))

  def reconstruct(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike,
    *,
    temperature: float = 1.0,
    temperature_2: float = 1.0,
    greedy: bool | str = False,
    seed: int | None = 0,
    batch_size: int = 64,
  ) -> np.ndarray:
    """Notes, encoded and then sampled anew from their latents.

    An unconditional model knows nothing of the notes: it gives samples.

    Args:
      notes: `[N, T, seq_width]`.
      pitches: MIDI numbers `[N]` or one-hots `[N, 128]`.
      temperature: see `sample`, also for the others.
      temperature_2: as above.
      greedy: as above.
      seed: as above.
      batch_size: notes at a time; the result does not depend on it, beyond
        rounding.

    Returns:
      float32 `[N, T, seq_width]`.

    Raises:
      ValueError: for arguments out of range or of the wrong shape.
    """
    notes = self._check_notes(notes)
    pitches = self._one_hots(pitches)
    if len(notes) != len(pitches):
      raise ValueError(
        f'{len(notes)} notes but {len(pitches)} pitches; give one for each.'
      )
    z = None
    if self.model.conditional:
      z = self.encode(notes, batch_size=batch_size).z
    return self.sample(
      pitches,
      z,
      num_frames=notes.shape[1],
      temperature=temperature,
      temperature_2=temperature_2,
      greedy=greedy,
      seed=seed,
      batch_size=batch_size,
    )

  def sample(
    self,
    pitches: npt.ArrayLike,
    z: npt.ArrayLike | None = None,
    *,
    num_frames: int | None = None,
    temperature: float = 1.0,
    temperature_2: float = 1.0,
    greedy: bool | str = False,
    seed: int | None = 0,
    batch_size: int = 64,
  ) -> np.ndarray:
    """New notes.

    Args:
      pitches: MIDI numbers `[N]` or one-hots `[N, 128]`; an unconditional model
        only takes their number.
      z: latents `[N, Z]`; drawn from N(0, I) if None. Not for unconditional
        models.
      num_frames: T; hps.max_seq_len if None.
      temperature: of the choice of a component, above 0.
      temperature_2: scales the variance of the component's noise, at least 0.
      greedy: True takes the likeliest component, and with temperature_2=0 is
        deterministic; 'mean' takes the mean of the whole mixture.
      seed: of all randomness; fresh randomness if None. A note's depends on its
        place among the notes, not on their number.
      batch_size: notes at a time; the result does not depend on it, beyond
        rounding.

    Returns:
      float32 `[N, T, seq_width]`.

    Raises:
      ValueError: for arguments out of range or of the wrong shape.
    """
    frames = sampling.sample(
      self.model,
      self._one_hots(pitches),
      z,
      num_frames=num_frames,
      temperature=temperature,
      temperature_2=temperature_2,
      greedy=greedy,
      seed=seed,
      batch_size=batch_size,
    )
    return self.transforms.inverse(frames.numpy())

  def open_dataset(
    self, data_dir: str | os.PathLike[str] | None = None
  ) -> data.NoteDataset:
    """Opens the data set of the run, split as for its training.

    Args:
      data_dir: where it is now; where it was then if None.

    Returns:
      The data set.

    Raises:
      FileNotFoundError: if it is not there.
      ValueError: for bad data, or other data than the run's.
    """
    return open_dataset(data_dir or self.info['data_dir'], self.hps, self.info)

  @functools.cached_property
  def _encode(self):
    return tf.function(
      self.model.encode,
      autograph=False,
      jit_compile=compilation.prefers_xla(),
    )

  def _check_notes(self, notes) -> np.ndarray:
    notes = np.asarray(notes)
    width = self.transforms.seq_width
    if notes.ndim != 3 or notes.shape[2] != width or 0 in notes.shape:
      raise ValueError(
        f'Notes of shape {notes.shape}: expected [N, T, {width}], at least one '
        'note of one frame.'
      )
    if notes.dtype.kind not in 'biuf' or not np.isfinite(notes).all():
      raise ValueError(
        'The notes hold NaN, infinity or what is not a number; remove or '
        'repair them.'
      )
    return notes

  def _one_hots(self, pitches) -> np.ndarray:
    pitches = np.asarray(pitches)
    size = self.hps.context_vec_size
    if pitches.ndim == 1 and pitches.dtype.kind in 'iu' and len(pitches):
      if pitches.min() < 0 or pitches.max() >= size:
        raise ValueError(
          f'pitches from {pitches.min()} to {pitches.max()}: expected MIDI '
          f'numbers from 0 to {size - 1}.'
        )
      return np.eye(size, dtype=np.float32)[pitches]
    if (
      pitches.ndim != 2
      or pitches.shape[1] != size
      or not len(pitches)
      or not ((pitches == 0) | (pitches == 1)).all()
      or not (pitches.sum(axis=1) == 1).all()
    ):
      raise ValueError(
        f'pitches of dtype {pitches.dtype} and shape {pitches.shape}: expected '
        f'integers [N] or one-hots [N, {size}], at least one.'
      )
    return pitches.astype(np.float32)


def load_run(folder: str | os.PathLike[str]) -> Run:
  """Loads a run: everything that is needed to use its trained model.

  Args:
    folder: the run's folder, `log_root/exp_name`.

  Returns:
    The run, with the weights of the best validation cost. If the newest of them
    are damaged, those before, with a warning in the log.

  Raises:
    FileNotFoundError: if there is no run, or it has not saved weights yet.
    CheckpointError: for a file that is missing, damaged, or does not fit.
  """
  files = checkpoints.read_run(folder)
  save, (weights, costs) = checkpoints.read_save(
    folder,
    checkpoints.BEST,
    lambda save: (
      save.read_arrays(checkpoints.WEIGHTS),
      save.read_json(checkpoints.COSTS),
    ),
  )
  model = Model(files.hps, checkpoints.precision_of(files))
  source = os.path.join(save.path, checkpoints.WEIGHTS)
  checkpoints.assign_weights(model, weights, source)
  return Run(
    folder=os.fspath(folder),
    hps=files.hps,
    model=model,
    transforms=files.transforms,
    info=files.info,
    step=save.step,
    costs=costs,
  )


def describe_dataset(
  dataset: data.NoteDataset, split_seed: int
) -> dict[str, Any]:
  """What a run remembers of its data, to open the same again."""
  info = {
    'data_dir': os.path.abspath(dataset.data_dir),
    'split_seed': split_seed,
    'split_sha256': _split_digest(dataset),
    'num_notes': {name: len(rows) for name, rows in dataset.rows.items()},
  }
  known = (
    'codec',
    'checkpoint',
    'sample_rate',
    'instruments',
    'instrument_families',
  )
  return info | {k: dataset.info[k] for k in known if k in dataset.info}


def open_dataset(
  data_dir: str | os.PathLike[str], hps: HParams, info: dict[str, Any]
) -> data.NoteDataset:
  """Opens the data set that `describe_dataset` described; see `Run`."""
  dataset = data.open_dataset(data_dir, hps, info['split_seed'])
  if _split_digest(dataset) != info['split_sha256']:
    now = {name: len(rows) for name, rows in dataset.rows.items()}
    raise ValueError(
      f'{os.fspath(data_dir)!r} holds other notes than the run was trained on: '
      f'its splits are {now} or in another order, expected '
      f'{info["num_notes"]}; give the data set of the run with --data_dir.'
    )
  expect_same_codec(dataset, info)
  return dataset


def expect_same_codec(dataset: data.NoteDataset, info: dict[str, Any]) -> None:
  """Raises ValueError if a run knows its codec, and data is of another."""
  for key in ('codec', 'checkpoint'):
    expected, found = info.get(key), dataset.info.get(key)
    if expected not in (None, found):
      raise ValueError(
        f'The run was trained on frames of the {key} {expected!r}, but '
        f'{dataset.data_dir!r} has those of {found!r}; give the data set of '
        'the run with --data_dir.'
      )


def _split_digest(dataset: data.NoteDataset) -> str:
  digest = hashlib.sha256()
  for name in sorted(dataset.rows):
    digest.update(name.encode())
    digest.update(np.asarray(dataset.rows[name], '<i8').tobytes())
  return digest.hexdigest()
