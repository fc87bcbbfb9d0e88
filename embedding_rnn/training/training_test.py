"""Tests of training.py and trainer.py: the step loop and its run folder."""

import csv
import errno
import functools
import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorboard import context
from tensorboard.backend.event_processing import (
  data_provider,
  event_accumulator,
  plugin_event_multiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
  api_pb2,
  backend_context,
  list_session_groups,
)

import embedding_rnn
from embedding_rnn import figures, golden_test
from embedding_rnn.data import batches as note_batches
from embedding_rnn.data import dataset as data
from embedding_rnn.training import (
  checkpoints,
  progress,
  stopping,
  trainer,
  training,
)
from embedding_rnn.training import step as training_step
from embedding_rnn.training.prior import fit_prior
from embedding_rnn.training.trained_run_test import make_data
from embedding_rnn.training.training import NoteObjective
from embedding_rnn.utils import files

TINY = (
  'rnn_size=4,enc_rnn_size=3,z_size=2,num_mixture=2,seq_width=2,max_seq_len=3,'
  'batch_size=8,num_steps=12,save_every=4,use_recurrent_dropout=1'
)


def hps(extra=''):
  return embedding_rnn.default_hps().parse(TINY).parse(extra)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  # Fewer notes for validation, 6, than in a batch.
  folder = tmp_path_factory.mktemp('data') / 'notes'
  return make_data(folder, num_notes=40, shape=(3, 2))


@pytest.fixture(scope='module', autouse=True)
def eagerly():
  """All but one test are about the loop, so they need no compiled steps."""
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def log_often(monkeypatch):
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)


@pytest.fixture(scope='module')
def finished(data_dir, tmp_path_factory):
  """A run that nothing happened to."""
  folder = tmp_path_factory.mktemp('runs') / 'finished'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trainer, 'LOG_EVERY', 3)
    run = training.train(hps(), data_dir, folder, seed=1)
  return folder, run


def at_step(monkeypatch, step, happening):
  """Has something happen to the batch of a step (counted from 0)."""

  def batches(*args, original=note_batches.training_batches, **kwargs):
    first_step = args[4]
    for i, batch in enumerate(original(*args, **kwargs), first_step):
      yield happening(*batch) if i == step else batch

  monkeypatch.setattr(note_batches, 'training_batches', batches)


def send(number, *batch):
  signal.raise_signal(number)
  return batch


def crash(*batch):
  raise RuntimeError('crash')


def history(folder, without=('seconds',)):
  with (folder / 'history.csv').open() as file:
    rows = list(csv.DictReader(file))
  return [{k: v for k, v in row.items() if k not in without} for row in rows]


def last_save(folder):
  """All that the newest save says, but for times."""
  save = checkpoints.list_saves(folder, checkpoints.LAST)[-1]
  arrays = {}
  for name in ('weights.npz', 'optimizer.npz'):
    with np.load(save.path / name) as file:
      arrays |= {f'{name}/{key}': file[key] for key in file}
  state = json.loads((save.path / 'state.json').read_bytes())
  del state['seconds']
  return arrays, state


def assert_same_end(folder, other):
  (arrays, state), (other_arrays, other_state) = map(last_save, (folder, other))
  assert state == other_state
  assert arrays.keys() == other_arrays.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
  assert history(folder) == history(other)


def test_what_a_run_leaves(finished, data_dir):
  folder, run = finished
  names = {path.name for path in folder.iterdir()}
  assert names >= {
    'hparams.json',
    'transforms.npz',
    'run.json',
    'manifest.json',
  }
  assert names >= {'last-00000008', 'last-00000012', f'best-{run.step:08d}'}
  assert not [name for name in names if name.endswith('.tmp')]
  best = files.CheckedFolder(folder / f'best-{run.step:08d}', '')
  assert checkpoints.PRIOR in best
  fitted = fit_prior(run.model, run.open_dataset(data_dir), run.transforms)
  for name, array in fitted.arrays().items():
    np.testing.assert_array_equal(run.prior.arrays()[name], array)
  assert run.hps == hps() and run.info['seed'] == 1
  _, state = last_save(folder)
  assert state['step'] == state['evaluated_step'] == 12
  assert state['best_step'] == run.step
  assert state['best_cost'] == run.costs['valid']['cost']


def test_history_and_events(finished):
  folder, run = finished
  rows = history(folder, without=())
  steps = {
    split: [int(row['step']) for row in rows if row['split'] == split]
    for split in ('train', 'valid', 'test')
  }
  assert steps['train'] == [3, 6, 9, 12] and steps['valid'] == [4, 8, 12]
  best, costs = None, {}
  for row in rows:
    costs[row['split'], int(row['step'])] = float(row['cost'])
    if row['split'] == 'valid' and (best is None or float(row['cost']) < best):
      best = float(row['cost'])
      assert int(row['step']) in steps['test']
  assert best == run.costs['valid']['cost'] == costs['valid', run.step]
  rate = (0.001 - 0.00001) * 0.9999**2 + 0.00001
  np.testing.assert_allclose(float(rows[0]['learning_rate']), rate, rtol=1e-6)
  events = event_accumulator.EventAccumulator(str(folder))
  events.Reload()
  for prefix in ('Train', 'Valid', 'Eval'):
    for tag in ('Cost', 'Reconstr_Cost', 'KL_Cost', 'Raw_KL_Cost'):
      assert f'{prefix}_{tag}' in events.Tags()['tensors']
    assert f'Time_Taken_{prefix}' in events.Tags()['tensors']
  for tag in ('Learning_Rate', 'KL_Weight', 'Best_Valid_Cost'):
    assert tag in events.Tags()['tensors']

  def scalars(tag):
    return {
      e.step: float(tf.make_ndarray(e.tensor_proto))
      for e in events.Tensors(tag)
    }

  assert scalars('Num_Trainable_Params') == {0: run.model.count_params()}
  for split, tag in (('train', 'Train_Cost'), ('valid', 'Valid_Cost')):
    assert list(scalars(tag)) == steps[split]
    for step, cost in scalars(tag).items():
      np.testing.assert_allclose(cost, costs[split, step], rtol=1e-6)


def test_what_can_be_heard_is_written_at_each_evaluation(
  data_dir, tmp_path, monkeypatch
):
  tone = 0.5 * np.sin(np.arange(8000) / 10).astype(np.float32)
  sounds = {'original': tone, 'reconstruction': tone**3}
  for name, what in (
    ('original_sounds', 'original'),
    ('made_sounds', 'reconstruction'),
  ):
    heard = {'a note': sounds[what]}
    monkeypatch.setattr(NoteObjective, name, lambda self, heard=heard: heard)
  training.train(hps(), data_dir, tmp_path / 'run', seed=1)
  events = event_accumulator.EventAccumulator(str(tmp_path / 'run'))
  events.Reload()
  for what, steps in (('original', [0]), ('reconstruction', [4, 8, 12])):
    written = events.Tensors(f'Audio/a note/{what}')
    assert [event.step for event in written] == steps
    ((wav, _),) = tf.make_ndarray(written[0].tensor_proto)
    samples, rate = tf.audio.decode_wav(wav)
    assert rate == 16000
    np.testing.assert_allclose(samples[:, 0], sounds[what], atol=1 / 32767)
    written = events.Tensors(f'Spectrogram/a note/{what}')
    *_, picture = tf.make_ndarray(written[0].tensor_proto)
    np.testing.assert_array_equal(
      tf.io.decode_png(picture), figures.spectrogram_image(sounds[what])
    )


def test_costs_are_those_of_the_whole_split(finished):
  _, run = finished
  dataset = run.open_dataset()
  notes, pitches = dataset.notes(dataset.rows['valid'])
  assert len(notes) == 6  # Two more than hps.batch_size are copies.
  batch = np.pad(run.transforms.forward(notes), ((0, 0), (1, 0), (0, 0)))
  # The noise of a note follows from its place in the batch of 8.
  noise = run.model.draw_noise(np.zeros((8, 4, 2)), [0, 0])[:6]
  costs = run.model.compute_costs(batch, pitches, noise)
  for name, value in costs._asdict().items():
    np.testing.assert_allclose(run.costs['valid'][name], value, rtol=1e-5)


@pytest.mark.parametrize(
  'stop',
  [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, None],
)
def test_going_on_is_exact(finished, data_dir, tmp_path, monkeypatch, stop):
  if stop:  # Saves, and then hands the signal on.
    heard = []
    previous = signal.signal(stop, lambda number, _: heard.append(number))
    at_step(monkeypatch, 5, functools.partial(send, stop))
    with pytest.raises(SystemExit):
      training.train(hps(), data_dir, tmp_path / 'run', seed=1)
    signal.signal(stop, previous)
    assert heard == [stop]
    assert last_save(tmp_path / 'run')[1]['step'] == 6
  else:  # As after a power cut: the history is ahead of the save, and torn.
    at_step(monkeypatch, 6, crash)
    with pytest.raises(RuntimeError, match='crash'):
      training.train(hps(), data_dir, tmp_path / 'run', seed=1)
    with (tmp_path / 'run' / 'history.csv').open('a') as file:
      file.write('7,trai')
    assert last_save(tmp_path / 'run')[1]['step'] == 4
  monkeypatch.undo()
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  training.train(hps(), data_dir, tmp_path / 'run', seed=1, resume=True)
  assert_same_end(tmp_path / 'run', finished[0])


def test_a_save_by_the_clock(finished, data_dir, tmp_path, monkeypatch):
  """Between two rows of the history, too."""
  folder = tmp_path / 'run'
  monkeypatch.setattr(trainer, 'SAVE_SECONDS', 0)
  at_step(monkeypatch, 7, crash)
  with pytest.raises(RuntimeError, match='crash'):
    training.train(hps(), data_dir, folder, seed=1)
  state = last_save(folder)[1]
  assert state['step'] == 7 and state['evaluated_step'] == 4
  assert state['num_totals'] == 1  # since step 6
  monkeypatch.undo()
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert_same_end(folder, finished[0])


def test_a_hangup_that_is_ignored_stays_so():
  previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
  try:
    with stopping.StopRequest(tf.distribute.get_strategy(), 1) as stop:
      signal.raise_signal(signal.SIGHUP)
      assert not stop.signal
  finally:
    signal.signal(signal.SIGHUP, previous)


def test_all_signals_are_handed_on():
  heard = []
  previous = {}
  try:
    for number in (signal.SIGTERM, signal.SIGUSR2):
      handler = signal.signal(number, lambda number, _: heard.append(number))
      previous[number] = handler
    with (
      pytest.raises(SystemExit) as info,
      stopping.StopRequest(tf.distribute.get_strategy(), 1) as stop,
    ):
      assert not stop.signal
      signal.raise_signal(signal.SIGTERM)
      signal.raise_signal(signal.SIGUSR2)
      assert stop.signal == signal.SIGTERM and not heard
    assert heard == [signal.SIGTERM, signal.SIGUSR2]
    assert info.value.code == 128 + signal.SIGTERM
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
  # Without a handler it is not our business.
  with stopping.StopRequest(tf.distribute.get_strategy(), 1):
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_a_signal_during_evaluation(finished, data_dir, tmp_path, monkeypatch):
  def batches(*args, original=note_batches.evaluation_batches):
    signal.raise_signal(signal.SIGTERM)
    yield from original(*args)

  monkeypatch.setattr(note_batches, 'evaluation_batches', batches)
  previous = signal.signal(signal.SIGTERM, lambda *_: None)
  with pytest.raises(SystemExit):
    training.train(hps(), data_dir, tmp_path / 'run', seed=1)
  signal.signal(signal.SIGTERM, previous)
  state = last_save(tmp_path / 'run')[1]
  assert state['step'] == 4 and state['evaluated_step'] == 0
  monkeypatch.undo()
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  training.train(hps(), data_dir, tmp_path / 'run', seed=1, resume=True)
  assert_same_end(tmp_path / 'run', finished[0])


def test_a_damaged_save(finished, data_dir, tmp_path):
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  weights = folder / 'last-00000012' / 'optimizer.npz'
  weights.write_bytes(weights.read_bytes()[:-9])
  state = folder / 'last-00000012' / 'state.json'
  state.unlink()
  training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert_same_end(folder, finished[0])


@pytest.mark.parametrize('content', [b'', b'7\rb\n', b'\0\xff\r\n7'])
def test_progress_does_without_the_history(finished, tmp_path, content):
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  (folder / 'history.csv').write_bytes(content)
  assert progress.read_progress(folder).step == 12


def test_lost_saves_to_go_on_from(finished, data_dir, tmp_path):
  """To begin again would replace the best weights; the advice does not."""
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  for save in checkpoints.list_saves(folder, checkpoints.LAST):
    shutil.rmtree(save.path)
  before = sorted(folder.rglob('*'))
  with pytest.raises(files.DamagedFileError, match=r'came to step 12.*--check'):
    training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert set(before) <= set(folder.rglob('*'))
  assert 'are lost' in progress.read_progress(folder).problem
  model = training._initial_model(hps(), 5, folder)
  for name, array in checkpoints.weights_of(finished[1].model).items():
    np.testing.assert_array_equal(checkpoints.weights_of(model)[name], array)


@pytest.mark.parametrize('damage', ['a flipped bit', 'removal'])
def test_a_damaged_history(finished, data_dir, tmp_path, caplog, damage):
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  path = folder / 'history.csv'
  content = path.read_bytes()
  path.unlink()
  if damage != 'removal':
    path.write_bytes(content[:99] + bytes([content[99] ^ 2]) + content[100:])
  training.train(hps(), data_dir, folder, seed=1, resume=True)
  (message,) = [r.getMessage() for r in caplog.records]
  assert str(path) in message
  assert path.read_bytes() == content


def test_full_disk(finished, data_dir, tmp_path, monkeypatch):
  folder = tmp_path / 'run'

  def write_arrays(path, arrays, original=files.write_arrays):
    if 'last-00000008' in str(path):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    original(path, arrays)

  with monkeypatch.context() as patch:
    patch.setattr(files, 'write_arrays', write_arrays)
    with pytest.raises(OSError, match=r'The disk is full: No .* use --resume'):
      training.train(hps(), data_dir, folder, seed=1)
  assert last_save(folder)[1]['step'] == 4
  assert not [*folder.glob('.*.tmp'), *folder.glob('last-00000008')]
  training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert_same_end(folder, finished[0])


def test_hparams_view(finished, data_dir, tmp_path):
  """What TensorBoard itself shows for a run that went on, and another."""
  first = shutil.copytree(finished[0], tmp_path / finished[0].name)
  training.train(hps('num_steps=13'), data_dir, first, seed=1, resume=True)
  second = training.train(hps('num_steps=1'), data_dir, tmp_path / 'second')
  runs = plugin_event_multiplexer.EventMultiplexer()
  runs.AddRunsFromDirectory(str(tmp_path))
  runs.Reload()
  provider = data_provider.MultiplexerDataProvider(runs, str(tmp_path))
  view = backend_context.Context(base_plugin.TBContext(data_provider=provider))
  request = api_pb2.ListSessionGroupsRequest(
    start_index=0, slice_size=9, allowed_statuses=[api_pb2.STATUS_UNKNOWN]
  )
  groups = list_session_groups.Handler(
    context.RequestContext(), view, '', request
  ).run()
  entries = {group.name: group for group in groups.session_groups}
  assert entries.keys() == {first.name, 'second'}
  for name, group in entries.items():
    assert [session.name for session in group.sessions] == [name]
    for key, value in hps().values().items():
      kind = 'string_value' if isinstance(value, str) else 'number_value'
      if key != 'num_steps':
        assert getattr(group.hparams[key], kind) == value
  assert entries[first.name].hparams['num_steps'].number_value == 12
  metrics = {
    metric.name.tag: metric.value for metric in entries['second'].metric_values
  }
  costs = second.costs
  for tag, value in (
    ('Valid_Cost', costs['valid']['cost']),
    ('Best_Valid_Cost', costs['valid']['cost']),
    ('Eval_Cost', costs['test']['cost']),
    ('Eval_Reconstr_Cost', costs['test']['r_cost']),
    ('Eval_KL_Cost', costs['test']['kl_cost']),
    ('Num_Trainable_Params', second.info['num_params']),
  ):
    np.testing.assert_allclose(metrics[tag], value, rtol=1e-6, err_msg=tag)


def test_more_steps(finished, data_dir, tmp_path):
  more = hps('num_steps=16')
  training.train(more, data_dir, tmp_path / 'at_once', seed=1)
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  training.train(more, data_dir, folder, seed=1, resume=True)
  assert_same_end(folder, tmp_path / 'at_once')


def test_a_finished_run_is_left_alone(finished, data_dir, monkeypatch):
  folder, run = finished
  before = {p: p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file()}
  monkeypatch.setattr(data, 'open_dataset', crash)
  again = training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert again.step == run.step
  lock = folder / '.lock'
  after = {p: p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file()}
  assert before | {lock: 0} == after | {lock: 0}


def test_no_save_yet(finished, data_dir, tmp_path, monkeypatch):
  at_step(monkeypatch, 2, crash)
  folder = tmp_path / 'run'
  with pytest.raises(RuntimeError, match='crash'):
    training.train(hps(), data_dir, folder, seed=1)
  with pytest.raises(FileNotFoundError, match='has no save named best'):
    embedding_rnn.load_run(folder)
  monkeypatch.undo()
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  training.train(hps(), data_dir, folder, seed=1, resume=True)
  assert_same_end(folder, finished[0])


def test_non_finite_cost(data_dir, tmp_path, monkeypatch):
  at_step(monkeypatch, 6, lambda batch, pitches: (batch * np.nan, pitches))
  with pytest.raises(trainer.NonFiniteCostError) as info:
    training.train(hps(), data_dir, tmp_path / 'run')
  assert info.value.step == 7
  assert 'step 7' in str(info.value) and 'last-00000004' in str(info.value)
  assert embedding_rnn.load_run(tmp_path / 'run').step == 4


def test_refusals(finished, data_dir, tmp_path):
  folder, _ = finished
  with pytest.raises(FileExistsError, match='--resume'):
    training.train(hps(), data_dir, folder, seed=1)
  with pytest.raises(FileNotFoundError, match='no run at'):
    training.train(hps(), data_dir, tmp_path / 'nowhere', resume=True)
  assert not (tmp_path / 'nowhere').exists()
  with pytest.raises(ValueError, match='z_size was 2, is 3; seed was 1, is 2'):
    training.train(hps('z_size=3'), data_dir, folder, resume=True, seed=2)
  with (
    checkpoints.locked(folder),
    pytest.raises(BlockingIOError, match='trained by another process'),
  ):
    training.train(hps(), data_dir, folder, seed=1, resume=True)
  for extra, seed, message in (
    ('num_steps=0', 0, 'num_steps=0'),
    ('batch_size=64', 0, 'batch_size'),
    ('z_size=0', 0, 'z_size=0'),
    ('', -1, 'seed=-1'),
  ):
    with pytest.raises(ValueError, match=message):
      training.train(hps(extra), data_dir, tmp_path / 'new', seed=seed)
    assert not checkpoints.is_run(tmp_path / 'new')


def test_precision(data_dir, tmp_path):
  values = hps('num_steps=1')
  run = training.train(values, data_dir, tmp_path, precision='bfloat16')
  assert run.model.precision == run.info['precision'] == 'bfloat16'
  again = {'resume': True, 'precision': 'bfloat16'}
  assert training.train(values, data_dir, tmp_path, **again).step == 1
  with pytest.raises(ValueError, match="precision was 'bfloat16', is 'float32"):
    training.train(values, data_dir, tmp_path, resume=True)
  with pytest.raises(ValueError, match="precision='half'"):
    training.train(values, data_dir, tmp_path / 'new', precision='half')
  assert not checkpoints.is_run(tmp_path / 'new')


def test_start_from_another_run(finished, data_dir, tmp_path, monkeypatch):
  folder, run = finished
  model = training._initial_model(hps(), 5, folder)
  for name, array in checkpoints.weights_of(run.model).items():
    np.testing.assert_array_equal(checkpoints.weights_of(model)[name], array)
  with pytest.raises(ValueError, match='do not fit'):
    training.train(
      hps('z_size=3'), data_dir, tmp_path / 'run', checkpoint_path=folder
    )
  assert not checkpoints.is_run(tmp_path / 'run')


def test_other_notes_keep_the_transforms_of_the_weights(data_dir, tmp_path):
  values = hps('num_steps=1,difference_input=0,one_scale=1')
  folder = tmp_path / 'start'
  run = training.train(values, data_dir, folder)
  other = make_data(tmp_path / 'notes', num_notes=60, shape=(3, 2))
  tuned = training.train(
    values, other, tmp_path / 'run', checkpoint_path=folder
  )
  frames = np.float32([[[1, 2], [4, 3], [-2, 5]]])
  format_of = lambda transforms: transforms.forward(frames)  # noqa: E731
  np.testing.assert_array_equal(
    format_of(tuned.transforms), format_of(run.transforms)
  )
  fitted = data.fit_transforms(data.open_dataset(other, values), values)
  assert not np.allclose(format_of(tuned.transforms), format_of(fitted))


def test_start_from_a_2017_checkpoint():
  name = next(n for n in golden_test.CHECKPOINTS if n.endswith('_step3'))
  golden = golden_test.Golden(name[len('ckpt_') :].removesuffix('_step3'))
  model = training._initial_model(golden.hps, 0, golden_test.TESTDATA / name)
  golden.set_weights('after3')
  expected = checkpoints.weights_of(golden.model)
  for key, array in checkpoints.weights_of(model).items():
    np.testing.assert_array_equal(array, expected[key])


@pytest.mark.slow
def test_compiled_step(data_dir):
  """The step against Keras's own, and that a bad batch changes nothing."""
  tf.config.run_functions_eagerly(False)
  values = hps('trial=3,bidir=0')
  models = [training._initial_model(values, 0, None) for _ in range(2)]
  dataset = data.open_dataset(data_dir, values)
  batches = note_batches.training_batches(
    dataset, data.fit_transforms(dataset, values), values, 0, num_steps=4
  )
  optimizer = embedding_rnn.embedding_rnn.make_optimizer(values)
  optimizer.build(models[0].trainable_variables)
  step = training_step.make_training_step(
    NoteObjective(models[0], seed=3), optimizer
  )
  models[1].compile()
  keras_step = tf.function(models[1].train_step)
  costs = []
  for batch, pitches in batches:
    step.function(batch, pitches)
    costs.append(keras_step((batch, pitches)))
  weights, expected = map(checkpoints.weights_of, models)
  for name, array in weights.items():
    np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-6)
  for i, name in enumerate(embedding_rnn.embedding_rnn.Costs._fields):
    mean = np.mean([cost[name] for cost in costs])
    np.testing.assert_allclose(step.totals[i] / 4, mean, rtol=1e-5, atol=1e-7)
  state = checkpoints.optimizer_state_of(optimizer)
  for bad in (batch * np.nan, batch):  # Nor do later, good ones.
    step.function(bad, pitches)
    assert step.bad_step.numpy() == optimizer.iterations.numpy() == 4
  for before, after in (
    (weights, checkpoints.weights_of(models[0])),
    (state, checkpoints.optimizer_state_of(optimizer)),
  ):
    for name, array in before.items():
      np.testing.assert_array_equal(array, after[name])


@pytest.mark.slow
def test_going_on_is_exact_when_compiled(data_dir, tmp_path, monkeypatch):
  tf.config.run_functions_eagerly(False)
  training.train(hps('bidir=0'), data_dir, tmp_path / 'whole')
  at_step(monkeypatch, 6, crash)
  with pytest.raises(RuntimeError, match='crash'):
    training.train(hps('bidir=0'), data_dir, tmp_path / 'run')
  monkeypatch.undo()
  monkeypatch.setattr(trainer, 'LOG_EVERY', 3)
  training.train(hps('bidir=0'), data_dir, tmp_path / 'run', resume=True)
  assert_same_end(tmp_path / 'run', tmp_path / 'whole')
