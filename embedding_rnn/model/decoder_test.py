"""Tests of decoder.py: several frames a step, and errors that hang together."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.model.hparams import default_hps

TINY = (
  'rnn_size=8,enc_rnn_size=6,z_size=3,num_mixture=2,max_seq_len=12,seq_width=4,'
  'hyper_lstm_size=5,hyper_embedding_size=3,batch_size=3,difference_input=0'
)
B, T, W = 3, 12, 4
# 12 frames are no multiple of 5.
OPTIONS = {
  'recipe': (
    'frames_per_step=5,error_order=2,feedback_keep_prob=0,velocity_context=1,'
    'free_running_weight=10,one_scale=1'
  ),
  'feedback': (
    'frames_per_step=5,error_order=2,feedback_keep_prob=0.5,feedback_noise=0.1'
  ),
  'difference': 'frames_per_step=4,difference_input=1,error_order=1',
  'projection': 'frames_per_step=5,no_sample_vae=1,clip_z_with_tanh=1',
  'dropout': (
    'error_order=3,num_layers=2,feedback_keep_prob=0,use_input_dropout=1,'
    'use_output_dropout=1,use_recurrent_dropout=1'
  ),
  'unconditional': 'unconditional=1,frames_per_step=5,error_order=2',
  'deaf': 'unconditional=1,feedback_keep_prob=0,error_order=2',
}


def make_model(text='', cell='lstm'):
  hps = default_hps().parse(f'{TINY},model={cell},enc_model={cell}')
  keras.utils.set_random_seed(0)
  model = embedding_rnn.Model(hps.parse(text))
  rng = np.random.default_rng(1)
  for weight in model.weights:
    weight.assign(weight.numpy() + 0.2 * rng.normal(size=weight.shape))
  return model


def draw(model, seed=0):
  """Notes, conditions, latents, uniform and normal numbers."""
  rng = np.random.default_rng(seed)
  notes, normal = rng.normal(size=(2, B, T, W)).astype(np.float32)
  uniform = rng.random((B, T, W), np.float32)
  conditions = np.eye(128)[rng.integers(128, size=(B, 2))].reshape(B, 256)
  conditions = conditions[:, : model.condition_size].astype(np.float32)
  z = rng.normal(size=(B, 3)).astype(np.float32)
  return notes, conditions, z if model.conditional else None, uniform, normal


def shifted(notes):
  return np.pad(notes, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def numpy_mixture(model, frames, conditions, z):
  """An LSTM of stacked frames, and the errors of its means, note by note."""
  hps = model.hps
  per_step, order = hps.frames_per_step, hps.error_order
  cell, (layer,) = model.decoder_cells[0], model.state_layers
  kernel, bias, first, first_bias, w_xh, w_hh, b = (
    np.asarray(w, np.float64)
    for w in (
      *(model.head.kernel, model.head.bias, layer.kernel, layer.bias),
      *(cell.w_xh, cell.w_hh, cell.bias),
    )
  )
  result = []
  for note, context in zip(
    frames, np.concatenate([z, conditions], 1), strict=True
  ):
    c, h = np.split(np.tanh(context @ first + first_bias), 2)
    errors = [np.zeros(W)] * order
    rows = []
    for start in range(0, T, per_step):
      heard = note[start - per_step : start] if start else 0
      heard = np.zeros((per_step, W)) + heard
      x = [heard.ravel()] if hps.feedback_keep_prob else []
      i, j, f, o = np.split(
        np.concatenate([*x, context]) @ w_xh + h @ w_hh + b, 4
      )
      c = c * sigmoid(f + 1) + sigmoid(i) * np.tanh(j)
      h = np.tanh(c) * sigmoid(o)
      outputs = h @ kernel + bias
      size = per_step * W * 3 * hps.num_mixture
      parts = outputs[:size].reshape(per_step, W, 3, -1)
      gates = sigmoid(outputs[size:].reshape(-1, W) + 2)
      for i, frame in enumerate(note[start : start + per_step]):
        logits, mean, logstd = np.moveaxis(parts[i], 1, 0)
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        own = (weights * mean).sum(-1)
        if order:
          matrices = np.asarray(model.error_kernel, np.float64)
          matrices /= np.maximum(1, np.abs(matrices).sum(axis=(0, 1)))
          moved = sum(e @ a for e, a in zip(errors, matrices, strict=True))
          mean = mean + (gates[i] * moved)[:, None]
          errors = [frame - own, *errors[:-1]]
        rows.append((np.log(weights), mean, logstd))
    result.append([np.stack(x) for x in zip(*rows, strict=True)])
  return [np.stack(x) for x in zip(*result, strict=True)]


@pytest.mark.parametrize('order', [0, 1, 3])
@pytest.mark.parametrize('keep', [0, 1])
@pytest.mark.parametrize('frames_per_step', [1, 5])
def test_teacher_forced_against_numpy(frames_per_step, keep, order):
  model = make_model(
    f'frames_per_step={frames_per_step},feedback_keep_prob={keep},'
    f'error_order={order},velocity_context=1'
  )
  notes, conditions, z, *_ = draw(model)
  actual = model.predict_mixture(shifted(notes), conditions, z)
  expected = numpy_mixture(model, notes, conditions, z)
  for x, y in zip(actual, expected, strict=True):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)


def test_the_first_errors_hang_together():
  hps = default_hps().parse(f'{TINY},error_order=3')
  expected = np.zeros((3, W, W))
  expected[0] = 0.9 * np.eye(W)
  kernel = embedding_rnn.Model(hps).error_kernel
  np.testing.assert_allclose(kernel, expected, rtol=1e-6)


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('cell', ['lstm', 'layer_norm', 'hyper'])
def test_each_cell_trains_samples_and_fills(cell, options):
  model = make_model(OPTIONS[options], cell)
  notes, conditions, z, uniform, normal = draw(model)
  batch = np.pad(notes, ((0, 0), (1, 0), (0, 0)))

  # One step of training.
  before = [w.numpy() for w in model.trainable_variables]
  model.compile()
  # Else the step would be traced twice.
  model.optimizer.build(model.trainable_variables)
  costs = model.train_on_batch(batch, conditions, return_dict=True)
  assert np.isfinite(list(costs.values())).all()
  moved = [
    w.path
    for w, x in zip(model.trainable_variables, before, strict=True)
    if w.shape[0] and np.any(w.numpy() != x)
  ]
  assert 'head/kernel' in ' '.join(moved)
  assert not model.hps.error_order or 'errors/kernel' in moved

  # What is drawn step by step is what the mixtures given it would draw.
  drawn = model.generate(conditions, z, uniform, normal, 1.0, 1.0, False)
  mix = model.predict_mixture(shifted(drawn.frames), conditions, z)
  expected = mix.draw(uniform, normal)
  np.testing.assert_allclose(drawn.frames, expected, rtol=0, atol=2e-5)

  # Known frames stay, and the weight of the rest is the density.
  known = np.arange(T) % 7 < 3
  summed = notes.cumsum(1) if model.hps.difference_input else notes
  goal = np.tile(summed[:, :1], (1, T, 1))
  goal[:, known] = summed[:, known]
  pull = np.broadcast_to(known, (B, T)).astype(np.float32)
  led = model.generate(
    conditions, z, uniform, normal, 1.0, 1.0, False, 1.0, goal, pull
  )
  made = led.frames.numpy()
  kept = made.cumsum(1) if model.hps.difference_input else made
  np.testing.assert_allclose(kept[:, known], summed[:, known], atol=1e-5)
  mix = model.predict_mixture(shifted(made), conditions, z)
  density = mix.log_prob(made).numpy()[:, known].sum((1, 2))
  np.testing.assert_allclose(led.log_weight, density, rtol=1e-4, atol=1e-3)
  redrawn = mix.draw(uniform, normal).numpy()
  np.testing.assert_allclose(redrawn[:, ~known], made[:, ~known], atol=2e-5)


def test_the_mean_is_free_running():
  model = make_model('error_order=2,frames_per_step=5,feedback_keep_prob=0')
  notes, conditions, z, uniform, normal = draw(model)
  made = model.generate(conditions, z, uniform, normal, 1.0, 1.0, 'mean').frames
  # Whatever the notes are, for the RNN hears none.
  _, own = model._predict(shifted(notes), conditions, z)
  np.testing.assert_allclose(made, own, rtol=0, atol=1e-5)


def test_any_number_of_frames():
  model = make_model('error_order=2,frames_per_step=5')
  _, conditions, z, *_ = draw(model)
  lengths = [1, 4, 5, 6, 13]
  for short, long in itertools.pairwise(lengths):
    few, many = (
      model.sample(conditions, z, num_frames=n, greedy='mean')
      for n in (short, long)
    )
    assert few.shape == (B, short, W)
    np.testing.assert_allclose(few, many[:, :short], rtol=0, atol=1e-6)


def test_the_cost_of_the_free_running_mean():
  plain = make_model('error_order=2')
  costly = make_model('error_order=2,free_running_weight=3')
  notes, conditions, *_ = draw(plain)
  batch = np.pad(notes, ((0, 0), (1, 0), (0, 0)))
  z = plain.encode(notes).z
  _, own = plain._predict(batch[:, :-1], conditions, z)
  squared = np.square(notes - own).mean()
  before, after = (m.compute_costs(batch, conditions) for m in (plain, costly))
  assert after[1:] == before[1:]
  np.testing.assert_allclose(after.cost, before.cost + 3 * squared, rtol=1e-6)


def test_feedback_is_dropped_by_the_step_and_never_the_context():
  model = make_model('feedback_keep_prob=0.5,frames_per_step=5')
  notes, *_ = draw(model)
  inputs = shifted(np.tile(notes[:1], (200, 1, 1)))
  whole = model._hear(inputs, None).numpy()
  heard = model._hear(inputs, tf.constant([1, 2])).numpy()  # [S, 5 W, B]
  kept = (heard == whole).all(1)
  assert (kept | (heard == 0).all(1)).all()
  assert 0.4 < kept[1:].mean() < 0.6
  noisy = make_model('feedback_noise=0.5')
  noise = noisy._hear(inputs, tf.constant([1, 2])) - noisy._hear(inputs, None)
  assert 0.48 < np.std(noise) < 0.52


def test_a_decoder_that_hears_nothing_does_not_depend_on_frames():
  model = make_model('feedback_keep_prob=0')
  notes, conditions, z, *_ = draw(model)
  one = model.predict_mixture(shifted(notes), conditions, z)
  two = model.predict_mixture(shifted(notes[::-1]), conditions, z)
  np.testing.assert_array_equal(one.mean, two.mean)


def test_velocities_are_heard():
  model = make_model('velocity_context=1')
  notes, conditions, z, *_ = draw(model)
  other = np.roll(conditions, 1, axis=1)
  other[:, :128] = conditions[:, :128]
  one, two = (
    model.predict_mixture(shifted(notes), x, z) for x in (conditions, other)
  )
  assert np.abs(one.mean - two.mean).max() > 0.01
  with pytest.raises(ValueError, match=r'one-hots \[B, 256\]'):
    model.context(conditions[:, :128], z)


def test_bfloat16_is_near():
  hps = default_hps().parse(f'{TINY},{OPTIONS["recipe"]}')
  model, rounded = (
    make_model(OPTIONS['recipe']),
    embedding_rnn.Model(hps, 'bfloat16'),
  )
  rounded.set_weights(model.get_weights())
  notes, conditions, *_ = draw(model)
  batch = np.pad(notes, ((0, 0), (1, 0), (0, 0)))
  expected = model.compute_costs(batch, conditions)
  actual = rounded.compute_costs(batch, conditions)
  np.testing.assert_allclose(actual, expected, rtol=0.02)
  assert actual.cost != expected.cost
