"""Tests of distribution.py: several devices and workers do what one does.

TensorFlow is set up once in a process, so devices and workers are those of
other processes, which start with a function of this file.
"""

import csv
import json
import os
import signal
import socket
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.conftest import CHILDREN
from embedding_rnn.data import batches as note_batches
from embedding_rnn.model import distribution
from embedding_rnn.model.schedules import make_optimizer
from embedding_rnn.training import checkpoints, trainer, training
from embedding_rnn.training import step as training_step
from embedding_rnn.training.trained_run_test import make_data
from embedding_rnn.training.training import NoteObjective

TINY = (
  'rnn_size=6,enc_rnn_size=5,z_size=3,num_mixture=2,seq_width=4,max_seq_len=5,'
  'hyper_lstm_size=4,hyper_embedding_size=3,batch_size=8,kl_weight_start=1,'
)
DROPOUT = 'use_recurrent_dropout=1,use_input_dropout=1,use_output_dropout=1,'
RUN = (
  'rnn_size=4,enc_rnn_size=3,z_size=2,num_mixture=2,seq_width=2,max_seq_len=3,'
  'batch_size=8,num_steps=12,save_every=4,use_recurrent_dropout=1'
)
# Name: hyperparameters, and on which side of the floor the KL is.
CASES = {
  'lstm': (DROPOUT, 'above'),
  'layer_norm': ('model=layer_norm,enc_model=layer_norm,bidir=0', 'below'),
  'several_frames': (
    'frames_per_step=2,error_order=2,feedback_keep_prob=0.5,feedback_noise=0.1,'
    'free_running_weight=2',
    'above',
  ),
  'unconditional_hyper': (DROPOUT + 'model=hyper,unconditional=1', None),
}

pytestmark = pytest.mark.usefixtures('children')


def start(function, *args, **environment):
  """Starts a function of this file in a process of its own."""
  output = tempfile.NamedTemporaryFile('r', errors='replace')
  child = CHILDREN.Process(
    target=_call, args=(output.name, function, args, environment)
  )
  child.start()
  return child, output


def _call(output, function, args, environment):
  file = os.open(output, os.O_WRONLY)
  for stream in (1, 2):
    os.dup2(file, stream)
  os.environ.update(environment)
  function(*args)


def end(started, timeout=400):
  """-> exit status and output."""
  child, output = started
  child.join(timeout)
  child.kill()
  child.join()
  with output:
    return child.exitcode, output.read()


# One process with two devices.


def replicas(path, names, xla):
  """Trains cases on one device and on two; writes what comes out."""
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  if xla:
    training_step.distribution.prefers_xla = lambda: True
  strategies = {
    'one': tf.distribute.get_strategy(),
    'two': tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']),
  }
  hps = embedding_rnn.default_hps().parse('batch_size=7')
  with pytest.raises(
    ValueError, match='batch_size=7: expected a multiple of the 2 devices'
  ):
    training.train(hps, 'data', f'{path}.run', strategy=strategies['two'])
  assert not os.path.exists(f'{path}.run')
  results = {}
  for name in names:
    for kind, strategy in strategies.items():
      for key, value in train_case(name, strategy).items():
        results[f'{name}/{kind}/{key}'] = value
  np.savez(path, **results)


def train_case(name, strategy):
  """Three steps and an evaluation -> arrays by name."""
  overrides, side = CASES[name]
  hps = embedding_rnn.default_hps().parse(TINY).parse(overrides)
  tf.keras.utils.set_random_seed(0)
  rng = np.random.default_rng(0)
  batch = rng.normal(size=(8, 6, 4)).astype(np.float32)
  batch[:, 0] = 0
  pitches = np.eye(128, dtype=np.float32)[rng.integers(128, size=8)]
  with strategy.scope():
    model = embedding_rnn.Model(hps)
    optimizer = make_optimizer(hps)
    optimizer.build(model.trainable_variables)
  if side:
    set_floor(model, batch, side)
  objective = NoteObjective(model, seed=7)
  step = training_step.make_training_step(objective, optimizer, strategy)
  evaluation = training_step.make_evaluation(objective, strategy)
  result = {}
  for i in range(3):
    if i == 2:  # A step that is undone.
      weights = checkpoints.weights_of(model)
      state = checkpoints.optimizer_state_of(optimizer)
      totals = step.totals.numpy()
      step.function(batch[::-1], pitches)
      checkpoints.assign_weights(model, weights, '')
      checkpoints.assign_optimizer_state(optimizer, state, '')
      step.totals.assign(totals)
    step.function(batch, pitches)
    result[f'totals{i}'] = step.totals.numpy()
    if i == 0:  # A tenth of the gradients.
      state = checkpoints.optimizer_state_of(optimizer)
      gradients = {k: v for k, v in state.items() if k.endswith('momentum')}
      assert len(gradients) == len(model.trainable_variables)
      result |= {f'gradient/{k}': v * 10 for k, v in gradients.items()}
  weight = np.array([1] * 5 + [0] * 3, np.float32)
  result['evaluation'] = evaluation(batch, pitches, weight, tf.constant(2))
  weights = checkpoints.weights_of(model)
  result |= {f'weights/{k}': v for k, v in weights.items()}
  for variable in model.weights:
    values = strategy.experimental_local_results(variable.value)
    assert len(values) == strategy.num_replicas_in_sync
    assert all((x.numpy() == values[0].numpy()).all() for x in values)
  for bad in (batch * np.nan, batch):  # Changes nothing, nor do later ones.
    step.function(bad, pitches)
  after = checkpoints.weights_of(model)
  assert all((after[name] == weights[name]).all() for name in weights)
  assert step.bad_step.numpy() == optimizer.iterations.numpy() == 3
  return result


def set_floor(model, batch, side):
  """Puts the floor between the KL of the batch and that of one half of it."""
  for layer in (model.mean_layer, model.presig_layer):
    layer.kernel.assign(layer.kernel * 600)
  objective = NoteObjective(model, seed=7)
  whole, *halves = (
    float(objective.part_means([x], 0)[0])
    for x in (batch, batch[:4], batch[4:])
  )
  halves.sort()
  assert halves[1] > halves[0] + 1e-3  # else 1e-5 would not tell
  model.hps.kl_tolerance = (whole + halves[side == 'below']) / 2


def run_cases(folder, names, xla=False):
  path = folder / 'results.npz'
  status, output = end(start(replicas, path, names, xla), 300)
  assert status == 0, output
  with np.load(path) as file:
    return dict(file)


@pytest.fixture(scope='module')
def results(tmp_path_factory):
  return run_cases(tmp_path_factory.mktemp('replicas'), list(CASES))


def expect_equal(results, name):
  keys = [key for key in results if key.startswith(f'{name}/one/')]
  assert len(keys) > 10
  for key in keys:
    np.testing.assert_allclose(
      results[key.replace('/one/', '/two/')],
      results[key],
      rtol=1e-5,
      atol=1e-5,
      err_msg=key,
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_two_devices_do_what_one_does(results, name):
  expect_equal(results, name)
  cost, r_cost, kl_cost, raw_kl = results[f'{name}/one/totals0']
  assert (kl_cost == raw_kl) == (CASES[name][1] != 'below')
  if 'free_running_weight' in CASES[name][0]:
    assert cost > r_cost + kl_cost
  else:
    np.testing.assert_allclose(cost, r_cost + kl_cost, rtol=1e-5)


@pytest.mark.slow
def test_two_devices_under_xla(tmp_path):
  expect_equal(run_cases(tmp_path, ['lstm'], xla=True), 'lstm')


# Two processes.


def worker(data_dir, run_dir, resume, stop_signal=0, struck=1):
  """Trains as one of several workers; one gets a signal at step 5."""
  trainer.LOG_EVERY = 3
  index = json.loads(os.environ['TF_CONFIG'])['task']['index']
  hps = embedding_rnn.default_hps().parse(RUN)
  if index == struck and stop_signal:
    original = note_batches.training_batches

    def batches(*args, **kwargs):
      for i, batch in enumerate(original(*args, **kwargs)):
        if i == 5:
          signal.raise_signal(stop_signal)
        yield batch

    note_batches.training_batches = batches
  run = training.train(hps, data_dir, run_dir, seed=1, resume=resume)
  sys.stdout.write(f'\nbest step {run.step}, costs {run.costs}')


def train_with_two(*args):
  """-> exit statuses and outputs of two workers."""
  sockets = [socket.create_server(('localhost', 0)) for _ in range(2)]
  cluster = {'worker': [f'localhost:{s.getsockname()[1]}' for s in sockets]}
  for s in sockets:
    s.close()
  processes = []
  for index in range(2):
    task = {'type': 'worker', 'index': index}
    config = json.dumps({'cluster': cluster, 'task': task})
    processes.append(start(worker, *args, TF_CONFIG=config))
  return zip(*[end(process) for process in processes], strict=True)


@pytest.mark.slow
def test_two_workers_do_what_one_does(tmp_path):
  data_dir = make_data(tmp_path / 'data', num_notes=40, shape=(3, 2))
  two, one = tmp_path / 'two', tmp_path / 'one'
  # A signal to one of them stops both, with a save.
  statuses, outputs = train_with_two(data_dir, two, False, signal.SIGTERM)
  assert statuses == (-signal.SIGTERM,) * 2, outputs
  assert checkpoints.list_saves(two, checkpoints.LAST)[-1].step == 6
  statuses, outputs = train_with_two(data_dir, two, True)
  assert statuses == (0, 0), outputs
  assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
  assert outputs[0].splitlines()[-1].startswith('best step')
  hps = embedding_rnn.default_hps().parse(RUN)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trainer, 'LOG_EVERY', 3)
    training.train(hps, data_dir, one, seed=1)

  def names(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob('*')}
    return {name for name in names if not name.startswith('events')}

  assert names(two) == names(one)
  # One file of events for each start.
  assert len(list(two.glob('events*'))) == 2
  rows, expected = map(history, (two, one))
  assert len(rows) == len(expected) >= 7
  for row, expected_row in zip(rows, expected, strict=True):
    assert row.keys() == expected_row.keys()
    for name, value in expected_row.items():
      if name == 'split':
        assert row[name] == value
      elif name != 'seconds' and value:
        np.testing.assert_allclose(float(row[name]), float(value), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('struck', [0, 1])
def test_a_worker_that_dies_ends_the_others(tmp_path, struck):
  data_dir = make_data(tmp_path / 'data', num_notes=40, shape=(3, 2))
  statuses, outputs = train_with_two(
    data_dir, tmp_path / 'run', False, signal.SIGKILL, struck
  )
  assert statuses[struck] == -signal.SIGKILL, outputs
  assert statuses[1 - struck] not in (0, -signal.SIGKILL), outputs


def history(folder):
  with (folder / 'history.csv').open() as file:
    return list(csv.DictReader(file))


# How devices and workers are found.


def slurm(monkeypatch, **variables):
  values = {
    'JOB_ID': 4711,
    'STEP_NUM_TASKS': 4,
    'PROCID': 3,
    'JOB_NODELIST': 'gpu[08-09],login1',
    'STEP_NODELIST': 'gpu[08-09],login1',
    'STEP_TASKS_PER_NODE': '1(x2),2',
  } | variables
  for name, value in values.items():
    monkeypatch.setenv(f'SLURM_{name}', str(value))


def test_cluster_of_slurm_is_that_of_tensorflow(monkeypatch):
  slurm(monkeypatch)
  config = distribution._slurm_config()
  resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
    port_base=12_000 + 4711,
    gpus_per_node=2,
    gpus_per_task=1,
    auto_set_gpu=False,
  )
  assert config['cluster'] == resolver.cluster_spec().as_dict()
  assert resolver.get_task_info() == (
    config['task']['type'],
    config['task']['index'],
  )


def test_no_cluster(monkeypatch):
  assert distribution._slurm_config() is None
  slurm(monkeypatch, STEP_NUM_TASKS=1)
  assert distribution._slurm_config() is None
  strategy = distribution.choose_strategy()
  assert strategy is distribution.choose_strategy()
  num_gpus = len(tf.config.list_physical_devices('GPU'))
  assert strategy.num_replicas_in_sync == max(1, num_gpus)
  assert distribution.is_chief(strategy)
  assert not distribution.has_workers(strategy)


@pytest.mark.parametrize(
  'variables',
  [
    {'STEP_TASKS_PER_NODE': '2(x2)'},
    {'STEP_NUM_TASKS': 5},
    {'PROCID': 4},
    {'PROCID': 0, 'NODENAME': 'login1'},
  ],
)
def test_slurm_tasks_that_fit_no_cluster(monkeypatch, variables):
  node = variables.pop('NODENAME', None)
  if node:
    monkeypatch.setenv('SLURMD_NODENAME', node)
  slurm(monkeypatch, **variables)
  with pytest.raises(ValueError, match='--distribution=block'):
    distribution._slurm_config()


def test_one_replica_has_the_whole_batch():
  x = tf.reshape(tf.range(6), [2, 3])
  np.testing.assert_array_equal(distribution.share(x), x)
  normal = tf.random.stateless_normal
  numbers = distribution.draw(normal, [2, 3], [0, 1], axis=-1)
  np.testing.assert_array_equal(numbers, normal([2, 3], [0, 1]))
