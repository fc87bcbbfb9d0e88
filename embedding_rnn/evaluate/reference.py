"""Real notes to hold reconstructions and samples against."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from absl import logging

from embedding_rnn.audio import metrics
from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import metadata
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.evaluate import distances
from embedding_rnn.evaluate.families import FamilyClassifier
from embedding_rnn.utils import cli

_MAX_NOTES = 16384  # of a split
_MAX_TRAIN_NOTES = 4096  # that baselines are fitted to
_IN_TUNE_CENTS = 50.0
_RESOLUTION_CENTS = 10.0


class Reference:
  """Real notes to measure models against; baselines are measured only once.

  Attributes:
    split: which notes of the data set they are of.
    seed: of all that is left to chance.
    rows: in the data set, `[N]`.
    notes: `[N, T, W]`.
    one_hots: their pitches and velocities, `[N, 256]`.
    pitches: the same as MIDI numbers, `[N]`.
    velocities: MIDI numbers, `[N]`.
    families: names, `[N]`; None if the data set has none.
    train_notes: those that baselines are fitted to.
    codec: which decodes notes, or None.
    decoded: which of the notes are decoded.
  """

  def __init__(
    self,
    dataset: NoteDataset,
    *,
    split: str = 'test',
    num_decoded_notes: int = 32,
    codec: Codec | None = None,
    seed: int = 0,
  ):
    rng = np.random.default_rng(seed)
    self.split, self.seed, self.codec = split, seed, codec
    self.data_dir = os.path.abspath(dataset.data_dir)
    self.rows = _some(rng, dataset.rows[split], _MAX_NOTES)
    self.notes, _ = dataset.notes(self.rows)
    self.one_hots = dataset.one_hots(self.rows, with_velocities=True)
    self.pitches, self.velocities = dataset.midi_numbers(self.rows)
    self.families = dataset.names(metadata.FAMILIES, self.rows)
    train_rows = _some(rng, dataset.rows['train'], _MAX_TRAIN_NOTES)
    self.train_notes, _ = dataset.notes(train_rows)
    self._halves = np.array_split(rng.permutation(len(self.rows)), 2)
    self._describe = distances.NoteFeatures.fit(self.train_notes)
    self._features = self._describe(self.notes)
    self._classifier = None
    if train_families := dataset.names(metadata.FAMILIES, train_rows):
      self._classifier = FamilyClassifier.fit(
        self._describe(self.train_notes), train_families
      )
    self._bandwidth = distances.median_distance(self._features)
    everything = np.arange(len(self.rows) if codec else 0)
    self.decoded = _some(rng, everything, num_decoded_notes)
    self._audios = self._decode(self.notes)
    self._measured: dict[Hashable, dict[str, Any]] = {}

  def once(
    self, key: Hashable, measure: Callable[..., dict], *arguments: Any
  ) -> dict[str, Any]:
    """What is measured against this now, or was before under the same key."""
    if key not in self._measured:
      self._measured[key] = measure(self, *arguments)
    return self._measured[key]

  def real_measures(self) -> dict[str, Any]:
    """What is to be expected of a perfect model."""
    first, second = (self._features[half] for half in self._halves)
    return (
      self._distances(first, second)
      | self._pitch_measures('reconstruction', self._audios)
      | self.family_measures(self.notes)
    )

  def reconstruction_measures(self, made: np.ndarray) -> dict[str, Any]:
    """What there is to say of reconstructions `[N, T, W]` of the notes."""
    if not _are_finite(made, 'reconstructions'):
      return {}
    errors = np.square(self.notes - made, dtype=np.float64).mean(axis=(1, 2))
    result = {'mse': errors.mean(), 'mse_per_note': errors.tolist()}
    audios = self._decode(made)
    if len(audios):
      pairs = zip(self._audios, audios, strict=True)
      loudness = [metrics.loudness_error_db(*pair) for pair in pairs]
      result['reconstruction_loudness_error_db'] = np.mean(loudness)
    return result | self._pitch_measures('reconstruction', audios)

  def sample_measures(self, samples: np.ndarray) -> dict[str, Any]:
    """What there is to say of samples `[N, T, W]` of the notes' pitches."""
    if not _are_finite(samples, 'samples'):
      return {}
    result = self._distances(self._features, self._describe(samples))
    audios = self._decode(samples)
    if len(audios):
      result['sample_loudness_error_db'] = metrics.mean_loudness_error_db(
        self._audios, audios
      )
    return result | self._pitch_measures('sample', audios)

  def family_measures(self, notes: np.ndarray) -> dict[str, Any]:
    """How often notes `[N, T, W]` are taken for their family's.

    Args:
      notes: made, or real; each is, or is to be, of the family of the note in
        its place.
    """
    if not (self._classifier and self.families and np.isfinite(notes).all()):
      return {}
    return self._classifier.measures(self._describe(notes), self.families)

  def _distances(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    if min(len(first), len(second)) < 2:
      return {}
    return {
      'frechet_distance': distances.frechet_distance(first, second),
      'squared_mmd': distances.squared_mmd(first, second, self._bandwidth),
    }

  def _decode(self, notes: np.ndarray) -> np.ndarray:
    rows = self.decoded
    if not self.codec or not len(rows):
      return np.zeros((0, 0), np.float32)
    return self.codec.decode(notes[rows], self.pitches[rows])

  def _pitch_measures(self, kind: str, audios: np.ndarray) -> dict[str, Any]:
    if not self.codec or not len(audios):
      return {}
    pairs = zip(audios, self.pitches[self.decoded].tolist(), strict=True)
    bar = cli.progress_bar(
      pairs, 'Pitches', len(audios), leave=False, delay=2, unit='note'
    )
    rate = self.codec.sample_rate
    cents = [
      metrics.pitch_error_cents(audio, pitch, rate, _RESOLUTION_CENTS)
      for audio, pitch in bar
    ]
    errors = np.abs(cents)
    is_heard = np.isfinite(errors)
    median = np.median(errors[is_heard]) if is_heard.any() else None
    return {
      f'{kind}_pitch_accuracy': np.mean(is_heard & (errors <= _IN_TUNE_CENTS)),
      f'{kind}_pitch_error_cents': median,
    }


def _some(rng: Any, rows: np.ndarray, number: int) -> np.ndarray:
  """At most so many rows, chosen by chance, in their order."""
  if len(rows) <= number:
    return rows
  return rows[np.sort(rng.permutation(len(rows))[:number])]


def _are_finite(notes: np.ndarray, what: str) -> bool:
  if np.isfinite(notes).all():
    return True
  logging.warning('Some %s are not finite, so nothing is said of them.', what)
  return False
