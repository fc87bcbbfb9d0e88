import shutil

import numpy as np
import pytest

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import notes
from embedding_rnn.data.preparation.sources import open_source

SPLITS = ('train', 'valid', 'test')


def labels_of(source):
  return sorted(note.labels for note in source.notes(0, source.num_notes))


@pytest.mark.parametrize(
  'names',
  [
    ['wavs'],
    ['json'],
    ['tfrecords'],
    [f'wavs/{split}' for split in SPLITS],
    [f'json/nsynth-{split}' for split in SPLITS],
    [f'json/nsynth-{split}/examples.json' for split in SPLITS],
    [f'tfrecords/nsynth-{split}.tfrecord' for split in SPLITS],
    ['wavs/train', 'json/nsynth-valid', 'tfrecords/nsynth-test.tfrecord'],
  ],
)
def test_all_ways_to_name_the_same_notes(note_folders, fabricated_notes, names):
  source = open_source(*(note_folders / name for name in names))
  assert source.num_notes == 16
  expected = sorted(note.labels for note in fabricated_notes)
  assert labels_of(source) == expected


def test_ranges_over_the_ends_of_parts(note_folders):
  source = open_source(note_folders / 'json')
  names = [note.name for note in source.notes(0, 16)]
  for start in range(16):
    for stop in (start, start + 1, (start + 17) // 2, 16):
      read = [note.name for note in source.notes(start, stop)]
      assert read == names[start:stop]


def test_bad_names(note_folders, tmp_path):
  with pytest.raises(FileNotFoundError, match='There is no'):
    open_source(tmp_path / 'missing')
  with pytest.raises(FileNotFoundError, match='no audio'):
    open_source(tmp_path)
  with pytest.raises(ValueError, match='at least one'):
    open_source()
  with pytest.raises(ValueError, match='hold the same notes'):
    open_source(note_folders / 'wavs/train', note_folders / 'wavs/train')
  same_names = tmp_path / 'others' / 'train'
  shutil.copytree(note_folders / 'wavs/train', same_names)
  path = next(same_names.glob('*.wav'))
  path.write_bytes(path.read_bytes()[:-2])
  both = open_source(note_folders / 'wavs/train', same_names)
  assert both.num_notes == 20
  ends = both.fingerprint(0, 20).split()
  assert ends[0] != ends[1]
  assert both.fingerprint(5, 8) == both.parts[0].fingerprint(5, 8)
  other = tmp_path / 'notes.txt'
  other.write_text('')
  with pytest.raises(ValueError, match='neither a folder nor'):
    open_source(other)
  empty = tmp_path / 'empty.tfrecord'
  empty.write_bytes(b'')
  with pytest.raises(FileNotFoundError, match='There are no notes'):
    open_source(empty)


def test_two_kinds_in_a_folder(note_folders, tmp_path):
  mixed = shutil.copytree(note_folders / 'tfrecords', tmp_path / 'mixed')
  shutil.copytree(note_folders / 'json', mixed, dirs_exist_ok=True)
  with pytest.raises(
    ValueError, match=r'both .*examples.json.* and .*tfrecord'
  ):
    open_source(mixed)


def test_embedded_notes(embedded):
  whole = notes.load()
  row = 7
  (note,) = embedded.notes(row, row + 1)
  expected = embedded._collection
  assert note.name == expected.note_name(row)
  assert note.labels.split == 'train' and note.labels.family in note.name
  recording = note.read()
  assert (recording.sample_rate, recording.num_samples) == (16_000, 64_000)
  codec = HarmonicCodec()
  frames = codec.encode(recording.audio, note.labels.midi_pitch)
  # It is that note and no other: decoding and encoding changes it little.
  distances = np.square(whole.frames - frames).mean(axis=(1, 2))
  nearest = distances.argmin()
  np.testing.assert_array_equal(whole.frames[nearest], expected.frames[row])
  assert len(set(embedded.facts())) == embedded.num_notes == 36
