import json

import numpy as np
import pytest

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import dataset, metadata, writing
from embedding_rnn.model.hparams import default_hps


@pytest.fixture
def notes():
  rng = np.random.default_rng(0)
  return writing.Notes(
    frames=rng.normal(size=(40, 20, 16)),
    midi_pitch=rng.integers(128, size=40),
    velocity=rng.integers(128, size=40),
    instrument_ids=np.arange(40) // 4,
    family_ids=np.arange(40) % 2,
    split=np.arange(40) % 3,
  )


def parts_of(notes, size):
  for start in range(0, 40, size):
    yield writing.Notes(*(array[start : start + size] for array in notes))


@pytest.mark.parametrize('size', [40, 7])
def test_files_are_those_of_numpy(tmp_path, notes, size):
  (tmp_path / 'ours').mkdir()
  writing.write_notes(tmp_path / 'ours', 40, parts_of(notes, size))
  one_hot = np.eye(128, dtype=np.float32)
  expected = {
    'train_z.npy': notes.frames.astype(np.float32),
    'train_pitch_one_hot.npy': one_hot[notes.midi_pitch],
    'train_vels_one_hot.npy': one_hot[notes.velocity],
    'instrument_ids.npy': notes.instrument_ids.astype(np.int64),
    'instrument_family_ids.npy': notes.family_ids.astype(np.int64),
    'splits.npy': notes.split.astype(np.int8),
  }
  names = {path.name for path in (tmp_path / 'ours').iterdir()}
  assert names == set(expected)
  for name, array in expected.items():
    np.save(tmp_path / name, array)
    written = (tmp_path / 'ours' / name).read_bytes()
    assert written == (tmp_path / name).read_bytes()


def test_what_is_written_can_be_opened(tmp_path, notes):
  writing.write_notes(tmp_path, 40, [notes])
  names = [str(i) for i in range(10)]
  about = metadata.of_codec(HarmonicCodec()) | metadata.of_names(names, 'ab')
  (tmp_path / metadata.FILE).write_text(json.dumps(about))
  hps = default_hps().parse('max_seq_len=20,batch_size=4')
  read = dataset.open_dataset(tmp_path, hps)
  np.testing.assert_array_equal(read.frames, notes.frames.astype(np.float32))
  np.testing.assert_array_equal(read.pitches.argmax(axis=1), notes.midi_pitch)
  np.testing.assert_array_equal(read.velocities.argmax(axis=1), notes.velocity)
  np.testing.assert_array_equal(read.instrument_ids, notes.instrument_ids)
  np.testing.assert_array_equal(read.instrument_family_ids, notes.family_ids)
  np.testing.assert_array_equal(read.rows['test'], np.arange(2, 40, 3))
  assert read.codec == 'harmonic'
  assert read.metadata['instrument_families'] == ['a', 'b']


def test_what_is_not_known_has_no_file(tmp_path, notes):
  writing.write_notes(tmp_path, 40, [writing.Notes(*notes[:3])])
  assert len(list(tmp_path.iterdir())) == 3


def test_interrupted_writing_leaves_nothing(tmp_path, notes):
  def broken():
    yield notes
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    writing.write_notes(tmp_path, 80, broken())
  assert not list(tmp_path.iterdir())
