import json
import os
import re
import shutil

import numpy as np
import pytest
import soundfile

from embedding_rnn.data.preparation import audio_files, base
from embedding_rnn.data.preparation.base import Labels

RATE = 16_000


def write(path, seconds=0.1, rate=RATE, channels=1):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (int(seconds * rate), channels)
  audio = np.random.default_rng(0).uniform(-0.5, 0.5, shape)
  soundfile.write(path, audio, rate, 'FLOAT', format='WAV')
  return audio.astype(np.float32)


def all_of(source):
  return list(source.notes(0, source.num_notes))


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    (
      'keyboard_acoustic_004-060-025',
      Labels(60, 25, 'keyboard_acoustic_004', 'keyboard'),
    ),
    (
      'synth_lead_synthetic_011-021-127',
      Labels(21, 127, 'synth_lead_synthetic_011', 'synth_lead'),
    ),
    ('my-kazoo-7-1', Labels(7, 1, 'my-kazoo', None)),
    ('stringy_000-060-100', Labels(60, 100, 'stringy_000', None)),
    ('keyboard_acoustic_004-128-025', None),
    ('keyboard_acoustic_004-060-128', None),
    ('keyboard_acoustic_004-060', None),
    ('keyboard', None),
  ],
)
def test_names(name, expected):
  assert base.parse_name(name) == expected


@pytest.mark.parametrize(
  ('names', 'expected'),
  [
    (['nsynth-train.tfrecord'], 'train'),
    (['nsynth-valid.tfrecord-00000-of-00010'], 'valid'),
    (['nsynth-test', 'audio'], 'test'),
    (['train', 'Validation'], 'valid'),
    (['my training'], 'train'),
    (['contest', 'trainer', 'latest', 'test_0'], None),
  ],
)
def test_splits_by_name(names, expected):
  assert base.split_of(*names) == expected


def test_wavs_at_any_depth_in_order(tmp_path, note_folders, fabricated_notes):
  shutil.copytree(note_folders / 'wavs', tmp_path, dirs_exist_ok=True)
  (tmp_path / 'readme.txt').write_text('no audio')
  source = audio_files.open_wav_folder(tmp_path)
  expected = {
    f'{note.labels.split}/{note.name}.wav': note for note in fabricated_notes
  }
  notes = all_of(source)
  assert [note.name for note in notes] == sorted(expected)
  for note in notes:
    assert note.labels == expected[note.name].labels
    audio, rate, num_samples = note.read()
    np.testing.assert_array_equal(audio[:, 0], expected[note.name].audio)
    assert (rate, num_samples) == (16_000, 64_000)
  assert [n.name for n in source.notes(3, 5)] == sorted(expected)[3:5]


def test_only_what_is_needed_is_read(tmp_path):
  audio = write(tmp_path / 'bass_000-040-100.wav', 9, 48_000, channels=2)
  read = audio_files.read_audio_file(tmp_path / 'bass_000-040-100.wav')
  assert 4.05 * 48_000 < len(read.audio) < 4.5 * 48_000
  np.testing.assert_array_equal(read.audio, audio[: len(read.audio)])
  assert read.num_samples == 9 * 48_000


def test_table(tmp_path):
  for name in ('a.wav', 'deep/b.wav', 'bass_acoustic_000-040-100.wav'):
    write(tmp_path / name)
  (tmp_path / 'notes.csv').write_text(
    'file,velocity,pitch,instrument,family,split\n'
    'a.wav,90,50,"horn, small",brass,train\n'
    'deep/b.wav,91,51,,,\n'
  )
  source = audio_files.open_wav_folder(tmp_path)
  assert {note.name: note.labels for note in all_of(source)} == {
    'a.wav': Labels(50, 90, 'horn, small', 'brass', 'train'),
    'deep/b.wav': Labels(51, 91),
    'bass_acoustic_000-040-100.wav': Labels(
      40, 100, 'bass_acoustic_000', 'bass'
    ),
  }


@pytest.mark.parametrize(
  ('table', 'message'),
  [
    ('', 'columns none'),
    ('file,pitch\na.wav,50\n', 'columns file, pitch; expected .*velocity'),
    ('file,pitch,velocity,colour\n', 'colour; expected'),
    ('file,pitch,velocity\na.wav,C4,90\n', "line 2: its pitch is 'C4'"),
    ('file,pitch,velocity\na.wav,50,128\n', "line 2: its velocity is '128'"),
    ('file,pitch,velocity\na.wav,50\n', 'line 2: expected 3 values'),
    ('file,pitch,velocity\na.wav,50,1,2\n', 'line 2: expected 3 values'),
    (
      'file,pitch,velocity\na.wav,50,1\n./a.wav,50,1\n',
      "line 3: 'a.wav' is listed a second time",
    ),
    ('file,pitch,velocity,split\na.wav,5,1,best\n', "split is 'best'"),
    ('file,pitch,velocity\nb.wav,50,1\n', "1 files .* such as 'b.wav'"),
    ('file,pitch,velocity\n', "In 1 files .* heard, such as 'a.wav'"),
  ],
)
def test_bad_table(tmp_path, table, message):
  write(tmp_path / 'a.wav')
  (tmp_path / 'notes.csv').write_text(table)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    audio_files.open_wav_folder(tmp_path)


def test_no_audio(tmp_path):
  with pytest.raises(FileNotFoundError, match='no audio'):
    audio_files.open_wav_folder(tmp_path)


def test_no_wav(tmp_path):
  path = tmp_path / 'bass_000-040-100.wav'
  path.write_bytes(b'RIFF and then nothing')
  (note,) = all_of(audio_files.open_wav_folder(tmp_path))
  with pytest.raises(ValueError, match='it cannot be read'):
    note.read()


@pytest.mark.parametrize('suffix', ['wav', 'aiff', 'flac'])
def test_a_file_cut_in_the_middle_is_damaged(tmp_path, suffix):
  path = tmp_path / f'a-60-1.{suffix}'
  noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)
  soundfile.write(path, noise, 16_000)
  assert len(audio_files.read_audio_file(path).audio) == 32_000
  content = path.read_bytes()
  for kept in (0.2, 0.5, 0.99):
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r'cut off|cannot be read'):
      audio_files.read_audio_file(path)


def test_a_wav_that_lies_about_its_length_is_damaged(tmp_path):
  path = tmp_path / 'a-60-1.wav'
  noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
  soundfile.write(path, noise, 16_000, subtype='PCM_16')
  content = path.read_bytes()
  place = content.index(b'data') + 4
  for length in (2**32 - 1, 16_002, 8000, 0):
    lie = length.to_bytes(4, 'little')
    path.write_bytes(content[:place] + lie + content[place + 4 :])
    with pytest.raises(ValueError, match='lies about its length'):
      audio_files.read_audio_file(path)
  # What follows the samples may be a chunk of anything.
  path.write_bytes(content + b'LIST\x04\0\0\0abcd')
  assert len(audio_files.read_audio_file(path).audio) == 8000


def test_a_table_that_is_a_folder(tmp_path):
  write(tmp_path / 'a-60-1.wav')
  (tmp_path / 'notes.csv').mkdir()
  with pytest.raises(OSError, match=r"notes.csv' is a folder where a file"):
    audio_files.open_wav_folder(tmp_path)


def test_json_folder(note_folders, fabricated_notes, monkeypatch):
  monkeypatch.setattr(audio_files, '_JSON_CHUNK', 100)
  source = audio_files.open_json_folder(note_folders / 'json' / 'nsynth-train')
  expected = fabricated_notes[:10]
  for note, fabricated in zip(all_of(source), expected, strict=True):
    assert note.name == f'audio/{fabricated.name}.wav'
    assert note.labels == fabricated.labels
    np.testing.assert_array_equal(note.read().audio[:, 0], fabricated.audio)


@pytest.mark.parametrize('value', ['[]', '{"a": 1}', '7', '', '{}'])
def test_json_that_is_no_list_of_notes(tmp_path, value):
  path = tmp_path / 'examples.json'
  path.write_text(value)
  with pytest.raises(ValueError, match=re.escape(str(path))):
    audio_files.open_json_folder(tmp_path)


@pytest.mark.parametrize('kept', [0.0, 0.2, 0.5, 0.99])
def test_truncated_json(tmp_path, note_folders, monkeypatch, kept):
  monkeypatch.setattr(audio_files, '_JSON_CHUNK', 100)
  shutil.copytree(note_folders / 'json', tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'nsynth-train' / 'examples.json'
  text = path.read_text()
  path.write_text(text[: int(kept * len(text))])
  with pytest.raises(ValueError, match='damaged'):
    audio_files.open_json_folder(path.parent)


def test_json_without_pitch_or_wav(tmp_path, note_folders):
  shutil.copytree(note_folders / 'json', tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'nsynth-train' / 'examples.json'
  examples = json.loads(path.read_text())
  name = list(examples)[3]
  wav = path.parent / 'audio' / f'{name}.wav'
  wav.rename(wav.with_suffix('.old'))
  with pytest.raises(FileNotFoundError, match=f'1 notes .*{name}.wav'):
    audio_files.open_json_folder(path.parent)
  del examples[name]['pitch']
  path.write_text(json.dumps(examples))
  with pytest.raises(ValueError, match=f'{name}.*pitch is None'):
    audio_files.open_json_folder(path.parent)


_NOTE = '{"pitch": 60, "velocity": 100}'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{"a": ' + '[' * 200_000, 'damaged: maximum recursion depth'),
    ('{"a": ' + '[' * 50 + ']' * 50 + '}', 'is no name of an object'),
    ('{"a": {"b": ' + '[' * 50 + ']' * 50 + '}}', 'more than 32'),
    ('{"a": {"pitch": 1e999, "velocity": 1}}', 'inf is no finite number'),
    ('{"a": {"pitch": 60.7, "velocity": 1}}', 'its pitch is 60.7'),
    ('{"a": {"pitch": true, "velocity": 1}}', 'its pitch is True'),
    ('{"a": {"pitch": 6, "pitch": 7, "velocity": 1}}', "variable 'pitch'"),
    ('{"a": {"pitch": 6, "velocity": 1, "instrument_str": 7}}', 'a text'),
    (
      '{"a": {"pitch": 6, "velocity": 1, "instrument_family": true}}',
      'family is True',
    ),
    (f'{{"a": {_NOTE}, "a": {_NOTE}}}', "the note 'a' twice"),
    (f'{{"/etc/a": {_NOTE}}}', "'/etc/a', which names no file in the folder"),
    (f'{{"../a": {_NOTE}}}', 'names no file in the folder'),
    (f'{{7: {_NOTE}}}', 'damaged: .7. is no name'),
    ('{"a": {"b": "' + 'x' * 6_000_000, 'damaged'),
  ],
)
def test_json_of_ill_will(tmp_path, text, message):
  path = tmp_path / 'examples.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as caught:
    audio_files.open_json_folder(tmp_path)
  assert str(caught.value).startswith(f"'{path}'")


def test_fingerprint_changes_with_the_sound(tmp_path):
  for name in 'a-60-1.wav', 'b-60-1.wav':
    write(tmp_path / name)
  os.mkfifo(tmp_path / 'c-60-1.wav')
  source = audio_files.open_wav_folder(tmp_path)
  before = [source.fingerprint(*some) for some in ((0, 3), (0, 1), (1, 2))]
  content = bytearray((tmp_path / 'a-60-1.wav').read_bytes())
  content[len(content) // 2] ^= 1
  (tmp_path / 'a-60-1.wav').write_bytes(content)
  after = [source.fingerprint(*some) for some in ((0, 3), (0, 1), (1, 2))]
  same = [x == y for x, y in zip(before, after, strict=True)]
  assert same == [False, False, True]
  (*_, pipe) = all_of(source)
  with pytest.raises(ValueError, match='it is no file'):
    pipe.read()


def test_digest_tells_sources_apart(tmp_path):
  digests = set()
  for names in (['a-1-1'], ['a-1-2'], ['a-1-1', 'b-1-1']):
    folder = tmp_path / '+'.join(names)
    for name in names:
      write(folder / f'{name}.wav')
    digests.add(audio_files.open_wav_folder(folder).sha256)
  assert len(digests) == 3


def test_pitches_are_heard_where_nothing_says_them(tmp_path):
  folder = tmp_path / 'sounds'
  time = np.arange(2 * 44_100) / 44_100
  folder.mkdir()
  for name, f0_hz in (('low', 110.0), ('bell', 880.0), ('piano-060-025', 220)):
    tone = sum(np.sin(2 * np.pi * f0_hz * k * time) / k for k in (1, 2, 3))
    soundfile.write(folder / f'{name}.wav', 0.2 * tone, 44_100)
  (folder / 'notes.csv').write_text('file,pitch,velocity\nbell.wav,80,50\n')
  labels = {
    note.name: note.labels
    for note in all_of(audio_files.open_wav_folder(folder))
  }
  assert labels == {
    'bell.wav': Labels(80, 50),
    'low.wav': Labels(45, 100),
    'piano-060-025.wav': Labels(60, 25, 'piano'),
  }
