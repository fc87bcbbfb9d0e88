import shutil

import pytest

from embedding_rnn.nsynth import fabricated_notes
from embedding_rnn.nsynth.sources import open_source

SPLITS = ('train', 'valid', 'test')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('sources')
  fabricated_notes.write_wavs(path / 'wavs')
  fabricated_notes.write_json_folders(path / 'json')
  fabricated_notes.write_tfrecords(path / 'tfrecords')
  return path


def labels_of(source):
  notes = source.notes(0, source.num_notes)
  return sorted(note.labels for note in notes)


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
def test_all_ways_to_name_the_same_notes(folder, names):
  source = open_source(*(folder / name for name in names))
  assert source.num_notes == 16
  expected = sorted(note.labels for note in fabricated_notes.all_notes())
  assert labels_of(source) == expected


def test_ranges_over_the_ends_of_parts(folder):
  source = open_source(folder / 'json')
  names = [note.name for note in source.notes(0, 16)]
  for start in range(16):
    for stop in (start, start + 1, (start + 17) // 2, 16):
      read = [note.name for note in source.notes(start, stop)]
      assert read == names[start:stop]


def test_bad_names(folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='There is no'):
    open_source(tmp_path / 'missing')
  with pytest.raises(FileNotFoundError, match='no audio'):
    open_source(tmp_path)
  with pytest.raises(ValueError, match='at least one'):
    open_source()
  with pytest.raises(ValueError, match='hold the same notes'):
    open_source(folder / 'wavs/train', folder / 'wavs/train')
  other = tmp_path / 'notes.txt'
  other.write_text('')
  with pytest.raises(ValueError, match='neither a folder nor'):
    open_source(other)
  empty = tmp_path / 'empty.tfrecord'
  empty.write_bytes(b'')
  with pytest.raises(FileNotFoundError, match='There are no notes'):
    open_source(empty)


def test_two_kinds_in_a_folder(folder, tmp_path):
  mixed = shutil.copytree(folder / 'tfrecords', tmp_path / 'mixed')
  shutil.copytree(folder / 'json', mixed, dirs_exist_ok=True)
  with pytest.raises(
    ValueError, match=r'both .*examples.json.* and .*tfrecord'
  ):
    open_source(mixed)
