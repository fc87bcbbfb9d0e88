"""Training notes made of other training notes, as functions of seed and step.

A note becomes w a + (1 - w) b of two training notes (mixup, Zhang et al., arXiv
1710.09412) whose pitches are near, so that they may be mixed frame by frame;
and it gets a constant spectral offset of its own, as of another timbre.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from embedding_rnn.data import dataset as data
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.model.hparams import HParams

_LEAST_WEIGHT, _MOST_WEIGHT = -0.2, 1.2  # of the first of two notes
_PURPOSE = 2**63  # keeps the keys apart from those of `batches.batch_rows`


@dataclasses.dataclass(frozen=True, eq=False)
class Augmentation:
  """What is done to the notes of training batches.

  Attributes:
    dataset: the notes.
    mix_prob: probability that a note is mixed with another.
    pitch_size: where pitches end in one-hots; velocities may come behind.
    rows: of the training notes, lowest pitch first, `[N]`.
    neighbours: for each pitch the range of `rows` within reach, `[128, 2]`.
    offsets: what turns N(0, I) into offsets, `[W, W]`, or None for none.
  """

  dataset: NoteDataset
  mix_prob: float
  pitch_size: int
  rows: np.ndarray
  neighbours: np.ndarray
  offsets: np.ndarray | None

  @classmethod
  def fit(cls, dataset: NoteDataset, hps: HParams) -> Augmentation | None:
    """Finds out what there is to mix, and how far notes lie apart.

    Args:
      dataset: the notes.
      hps: of these, mix_prob, mix_semitones, offset_scale and context_vec_size
        are read.

    Returns:
      What to do to training notes; None for nothing.
    """
    if not (hps.mix_prob or hps.offset_scale):
      return None
    rows = np.sort(dataset.rows['train'])
    pitches, _ = dataset.midi_numbers(rows)
    order = np.argsort(pitches, kind='stable')
    numbers, ascending = np.arange(hps.context_vec_size), pitches[order]
    neighbours = np.stack(
      [
        np.searchsorted(ascending, numbers - hps.mix_semitones, 'left'),
        np.searchsorted(ascending, numbers + hps.mix_semitones, 'right'),
      ],
      axis=1,
    )
    offsets = None
    if hps.offset_scale:
      offsets = hps.offset_scale * _spread(dataset, rows)
    return cls(
      dataset,
      hps.mix_prob,
      hps.context_vec_size,
      rows[order],
      neighbours,
      offsets,
    )

  def __call__(
    self, frames: np.ndarray, one_hots: np.ndarray, seed: int, step: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Makes new notes of those of a batch.

    Args:
      frames: in the original format, `[B, T, W]`.
      one_hots: of pitches, and perhaps of velocities behind them, `[B, C]`.
      seed: at least 0.
      step: at least 0.

    Returns:
      The same of the new notes, float32. Their pitches are the same, and their
      velocities mixed as their frames are.
    """
    # As in `batches`: RandomState never changes.
    key = np.array([seed, _PURPOSE + step], np.uint64)
    random = np.random.RandomState(np.random.Philox(key=key))
    chance, weight, other = random.random_sample((3, len(frames)))
    normal = random.standard_normal((len(frames), frames.shape[2]))
    if self.mix_prob:
      is_mixed = chance < self.mix_prob
      weight = _LEAST_WEIGHT + (_MOST_WEIGHT - _LEAST_WEIGHT) * weight
      weight = np.where(is_mixed, weight, 1.0).astype(np.float32)[:, None]
      pitches = one_hots[:, : self.pitch_size].argmax(axis=1)
      start, end = self.neighbours[pitches].T
      others = self.rows[start + (other * (end - start)).astype(np.int64)]
      mates, mate_one_hots = self.dataset.notes(others)
      frames = _mix(frames, mates, weight[..., None])
      mixed = _mix(one_hots, mate_one_hots, weight)
      one_hots = np.concatenate(
        [one_hots[:, : self.pitch_size], mixed[:, self.pitch_size :]], axis=1
      )
    if self.offsets is not None:
      frames = frames + (normal @ self.offsets).astype(np.float32)[:, None]
    return frames, one_hots


def _mix(first: np.ndarray, second: np.ndarray, w: np.ndarray) -> np.ndarray:
  return w * first + (1 - w) * second


def _spread(dataset: NoteDataset, rows: np.ndarray) -> np.ndarray:
  """The symmetric root of the covariance of notes' mean frames, `[W, W]`.

  Unlike other roots, there is one only, whatever computes it.
  """
  means = [
    frames.mean(axis=1, dtype=np.float64)
    for frames in dataset.chunks(data.some_rows(rows, data.MAX_FITTED_NOTES))
  ]
  covariance = np.cov(np.concatenate(means), rowvar=False, bias=True)
  variance, directions = np.linalg.eigh(np.atleast_2d(covariance))
  return directions * np.sqrt(np.maximum(variance, 0.0)) @ directions.T
