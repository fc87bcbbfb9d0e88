"""What several tests need: a few embedded notes, and a tiny run of them."""

import dataclasses
import pathlib
import time

import numpy as np
import pytest
from absl import flags

from embedding_rnn.data import dataset, notes, provenance
from embedding_rnn.data.preparation import fabricated_notes
from embedding_rnn.data.preparation.embedded_notes import EmbeddedNotes
from embedding_rnn.embedding_rnn import Model
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import checkpoints, trained_run

TINY = (
  'rnn_size=16,enc_rnn_size=8,z_size=4,num_mixture=2,batch_size=4,num_steps=4,'
  'save_every=2,difference_input=0,pca_dim_reduce=1,n_pca_components=8'
)


def tiny_collection(notes_per_split=12) -> notes.NoteCollection:
  """A few embedded notes of several families in each split."""
  whole = notes.load()
  rng = np.random.default_rng(0)
  rows = np.concatenate(
    [
      rng.choice(np.flatnonzero(whole.split == split), notes_per_split, False)
      for split in range(3)
    ]
  )
  return dataclasses.replace(
    whole,
    frames=whole.frames[rows],
    midi_pitch=whole.midi_pitch[rows],
    velocity=whole.velocity[rows],
    instrument_ids=whole.instrument_ids[rows],
    family_ids=whole.family_ids[rows],
    split=whole.split[rows],
    original_rows=np.zeros(0, np.int64),
  )


def tiny_run(data_dir, **overrides) -> trained_run.Run:
  """A run of the least size, with weights as at the start of training."""
  hps = default_hps().parse(TINY).override_from_dict(overrides)
  data = dataset.open_dataset(data_dir, hps)
  info = provenance.describe_dataset(data, split_seed=0) | {'seed': 0}
  return trained_run.Run(
    folder='',
    hps=hps,
    model=Model(hps),
    transforms=dataset.fit_transforms(data, hps),
    info=info,
    step=0,
    costs={},
  )


def wait_until(condition, seconds=180):
  """Waits for something that other processes bring about, and returns it."""
  deadline = time.monotonic() + seconds
  while not (value := condition()):
    assert time.monotonic() < deadline, 'waited too long'
    time.sleep(0.02)
  return value


@pytest.fixture(scope='session')
def testdata():
  """The folder of the files that tests compare with; not to be changed."""
  return pathlib.Path(__file__).parent / 'testdata'


@pytest.fixture(scope='session')
def tiny_data_dir(tmp_path_factory):
  """A data directory of 36 notes; not to be changed."""
  folder = tmp_path_factory.mktemp('tiny') / 'data'
  notes.write_data_dir(folder, tiny_collection())
  return folder


@pytest.fixture(scope='session')
def run(tiny_data_dir):
  """A tiny run of `tiny_data_dir`."""
  return tiny_run(tiny_data_dir)


@pytest.fixture(scope='session')
def unconditional_run(tiny_data_dir):
  """The same, but unconditional."""
  return tiny_run(tiny_data_dir, unconditional=1)


@pytest.fixture(scope='session')
def note_folders(tmp_path_factory):
  """Sixteen notes in each of NSynth's formats; not to be changed."""
  path = tmp_path_factory.mktemp('sources')
  fabricated_notes.write_wavs(path / 'wavs')
  fabricated_notes.write_json_folders(path / 'json')
  fabricated_notes.write_tfrecords(path / 'tfrecords')
  return path


@pytest.fixture(scope='session')
def embedded():
  """A few of the embedded notes, as a source."""
  return EmbeddedNotes(tiny_collection())


def save_run(folder, run):
  """Writes a run as training does, its best weights at step 7."""
  files = checkpoints.RunFiles(run.hps, run.transforms, run.info)
  checkpoints.create_run(folder, files)
  contents = {
    checkpoints.WEIGHTS: checkpoints.weights_of(run.model),
    checkpoints.COSTS: {'valid': {'cost': 1.0}},
  }
  checkpoints.write_save(folder, checkpoints.BEST, 7, contents)


@pytest.fixture
def parse_flags():
  """A function that defines flags and parses a command line, for one test."""
  before = set(flags.FLAGS)

  def parse(define_flags, arguments):
    define_flags()
    flags.FLAGS(['command', *arguments])

  yield parse
  for name in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, name)
  flags.FLAGS.unparse_flags()
