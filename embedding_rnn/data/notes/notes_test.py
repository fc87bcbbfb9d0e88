import json
import pathlib
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from embedding_rnn.audio import metrics, pitch
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import notes, writing

_FOLDER = pathlib.Path(notes.__file__).parent
NEEDED = ('train_z.npy', 'train_pitch_one_hot.npy', 'train_vels_one_hot.npy')


@pytest.fixture(scope='module')
def collection():
  return notes.load()


def test_shapes_types_and_ranges(collection):
  count = len(collection.frames)
  assert 2500 <= count <= 3500
  assert collection.frames.shape == (count, 125, 16)
  assert collection.frames.dtype == np.float32
  assert np.isfinite(collection.frames).all()
  for name in writing.Notes._fields[1:]:
    assert getattr(collection, name).shape == (count,)
  assert collection.split.dtype == np.int8
  assert collection.midi_pitch.min() >= 21
  assert collection.midi_pitch.max() <= 108
  assert set(np.unique(collection.velocity)) == {25, 50, 75, 100, 127}
  assert len(set(collection.instrument_names)) >= 100
  assert len(collection.family_names) == 11


def test_every_pitch_is_played_and_no_note_is_there_twice(collection):
  assert set(range(21, 109)) == set(np.unique(collection.midi_pitch))
  keys = np.stack(
    [collection.instrument_ids, collection.midi_pitch, collection.velocity]
  )
  assert len(np.unique(keys, axis=1).T) == len(collection.frames)


def test_split_is_by_instrument_and_has_all_families(collection):
  share = np.bincount(collection.split) / len(collection.split)
  np.testing.assert_allclose(share, [0.7, 0.15, 0.15], atol=0.03)
  pairs = np.stack([collection.instrument_ids, collection.split])
  instruments = np.unique(collection.instrument_ids)
  assert len(np.unique(pairs, axis=1).T) == len(instruments)
  for split in range(3):
    families = collection.family_ids[collection.split == split]
    assert set(families) == set(range(11))


def test_an_instrument_is_in_the_family_of_its_name(collection):
  for instrument, family in zip(
    collection.instrument_ids, collection.family_ids, strict=True
  ):
    name = collection.instrument_names[instrument]
    assert name.startswith(collection.family_names[family] + '_')


def test_folder_fits_the_budget():
  size = sum(path.stat().st_size for path in _FOLDER.glob('*.*'))
  assert size <= 12_000_000
  notice = (_FOLDER / 'LICENSE-FluidR3').read_text('utf-8')
  assert 'Frank Wen' in notice and 'Permission is hereby granted' in notice


def test_originals_are_held_out_and_are_what_was_encoded(collection):
  codec = HarmonicCodec()
  originals = notes.originals()
  assert len(originals) == 11
  rows = [row for _, row, _ in originals]
  assert set(collection.family_ids[rows]) == set(range(11))
  assert set(collection.split[rows]) == {2}
  for name, row, audio in originals:
    assert name == collection.note_name(row)
    assert audio.shape == (64000,) and audio.dtype == np.float32
    pitch = int(collection.midi_pitch[row])
    frames = codec.encode(audio, pitch)
    # The files are rounded to 16 bits, which the quietest bands notice.
    difference = np.abs(frames - collection.frames[row])
    assert difference.mean() < 0.15
    decoded = codec.decode(collection.frames[row], pitch)
    assert metrics.loudness_error_db(audio, decoded) < 3.0
    assert metrics.log_spectral_distance(audio, decoded) < 8.0
    assert abs(metrics.pitch_error_cents(decoded, pitch)) < 20.0


def test_write_data_dir(collection, tmp_path):
  notes.write_data_dir(tmp_path / 'data')
  folder = tmp_path / 'data'
  count = len(collection.frames)
  about = json.loads((folder / 'dataset.json').read_text('utf-8'))
  assert about['codec'] == 'harmonic'
  assert (about['sample_rate'], about['hop_length']) == (16000, 512)
  assert about['split_names'] == ['train', 'valid', 'test']
  assert about['instruments'] == collection.instrument_names
  assert about['instrument_families'] == collection.family_names
  assert 'FluidR3' in about['source']

  def read(name, dtype):
    array = np.load(folder / name, allow_pickle=False)
    assert array.dtype == dtype
    return array

  frames = read('train_z.npy', np.float32)
  np.testing.assert_array_equal(frames, collection.frames)
  for name, values in (
    ('train_pitch_one_hot.npy', collection.midi_pitch),
    ('train_vels_one_hot.npy', collection.velocity),
  ):
    one_hot = read(name, np.float32)
    assert one_hot.shape == (count, 128)
    np.testing.assert_array_equal(one_hot.sum(axis=1), 1.0)
    np.testing.assert_array_equal(one_hot.argmax(axis=1), values)
  for name, dtype, values in (
    ('instrument_ids.npy', np.int64, collection.instrument_ids),
    ('instrument_family_ids.npy', np.int64, collection.family_ids),
    ('splits.npy', np.int8, collection.split),
  ):
    np.testing.assert_array_equal(read(name, dtype), values)
  assert len(list(folder.iterdir())) == 7  # and no temporary files


@pytest.mark.parametrize('make', [False, True])
def test_embedded_notes_are_written_where_nothing_is(tmp_path, make):
  data_dir = tmp_path / 'a' / 'data'
  if make:
    data_dir.mkdir(parents=True)
  notes.prepare_data_dir(data_dir, NEEDED)
  frames = np.load(data_dir / 'train_z.npy', mmap_mode='r')
  np.testing.assert_array_equal(frames[::500], notes.load().frames[::500])
  assert [path.name for path in data_dir.parent.iterdir()] == ['data']


def test_two_begin_at_once(tmp_path, monkeypatch):
  """The second gets the notes of the first, whose are written once."""
  write, written = notes.write_data_dir, []

  def slow_write(folder):
    written.append(folder)
    write(folder)

  monkeypatch.setattr(notes, 'write_data_dir', slow_write)
  threads = [
    threading.Thread(
      target=notes.prepare_data_dir, args=(tmp_path / 'data', NEEDED)
    )
    for _ in range(2)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(written) == 1
  assert [path.name for path in tmp_path.iterdir()] == ['data']


def test_what_a_killed_first_use_left_is_gone_with_the_next(tmp_path):
  kill = (
    'import os, pathlib, sys; from embedding_rnn.data import notes\n'
    'def die(folder):\n'
    "  (folder / 'train_z.npy').write_bytes(b'half')\n"
    '  os.kill(os.getpid(), 9)\n'
    'notes.write_data_dir = die\n'
    'notes.prepare_data_dir(sys.argv[1], ())\n'
  )
  subprocess.run([sys.executable, '-c', kill, tmp_path / 'data'], check=False)
  assert [p.name for p in tmp_path.glob('*.tmp')] == ['.data.0.tmp']
  notes.prepare_data_dir(tmp_path / 'data', NEEDED)
  assert [path.name for path in tmp_path.iterdir()] == ['data']


def test_what_is_there_is_left_alone(tiny_data_dir, tmp_path):
  data_dir = tmp_path / 'data'
  shutil.copytree(tiny_data_dir, data_dir)
  before = {p.name: p.read_bytes() for p in data_dir.iterdir()}
  notes.prepare_data_dir(data_dir, NEEDED)
  assert before == {p.name: p.read_bytes() for p in data_dir.iterdir()}
  (data_dir / 'train_vels_one_hot.npy').unlink()
  with pytest.raises(FileNotFoundError, match=r'lacks train_vels_one_hot\.npy'):
    notes.prepare_data_dir(data_dir, NEEDED)
  (tmp_path / 'file').write_text('')
  with pytest.raises(NotADirectoryError, match='is a file'):
    notes.prepare_data_dir(tmp_path / 'file', NEEDED)


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
  def write_half(folder):
    (folder / 'train_z.npy').write_bytes(b'half')
    raise KeyboardInterrupt

  monkeypatch.setattr(notes, 'write_data_dir', write_half)
  with pytest.raises(KeyboardInterrupt):
    notes.prepare_data_dir(tmp_path / 'data', NEEDED)
  assert not list(tmp_path.iterdir())


def test_a_damaged_collection_is_named(tmp_path):
  with pytest.raises(ValueError, match=r'notes\.npz is missing or damaged'):
    notes.load(tmp_path)
  whole = (_FOLDER / notes.FILE_NAME).read_bytes()
  for damaged in (b'', b'nonsense', whole[: len(whole) // 2]):
    (tmp_path / notes.FILE_NAME).write_bytes(damaged)
    with pytest.raises(ValueError, match='missing or damaged'):
      notes.load(tmp_path)
  flipped = bytearray(whole)
  flipped[len(whole) // 2] ^= 0xFF
  (tmp_path / notes.FILE_NAME).write_bytes(flipped)
  with pytest.raises(ValueError, match='missing or damaged'):
    notes.load(tmp_path)


@pytest.mark.slow
def test_pitches_can_be_heard_in_the_originals():
  collection, others = notes.load(), {}
  for name, row, audio in notes.originals():
    found = pitch.estimate_pitch(audio).midi_pitch
    if found != collection.midi_pitch[row]:
      others[name] = found
  # Its lowest stop sounds an octave below the key.
  assert others == {'organ_017_percussive_organ-061-075': 49}
