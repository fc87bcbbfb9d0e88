"""Tests that runs survive kill -9 and damaged files, to the last bit."""

import collections
import csv
import functools
import json
import os
import pathlib
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from tqdm import tqdm

import embedding_rnn
from embedding_rnn.conftest import CHILDREN
from embedding_rnn.data import batches as note_batches
from embedding_rnn.training import checkpoints, trainer, training
from embedding_rnn.training.trained_run_test import make_data
from embedding_rnn.utils import files

TINY = (
  'rnn_size=4,enc_rnn_size=3,z_size=2,num_mixture=2,seq_width=2,max_seq_len=2,'
  'batch_size=3,use_recurrent_dropout=1,bidir=0'
)
MANY_STEPS = f'{TINY},num_steps=1000,save_every=20'
# So that each step is the best so far: it learns the notes it is judged by.
FEW_STEPS = f'{TINY},num_steps=3,save_every=1,overfit=1,learning_rate=0.01'
PHASES = {'s': 'step', 'e': 'evaluation', 'w': 'saving', '-': 'between'}
TIMEOUT = 120  # seconds, after which a child hangs

pytestmark = pytest.mark.usefixtures('children')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return make_data(tmp_path_factory.mktemp('data') / 'notes', 20, shape=(2, 2))


def train(text, data_dir, folder, **settings):
  """Begins a run, or goes on with it."""
  hps = embedding_rnn.default_hps().parse(text)
  resume = checkpoints.is_run(folder)
  return training.train(hps, data_dir, folder, resume=resume, **settings)


def contents(folder):
  """All of a run that must be the same to the last bit; no times."""
  result = {}
  for kind in (checkpoints.BEST, checkpoints.LAST):
    save = checkpoints.list_saves(folder, kind)[-1]
    files.CheckedFolder(save.path, '').check()
    result[kind] = save.step
    for path in save.path.glob('*.npz'):
      with np.load(path) as arrays:
        for name in arrays:
          result[kind, path.name, name] = arrays[name].tobytes()
    for path in save.path.glob('*.json'):
      if path.name != files.MANIFEST:
        values = json.loads(path.read_bytes())
        for part in (values, *values.values()):
          if isinstance(part, dict):
            part.pop('seconds', None)
        result[kind, path.name] = values
  rows = list(csv.reader((folder / 'history.csv').open()))
  assert rows[0][-1] == 'seconds'
  return result | {'history': [row[:-1] for row in rows]}


def assert_same_end(folder, expected):
  found = contents(folder)
  assert found.keys() == expected.keys()
  assert [name for name in found if found[name] != expected[name]] == []
  assert not list(folder.glob('.*.tmp'))


def start(function, *args):
  child = CHILDREN.Process(target=function, args=args, daemon=True)
  child.start()
  return child


def child_train(data_dir, folder, settings):
  train(MANY_STEPS, data_dir, folder, **settings)


def child_train_in_the_open(data_dir, folder, pipe):
  """Trains, and sends a letter whenever a phase begins or ends."""
  trainer.SAVE_SECONDS = 0.2
  tqdm.set_lock(threading.RLock())  # The default one would outlive a kill.

  def mark(place, name, letter):
    original = getattr(place, name)

    @functools.wraps(original)
    def marked(*args, **kwargs):
      pipe.send_bytes(letter)
      result = original(*args, **kwargs)
      pipe.send_bytes(b'-')
      return result

    setattr(place, name, marked)

  def batches(*args, original=note_batches.training_batches, **kwargs):
    for batch in original(*args, **kwargs):
      pipe.send_bytes(b's')
      yield batch

  note_batches.training_batches = batches
  mark(trainer.Trainer, '_evaluate', b'e')
  mark(checkpoints, 'write_save', b'w')
  train(MANY_STEPS, data_dir, folder, deterministic_ops=True)


def run_until_killed(data_dir, folder, letter, count, delay):
  """Trains until kill -9, `delay` seconds after the n-th phase of a kind.

  Returns:
    The letters of all phases, the last being that of the kill.
  """
  reader, writer = CHILDREN.Pipe(duplex=False)
  child = start(child_train_in_the_open, data_dir, folder, writer)
  writer.close()
  seen = ''
  while seen.count(letter) < count:
    assert reader.poll(TIMEOUT), f'nothing after {seen!r}'
    seen += reader.recv_bytes().decode()
  time.sleep(delay)
  os.kill(child.pid, signal.SIGKILL)
  child.join(TIMEOUT)
  assert child.exitcode == -signal.SIGKILL  # else it ended before
  try:
    while True:
      seen += reader.recv_bytes().decode()
  except EOFError:
    return seen


@pytest.fixture(scope='module')
def uninterrupted(data_dir, tmp_path_factory):
  """What a run of many steps ends with, with deterministic ops and without."""
  folders = [tmp_path_factory.mktemp('runs') / 'run' for _ in range(2)]
  children = [
    start(child_train, data_dir, folder, {'deterministic_ops': on})
    for folder, on in zip(folders, (True, False), strict=True)
  ]
  for child in children:
    child.join(TIMEOUT)
    assert child.exitcode == 0
  return [contents(folder) for folder in folders]


@pytest.mark.slow
def test_deterministic_ops_change_nothing_on_a_cpu(uninterrupted):
  assert uninterrupted[0] == uninterrupted[1]


@pytest.mark.slow
def test_twenty_kills(uninterrupted, data_dir, tmp_path):
  folder = tmp_path / 'run'
  rng = np.random.default_rng(0)
  landed, steps = collections.Counter(), []
  for _ in range(20):
    letter = rng.choice(['s', 'e', 'w'])
    count = rng.integers(1, {'s': 50, 'e': 3, 'w': 4}[letter], endpoint=True)
    seen = run_until_killed(
      data_dir, folder, letter, count, delay=rng.uniform(0, 0.02)
    )
    landed[PHASES[seen[-1]]] += 1
    steps.append(seen.count('s'))
  logging.info('Steps before each kill: %s', steps)
  logging.info('Kills landed in: %s', dict(landed))
  assert all(landed[phase] for phase in ('step', 'evaluation', 'saving'))
  child = start(child_train, data_dir, folder, {'deterministic_ops': True})
  child.join(TIMEOUT)
  assert child.exitcode == 0
  assert_same_end(folder, uninterrupted[0])


@pytest.fixture
def eagerly(monkeypatch):
  """Few steps need no compiled ones."""
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


@pytest.fixture
def few_steps(eagerly, data_dir, tmp_path, monkeypatch):
  """A run of three steps, before and after the last one, and its two saves."""
  before, after = tmp_path / 'before', tmp_path / 'after'
  saving, saves = tmp_path / 'saving', []

  def batches(*args, original=note_batches.training_batches, **kwargs):
    for i, batch in enumerate(original(*args, **kwargs)):
      if i == 2:
        shutil.copytree(after, before)
      yield batch

  def write_save(*args, original=checkpoints.write_save):
    if args[2] == 3:
      if not saves:
        shutil.copytree(after, saving)
      saves.append(args[1:])
    return original(*args)

  with monkeypatch.context() as patch:
    patch.setattr(note_batches, 'training_batches', batches)
    patch.setattr(checkpoints, 'write_save', write_save)
    train(FEW_STEPS, data_dir, after)
  names = {path.name for path in before.glob('*-*')}
  assert names == {f'{k}-{n:08d}' for k in ('best', 'last') for n in (1, 2)}
  assert [kind for kind, *_ in saves] == ['best', 'last']
  return before, saving, saves, after


def child_write_saves(folder, saves, num_calls):
  """Writes saves, but is killed before it does the n-th thing to the disk."""
  done = 0

  def counted(original, *args, **kwargs):
    nonlocal done
    if done == num_calls:
      os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return original(*args, **kwargs)

  for name in ('fsync', 'mkdir', 'rename', 'replace', 'rmdir', 'unlink'):
    setattr(os, name, functools.partial(counted, getattr(os, name)))
  for save in saves:
    checkpoints.write_save(folder, *save)


@pytest.mark.slow
def test_a_kill_at_each_stage_of_saving(few_steps, data_dir, tmp_path):
  _, saving, saves, after = few_steps
  expected = contents(after)
  steps = collections.Counter()
  for num_calls in range(200):
    folder = shutil.copytree(saving, tmp_path / 'run')
    child = start(child_write_saves, folder, saves, num_calls)
    child.join(TIMEOUT)
    if child.exitcode == 0:
      break
    assert child.exitcode == -signal.SIGKILL
    for kind in (checkpoints.BEST, checkpoints.LAST):
      for save in checkpoints.list_saves(folder, kind):
        files.CheckedFolder(save.path, '').check()
    steps[save.step] += 1
    train(FEW_STEPS, data_dir, folder)
    assert_same_end(folder, expected)
    shutil.rmtree(folder)
  # Each of the 8 files alone is synced, named, and its folder synced.
  assert num_calls > 24
  assert steps[2] > 24 and steps[3] > 0


def flip(path, place):
  content = bytearray(path.read_bytes())
  content[int(place * (len(content) - 1))] ^= {0: 1, 0.5: 16, 1: 128}[place]
  path.write_bytes(content)


def files_of(folder):
  paths = sorted(p for p in folder.rglob('*') if p.is_file())
  return [path.relative_to(folder) for path in paths]


def resume_with_a_flipped_bit(original, expected, name, place, data_dir, log):
  """-> what it was: 'refused', 'warned' or 'harmless'."""
  folder = original.with_name('run')
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(original, folder)
  flip(folder / name, place)
  log.clear()
  try:
    train(FEW_STEPS, data_dir, folder)
  except files.DamagedFileError as error:
    assert name.name in str(error)
    return 'refused'
  assert_same_end_but_for(folder, expected, name)
  messages = [r.getMessage() for r in log.records if r.levelname == 'WARNING']
  if not messages:
    return 'harmless'
  # A damaged manifest accuses a file, or itself.
  blamed = folder / name
  if name.name == files.MANIFEST:
    blamed = blamed.parent
  assert any(str(blamed) in message for message in messages)
  return 'warned'


def assert_same_end_but_for(folder, expected, name):
  try:
    assert_same_end(folder, expected)
  except files.DamagedFileError as error:
    # What is damaged and was not needed stays so.
    assert str(folder / name.parent) in str(error)


def outcome_of_damage(name):
  if len(name.parts) > 1 or name.name == 'history.csv':
    return 'warned'
  if name.name == '.lock' or name.name.startswith('events.out'):
    return 'harmless'  # Nothing in them is ever read again.
  return 'refused'


@pytest.mark.slow
def test_a_flipped_bit_in_each_file(few_steps, data_dir, caplog):
  before, _, _, after = few_steps
  expected = contents(after)
  names = files_of(before)
  assert len(names) >= 4 + 2 * 3 + 2 * 5 + 3
  for name in names:
    for place in (0, 0.5, 1):
      outcome = resume_with_a_flipped_bit(
        before, expected, name, place, data_dir, caplog
      )
      assert outcome == outcome_of_damage(name), (name, place)


@pytest.mark.slow
def test_a_flipped_bit_in_a_finished_run(few_steps, data_dir, caplog):
  *_, after = few_steps
  expected = contents(after)
  for name in files_of(after):
    outcome = resume_with_a_flipped_bit(
      after, expected, name, 0.5, data_dir, caplog
    )
    assert outcome == outcome_of_damage(name), name


def child_hold_lock(folder, pipe):
  with checkpoints.locked(pathlib.Path(folder)):
    pipe.send_bytes(b'locked')
    time.sleep(TIMEOUT)


def test_a_second_process_is_refused(few_steps, data_dir):
  folder, _, _, after = few_steps
  reader, writer = CHILDREN.Pipe(duplex=False)
  child = start(child_hold_lock, folder, writer)
  assert reader.poll(TIMEOUT)
  unchanged = files_of(folder)
  with pytest.raises(BlockingIOError, match=f'process {child.pid} on'):
    train(FEW_STEPS, data_dir, folder)
  (folder / '.lock').write_bytes(b'\xff damaged')
  with pytest.raises(BlockingIOError, match='by another process'):
    train(FEW_STEPS, data_dir, folder)
  assert files_of(folder) == unchanged
  os.kill(child.pid, signal.SIGKILL)
  child.join(TIMEOUT)
  train(FEW_STEPS, data_dir, folder)
  assert_same_end(folder, contents(after))


def test_recurrent_steps_of_several_frames(eagerly, data_dir, tmp_path):
  text = (
    f'{TINY},save_every=3,frames_per_step=2,error_order=2,velocity_context=1,'
    'feedback_keep_prob=0.5,feedback_noise=0.1,free_running_weight=2,'
    'one_scale=1,difference_input=0'
  )
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  train(f'{text},num_steps=6', data_dir, whole)
  for num_steps in (3, 6):
    train(f'{text},num_steps={num_steps}', data_dir, parts)
  assert_same_end(parts, contents(whole))
