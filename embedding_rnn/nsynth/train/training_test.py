"""Tests that a WaveNet autoencoder learns, and that its runs are as all are."""

import csv
import inspect
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.conftest import save_run, tiny_collection
from embedding_rnn.data.preparation.sources import EmbeddedNotes
from embedding_rnn.nsynth import WaveNetAutoencoder, load_autoencoder, runs
from embedding_rnn.nsynth.conftest import (
  TINY_RUN,
  eagerly,
  run_command,
  tiny_hps,
)
from embedding_rnn.nsynth.train import __main__ as train
from embedding_rnn.nsynth.train import hparams, training
from embedding_rnn.nsynth.train.crops import Crops
from embedding_rnn.nsynth.train.training import AudioObjective
from embedding_rnn.training import checkpoints, progress, trainer
from embedding_rnn.training.step import make_evaluation, make_training_step
from embedding_rnn.training.training_test import assert_same_end

GUESS = np.log(256)  # nats a sample


@pytest.fixture
def eager():
  with eagerly():
    yield


def crash_at(monkeypatch, step, happening):
  """Has something happen before a step (counted from 0)."""
  original = Crops.training_batches

  def batches(self, seed, first_step, last_step):
    crops = original(self, seed, first_step, last_step)
    for i, batch in enumerate(crops, first_step):
      if i == step:
        happening()
      yield batch

  monkeypatch.setattr(Crops, 'training_batches', batches)


def crash():
  raise RuntimeError('crash')


def test_it_learns(wavenet_run, embedded):
  with (wavenet_run / 'history.csv').open() as file:
    rows = list(csv.DictReader(file))
  valid = [float(row['cost']) for row in rows if row['split'] == 'valid']
  assert len(valid) == 3 and valid[-1] < valid[0] < GUESS
  assert valid[-1] < 0.8 * GUESS
  trained = load_autoencoder(wavenet_run)
  assert trained.costs['valid']['cost'] == min(valid)
  # The cost that is logged is that of the weights that are kept.
  hps = tiny_hps()
  crops = Crops(embedded, hps.crop_length, hps.batch_size)
  for split in ('valid', 'test'):
    losses = []
    for batch, weight in crops.evaluation_batches(split):
      losses.extend(trained.model.losses_of_notes(batch)[weight > 0].numpy())
    assert len(losses) == len(crops.rows[split])
    np.testing.assert_allclose(
      trained.costs[split]['cost'], np.mean(losses), rtol=1e-5
    )


def test_what_a_run_leaves(wavenet_run, embedded):
  run = checkpoints.read_run(wavenet_run, checkpoints.WAVENET)
  assert run.hps == tiny_hps() and run.transforms is None
  assert run.info['num_notes'] == {'train': 12, 'valid': 12, 'test': 12}
  assert run.info['source_sha256'] == embedded.sha256
  trained = load_autoencoder(wavenet_run)
  assert trained.model.count_params() == run.info['num_params']
  averaged = load_autoencoder(wavenet_run, averaged=True)
  assert averaged.step == trained.step
  pairs = zip(trained.model.weights, averaged.model.weights, strict=True)
  for raw, average in pairs:
    assert np.abs(raw - average).max() < 0.1
    if 'res_3' not in raw.path:  # That of the last layer is never read.
      assert (raw.numpy() != average.numpy()).any(), raw.path


def test_progress_knows_it(wavenet_run):
  found = progress.read_progress(wavenet_run)
  assert found.is_finished and found.step == 15
  assert found.hps.get('rnn_size') is None


@pytest.mark.parametrize('stop', [signal.SIGTERM, None])
def test_going_on_is_exact(
  eager, wavenet_run, embedded, tmp_path, monkeypatch, stop
):
  folder = tmp_path / 'run'

  def go(resume):
    training.train(tiny_hps(), embedded, folder, seed=1, resume=resume)

  if stop:
    crash_at(monkeypatch, 8, lambda: signal.raise_signal(stop))
    previous = signal.signal(stop, lambda *_: None)
    with pytest.raises(SystemExit):
      go(resume=False)
    signal.signal(stop, previous)
  else:
    crash_at(monkeypatch, 8, crash)
    with pytest.raises(RuntimeError, match='crash'):
      go(resume=False)
  step = checkpoints.list_saves(folder, checkpoints.LAST)[-1].step
  assert step == (9 if stop else 5)
  monkeypatch.undo()
  go(resume=True)
  assert_same_end(folder, wavenet_run)
  raw, other = (load_autoencoder(f, True) for f in (folder, wavenet_run))
  for a, b in zip(raw.model.weights, other.model.weights, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_going_on_is_exact_when_compiled(embedded, tmp_path, monkeypatch):
  arguments = tiny_hps('num_layers=2,ae_num_layers=1'), embedded
  training.train(*arguments, tmp_path / 'whole')
  crash_at(monkeypatch, 8, crash)
  with pytest.raises(RuntimeError, match='crash'):
    training.train(*arguments, tmp_path / 'run')
  monkeypatch.undo()
  training.train(*arguments, tmp_path / 'run', resume=True)
  assert_same_end(tmp_path / 'run', tmp_path / 'whole')


def test_other_runs_are_refused(eager, run, wavenet_run, embedded, tmp_path):
  def go_on(hps=None, source=embedded, seed=1, folder=wavenet_run):
    training.train(hps or tiny_hps(), source, folder, seed=seed, resume=True)

  go_on()  # It is finished.
  with pytest.raises(ValueError, match='width was 8, is 9; seed was 1, is 2'):
    go_on(tiny_hps('width=9'), seed=2)
  other = EmbeddedNotes(tiny_collection(notes_per_split=5))
  with pytest.raises(ValueError, match=r'holds other notes .* --source'):
    go_on(tiny_hps('num_steps=16'), other)
  save_run(tmp_path / 'rnn', run)
  with pytest.raises(ValueError, match='model embedding_rnn, expected wavenet'):
    go_on(folder=tmp_path / 'rnn')
  with pytest.raises(ValueError, match='model wavenet, expected embedding_rnn'):
    embedding_rnn.load_run(wavenet_run)


@pytest.mark.parametrize(
  ('extra', 'message'),
  [
    ('num_steps=0', 'num_steps=0: expected more than 0'),
    ('width=0', 'width=0'),
    ('crop_length=500', 'a multiple of ae_hop_length, 256'),
    ('crop_length=64256', 'up to 64000'),
    ('batch_size=13', '12 train, 12 valid, 12 test; set --hparam=batch_size'),
  ],
)
def test_bad_hyperparameters(embedded, tmp_path, extra, message):
  with pytest.raises(ValueError, match=message):
    training.train(tiny_hps(extra), embedded, tmp_path / 'run')
  assert not checkpoints.is_run(tmp_path / 'run')


def test_defaults_are_those_of_2017():
  hps = hparams.default_hps()
  hparams.check_hparams(hps)
  assert (hps.crop_length, hps.learning_rate) == (6144, 2e-4)
  sizes = hps.width, hps.ae_hop_length, hps.ae_bottleneck_width
  assert sizes == (512, 512, 16)
  assert hparams.SIZES == {
    name: parameter.default
    for name, parameter in inspect.signature(
      WaveNetAutoencoder
    ).parameters.items()
    if name != 'kwargs'
  }


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('width=0', 'width=0: expected more than 0'),
    ('width=10000000', 'at most 65,536'),
    ('width=65536', 'Training with width=65536.* GB of memory'),
    ('num_layers=100000', 'at most 1,000'),
    ('num_stages=1000', 'num_stages=1000: .* at most 16'),
    ('learning_rate=nan', 'learning_rate=nan: expected more than 0'),
    ('learning_rate=inf', 'learning_rate=inf: expected more than 0'),
    (f'num_steps={10**25}', 'at most 1,000,000,000'),
    ('crop_length=100', 'a multiple of ae_hop_length'),
  ],
)
def test_values_that_make_no_training_are_refused(text, message):
  with pytest.raises(ValueError, match=message):
    hparams.check_hparams(hparams.default_hps().parse(text))


def test_non_finite_cost(eager, embedded, tmp_path):
  hps = tiny_hps('learning_rate=1e38')
  with pytest.raises(
    trainer.NonFiniteCostError, match=r'step 2 .* with a lower learning_rate'
  ):
    training.train(hps, embedded, tmp_path / 'run')


def test_as_a_command(eager, note_folders, tmp_path, parse_flags, capsys):
  parse_flags(
    train.define_flags,
    [
      f'--source={note_folders / "wavs"}',
      f'--log_root={tmp_path}',
      '--exp_name=mine',
      f'--hparam={TINY_RUN.replace("steps=15", "steps=1")}',
      '--hparam=trial=3',
    ],
  )
  train.main(['train'])
  run = checkpoints.read_run(tmp_path / 'mine', checkpoints.WAVENET)
  assert run.info['num_notes'] == {'train': 10, 'valid': 3, 'test': 3}
  results = capsys.readouterr().out
  assert 'nats a sample' in results
  assert f'--nsynth_checkpoint_path={tmp_path / "mine"}' in results


def test_help():
  shown = run_command('train', '--help')
  assert 'python -m embedding_rnn.nsynth.train --exp_name=' in shown.stdout
  for flag in ('--source', '--log_root', '--hparam', '--[no]resume'):
    assert flag in shown.stdout


def steps_on(strategy, num_steps=3):
  """What a few compiled steps and an evaluation come to, by name."""
  hps = tiny_hps()
  tf.keras.utils.set_random_seed(0)
  audio = np.random.default_rng(0).uniform(-1, 1, (4, 512)).astype(np.float32)
  with strategy.scope():
    model = runs.make_model(hps)
    objective = AudioObjective(model, hps, seed=0, crops=None)
    optimizer = objective.make_optimizer()
    optimizer.build(model.trainable_variables)
  step = make_training_step(objective, optimizer, strategy)
  for _ in range(num_steps):
    step.function(audio)
  evaluation = make_evaluation(objective, strategy)
  weight = np.array([1, 1, 1, 0], np.float32)
  result = {
    'totals': step.totals.numpy(),
    'evaluation': evaluation(audio, weight, tf.constant(0)).numpy(),
  }
  arrays = objective.arrays_to_keep(optimizer)[runs.AVERAGES]
  result |= {f'average/{name}': array for name, array in arrays.items()}
  return result | checkpoints.weights_of(model)


def compare_devices():
  """Two devices do what one does; in a process of its own."""
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  one = steps_on(tf.distribute.get_strategy())
  two = steps_on(tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']))
  assert one.keys() == two.keys() and one['totals'] > 0
  for name, array in one.items():
    np.testing.assert_allclose(two[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_two_devices_do_what_one_does():
  subprocess.run(
    [sys.executable, '-m', 'embedding_rnn.nsynth.train.training_test'],
    env=os.environ | {'CUDA_VISIBLE_DEVICES': '-1'},
    check=True,
  )


if __name__ == '__main__':
  compare_devices()
