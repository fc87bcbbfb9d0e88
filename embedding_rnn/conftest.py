"""What several tests need: a few embedded notes, and a tiny run of them."""

import dataclasses
import gc
import json
import multiprocessing
import os
import pathlib
import shutil
import time
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from absl import flags
from selenium import webdriver

from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data import notes, provenance, writing
from embedding_rnn.data.conftest import write_records
from embedding_rnn.data.dataset import fit_transforms, open_dataset
from embedding_rnn.data.notes import FAMILY_NAMES
from embedding_rnn.data.preparation.base import Labels
from embedding_rnn.data.preparation.sources import EmbeddedNotes
from embedding_rnn.embedding_rnn import Model
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import checkpoints, trained_run

TINY = (
  'rnn_size=16,enc_rnn_size=8,z_size=4,num_mixture=2,batch_size=4,num_steps=4,'
  'save_every=2,difference_input=0,pca_dim_reduce=1,n_pca_components=8'
)

CHILDREN = multiprocessing.get_context('forkserver')
# What a process of `CHILDREN` need not import: the functions that it calls, and
# what commands import when they need it.
_PRELOADED = (
  'embedding_rnn.distribution_test',
  'embedding_rnn.full_disk_test',
  'embedding_rnn.resume_test',
  'embedding_rnn.run',
  'embedding_rnn.synthesize.synthesis',
  'librosa.core.audio',
  'librosa.core.constantq',
  'librosa.core.fft',
  'librosa.core.pitch',
  'librosa.core.spectrum',
  'librosa.feature.spectral',
  'tensorboard.summary',
  'tensorflow_probability',
)


def pytest_collection_modifyitems(items):
  """Has the files with slow tests begin first; else one ends alone."""
  slow = {item.path for item in items if item.get_closest_marker('slow')}
  items.sort(key=lambda item: item.path not in slow)


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
  some = {name: getattr(whole, name)[rows] for name in writing.Notes._fields}
  return dataclasses.replace(whole, original_rows=np.zeros(0, int), **some)


def tiny_run(data_dir, **overrides) -> trained_run.Run:
  """A run of the least size, with weights as at the start of training."""
  hps = default_hps().parse(TINY).override_from_dict(overrides)
  data = open_dataset(data_dir, hps)
  info = provenance.describe_dataset(data, split_seed=0) | {'seed': 0}
  return trained_run.Run(
    folder='',
    hps=hps,
    model=Model(hps),
    transforms=fit_transforms(data, hps),
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


@pytest.fixture(scope='module', autouse=True)
def rubbish():
  """Is looked for in what the tests of a module make, not in all of before.

  TensorFlow is a million objects, and so are the graphs that it never drops.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 10, 10)  # A graph is many objects, and all stay.


@pytest.fixture(scope='session')
def children():
  """Has `CHILDREN` forked from a process that has imported TensorFlow.

  It has not used it, so no thread is lost. To start them from nothing would
  take ten seconds each.
  """
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('OPENBLAS_NUM_THREADS', '1')  # Threads do not survive forks.
    patch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    CHILDREN.set_forkserver_preload(list(_PRELOADED))
    child = CHILDREN.Process(target=os.getpid)
    child.start()
    child.join()
  assert child.exitcode == 0


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
def dataset(run):
  """The data of `run`; not to be changed."""
  return run.open_dataset()


@pytest.fixture(scope='session')
def unconditional_run(tiny_data_dir):
  """The same, but unconditional."""
  return tiny_run(tiny_data_dir, unconditional=1)


class FabricatedNote(NamedTuple):
  """A real note with labels that are made up, but for its pitch."""

  name: str
  labels: Labels
  audio: np.ndarray

  @property
  def features(self) -> dict[str, Any]:
    """What NSynth publishes of a note, but for the audio."""
    labels = self.labels
    family = FAMILY_NAMES.index(labels.family)
    return {
      'note': 1000 + family,
      'note_str': self.name,
      'instrument': int(labels.instrument[-3:]),
      'instrument_str': labels.instrument,
      'pitch': labels.midi_pitch,
      'velocity': labels.velocity,
      'sample_rate': SAMPLE_RATE,
      'qualities': [0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
      'qualities_str': ['dark', 'reverb'],
      'instrument_family': family,
      'instrument_family_str': labels.family,
      'instrument_source': 0,
      'instrument_source_str': 'acoustic',
    }


@pytest.fixture(scope='session')
def fabricated_notes(testdata):
  """Sixteen notes, each of an instrument of its own."""
  made = []
  splits = 10 * ['train'] + 3 * ['valid'] + 3 * ['test']
  paths = sorted((testdata / 'nsynth').glob('*.flac'))
  for i, (path, split) in enumerate(zip(paths, splits, strict=True)):
    audio, _ = soundfile.read(path, dtype='float32')
    pitch, velocity = int(path.stem[-3:]), (25, 50, 75, 100, 127)[i % 5]
    family = FAMILY_NAMES[i % len(FAMILY_NAMES)]
    instrument = f'{family}_acoustic_{i:03d}'
    labels = Labels(pitch, velocity, instrument, family, split)
    name = f'{instrument}-{pitch:03d}-{velocity:03d}'
    made.append(FabricatedNote(name, labels, audio))
  return made


@pytest.fixture(scope='session')
def note_folders(tmp_path_factory, fabricated_notes):
  """Sixteen notes in each of NSynth's formats; not to be changed."""
  path = tmp_path_factory.mktemp('sources')
  (path / 'tfrecords').mkdir()
  for split in ('train', 'valid', 'test'):
    some = [note for note in fabricated_notes if note.labels.split == split]
    folder = path / 'json' / f'nsynth-{split}'
    for audio in (path / 'wavs' / split, folder / 'audio'):
      audio.mkdir(parents=True)
      for note in some:
        file = audio / f'{note.name}.wav'
        soundfile.write(file, note.audio, SAMPLE_RATE, 'PCM_16')
    examples = {note.name: note.features for note in some}
    (folder / 'examples.json').write_text(json.dumps(examples, indent=4))
    write_records(
      path / 'tfrecords' / f'nsynth-{split}.tfrecord',
      *({**note.features, 'audio': note.audio} for note in some),
    )
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


@pytest.fixture(scope='module')
def chromium(tmp_path_factory):
  """Chromium, without a window and a network."""
  program, driver_program = map(shutil.which, ('chromium', 'chromedriver'))
  if not program or not driver_program:
    pytest.skip('needs chromium and chromedriver (Debian: chromium-driver)')
  options = webdriver.ChromeOptions()
  options.binary_location = program
  for argument in (
    'autoplay-policy=no-user-gesture-required',
    'disable-background-networking',
    'disable-component-update',
    'disable-gpu',
    'disable-quic',
    'disable-sync',
    'force-prefers-reduced-motion',
    'headless',
    'mute-audio',
    'no-first-run',
    'no-sandbox',  # which root cannot have
    f'user-data-dir={tmp_path_factory.mktemp("chromium")}',
    'window-size=1400,1000',
  ):
    options.add_argument(f'--{argument}')
  options.set_capability(
    'goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'}
  )
  service = webdriver.ChromeService(driver_program)
  with webdriver.Chrome(options, service) as driver:
    yield driver
