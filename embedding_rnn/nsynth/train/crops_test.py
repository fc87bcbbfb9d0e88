import numpy as np
import pytest
import soundfile
from scipy import stats

from embedding_rnn.data import batches
from embedding_rnn.data.preparation import recordings
from embedding_rnn.data.preparation.base import Labels, Note, Source
from embedding_rnn.data.preparation.recordings import NUM_SAMPLES, Recording
from embedding_rnn.data.preparation.sources import open_source
from embedding_rnn.nsynth.train.crops import Crops

LENGTH = 1024


class Ramps(Source):
  """Notes that say where in them one is: sample s of note n is n + s / 2^16.

  Args:
    labels: of each note.
    damaged: the number of one that cannot be read.
  """

  name = 'ramps'

  def __init__(self, labels, damaged=None):
    self.labels, self.damaged = labels, damaged
    self.num_notes = len(labels)

  def notes(self, start, stop):
    for i in range(start, stop):
      yield Note(f'ramp {i}', self.labels[i], lambda i=i: self.read(i))

  def facts(self):
    return map(str, self.labels)

  def read(self, i):
    if i == self.damaged:
      raise ValueError('it cannot be read')
    audio = np.arange(NUM_SAMPLES, dtype=np.float32) / 2**16
    # Within -8..8, which is all that audio may reach.
    return Recording(i % 8 + audio, 16_000, NUM_SAMPLES)


def labels(num_notes, **known):
  return [
    Labels(60, 100, **{name: of(i) for name, of in known.items()})
    for i in range(num_notes)
  ]


def split_of(i):
  return ('train', 'valid', 'test')[i % 3]


@pytest.fixture
def crops():
  return Crops(Ramps(labels(24, split=split_of)), LENGTH, batch_size=4)


def places(batch):
  """Note (modulo 8) and first sample of each crop."""
  steps = np.diff(batch, axis=1)
  np.testing.assert_allclose(steps, 2**-16, atol=1e-6)
  return np.floor(batch[:, 0]), np.round(batch[:, 0] % 1 * 2**16)


def test_batches_are_functions_of_seed_and_step(crops):
  whole = [batch for (batch,) in crops.training_batches(3, 0, 6)]
  assert len(whole) == 6 and whole[0].shape == (4, LENGTH)
  for first_step in (1, 5):
    rest = [batch for (batch,) in crops.training_batches(3, first_step, 6)]
    np.testing.assert_array_equal(rest, whole[first_step:])
  (other,), *_ = crops.training_batches(4, 0, 1)
  assert (other != whole[0]).any()
  for step, batch in enumerate(whole):
    rows = crops.rows['train'][batches.batch_rows(8, 4, 3, step)]
    np.testing.assert_array_equal(places(batch)[0], rows % 8)


def test_places_are_uniform(crops):
  starts = [places(b)[1] for (b,) in crops.training_batches(0, 0, 300)]
  starts = np.concatenate(starts) / (NUM_SAMPLES - LENGTH)
  assert starts.min() >= 0 and starts.max() <= 1
  assert stats.kstest(starts, 'uniform').pvalue > 0.01


def test_a_crop_may_be_all_of_a_note():
  crops = Crops(Ramps(labels(9, split=split_of)), NUM_SAMPLES, 3)
  ((batch,),) = crops.training_batches(0, 0, 1)
  np.testing.assert_array_equal(places(batch)[1], 0)


@pytest.mark.parametrize('split', ['valid', 'test'])
def test_evaluation_is_always_of_the_same_crops(split):
  crops = Crops(Ramps(labels(30, split=split_of)), LENGTH, batch_size=4)
  batches = list(crops.evaluation_batches(split))
  weights = np.concatenate([weight for _, weight in batches])
  np.testing.assert_array_equal(weights, [1] * 10 + [0] * 2)
  found = np.concatenate([places(batch)[0] for batch, _ in batches])
  np.testing.assert_array_equal(found[:10], crops.rows[split] % 8)
  again = list(crops.evaluation_batches(split))
  np.testing.assert_array_equal(again[0][0], batches[0][0])
  # Another size of the batch takes the same crops.
  ((whole, _),) = Crops(crops.source, LENGTH, 10).evaluation_batches(split)
  np.testing.assert_array_equal(whole[:4], batches[0][0])


def test_splits():
  by_split = Crops(Ramps(labels(9, split=split_of)), LENGTH, 1).rows
  np.testing.assert_array_equal(by_split['valid'], [1, 4, 7])
  by_instrument = Crops(
    Ramps(labels(40, instrument=lambda i: f'flute_{i % 8}')), LENGTH, 1
  ).rows
  instruments = [set(rows % 8) for rows in by_instrument.values()]
  assert set.union(*instruments) == set(range(8))
  assert sum(map(len, instruments)) == 8
  at_random = Crops(Ramps(labels(40)), LENGTH, 1).rows
  assert [len(rows) for rows in at_random.values()] == [28, 6, 6]
  with pytest.raises(ValueError, match='has no notes: 1 train, 1 valid, 0'):
    Crops(Ramps(labels(2)), LENGTH, 1)


def test_a_damaged_note_is_named():
  crops = Crops(Ramps(labels(9, split=split_of), damaged=3), LENGTH, 3)
  with pytest.raises(ValueError, match="'ramp 3' is damaged: it cannot be"):
    list(crops.training_batches(0, 0, 2))


def test_files_of_another_rate(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(3):
    path = tmp_path / f'flute_{i}-060-100.wav'
    soundfile.write(path, rng.uniform(-0.5, 0.5, (44_100, 2)), 22_050)
  source = open_source(tmp_path)
  ((batch, _),) = Crops(source, NUM_SAMPLES, 1).evaluation_batches('valid')
  (row,) = Crops(source, NUM_SAMPLES, 1).rows['valid']
  (note,) = source.notes(row, row + 1)
  expected = recordings.prepare(note.read(), 16_000, NUM_SAMPLES).audio
  np.testing.assert_array_equal(batch[0], expected)
  assert np.abs(expected[:31_000]).max() > 0.1 and not expected[33_000:].any()
