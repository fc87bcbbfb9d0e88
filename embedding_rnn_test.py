"""The quick test: builds, trains a few steps, reconstructs, samples, decodes.

  python embedding_rnn_test.py
  bazel test --test_output=streamed //...:embedding_rnn_test

The whole path from notes to sound at a small size, in less than a minute; the
tests in embedding_rnn/ go into each part.
"""

import os
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
import pytest

import embedding_rnn
from embedding_rnn.audio import codec as codecs
from embedding_rnn.audio import metrics
from embedding_rnn.data import notes
from embedding_rnn.training import training

_NUM_NOTES = 8
_NUM_STEPS = 300


@pytest.fixture(scope='module')
def batch():
  """Frames `[8, 125, 16]` of embedded notes, and their MIDI pitches."""
  collection = notes.load()
  in_octave = (collection.midi_pitch >= 60) & (collection.midi_pitch < 72)
  rows = np.flatnonzero(in_octave & (collection.split == 0))
  rows = rows[np.linspace(0, len(rows) - 1, _NUM_NOTES).astype(int)]
  return collection.frames[rows], collection.midi_pitch[rows]


@pytest.fixture(scope='module')
def run(batch, tmp_path_factory):
  """A small model that knows the notes of `batch` a little."""
  folder = tmp_path_factory.mktemp('quick')
  frames, pitches = batch
  one_hots = np.eye(128, dtype=np.float32)
  arrays = {
    'train_z': frames,
    'train_pitch_one_hot': one_hots[pitches],
    'train_vels_one_hot': one_hots[[100] * _NUM_NOTES],
  }
  for name, array in arrays.items():
    np.save(folder / f'{name}.npy', np.concatenate([array] * 3))
  np.save(folder / 'splits.npy', np.repeat([0, 1, 2], _NUM_NOTES))
  (folder / 'dataset.json').write_text('{"codec": "harmonic"}')
  hps = embedding_rnn.default_hps()
  hps.parse('rnn_size=64,enc_rnn_size=32,z_size=8,num_mixture=2,batch_size=8')
  hps.parse('difference_input=0,pca_dim_reduce=1,n_pca_components=8')
  hps.parse('use_input_dropout=1,input_dropout_prob=0.06,kl_weight=0.01')
  hps.parse('learning_rate=0.01,decay_rate=0.995,save_every=100')
  hps.parse(f'num_steps={_NUM_STEPS}')
  training.train(hps, folder, folder / 'run')
  return embedding_rnn.load_run(folder / 'run')


@pytest.fixture(scope='module')
def reconstruction(run, batch):
  return run.reconstruct(*batch, greedy=True, temperature_2=0.0)


def test_training_lowers_the_cost(run, batch):
  frames, pitches = batch
  target = run.transforms.forward(frames)
  inputs = np.pad(target, ((0, 0), (1, 0), (0, 0)))  # a zero frame first
  one_hots = np.eye(128, dtype=np.float32)[pitches]
  before = embedding_rnn.Model(run.hps).compute_costs(inputs, one_hots)
  after = run.model.compute_costs(inputs, one_hots)
  # White noise costs 1.42 nats a value under a standard normal.
  assert float(before.r_cost) > 1.2
  assert float(after.r_cost) < float(before.r_cost) - 0.5
  assert float(after.kl_cost) >= run.hps.kl_tolerance - 1e-6


def test_reconstruction_is_nearer_than_the_mean_note(reconstruction, batch):
  frames, _ = batch
  assert reconstruction.shape == frames.shape
  assert np.isfinite(reconstruction).all()
  error = np.mean((reconstruction - frames) ** 2)
  assert error < np.mean((frames.mean(axis=0) - frames) ** 2)


def test_samples_repeat_with_their_seed(run):
  pitches = [60, 67] * 4
  first, again, other = (run.sample(pitches, seed=seed) for seed in (1, 1, 2))
  assert first.shape == (8, 125, 16)
  assert np.isfinite(first).all()
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0.01


def test_decoded_notes_have_their_pitch_and_level(run, reconstruction, batch):
  frames, pitches = batch
  codec = codecs.get_codec(run.info['codec'])
  originals = codec.decode(frames, pitches)
  made = codec.decode(reconstruction, pitches)
  assert made.shape == (_NUM_NOTES, 125 * codec.hop_length)
  assert np.isfinite(made).all()
  assert 0 < np.abs(made).max() <= 1
  expected, level = (
    metrics.loudness_db(audio).max(axis=1) for audio in (originals, made)
  )
  assert np.median(np.abs(level - expected)) < 10
  for audio, pitch in zip(made[:2], pitches[:2].tolist(), strict=True):
    assert abs(metrics.pitch_error_cents(audio, pitch)) < 20


def test_codec_gives_back_the_loudness_of_real_notes():
  codec = codecs.get_codec('harmonic')
  for name, _, audio in notes.originals()[:3]:
    pitch = int(name.split('-')[1])
    decoded = codec.decode(codec.encode(audio, pitch), pitch)
    assert metrics.loudness_error_db(audio, decoded) < 3, name


if __name__ == '__main__':
  sys.exit(
    pytest.main([__file__, '-v', '-p', 'no:cacheprovider', *sys.argv[1:]])
  )
