"""The run in the package: whole, small, free of paths, and good."""

import json

import numpy as np
import pytest

import embedding_rnn
from embedding_rnn.data import notes
from embedding_rnn.experiments import grids
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import files

FOLDER = checkpoints.PRETRAINED_FOLDER


@pytest.fixture(scope='module')
def pretrained():
  return embedding_rnn.load_pretrained()


def test_is_whole_and_small():
  (save,) = checkpoints.list_saves(FOLDER, checkpoints.BEST)
  for folder in (FOLDER, save.path):
    files.CheckedFolder(folder, 'reinstall the package').check()
  size = sum(p.stat().st_size for p in FOLDER.rglob('*') if p.is_file())
  assert size <= 8e6


def test_knows_no_paths_of_where_it_was_made():
  for path in FOLDER.rglob('*.json'):
    assert '"/' not in path.read_text('utf-8'), path
  info = checkpoints.read_run(FOLDER).info
  assert set(info) & {'data_dir', 'checkpoint_path'} == set()


def test_is_what_the_experiment_trains(pretrained):
  (hps,) = grids.plan_runs('pretrained').values()
  assert pretrained.hps == hps
  assert pretrained.step <= hps.num_steps


def test_is_nearer_to_unknown_instruments_than_pca(pretrained):
  collection = notes.load()
  split, frames = collection.split, collection.frames
  train = frames[split == 0].reshape((split == 0).sum(), -1)
  rows = np.flatnonzero(split == 2)[::8]
  mean = train.mean(axis=0)
  _, _, components = np.linalg.svd(train - mean, full_matrices=False)
  components = components[: pretrained.hps.z_size]
  centred = frames[rows].reshape(len(rows), -1) - mean
  pca_error = np.mean((centred - centred @ components.T @ components) ** 2)
  made = pretrained.reconstruct(
    frames[rows],
    collection.midi_pitch[rows],
    velocity=collection.velocity[rows],
    greedy='mean',
  )
  assert np.mean((made - frames[rows]) ** 2) < 0.95 * pca_error


def test_makes_notes_of_every_family(pretrained):
  made = pretrained.sample(
    [60] * len(notes.FAMILY_NAMES), family=notes.FAMILY_NAMES, velocity=100
  )
  audio = pretrained.audio(made, 'C4')
  level = np.sqrt(np.mean(audio[:, 8_000:32_000] ** 2, axis=1))
  assert (level > 1e-4).all() and np.isfinite(audio).all()


def test_its_own_data_is_not_in_the_package_but_the_embedded_notes_are(
  pretrained,
):
  dataset = pretrained.open_dataset()
  collection = notes.load()
  rows = dataset.rows['test']
  np.testing.assert_array_equal(rows, np.flatnonzero(collection.split == 2))
  np.testing.assert_array_equal(
    dataset.notes(rows[:5])[0], collection.frames[rows[:5]]
  )
  assert {note.family for note in pretrained.find('koto')} == {'guitar'}


def test_what_was_measured_of_it_is_better_than_pca():
  measured = json.loads((FOLDER / 'metrics.json').read_text('utf-8'))['models']
  run, pca, ar1 = (measured[name] for name in ('run', 'pca', 'ar1'))
  assert run['code_size'] == pca['code_size']
  assert run['mse'] < pca['mse']
  assert run['nll_nats_per_value'] < ar1['nll_nats_per_value']
  assert run['frechet_distance'] < pca['frechet_distance']
