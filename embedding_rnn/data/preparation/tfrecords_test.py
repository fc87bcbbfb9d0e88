import gzip
import os
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.data.conftest import write_records
from embedding_rnn.data.preparation import tfrecords


@pytest.fixture
def folder(note_folders):
  return note_folders / 'tfrecords'


def source_of(folder, *records):
  write_records(folder / 'x.tfrecord', *records)
  return tfrecords.TFRecordFile(folder / 'x.tfrecord')


def expect_notes(notes, expected):
  notes = list(notes)
  assert len(notes) == len(expected)
  for note, other in zip(notes, expected, strict=True):
    assert (note.name, note.labels) == (other.name, other.labels)
    audio, rate, num_samples = note.read()
    np.testing.assert_array_equal(audio, other.audio)
    assert (rate, num_samples) == (16_000, 64_000)


@pytest.mark.parametrize(('start', 'stop'), [(0, 10), (3, 5), (9, 10)])
def test_any_range(folder, fabricated_notes, start, stop):
  source = tfrecords.TFRecordFile(folder / 'nsynth-train.tfrecord')
  assert source.num_notes == 10
  expected = fabricated_notes[start:stop]
  expect_notes(source.notes(start, stop), expected)


def test_few_features(tmp_path, fabricated_notes):
  note = fabricated_notes[0]
  values = {'audio': note.audio, 'instrument_family': 10}
  values |= {'note_str': 'mine', 'pitch': 60, 'velocity': 100}
  (read,) = source_of(tmp_path, values).notes(0, 1)
  assert read.labels == (60, 100, None, 'vocal', None)
  assert read.read().sample_rate == 16_000


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'pitch': None}, 'record 0: there is no pitch, but audio'),
    ({'audio': None}, 'there is no audio'),
    ({'audio': 7}, r'audio is int64 of shape \(\)'),
    ({'sample_rate': [1, 2]}, r'sample_rate is \[1, 2\]'),
    ({'sample_rate': 0}, r'sample_rate is \[0\]'),
    ({'sample_rate': np.array([np.inf])}, r'sample_rate is \[inf\]'),
    ({'note_str': 7}, 'note_str is 7; expected a text'),
    ({'instrument_str': [1, 2]}, 'instrument_str is .*expected a text'),
    ({'instrument_family_str': 3}, 'instrument_family_str is 3; expected a'),
    ({'pitch': np.array([60.7])}, 'its pitch is .*60.7'),
    ({'note_str': b'\xff'}, 'note_str, .* is no text of UTF-8'),
    ({'pitch': 128}, r'record 0 \(.*\): its pitch is 128'),
    ({'velocity': 'loud'}, "its velocity is 'loud'"),
    (
      {'instrument_family': 11, 'instrument_family_str': None}
      | {'note_str': 'x', 'instrument_str': None},
      'instrument_family is 11',
    ),
  ],
)
def test_bad_features(tmp_path, fabricated_notes, changes, message):
  note = fabricated_notes[0]
  values = {**note.features, 'audio': note.audio, **changes}
  values = {name: v for name, v in values.items() if v is not None}
  with pytest.raises(ValueError, match=message):
    list(source_of(tmp_path, values).notes(0, 1))


def test_features_that_are_not_used_may_be_anything(tmp_path, fabricated_notes):
  note = fabricated_notes[0]
  values = {**note.features, 'audio': note.audio}
  values |= {'picture': b'\x89PNG', 'sample_rate': np.array([22050.0])}
  (read,) = source_of(tmp_path, values).notes(0, 1)
  assert read.read().sample_rate == 22050


def test_fingerprint_changes_with_the_sound(tmp_path, fabricated_notes):
  notes = fabricated_notes[:2]
  prints = []
  for gain in (1.0, 0.5):
    records = [
      {**note.features, 'audio': factor * note.audio}
      for note, factor in zip(notes, (gain, 1.0), strict=True)
    ]
    source = source_of(tmp_path, *records)
    prints.append([source.fingerprint(0, 1), source.fingerprint(1, 2)])
  assert prints[0][0] != prints[1][0]
  assert prints[0][1] == prints[1][1]


def test_truncated_or_foreign(folder, tmp_path):
  content = (folder / 'nsynth-valid.tfrecord').read_bytes()
  path = tmp_path / 'x.tfrecord'
  for bad in (content[:-1], content[:5], gzip.compress(content), b'no' * 99):
    path.write_bytes(bad)
    with pytest.raises(ValueError, match='no whole TFRecord file: record'):
      tfrecords.TFRecordFile(path)


def test_flipped_bit(folder, tmp_path):
  content = bytearray((folder / 'nsynth-valid.tfrecord').read_bytes())
  content[100_000] ^= 1
  path = tmp_path / 'x.tfrecord'
  path.write_bytes(content)
  source = tfrecords.TFRecordFile(path)
  with pytest.raises(ValueError, match='damaged in one of its records 0 to 2'):
    list(source.notes(0, 3))
  assert len(list(source.notes(1, 3))) == 2


def test_not_an_example(tmp_path):
  path = tmp_path / 'x.tfrecord'
  with tf.io.TFRecordWriter(str(path)) as file:
    file.write(b'no example')
  with pytest.raises(ValueError, match='record 0 is no tf'):
    list(tfrecords.TFRecordFile(path).notes(0, 1))


class FakeBuilder:
  """As of tensorflow_datasets, with the features of its `nsynth`."""

  data_dir = '~/tensorflow_datasets'

  def __init__(self, splits):
    self._splits = splits
    self.info = types.SimpleNamespace(
      full_name='nsynth/full:2.3.3',
      splits={
        name: types.SimpleNamespace(num_examples=len(notes))
        for name, notes in splits.items()
      },
    )

  def as_dataset(self, split, shuffle_files):
    assert not shuffle_files
    name, _, bounds = split.removesuffix(']').partition('[')
    start, stop = map(int, bounds.split(':'))
    for note in self._splits[name][start:stop]:
      values = note.features
      yield {
        'id': note.name.encode(),
        'audio': note.audio,
        'pitch': np.int64(note.labels.midi_pitch),
        'velocity': np.int64(note.labels.velocity),
        'instrument': {
          'label': np.int64(0),
          'family': np.int64(values['instrument_family']),
          'source': np.int64(0),
        },
      }


def fake_tfds(monkeypatch, splits):
  fake = types.ModuleType('tensorflow_datasets')
  fake.builder = lambda name: FakeBuilder(splits)
  fake.as_numpy = iter
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', fake)


def test_tfds(monkeypatch, fabricated_notes):
  splits = {
    split: [note for note in fabricated_notes if note.labels.split == split]
    for split in ('test', 'train', 'valid')
  }
  fake_tfds(monkeypatch, splits)
  sources = tfrecords.tfds_splits('nsynth')
  assert [source.num_notes for source in sources] == [10, 3, 3]
  for source, split in zip(sources, ('train', 'valid', 'test'), strict=True):
    expect_notes(source.notes(0, source.num_notes), splits[split])
  expect_notes(sources[0].notes(2, 4), fabricated_notes[2:4])
  assert len({source.sha256 for source in sources}) == 3


def test_tfds_not_prepared(monkeypatch):
  fake_tfds(monkeypatch, {})
  with pytest.raises(FileNotFoundError, match='tfds build nsynth'):
    tfrecords.tfds_splits('nsynth')


def test_tfds_not_installed(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(ValueError, match='pip install tensorflow-datasets'):
    tfrecords.tfds_splits('nsynth')


def test_a_pipe_is_not_waited_for(tmp_path):
  path = tmp_path / 'x'
  os.mkfifo(path)
  with pytest.raises(OSError, match='a pipe, a socket or a device'):
    tfrecords.TFRecordFile(path)
