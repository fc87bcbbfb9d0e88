import csv
import errno
import functools
import itertools
import json
import multiprocessing
import os
import signal
import time
import types

import numpy as np
import pytest

from embedding_rnn.audio import codec as codecs
from embedding_rnn.data import writing
from embedding_rnn.data.preparation import encoding, recordings, shards
from embedding_rnn.data.preparation.base import Labels, Note, Source
from embedding_rnn.data.preparation.encoding import encode_notes
from embedding_rnn.data.preparation.recordings import Policy, Recording
from embedding_rnn.utils import files

RATE = 16_000
LENGTH = 4 * RATE
FAMILIES = ('bass', 'reed', 'kazoo')


class Tones(Source):
  """Notes that are made when they are read; some are odd.

  Args:
    num_notes: how many.
    odd: by their number, the recordings of odd ones.
    labels: changes to the labels of all.
  """

  def __init__(self, num_notes, odd=None, **labels):
    self.name = 'tones'
    self.num_notes = num_notes
    self.odd = odd or {}
    self.labels = labels

  def notes(self, start, stop):
    for i in range(start, stop):
      yield Note(
        f'tone {i}', self.labels_of(i), functools.partial(self.read, i)
      )

  def facts(self):
    return [str(self.num_notes), str(self.labels)]

  def fingerprint(self, start, stop):
    return str([i for i in self.odd if start <= i < stop])

  def labels_of(self, i):
    family = FAMILIES[i % 3]
    split = ('train', 'valid', 'test')[i % 3]
    labels = Labels(20 + i % 100, i % 128, f'{family}_{i % 9}', family, split)
    return labels._replace(**self.labels)

  def read(self, i):
    if i in self.odd:
      audio, rate = self.odd[i]
      return Recording(audio, rate, len(audio))
    return Recording(tone(i), RATE, LENGTH)


def tone(i, seconds=4, rate=RATE):
  time_of = np.arange(int(seconds * rate)) / rate
  return 0.5 * np.sin(2 * np.pi * (200 + i) * time_of).astype(np.float32)


class Levels(codecs.Codec):
  """A codec that is quick: a frame is 16 samples and where the note was.

  Args:
    log: a file that gets a line for every note.
    stop: after so many batches it raises, or ends the process.
  """

  name, sample_rate, hop_length, num_channels = 'levels', RATE, 512, 16

  def __init__(self, log=None, stop=None, seconds=0.0):
    self.log, self.stop, self.seconds = log, stop, seconds

  def _encode(self, audio, midi_pitch):
    if self.stop is not None:
      self.stop -= 1
      if self.stop < 0:
        raise KeyboardInterrupt
    if self.log:
      with open(self.log, 'a') as file:
        file.writelines(f'{os.getpid()} {pitch}\n' for pitch in midi_pitch)
    time.sleep(self.seconds * len(audio))
    return levels(audio) + midi_pitch[:, None, None].astype(np.float32)

  def _decode(self, frames, midi_pitch):
    raise NotImplementedError


def levels(audio):
  return audio.reshape(*audio.shape[:-1], -1, 512)[..., :16]


class Killed(Levels):
  def _encode(self, audio, midi_pitch):
    os.kill(os.getpid(), signal.SIGKILL)


def expected_frames(rows):
  return np.stack([levels(tone(i)) + (20 + i % 100) for i in rows])


def read_csv(path):
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_data_directory(tmp_path):
  num_notes = 2 * shards.SHARD_SIZE + 5
  source = Tones(num_notes)
  info = encode_notes(source, Levels(), tmp_path / 'data')
  arrays = {
    path.stem: np.load(path) for path in (tmp_path / 'data').glob('*.npy')
  }
  np.testing.assert_array_equal(
    arrays['train_z'], expected_frames(range(num_notes))
  )
  labels = [source.labels_of(i) for i in range(num_notes)]
  for name, field in (('pitch', 'midi_pitch'), ('vels', 'velocity')):
    one_hots = np.eye(128)[[getattr(label, field) for label in labels]]
    np.testing.assert_array_equal(arrays[f'train_{name}_one_hot'], one_hots)
  for name, names, field in (
    ('instrument_ids', info['instruments'], 'instrument'),
    ('instrument_family_ids', info['instrument_families'], 'family'),
    ('splits', info['split_names'], 'split'),
  ):
    values = [names[i] for i in arrays[name]]
    assert values == [getattr(label, field) for label in labels]
  assert info['codec'] == 'levels'
  assert info['counts'] == {'encoded': num_notes, 'resampled': 0} | {
    'mixed down': 0
  }
  assert read_csv(tmp_path / 'data' / 'report.csv') == []
  table = read_csv(tmp_path / 'data' / 'notes.csv')
  assert [row['note'] for row in table] == [
    f'tone {i}' for i in range(num_notes)
  ]
  assert table[7]['instrument'] == labels[7].instrument
  assert os.listdir(tmp_path) == ['data']


@pytest.mark.parametrize(
  ('labels', 'missing'),
  [
    ({'split': 'train'}, {'splits.npy'}),
    ({'split': None}, {'splits.npy'}),
    ({'instrument': None}, {'instrument_ids.npy'}),
    ({'family': None}, {'instrument_family_ids.npy'}),
  ],
)
def test_labels_that_are_not_known(tmp_path, labels, missing):
  encode_notes(Tones(5), Levels(), tmp_path / 'all')
  encode_notes(Tones(5, **labels), Levels(), tmp_path / 'some')
  known, some = (set(contents(tmp_path / name)) for name in ('all', 'some'))
  assert known - some == missing


def odd_notes():
  stereo = np.stack([tone(3, rate=8000)] * 2, axis=1)
  bad = tone(5)
  bad[7] = np.nan
  return {
    1: (tone(1, 1.5), RATE),
    2: (np.zeros(LENGTH, np.float32), RATE),
    3: (stereo, 8000),
    4: (tone(4, 6), RATE),
    5: (bad, RATE),
  }


@pytest.mark.parametrize('short', ['pad', 'skip'])
@pytest.mark.parametrize('silent', ['skip', 'keep'])
def test_every_odd_note_is_reported(tmp_path, short, silent):
  folder = tmp_path / 'data'
  policy = Policy(short, silent, damaged='skip')
  info = encode_notes(Tones(9, odd_notes()), Levels(), folder, policy)
  report = read_csv(folder / 'report.csv')
  actions = {'pad': 'padded', 'skip': 'skipped', 'keep': 'kept'}
  assert [tuple(row.values()) for row in report] == [
    ('tone 1', actions[short], 'it lasts only 1.500 s'),
    ('tone 2', actions[silent], 'it is silent'),
    ('tone 4', 'cut', 'it lasts 6.000 s'),
    ('tone 5', 'skipped', 'it has nan at sample 7; expected finite numbers'),
  ]
  skipped = [row['note'] for row in report if row['action'] == 'skipped']
  names = [f'tone {i}' for i in range(9)]
  kept = [name for name in names if name not in skipped]
  assert [row['note'] for row in read_csv(folder / 'notes.csv')] == kept
  counts = info['counts']
  assert counts['encoded'] == len(kept) == len(np.load(folder / 'train_z.npy'))
  assert counts['skipped'] == len(skipped)
  assert (counts['resampled'], counts['mixed down'], counts['cut']) == (1, 1, 1)


def test_damaged_note_stops_by_name_and_encoding_goes_on(tmp_path):
  folder, log = tmp_path / 'data', tmp_path / 'log'
  number = 2 * shards.SHARD_SIZE + 3
  odd = {number: (np.full(LENGTH, np.inf, np.float32), RATE)}
  with pytest.raises(ValueError, match=f"'tone {number}' is damaged: .*inf"):
    encode_notes(Tones(50, odd), Levels(log), folder)
  assert not folder.exists()
  info = encode_notes(
    Tones(50, odd), Levels(log), folder, Policy(damaged='skip')
  )
  assert info['counts']['encoded'] == len(log.read_text().splitlines()) == 49


def test_no_note_left(tmp_path):
  silence = np.zeros(LENGTH, np.float32), RATE
  with pytest.raises(ValueError, match="all 3 were skipped, such as 'tone 0'"):
    source = Tones(3, dict.fromkeys(range(3), silence))
    encode_notes(source, Levels(), tmp_path / 'data')
  assert not (tmp_path / 'data').exists()


def test_source_that_gives_too_few(tmp_path):
  source = Tones(20)
  source.notes = lambda start, stop: itertools.islice(
    Tones.notes(source, start, stop), 3
  )
  with pytest.raises(ValueError, match='gave 3 notes from number 0 on'):
    encode_notes(source, Levels(), tmp_path / 'data')


class NotFinite(Levels):
  def _encode(self, audio, midi_pitch):
    return np.log(np.arange(len(audio)))[:, None, None] * levels(audio)


def test_codec_that_gives_nonsense(tmp_path):
  with (
    np.errstate(all='ignore'),
    pytest.raises(ValueError, match="not finite for the note 'tone 0'"),
  ):
    encode_notes(Tones(3), NotFinite(), tmp_path / 'data')


@pytest.mark.parametrize('num_batches', [0, 1, 2, 5])
def test_stopped_and_gone_on_with(tmp_path, num_batches):
  num_notes = 3 * shards.SHARD_SIZE + 1
  folder, log = tmp_path / 'data', tmp_path / 'log'
  log.write_text('')
  with pytest.raises(KeyboardInterrupt):
    encode_notes(Tones(num_notes), Levels(stop=num_batches), folder)
  assert set(os.listdir(tmp_path)) == {'log', 'data.encoding'}
  encode_notes(Tones(num_notes), Levels(log), folder)
  batches_a_shard = shards.SHARD_SIZE // encoding._BATCH_SIZE
  num_done = num_batches // batches_a_shard * shards.SHARD_SIZE
  assert len(log.read_text().splitlines()) == num_notes - num_done
  encode_notes(Tones(num_notes), Levels(), tmp_path / 'at once')
  assert contents(folder) == contents(tmp_path / 'at once')


def test_nothing_to_do(tmp_path):
  info = encode_notes(Tones(5), Levels(), tmp_path / 'data')
  again = encode_notes(Tones(5), Levels(stop=0), tmp_path / 'data')
  assert again == info


def test_notes_that_changed_are_encoded_again(tmp_path, caplog):
  folder, log = tmp_path / 'data', tmp_path / 'log'
  with pytest.raises(KeyboardInterrupt):
    encode_notes(Tones(40), Levels(stop=4), folder)
  changed = Tones(40, {3: (tone(7), RATE)})
  with caplog.at_level('WARNING', logger='absl'):
    encode_notes(changed, Levels(log), folder)
  assert 'Of 16 notes that were encoded already, some have' in caplog.text
  assert len(log.read_text().splitlines()) == 24  # 16, and the last 8
  expected = expected_frames(range(40))
  expected[3] = levels(tone(7)) + 23
  np.testing.assert_array_equal(np.load(folder / 'train_z.npy'), expected)
  with pytest.raises(FileExistsError, match='not the result of this command'):
    encode_notes(Tones(40), Levels(), folder)


def test_folders_that_are_links_or_disks(tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'link').symlink_to('disk')
  encode_notes(Tones(3), Levels(), tmp_path / 'link')
  assert (tmp_path / 'disk' / 'train_z.npy').exists()
  assert (tmp_path / 'link').is_symlink()
  with pytest.raises(ValueError, match="'/proc' is where a disk begins"):
    encode_notes(Tones(3), Levels(), '/proc')


def test_other_arguments_are_refused(tmp_path):
  folder = tmp_path / 'data'
  with pytest.raises(KeyboardInterrupt):
    encode_notes(Tones(40), Levels(stop=3), folder)
  for source, policy, message in (
    (Tones(39), None, 'num_source_notes was 40, is 39'),
    (Tones(40, family=None), None, 'source_sha256 was'),
    (Tones(40), Policy(short='skip'), "short was 'pad', is 'skip'"),
  ):
    with pytest.raises(ValueError, match=message):
      encode_notes(source, Levels(), folder, policy)
  encode_notes(Tones(40), Levels(), folder)
  with pytest.raises(FileExistsError, match='is there already'):
    encode_notes(Tones(39), Levels(), folder)
  (tmp_path / 'mine').write_text('')
  with pytest.raises(FileExistsError, match='is there already'):
    encode_notes(Tones(39), Levels(), tmp_path / 'mine')


def full_disk(*_, **__):
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
  ('module', 'function'), [(files, 'write_arrays'), (writing, '_write_header')]
)
def test_full_disk(tmp_path, monkeypatch, module, function):
  folder = tmp_path / 'data'
  with monkeypatch.context() as patch:
    patch.setattr(module, function, full_disk)
    with pytest.raises(
      OSError, match=r'The disk is full: No space left.*goes on'
    ):
      encode_notes(Tones(5), Levels(), folder)
  assert not folder.exists()
  encode_notes(Tones(5), Levels(), folder)
  assert len(np.load(folder / 'train_z.npy')) == 5


def test_disk_too_small(tmp_path, monkeypatch):
  usage = types.SimpleNamespace(free=10_000)
  monkeypatch.setattr(encoding.shutil, 'disk_usage', lambda _: usage)
  with pytest.raises(
    OSError, match=r'takes up to 5,024 MB, but .* 0 MB are free'
  ):
    encode_notes(Tones(250_000), Levels(), tmp_path / 'data')


def test_damaged_shard(tmp_path):
  folder = tmp_path / 'data'
  with pytest.raises(KeyboardInterrupt):
    encode_notes(Tones(40), Levels(stop=3), folder)
  path = tmp_path / 'data.encoding' / '000000.npz'
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(ValueError, match=r'000000.npz.* is damaged.*remove it'):
    encode_notes(Tones(40), Levels(), folder)
  path.unlink()
  encode_notes(Tones(40), Levels(), folder)
  np.testing.assert_array_equal(
    np.load(folder / 'train_z.npy'), expected_frames(range(40))
  )


def test_several_processes_share_and_one_is_killed(tmp_path):
  num_notes = 6 * shards.SHARD_SIZE
  folder, log = tmp_path / 'data', tmp_path / 'log'
  context = multiprocessing.get_context('spawn')
  others = [
    context.Process(
      target=encode_notes,
      args=(Tones(num_notes), Levels(log, seconds=0.02), folder),
    )
    for _ in range(3)
  ]
  for other in others:
    other.start()
  while not list((tmp_path / 'data.encoding').glob('*.npz')):
    time.sleep(0.01)
  others[0].kill()
  for other in others:
    other.join()
  assert [other.exitcode for other in others[1:]] == [0, 0]
  encode_notes(Tones(num_notes), Levels(), tmp_path / 'alone')
  assert contents(folder) == contents(tmp_path / 'alone')
  assert set(os.listdir(tmp_path)) == {'data', 'alone', 'log'}
  # No more than what one process had in hand is done twice.
  assert len(log.read_text().splitlines()) <= num_notes + shards.SHARD_SIZE


def test_processes_of_one_command(tmp_path):
  num_notes = 4 * shards.SHARD_SIZE
  log = tmp_path / 'log'
  codec = Levels(log, seconds=0.05)
  encode_notes(Tones(num_notes), codec, tmp_path / 'data', num_processes=2)
  np.testing.assert_array_equal(
    np.load(tmp_path / 'data' / 'train_z.npy'),
    expected_frames(range(num_notes)),
  )
  lines = log.read_text().splitlines()
  assert len(lines) == num_notes
  assert len({line.split()[0] for line in lines}) == 2


def test_error_in_one_of_the_processes(tmp_path):
  odd = {20: (np.zeros(0, np.float32), RATE)}
  with pytest.raises(
    ValueError, match="'tone 20' is damaged: it has no samples"
  ):
    encode_notes(Tones(40, odd), Levels(), tmp_path / 'data', num_processes=2)
  with pytest.raises(ChildProcessError, match='ended with -9'):
    encode_notes(Tones(40), Killed(), tmp_path / 'data2', num_processes=2)


def test_bad_number_of_processes(tmp_path):
  with pytest.raises(ValueError, match='num_processes=0'):
    encode_notes(Tones(1), Levels(), tmp_path / 'data', num_processes=0)
  with pytest.raises(
    ValueError, match=r'num_processes=1000000 .* GB of memory'
  ):
    encode_notes(Tones(1), Levels(), tmp_path / 'data', num_processes=10**6)
  assert not list(tmp_path.iterdir())


def test_plan_is_plain_text(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    encode_notes(Tones(40), Levels(stop=0), tmp_path / 'data')
  plan = json.loads((tmp_path / 'data.encoding' / encoding.PLAN).read_text())
  assert plan['codec'] == 'levels'
  assert plan['num_source_notes'] == 40
  assert recordings.NOTE_SECONDS * plan['sample_rate'] == LENGTH


def test_a_damaged_plan_is_named(tmp_path):
  plan = tmp_path / 'data.encoding' / encoding.PLAN
  plan.parent.mkdir()
  for text in ('[]', '{"codec": ' + '[' * 200_000):
    plan.write_text(text)
    with pytest.raises(ValueError, match=r"plan.json' is damaged.*remove"):
      encode_notes(Tones(1), Levels(), tmp_path / 'data')
