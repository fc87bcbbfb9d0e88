"""The model against numbers that the TensorFlow 1 program of 2017 produced.

testdata/rnn/NAME.npz holds for each model its weights, a batch, and what 2017
computed from them: the forward pass, costs, gradients, weights after training
steps, and samples. Tolerances: forward and gradients 2e-5 (four times the
largest difference between TensorFlow 1.2 and a float64 computation), weights
after optimiser steps 5e-5 (a wrong step differs by the learning rate, 1e-3).
"""

import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.model import cells, schedules, tf1_checkpoint

TESTDATA = pathlib.Path(__file__).parent / 'testdata' / 'rnn'
NAMES = sorted(p.stem for p in TESTDATA.glob('g*.npz'))
CHECKPOINTS = sorted(p.name for p in TESTDATA.glob('ckpt_*'))
# One of each cell; compiling takes long.
XLA_NAMES = [NAMES[i] for i in (0, 2, 4)]
FORWARD = 2e-5
STEPS = 5e-5


class Golden:
  """One fixture, and a model with its weights."""

  def __init__(self, name, precision='float32'):
    self.data = np.load(TESTDATA / f'{name}.npz', allow_pickle=False)
    overrides = json.loads(str(self.data['overrides']))
    self.hps = embedding_rnn.default_hps()
    self.hps.override_from_dict(overrides)
    self.model = embedding_rnn.Model(self.hps, precision)
    self.weights = tf1_checkpoint.weights_by_name(self.model)
    self.set_weights('var')
    conditional = self.model.conditional
    self.batch = self['in/x']
    self.pitches = self['in/pitches'] if conditional else None
    self.noise = self['in/eps'] if conditional else None

  def __getitem__(self, key):
    return self.data[key]

  def __contains__(self, key):
    return key in self.data

  def set_weights(self, group):
    for name, weight in self.weights.items():
      value = weight.variable.numpy()
      if weight.row is None:
        value = self[f'{group}/{name}']
      else:
        value[weight.row] = self[f'{group}/{name}']
      weight.variable.assign(value)

  def expect_weights(self, tensors, group, atol):
    """Compares tensors, by id of their variable, with a group of arrays."""
    for name, weight in self.weights.items():
      np.testing.assert_allclose(
        weight.of(tensors[id(weight.variable)]),
        self[f'{group}/{name}'],
        rtol=0,
        atol=atol,
        err_msg=f'{group}/{name}',
      )


@pytest.fixture(params=NAMES, scope='module')
def golden(request):
  return Golden(request.param)


@pytest.fixture(autouse=True)
def first_weights(request):
  if 'golden' in request.fixturenames:
    request.getfixturevalue('golden').set_weights('var')


def close(actual, expected, atol=FORWARD):
  np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def test_every_fixture_is_here():
  assert len(NAMES) == 16
  assert len(CHECKPOINTS) == 6


def test_variables(golden):
  assert set(golden.weights) == {str(n) for n in golden['var_names']}
  count = sum(int(np.prod(w.shape)) for w in golden.weights.values())
  assert count == golden.model.count_params()


def test_forward(golden):
  model, batch = golden.model, golden.batch
  z = None
  if model.conditional:
    latent = model.encode(batch[:, 1:], golden.noise)
    z = latent.z
    close(latent.mean, golden['out/mean'])
    close(latent.presig, golden['out/presig'])
    close(z, golden['out/batch_z'])
    context = model.context(golden.pitches, z)
    close(tf.transpose(context), golden['out/batch_y'])
    states = model.initial_states(context, len(batch))
    for i, (cell, state) in enumerate(
      zip(model.decoder_cells, states, strict=True)
    ):
      vector = tf.transpose(cell.join_state(state))
      close(vector, golden[f'out/initial_state_{i}'])
  mix = model.predict_mixture(batch[:, :-1], golden.pitches, z)
  for name in ('logmix', 'mean', 'logstd'):
    value = getattr(mix, name)
    close(tf.reshape(value, [-1, value.shape[-1]]), golden[f'out/out_{name}'])


def test_final_states(golden):
  model = golden.model
  context = None
  if model.conditional:
    context = model.context(golden.pitches, golden['out/batch_z'])
  states = model.initial_states(context, len(golden.batch))
  x = tf.transpose(golden.batch[:, :-1], [1, 2, 0])
  for i, (cell, state) in enumerate(
    zip(model.decoder_cells, states, strict=True)
  ):
    x, final = cell.scan(x, context, state)
    context = None
    vector = tf.transpose(cell.join_state(final))
    close(vector, golden[f'out/final_state_{i}'])


def test_costs(golden):
  costs = golden.model.compute_costs(golden.batch, golden.pitches, golden.noise)
  close(costs.r_cost, golden['out/r_cost'])
  close(costs.kl_cost, golden['out/kl_cost'])
  close(costs.cost, golden['out/eval_cost'])


def expect_gradients(golden, **compilation):
  model = golden.model

  def costs_and_gradients(*args):
    costs, grads = model.costs_and_gradients(*args)
    return costs, schedules.clip_gradients(grads, golden.hps.grad_clip)

  step = tf.function(costs_and_gradients, autograph=False, **compilation)
  costs, grads = step(
    golden.batch, golden.pitches, golden.noise, golden.hps.kl_weight_start
  )
  close(tf.stack(costs[:3]), golden['train/cost_step0'])
  grads = {
    id(v): g.numpy()
    for v, g in zip(model.trainable_variables, grads, strict=True)
  }
  golden.expect_weights(grads, 'grad', FORWARD)


def test_gradients(golden):
  expect_gradients(golden)


@pytest.mark.slow
@pytest.mark.parametrize('name', XLA_NAMES)
def test_gradients_under_xla(name):
  expect_gradients(Golden(name), jit_compile=True)


@pytest.mark.parametrize(
  'name, xla',
  [(name, False) for name in NAMES]
  + [pytest.param(XLA_NAMES[0], True, marks=pytest.mark.slow)],
)
def test_bfloat16(name, xla, monkeypatch):
  """How far off it is; each bound is at most twice the worst that was seen."""
  if xla:  # Once with the products of a frame's input ahead of the loop.
    monkeypatch.setattr(cells, 'FUSED_WIDTH', 0)
  golden = Golden(name, 'bfloat16')
  model, batch, pitches = golden.model, golden.batch, golden.pitches
  weight = golden.hps.kl_weight_start
  z = model.encode(batch[:, 1:], golden.noise).z if model.conditional else None
  mix = model.predict_mixture(batch[:, :-1], pitches, z)
  for part in ('logmix', 'mean', 'logstd'):
    value = getattr(mix, part)
    value = tf.reshape(value, [-1, value.shape[-1]])
    close(value, golden[f'out/out_{part}'], atol=0.05)
    assert np.abs(value - golden[f'out/out_{part}']).max() > 10 * FORWARD
  step = tf.function(
    model.costs_and_gradients, autograph=False, jit_compile=xla
  )
  costs, grads = step(batch, pitches, golden.noise, weight)
  grads = schedules.clip_gradients(grads, golden.hps.grad_clip)
  cost, r_cost, kl_cost = golden['train/cost_step0']
  close(costs.cost, cost, atol=1e-3)
  close(costs.r_cost, r_cost, atol=1e-3)
  np.testing.assert_allclose(costs.kl_cost, kl_cost, rtol=1e-2)
  grads = {
    id(v): g.numpy()
    for v, g in zip(
      model.trainable_variables,
      schedules.clip_gradients(grads, golden.hps.grad_clip),
      strict=True,
    )
  }
  expected = {n: golden[f'grad/{n}'] for n in golden.weights}
  off = [
    weight.of(grads[id(weight.variable)]) - expected[n]
    for n, weight in golden.weights.items()
  ]
  assert norm(off) < 0.08 * norm(expected.values())


def norm(arrays):
  return np.sqrt(sum(np.square(array).sum() for array in arrays))


def test_three_training_steps(golden):
  model = golden.model
  optimizer = schedules.make_optimizer(golden.hps)
  optimizer.build(model.trainable_variables)  # else the step is traced twice
  model.compile(optimizer, jit_compile=False)
  noise = golden.noise
  model.draw_noise = lambda batch, seed: noise
  train = tf.function(model.train_step, autograph=False)
  for i in range(3):
    _, _, _, learning_rate, kl_weight = golden['train/log'][i]
    close(optimizer.learning_rate, learning_rate, atol=1e-8)
    close(schedules.kl_weight_at(golden.hps, i), kl_weight, atol=1e-6)
    costs = train((golden.batch, golden.pitches))
    values = [costs[n] for n in ('cost', 'r_cost', 'kl_cost')]
    close(values, golden['train/log'][i, :3], atol=STEPS)
    if i in (0, 2):
      now = {id(v): v.numpy() for v in model.trainable_variables}
      golden.expect_weights(now, f'after{i + 1}', STEPS)
  costs = model.compute_costs(golden.batch, golden.pitches, noise)
  close(costs.cost, golden['train/eval_cost_after3'], atol=STEPS)


def generate(golden, uniform, normal, temperature, temperature_2, greedy):
  model = golden.model
  z = golden['sample/z'][None] if model.conditional else None
  return model.generate(
    tf.constant(golden['sample/pitch'], tf.float32),
    z,
    uniform[None],
    normal[None],
    tf.constant(temperature, tf.float32),
    tf.constant(temperature_2, tf.float32),
    greedy,
  ).frames[0]


def test_greedy_samples(golden):
  expected = golden['sample/greedy_t2_0']
  zeros = np.zeros_like(expected)
  close(generate(golden, zeros, zeros, 1.0, 0.0, True), expected)


def test_samples_from_the_same_random_numbers(golden):
  numbers = [golden[f'sample/temp_{x}'].astype(np.float32) for x in 'un']
  actual = generate(golden, *numbers, 0.6, 0.3, False)
  close(actual, golden['sample/temp_0.6_0.3'])


@pytest.mark.parametrize('name', CHECKPOINTS)
def test_tf1_checkpoint(name):
  golden = Golden(re.sub('^ckpt_|_step3$|_tf121$', '', name))
  model = embedding_rnn.Model(golden.hps)
  step = tf1_checkpoint.restore_tf1_checkpoint(model, TESTDATA / name)
  trained = name.endswith('_step3')
  assert step == (3 if trained else 0)
  restored = tf1_checkpoint.weights_by_name(model)
  for variable, weight in restored.items():
    expected = golden[f'{"after3" if trained else "var"}/{variable}']
    np.testing.assert_array_equal(weight.variable.numpy(), expected)
