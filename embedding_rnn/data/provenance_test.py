import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from embedding_rnn.data import provenance


def _write(path, dataset, **changes):
  rows = dataset.rows['test']
  notes, _ = dataset.notes(rows)
  pitches, velocities = dataset.midi_numbers(rows)
  arrays = {'frames': notes, 'midi_pitch': pitches, 'velocity': velocities}
  arrays |= changes
  np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def test_notes_of_a_file_are_those_of_a_folder(run, dataset, tmp_path):
  path = tmp_path / 'mine.npz'
  _write(path, dataset)
  found = provenance.open_notes(path, run.hps, run.info)
  rows, own = found.rows['test'], dataset.rows['test']
  assert len(rows) == len(own) and not len(found.rows['train'])
  for array, expected in zip(
    (*found.notes(rows), *found.midi_numbers(rows)),
    (*dataset.notes(own), *dataset.midi_numbers(own)),
    strict=True,
  ):
    np.testing.assert_array_equal(array, expected)
  assert found.codec == dataset.codec == 'harmonic'
  assert found.data_dir == str(path)
  _write(path, dataset, velocity=None)
  _, velocities = provenance.open_notes(path, run.hps, run.info).midi_numbers(
    rows
  )
  assert set(velocities) == {100}


def test_a_folder_may_have_fewer_notes_than_training_takes(
  run, tiny_data_dir, tmp_path
):
  folder = tmp_path / 'few'
  shutil.copytree(tiny_data_dir, folder)
  splits = np.full_like(np.load(folder / 'splits.npy'), 2)
  np.save(folder / 'splits.npy', splits)
  found = provenance.open_notes(folder, run.hps, run.info)
  assert [len(found.rows[name]) for name in ('train', 'valid')] == [0, 0]
  assert len(found.rows['test']) == len(splits)
  (folder / 'dataset.json').write_text(json.dumps({'codec': 'wavenet'}))
  with pytest.raises(ValueError, match=r"codec 'harmonic', but .*'wavenet'"):
    provenance.open_notes(folder, run.hps, run.info)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'midi_pitch': None}, 'arrays frames and midi_pitch'),
    ({'frames': np.zeros((12, 9, 16))}, r'takes \[N, 125, 16\]'),
    ({'frames': np.zeros((0, 125, 16))}, 'at least one note'),
    ({'frames': np.full((12, 125, 16), np.nan)}, 'NaN'),
    ({'midi_pitch': np.arange(3)}, '12 notes or latents but 3 pitches'),
    ({'midi_pitch': np.full(12, 60.5)}, 'pitches of dtype float64'),
    ({'velocity': np.full(12, 128)}, 'velocities from 128'),
    ({'velocity': np.array([None] * 12)}, 'no .npz file of the arrays'),
  ],
)
def test_refuses_files_that_are_not_notes(
  run, dataset, tmp_path, changes, message
):
  path = tmp_path / 'bad.npz'
  _write(path, dataset, **changes)
  with pytest.raises(ValueError, match=rf"bad\.npz'.*{message}"):
    provenance.open_notes(path, run.hps, run.info)


def test_refuses_what_is_no_file_of_notes(run, tmp_path):
  path = tmp_path / 'notes.npz'
  with pytest.raises(FileNotFoundError):
    provenance.open_notes(path, run.hps, run.info)
  for content in (b'', b'no zip file'):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'notes\.npz.* numpy\.savez'):
      provenance.open_notes(path, run.hps, run.info)


def test_files_that_nobody_wrote_to_are_not_read_again(
  run, tiny_data_dir, tmp_path, monkeypatch
):
  folder = shutil.copytree(tiny_data_dir, tmp_path / 'data')
  path, other = folder / 'train_z.npy', np.load(folder / 'train_z.npy')[::-1]
  for file in folder.iterdir():
    os.utime(file, ns=(10**18, 10**18))
  found = provenance.dataset.open_dataset(folder, run.hps)
  described = provenance.describe_dataset(found, 0)
  described = json.loads(json.dumps(described))
  moved = shutil.copytree(folder, tmp_path / 'moved')  # with their times
  with monkeypatch.context() as patch:
    patch.setattr(provenance, '_data_digest', None)
    provenance.open_same_dataset(moved, run.hps, described)
  os.utime(path)  # the same notes all the same
  provenance.open_same_dataset(folder, run.hps, described)
  np.save(path, other)
  with pytest.raises(ValueError, match=r'but others: the SHA-256'):
    provenance.open_same_dataset(folder, run.hps, described)
  # Files of right now may change again without another time.
  found = provenance.dataset.open_dataset(folder, run.hps)
  assert 'data_files' not in provenance.describe_dataset(found, 0)


@pytest.mark.parametrize('name', ['instrument_ids', 'instrument_family_ids'])
def test_other_instruments_or_families_are_noticed(
  run, tiny_data_dir, tmp_path, name
):
  folder = shutil.copytree(tiny_data_dir, tmp_path / 'data')
  (folder / 'splits.npy').unlink(missing_ok=True)
  opened = provenance.dataset.open_dataset(folder, run.hps)
  described = provenance.describe_dataset(opened, 0)
  opened = dataclasses.replace(opened, **{name: None})
  assert provenance._labels_digest(opened) != described['labels_sha256']
  ids = np.load(folder / f'{name}.npy')
  if name == 'instrument_family_ids':  # else the splits are others already
    np.save(folder / f'{name}.npy', ids[::-1])
    with pytest.raises(ValueError, match=r'not the same .*family_ids\.npy'):
      provenance.open_same_dataset(folder, run.hps, described)
    (folder / f'{name}.npy').unlink()
    with pytest.raises(ValueError, match=r'not the same .*family_ids\.npy'):
      provenance.open_same_dataset(folder, run.hps, described)
    del described['labels_sha256']  # of a version before
    provenance.open_same_dataset(folder, run.hps, described)
