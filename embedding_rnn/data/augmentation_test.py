"""Tests of augmentation.py: against loops over notes, and at its default."""

import dataclasses

import numpy as np
import pytest
from scipy.linalg import sqrtm

from embedding_rnn.data import batches, dataset
from embedding_rnn.data.augmentation import Augmentation

MIX = 'mix_prob=0.7,mix_semitones=3'


def open_notes(folder, hps, text):
  hps.parse(text)
  notes = dataset.open_dataset(folder, hps)
  return notes, Augmentation.fit(notes, hps)


def expected_notes(notes, hps, rows, seed, step):
  """What a batch of rows becomes, note by note; velocities too."""
  train = np.sort(notes.rows['train'])
  midi = np.argmax(notes.pitches, axis=1)
  ascending = sorted(train, key=lambda row: (midi[row], row))
  means = np.stack([notes.frames[row].mean(axis=0) for row in train])
  root = np.real(sqrtm(np.cov(means.astype(np.float64).T, ddof=0)))
  key = np.array([seed, 2**63 + step], np.uint64)
  random = np.random.RandomState(np.random.Philox(key=key))
  chance, weight, other = (random.random_sample(len(rows)) for _ in range(3))
  frames, velocities = [], []
  for i, row in enumerate(rows):
    near = [r for r in ascending if abs(midi[r] - midi[row]) <= 3]
    mate = near[int(other[i] * len(near))]
    w = -0.2 + 1.4 * weight[i] if chance[i] < hps.mix_prob else 1.0
    note = w * notes.frames[row] + (1 - w) * notes.frames[mate]
    v = notes.velocities
    velocities.append(w * v[row] + (1 - w) * v[mate])
    offset = hps.offset_scale * random.standard_normal(len(root)) @ root
    frames.append(note + offset)
  return np.array(frames), np.array(velocities)


@pytest.mark.parametrize(
  'text', [MIX, 'offset_scale=0.3', f'{MIX},offset_scale=2']
)
def test_notes_are_mixed_as_one_by_one(folder, hps, text):
  notes, augment = open_notes(folder, hps, text)
  rows = notes.rows['train'][:9]
  frames, pitches = notes.notes(rows)
  one_hots = np.concatenate([pitches, notes.velocities[rows]], axis=1)
  double = dataclasses.replace(notes, pitches=_with_velocities(notes))
  augment = dataclasses.replace(augment, dataset=double)
  made, labels = augment(frames, one_hots, seed=5, step=11)
  expected, velocities = expected_notes(notes, hps, rows, 5, 11)
  assert made.dtype == labels.dtype == np.float32
  np.testing.assert_allclose(made, expected, atol=2e-5)
  np.testing.assert_array_equal(labels[:, :128], pitches)
  np.testing.assert_allclose(labels[:, 128:], velocities, atol=1e-6)
  assert (made != frames).any()


def _with_velocities(notes):
  """Pitches with velocities behind, as files that a data set reads from."""
  both = np.concatenate([notes.pitches, notes.velocities], axis=1)
  path = f'{notes.data_dir}/both.npy'
  np.save(path, both)
  return np.load(path, mmap_mode='r')


def test_offsets_are_spread_as_mean_frames(folder, hps):
  notes, augment = open_notes(folder, hps, 'offset_scale=0.5')
  zeros = np.zeros((20_000, 1, 16), np.float32)
  made, _ = augment(zeros, np.zeros((20_000, 128), np.float32), 0, 0)
  means = notes.notes(notes.rows['train'])[0].mean(axis=1)
  expected = 0.25 * np.cov(means.T, ddof=0)
  got = np.cov(made[:, 0].T)
  assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def test_mates_are_uniform_among_near_notes(folder, hps):
  notes, augment = open_notes(folder, hps, MIX)
  pitches, _ = notes.midi_numbers(augment.rows)
  assert (np.diff(pitches) >= 0).all()
  assert set(augment.rows) == set(notes.rows['train'])
  for pitch in range(128):
    start, end = augment.neighbours[pitch]
    near = np.abs(pitches - pitch) <= 3
    np.testing.assert_array_equal(np.flatnonzero(near), np.arange(start, end))


def test_nothing_is_done_by_default(folder, hps):
  _, augment = open_notes(folder, hps, '')
  assert augment is None


@pytest.mark.parametrize('text', [MIX, 'offset_scale=0.3'])
def test_batches_are_functions_of_seed_and_step(folder, hps, text):
  notes, augment = open_notes(folder, hps, text)
  transforms = dataset.fit_transforms(notes, hps)

  def some(first_step, count, seed=1):
    result = batches.training_batches(notes, transforms, hps, seed, first_step)
    return list(result.take(count).as_numpy_iterator())

  whole = some(0, 20)
  for now, again in zip(whole[13:], some(13, 7), strict=True):
    for ours, same in zip(now, again, strict=True):
      np.testing.assert_array_equal(ours, same)
  # An epoch is 7 steps: its notes come again, but otherwise made.
  assert not np.isclose(whole[0][0].sum(), whole[7][0].sum())
  train = notes.rows['train']
  rows = train[batches.batch_rows(len(train), 4, 1, 13)]
  frames, pitches = augment(*notes.notes(rows), 1, 13)
  np.testing.assert_array_equal(whole[13][0][:, 1:], transforms.forward(frames))
  np.testing.assert_array_equal(whole[13][1], pitches)
  assert (some(13, 1, seed=2)[0][0] != whole[13][0]).any()


def test_evaluation_sees_notes_as_they_are(folder, hps):
  def all_notes():
    notes = dataset.open_dataset(folder, hps)
    transforms = dataset.fit_transforms(notes, hps)
    for split in notes.rows:
      result = batches.evaluation_batches(notes, transforms, split, 4)
      yield from result.as_numpy_iterator()

  before = list(all_notes())
  hps.parse(f'{MIX},offset_scale=0.5')
  for now, then in zip(all_notes(), before, strict=True):
    for ours, same in zip(now, then, strict=True):
      np.testing.assert_array_equal(ours, same)
