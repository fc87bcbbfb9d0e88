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
from embedding_rnn.evaluate.tables import name_of
from embedding_rnn.utils import cli

_MAX_NOTES = 16384  # of a split
_MAX_TRAIN_NOTES = 4096  # that baselines are fitted to
_IN_TUNE_CENTS = 50.0
_RESOLUTION_CENTS = 10.0


class Reference:
  """Real notes to measure models against; baselines are measured only once.

  Attributes:
    name: of a set of other notes, see `tables.name_of`; None for the run's own.
    split: which notes of their data set they are; None for all.
    seed: of all that is left to chance.
    data_dir: where they are.
    rows: in their data set, `[N]`.
    notes: `[N, T, W]`.
    one_hots: their pitches and velocities, `[N, 256]`.
    pitches: the same as MIDI numbers, `[N]`.
    velocities: MIDI numbers, `[N]`.
    families: names, `[N]`; None if the data set has none.
    train_notes: those that baselines are fitted to; none if they are not there.
    codec: which decodes notes, or None.
    decoded: which of the notes are decoded.
  """

  def __init__(
    self,
    dataset: NoteDataset | None,
    *,
    notes: NoteDataset | None = None,
    split: str | None = None,
    num_decoded_notes: int = 32,
    codec: Codec | None = None,
    seed: int = 0,
  ):
    rng = np.random.default_rng(seed)
    self.seed, self.codec = seed, codec
    self.name = name_of(notes.data_dir) if notes else None
    self.split = split if split or notes else 'test'
    measured = notes or dataset
    if measured is None:
      raise ValueError('dataset=None and notes=None: expected one of them.')
    self.data_dir = os.path.abspath(measured.data_dir)
    self.rows = _some(rng, _rows_of(measured, self.split), _MAX_NOTES)
    self.notes, _ = measured.notes(self.rows)
    self.one_hots = measured.one_hots(self.rows, with_velocities=True)
    self.pitches, self.velocities = measured.midi_numbers(self.rows)
    self.families = measured.names(metadata.FAMILIES, self.rows)
    self.train_notes, train_families = self.notes[:0], None
    if dataset:
      train_rows = _some(rng, dataset.rows['train'], _MAX_TRAIN_NOTES)
      self.train_notes, _ = dataset.notes(train_rows)
      train_families = dataset.names(metadata.FAMILIES, train_rows)
    self._halves = np.array_split(rng.permutation(len(self.rows)), 2)
    usual = self.train_notes if len(self.train_notes) else self.notes
    self._describe = distances.NoteFeatures.fit(usual)
    self._features = self._describe(self.notes)
    self._classifier = None
    if train_families:
      self._classifier = FamilyClassifier.fit(
        self._describe(usual), train_families
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
      | {'level_jump_db': self._level_jump_db(self._audios)}
      | self._pitch_measures('reconstruction', self._audios)
      | self.family_measures(self.notes)
    )

  def reconstruction_measures(
    self, made: np.ndarray, drawn: np.ndarray | None = None
  ) -> dict[str, Any]:
    """What there is to say of reconstructions of the notes.

    Args:
      made: `[N, T, W]`, as near to the notes as can be.
      drawn: `[N, T, W]`, as they are made to be heard, for the jumps of the
        level; those above if None.
    """
    if not all(
      _are_finite(x, 'reconstructions') for x in (made, drawn) if x is not None
    ):
      return {}
    errors = np.square(self.notes - made, dtype=np.float64).mean(axis=(1, 2))
    result = {'mse': errors.mean(), 'mse_per_note': errors.tolist()}
    audios = self._decode(made)
    jumping = audios if drawn is None else self._decode(drawn)
    return (
      result
      | self._audio_errors(audios)
      | self._level_jump('reconstruction', jumping)
      | self._pitch_measures('reconstruction', audios)
    )

  def sample_measures(self, samples: np.ndarray) -> dict[str, Any]:
    """What there is to say of samples `[N, T, W]` of the notes' pitches."""
    if not _are_finite(samples, 'samples'):
      return {}
    result = self.distances(samples)
    audios = self._decode(samples)
    if len(audios):
      result['sample_loudness_error_db'] = metrics.mean_loudness_error_db(
        self._audios, audios
      )
    return (
      result
      | self._level_jump('sample', audios)
      | self._pitch_measures('sample', audios)
    )

  def distances(self, samples: np.ndarray) -> dict[str, Any]:
    """How far samples `[N, T, W]` lie from the notes, as sets."""
    if not np.isfinite(samples).all():
      return {}
    return self._distances(self._features, self._describe(samples))

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

  def _audio_errors(self, audios: np.ndarray) -> dict[str, Any]:
    """Of decoded reconstructions, each beside its decoded original."""
    if not self.codec or not len(audios):
      return {}
    pairs = list(zip(self._audios, audios, strict=True))
    rate = self.codec.sample_rate
    # Silence has no spectrum to be like.
    spectra = [metrics.log_spectral_distance(*x) for x in pairs if x[0].any()]
    loudness = [metrics.loudness_error_db(*pair) for pair in pairs]
    attacks = [metrics.attack_error_db(*pair, rate) for pair in pairs]
    return {
      'reconstruction_log_spectral_distance_db': (
        np.mean(spectra) if spectra else None
      ),
      'reconstruction_loudness_error_db': np.mean(loudness),
      'reconstruction_attack_error_db': np.median(np.abs(attacks)),
    }

  def _level_jump_db(self, audios: np.ndarray) -> float | None:
    """The mean jump of the level from frame to frame, of all notes."""
    if not self.codec or not len(audios):
      return None
    jumps = metrics.level_jump_db(audios, self.codec.hop_length)
    return float(jumps.mean())

  def _level_jump(self, kind: str, audios: np.ndarray) -> dict[str, Any]:
    """The same over that of the real notes."""
    real, made = map(self._level_jump_db, (self._audios, audios))
    return (
      {f'{kind}_level_jump': made / real} if real and made is not None else {}
    )

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


def _rows_of(dataset: NoteDataset, split: str | None) -> np.ndarray:
  """Those of a split, or all of them; an error if there are none."""
  if split is None:
    return np.unique(np.concatenate([*dataset.rows.values()]))
  rows = dataset.rows[split]
  if not len(rows):
    raise ValueError(
      f'{dataset.data_dir!r} has no {split} notes; choose another split.'
    )
  return rows


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
