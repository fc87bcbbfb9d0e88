"""Bad data is refused, by `dataset.open_dataset`."""

import json
import os
import pathlib

import numpy as np
import pytest

from embedding_rnn.data import arrays, dataset
from embedding_rnn.model.hparams import default_hps

NUM_NOTES = 40
FRAMES, PITCHES, VELOCITIES = (
  'train_z.npy',
  'train_pitch_one_hot.npy',
  'train_vels_one_hot.npy',
)


def frames():
  rng = np.random.default_rng(0)
  return rng.normal(size=[NUM_NOTES, 20, 16]).astype(np.float32)


def one_hots():
  return np.eye(128, dtype=np.float32)[20 : 20 + NUM_NOTES]


def changed(array, index, value):
  array = array.copy()
  array[index] = value
  return array


@pytest.fixture
def folder(tmp_path):
  np.save(tmp_path / FRAMES, frames())
  np.save(tmp_path / PITCHES, one_hots())
  np.save(tmp_path / VELOCITIES, one_hots())
  return tmp_path


@pytest.fixture(params=[None, 1])
def chunk_bytes(request, monkeypatch):
  """Once with all rows in one chunk, once with one row in each."""
  if request.param:
    monkeypatch.setattr(arrays, '_CHUNK_BYTES', request.param)


def open_dataset(folder, overrides=''):
  hps = default_hps().parse('max_seq_len=20,batch_size=4')
  return dataset.open_dataset(folder, hps.parse(overrides))


def assert_refused(folder, *messages, error=ValueError, overrides=''):
  with pytest.raises(error) as caught:
    open_dataset(folder, overrides)
  for message in messages:
    assert message in str(caught.value)


def test_good_data_is_accepted(folder, chunk_bytes):
  assert len(open_dataset(folder).frames) == NUM_NOTES


def test_missing_folder(folder):
  assert_refused(
    folder / 'nowhere', 'nowhere', '--data_dir', FRAMES, error=FileNotFoundError
  )


@pytest.mark.parametrize('name', [FRAMES, PITCHES, VELOCITIES])
def test_missing_file(folder, name):
  (folder / name).unlink()
  assert_refused(folder, name, 'set', error=FileNotFoundError)


@pytest.mark.parametrize('name', [FRAMES, PITCHES, VELOCITIES, 'splits.npy'])
def test_damaged_files(folder, name, tmp_path):
  if name == 'splits.npy':
    np.save(folder / name, np.zeros(NUM_NOTES, np.int8))
  path = folder / name
  good = path.read_bytes()
  for size in (0, 5, 9, 50, 127, 128, len(good) // 2, len(good) - 1):
    path.write_bytes(good[:size])
    assert_refused(folder, name, 'not a whole .npy file')
  for position in range(128):
    path.write_bytes(good[:position] + b'\xff' + good[position + 1 :])
    assert_refused(folder, name)


def test_pickled_objects_and_archives_are_refused(folder):
  np.save(folder / FRAMES, np.array([{}, None]), allow_pickle=True)
  assert_refused(folder, FRAMES, 'Python objects')
  with open(folder / FRAMES, 'wb') as file:
    np.savez(file, frames())
  assert_refused(folder, FRAMES, 'not a whole .npy file')


@pytest.mark.parametrize(
  'array', [frames().astype(np.complex64), frames().astype('U4')]
)
def test_frames_that_are_no_real_numbers(folder, array):
  np.save(folder / FRAMES, array)
  assert_refused(folder, FRAMES, 'real numbers', 'float32')


@pytest.mark.parametrize(
  ('array', 'messages'),
  [
    (frames()[0], ['[notes, 20, 16]', '(20, 16)', 'numpy.stack']),
    (frames()[..., None], ['(40, 20, 16, 1)']),
    (frames()[:, :19], ['(40, 19, 16)', '--hparam=max_seq_len=19']),
    (frames()[:, :, :8], ['(40, 20, 8)', '--hparam=seq_width=8']),
    (frames()[:0], ['holds no notes']),
    (np.float32(3), ['holds no notes']),
  ],
)
def test_frames_of_another_shape(folder, array, messages):
  np.save(folder / FRAMES, array)
  assert_refused(folder, FRAMES, *messages)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_frames_that_are_not_finite(folder, value, dtype, chunk_bytes):
  bad = changed(frames().astype(dtype), (31, 7, 5), value)
  np.save(folder / FRAMES, bad)
  assert_refused(
    folder, FRAMES, str(value), 'row 31, frame 7, channel 5', 'repair'
  )


def test_frames_that_float32_cannot_hold(folder):
  np.save(folder / FRAMES, changed(frames().astype(float), (2, 0, 1), 1e60))
  assert_refused(folder, FRAMES, '1e+60', 'row 2, frame 0, channel 1')


@pytest.mark.parametrize('name', [PITCHES, VELOCITIES])
@pytest.mark.parametrize(
  ('bad', 'messages'),
  [
    (changed(one_hots(), (17, 0), 1), ['row 17', '2 values', '[ 0 37]']),
    (changed(one_hots(), 17, 0), ['row 17', '0 values are not zero']),
    (changed(one_hots(), (17, 37), 0.5), ['row 17', '0.5', '[37]']),
    (changed(one_hots(), (17, 37), -1), ['row 17', '-1']),
    (changed(one_hots(), (17, 3), np.nan), ['row 17', 'nan']),
    (one_hots()[:, :100], ['[notes, 128]', '(40, 100)', 'numpy.eye(128)']),
    (np.arange(40), ['[notes, 128]', '(40,)', 'numpy.eye(128)']),
    (one_hots()[:39], ['39 rows', FRAMES, '40', 'row 39']),
    (np.repeat(one_hots(), 2, 0), ['80 rows', '40']),
  ],
)
def test_bad_one_hots(folder, name, bad, messages, chunk_bytes):
  np.save(folder / name, bad)
  assert_refused(folder, name, *messages)


@pytest.mark.parametrize(
  ('bad', 'messages'),
  [
    (changed(np.arange(40) % 3, 8, 3), ['3 in row 8', 'splits', '0 to 2']),
    (changed(np.arange(40) % 3, 9, -1), ['-1 in row 9']),
    (np.arange(40) % 3 * 1.0, ['ints [notes]', 'float64']),
    (np.zeros([40, 1], int), ['ints [notes]', '(40, 1)']),
    (np.arange(39) % 3, ['39 rows', '40', 'row 39']),
    (np.arange(40) % 2, ['The test split', '20 train, 20 valid, 0 test']),
    (np.arange(40) % 2 + 1, ['The train split', 'is empty']),
  ],
)
def test_bad_splits(folder, bad, messages):
  np.save(folder / 'splits.npy', bad)
  assert_refused(folder, 'splits.npy', *messages)


@pytest.mark.parametrize('name', ['instrument', 'instrument_family'])
@pytest.mark.parametrize(
  ('bad', 'messages'),
  [
    (changed(np.arange(40), 8, -1), ['-1 in row 8', 'Correct']),
    (changed(np.arange(40), 8, 40), ['40 in row 8', '0 to 39']),
    (np.arange(40) * 1.0, ['ints [notes]', 'float64']),
    (np.arange(41), ['41 rows', '40', 'row 40']),
  ],
)
def test_bad_instrument_ids(folder, name, bad, messages):
  names = {'instrument': 'instruments'}.get(name, 'instrument_families')
  info = json.dumps({names: [str(i) for i in range(40)]})
  (folder / 'dataset.json').write_text(info)
  np.save(folder / f'{name}_ids.npy', bad)
  assert_refused(folder, f'{name}_ids.npy', *messages)


def test_too_few_instruments(folder):
  np.save(folder / 'instrument_ids.npy', np.arange(40) % 2)
  assert_refused(folder, 'The test split', 'by instrument', 'splits.npy')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'is damaged'),
    ('{"codec": "sin', 'is damaged'),
    ('[' * 200_000, 'is damaged'),
    ('\xff', 'is damaged'),
    ('["codec"]', 'a JSON object, got list'),
    ('{"codec": 3}', "'codec' is 3, expected a text"),
    ('{"instruments": "x"}', "'instruments' is 'x', expected a list of a text"),
    ('{"instrument_families": [1]}', 'expected a list of a text'),
  ],
)
def test_bad_dataset_json(folder, text, message):
  (folder / 'dataset.json').write_bytes(text.encode('latin-1'))
  assert_refused(folder, 'dataset.json', message)


@pytest.mark.parametrize('overrides', ['batch_size=29', 'batch_size=0'])
def test_batch_larger_than_the_training_split(folder, overrides):
  size = overrides.partition('=')[2]
  messages = f'batch_size is {size}', '28 notes', '--hparam=batch_size=28'
  assert_refused(folder, *messages, overrides=overrides)
  assert open_dataset(folder, 'batch_size=28')


def test_overfit_counts_the_notes_that_are_trained_on(folder):
  assert_refused(
    folder, '6 notes', 'overfit=1', overrides='overfit=1,batch_size=7'
  )
  assert open_dataset(folder, 'overfit=1,batch_size=6')


def test_too_few_notes_for_a_split(folder):
  for name in (FRAMES, PITCHES, VELOCITIES):
    np.save(folder / name, np.load(folder / name)[:2])
  assert_refused(folder, 'split', 'is empty', 'by random split', 'Add notes')


def test_files_may_have_other_names(folder):
  os.rename(folder / FRAMES, folder / 'z.npy')
  assert_refused(folder, 'data_set', error=FileNotFoundError)
  assert open_dataset(folder, 'data_set=z.npy')


def test_pages_of_the_files_are_let_go(tmp_path):
  path = tmp_path / 'large.npy'
  np.save(path, np.ones([4000, 125, 16], np.float32))
  array = arrays.open_frames(str(path), 125, 16)

  def mapped_kb():
    status = pathlib.Path('/proc/self/smaps')
    if not status.exists():
      pytest.skip('needs /proc/self/smaps to see what is mapped')
    entry = status.read_text().split(f'{path}\n')[1]
    return int(entry.split('Rss:')[1].split()[0])

  assert mapped_kb() < 1000  # Checking read all 32 MB.
  assert array[::8].sum() == 500 * 125 * 16
  assert mapped_kb() > 4000
  arrays.release(array)
  assert mapped_kb() < 1000


def test_a_pipe_is_not_waited_for(tmp_path):
  path = tmp_path / 'x'
  os.mkfifo(path)
  with pytest.raises(OSError, match='a pipe, a socket or a device'):
    arrays.open_array(str(path), 'fix')
