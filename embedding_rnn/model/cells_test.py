"""Cells and scan against Keras's own loop, NumPy and automatic differentiation.

That the cells are those of 2017 is what golden_test.py checks.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.model import cells, scan

NUM_FRAMES, BATCH_SIZE = 5, 3
MAKERS = {
  'lstm': lambda **kw: cells.LSTMCell(6, **kw),
  'layer_norm': lambda **kw: cells.LayerNormLSTMCell(6, **kw),
  'hyper': lambda **kw: cells.HyperLSTMCell(6, 4, 3, True, **kw),
  'hyper_plain': lambda **kw: cells.HyperLSTMCell(6, 4, 3, False, **kw),
}


def built(kind, width, **kwargs):
  """A cell whose weights are all random, so that none hides behind zeros."""
  keras.utils.set_random_seed(0)
  cell = MAKERS[kind](**kwargs)
  cell.build((None, width))
  rng = np.random.default_rng(0)
  for weight in cell.weights:
    noise = 0.3 * rng.normal(size=weight.shape)
    weight.assign(weight.numpy() + noise.astype(np.float32))
  return cell


def frames(width, seed=1):
  rng = np.random.default_rng(seed)
  return rng.normal(size=[BATCH_SIZE, NUM_FRAMES, width]).astype(np.float32)


def feature_major(x):
  return tf.transpose(x, [1, 2, 0])


@pytest.mark.parametrize('kind', MAKERS)
@pytest.mark.parametrize('width', [4, cells.FUSED_WIDTH + 1])
@pytest.mark.parametrize('reverse', [False, True])
def test_scan_is_keras_loop(kind, width, reverse):
  cell, x = built(kind, width), frames(width)
  layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
  expected, *states = layer(x[:, ::-1] if reverse else x)
  if reverse:
    expected = expected[:, ::-1]
  outputs, final = cell.scan(feature_major(x), reverse=reverse)
  np.testing.assert_allclose(
    tf.transpose(outputs, [2, 0, 1]), expected, atol=1e-5
  )
  for state, other in zip(final, states, strict=True):
    np.testing.assert_allclose(tf.transpose(state), other, atol=1e-5)


@pytest.mark.parametrize('num_blocks', [1, 4])
def test_layer_norm_and_its_gradient(num_blocks):
  rng = np.random.default_rng(0)
  x, gamma, beta, weights = (
    tf.constant(rng.normal(size=shape), tf.float32)
    for shape in ([8, 3], [8, 1], [8, 1], [8, 3])
  )

  def reference(x, gamma, beta):
    blocks = tf.reshape(x, [num_blocks, -1, 3])
    mean, variance = tf.nn.moments(blocks, axes=[1], keepdims=True)
    blocks = tf.nn.batch_normalization(
      blocks, mean, variance, None, None, cells.LAYER_NORM_EPSILON
    )
    return tf.reshape(blocks, [8, 3]) * gamma + beta

  found = []
  for norm in (lambda *a: cells.layer_norm(*a, num_blocks), reference):
    with tf.GradientTape() as tape:
      tape.watch([x, gamma, beta])
      y = norm(x, gamma, beta)
      cost = tf.reduce_sum(y * weights)
    found.append([y, *tape.gradient(cost, [x, gamma, beta])])
  for ours, expected in zip(*found, strict=True):
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.fixture(params=[0, 1000], ids=['loop', 'few'])
def most_unrolled(request, monkeypatch):
  monkeypatch.setattr(scan, 'UNROLLED_FRAMES', request.param)


@pytest.mark.parametrize('kind', MAKERS)
@pytest.mark.parametrize('width', [4, cells.FUSED_WIDTH + 1])
@pytest.mark.parametrize('reverse', [False, True])
def test_gradients_are_those_of_automatic_differentiation(
  most_unrolled, kind, width, reverse
):
  cell = built(kind, width + 2)
  x = tf.constant(feature_major(frames(width)))
  context = tf.constant(np.random.default_rng(2).normal(size=[2, BATCH_SIZE]))
  context = tf.cast(context, tf.float32)
  target = frames(6, seed=3).transpose(1, 2, 0)
  weights = [w.value for w in cell.weights]

  def unrolled():
    kernels, params = cell.fused(width, context)
    product = scan.products(kernels)
    state = cell.zero_state(BATCH_SIZE)
    outputs = [None] * NUM_FRAMES
    order = range(NUM_FRAMES)
    for t in reversed(order) if reverse else order:
      state = cell.step({'x': x[t]}, state, params, product)
      outputs[t] = state[0]
    return tf.stack(outputs), state

  def gradients(run):
    with tf.GradientTape() as tape:
      tape.watch([x, context])
      outputs, final = run()
      loss = tf.reduce_sum(outputs * target)
      loss += sum(tf.reduce_sum(s**2) for s in final)
    return tape.gradient(loss, [x, context, *weights])

  ours = tf.function(
    lambda: gradients(lambda: cell.scan(x, context, reverse=reverse)),
    autograph=False,
  )
  for a, b in zip(ours(), gradients(unrolled), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('chunk_columns', [1, 2 * BATCH_SIZE, 1000])
def test_chunks_of_the_weight_gradient_do_not_matter(
  monkeypatch, chunk_columns
):
  monkeypatch.setattr(scan, 'UNROLLED_FRAMES', 0)
  cell, x = built('lstm', 4), feature_major(frames(4))

  def gradient():
    with tf.GradientTape() as tape:
      outputs, _ = cell.scan(x)
      loss = tf.reduce_sum(outputs**2)
    return tape.gradient(loss, cell.w_hh.value)

  expected = gradient()
  monkeypatch.setattr(scan, 'CHUNK_COLUMNS', chunk_columns)
  np.testing.assert_allclose(gradient(), expected, atol=1e-5)


def test_one_frame(most_unrolled):
  cell, x = built('lstm', 4), feature_major(frames(4))[:1]
  with tf.GradientTape() as tape:
    outputs, final = cell.scan(x)
  np.testing.assert_array_equal(outputs[0], final[0])
  x = tf.constant(x[0])
  with tf.GradientTape() as plain:
    kernels, params = cell.fused(4)
    state = cell.zero_state(BATCH_SIZE)
    product = scan.products(kernels)
    state = cell.step({'x': x}, state, params, product)
  weights = [w.value for w in cell.weights]
  for a, b in zip(
    tape.gradient(outputs, weights),
    plain.gradient(state[0], weights),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize('kind', MAKERS)
def test_config_round_trip(kind):
  cell = MAKERS[kind](keep_prob=0.9)
  again = type(cell).from_config(cell.get_config())
  assert again.get_config() == cell.get_config()
  assert again.state_size == cell.state_size


@pytest.mark.parametrize('kind', MAKERS)
def test_state_vector_round_trip(kind):
  cell = MAKERS[kind]()
  vector = tf.reshape(tf.range(2.0 * sum(cell.state_size)), [-1, 2])
  state = cell.split_state(vector)
  assert [s.shape[0] for s in state] == cell.state_size
  np.testing.assert_array_equal(cell.join_state(state), vector)


@pytest.mark.parametrize('kind', MAKERS)
def test_recurrent_dropout(kind):
  x = feature_major(frames(4))
  kept, dropped = built(kind, 4), built(kind, 4, keep_prob=0.5)
  no_seed, _ = dropped.scan(x)
  np.testing.assert_array_equal(no_seed, kept.scan(x)[0])
  one, _ = dropped.scan(x, seed=tf.constant([0, 1]))
  same, _ = dropped.scan(x, seed=tf.constant([0, 1]))
  other, _ = dropped.scan(x, seed=tf.constant([0, 2]))
  np.testing.assert_array_equal(one, same)
  assert np.abs(one - no_seed).max() > 1e-3
  assert np.abs(one - other).max() > 1e-3


def test_dropout_mask_keeps_the_mean():
  mask = cells.dropout_mask([100, 100], 0.8, [0, 0]).numpy()
  np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.8])
  assert abs(mask.mean() - 1) < 4 * np.sqrt(0.2 / 0.8) / 100


def test_layer_norm_of_blocks():
  x = np.random.default_rng(0).normal(2, 3, size=[12, 5]).astype(np.float32)
  y = cells.layer_norm(tf.constant(x), np.float32(1), np.float32(0), 4)
  blocks = x.reshape(4, 3, 5)
  variance = blocks.var(axis=1, keepdims=True) + cells.LAYER_NORM_EPSILON
  blocks = (blocks - blocks.mean(axis=1, keepdims=True)) / np.sqrt(variance)
  np.testing.assert_allclose(y, blocks.reshape(12, 5), atol=1e-5)


def test_orthogonal_gates():
  weight = cells.OrthogonalGates()((8, 32), dtype='float32').numpy()
  for block in np.split(weight, 4, axis=1):
    np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-5)
