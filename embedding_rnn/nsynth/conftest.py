"""The models of the goldens, with their weights; see wavenet_golden_test.py."""

import contextlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth import WaveNetAutoencoder, mu_law
from embedding_rnn.nsynth.train import hparams, training

TESTDATA = pathlib.Path(__file__).parents[1] / 'testdata' / 'nsynth_wavenet'
SIZES = (
  'width skip_width num_layers num_stages ae_width ae_num_layers ae_num_stages '
  'bottleneck hop'
)
CHECKPOINT = TESTDATA / 'tiny_ckpt'
TINY_SIZES = {
  'width': 16,
  'skip_width': 8,
  'num_layers': 6,
  'num_stages': 3,
  'ae_width': 12,
  'ae_num_layers': 4,
  'ae_num_stages': 2,
  'ae_bottleneck_width': 5,
  'ae_hop_length': 32,
}
TINY_RUN = (
  'width=8,skip_width=8,num_layers=3,num_stages=2,ae_width=8,ae_num_layers=2,'
  'ae_num_stages=2,ae_bottleneck_width=4,ae_hop_length=256,crop_length=512,'
  'batch_size=4,num_steps=15,save_every=5,learning_rate=0.03'
)


def tiny_hps(extra=''):
  """Hyperparameters of a tiny WaveNet autoencoder, and its training."""
  return hparams.default_hps().parse(TINY_RUN).parse(extra)


def run_command(name, *arguments):
  """What becomes of python -m embedding_rnn.nsynth.NAME, with all it says."""
  command = [sys.executable, '-m', f'embedding_rnn.nsynth.{name}', *arguments]
  return subprocess.run(command, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def eagerly():
  """A few steps of training need no compiled ones."""
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)


def follow(generator, codes, frames):
  """Log probabilities `[B, n, 256]` as LiteRT generates codes `[B, n]`."""
  classes = mu_law.to_classes(codes.astype(np.int32))
  logits = []

  def choose(step, logits_of_step):
    logits.append(logits_of_step)
    return classes[:, step]

  generator.run(frames, choose, generator.initial_state(), classes.shape[1])
  return tf.nn.log_softmax(np.stack(logits, axis=1)).numpy()


class Golden:
  """One fixture, and a model of its sizes."""

  def __init__(self, name):
    self.name = name
    self.data = np.load(TESTDATA / f'{name}.npz', allow_pickle=False)
    sizes = (int(self[f'cfg_{size}']) for size in SIZES.split())
    self.model = WaveNetAutoencoder(*sizes)

  def __getitem__(self, key):
    return self.data[key]

  def set_weights(self, group):
    """Gives the model its weights: 'raw', or the averages, 'ema'."""
    if self.name == 'tiny':
      self.model.restore_tf1_checkpoint(CHECKPOINT, averaged=group == 'ema')
      return
    values = np.load(TESTDATA / f'{self.name}_vars.npz', allow_pickle=False)
    for name, variable in self.variables().items():
      variable.assign(values[f'{group}:{name}'].reshape(variable.shape))

  def variables(self):
    """The model's weights by their names in a 2017 checkpoint."""
    self.model.build()
    return self.model.encoder.tf1_variables | self.model.decoder.tf1_variables


@pytest.fixture(scope='session')
def goldens():
  """All of them; their weights are any."""
  return {name: Golden(name) for name in ('tiny', 'mid')}


@pytest.fixture(params=['tiny', 'mid'])
def golden(request, goldens):
  """One after the other, with its raw weights."""
  goldens[request.param].set_weights('raw')
  return goldens[request.param]


@pytest.fixture
def tiny(goldens):
  """The small one, with its raw weights."""
  goldens['tiny'].set_weights('raw')
  return goldens['tiny']


@pytest.fixture(scope='session')
def wavenet_run(embedded, tmp_path_factory):
  """The folder of a finished run of `tiny_hps`; not to be changed."""
  folder = tmp_path_factory.mktemp('wavenet') / 'run'
  with eagerly():
    training.train(tiny_hps(), embedded, folder, seed=1)
  return folder
