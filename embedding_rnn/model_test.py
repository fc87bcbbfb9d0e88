"""The model beyond the golden numbers: options, errors, Keras, sampling."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn import embedding_rnn as model_lib
from embedding_rnn.model import hparams, latents, schedules

TINY = (
  'rnn_size=8,enc_rnn_size=6,z_size=3,num_mixture=2,seq_width=4,max_seq_len=7,'
  'batch_size=5,hyper_lstm_size=4,hyper_embedding_size=3,n_pca_components=4'
)
B, T, W = 5, 7, 4


def make_model(overrides=''):
  keras.utils.set_random_seed(0)
  hps = embedding_rnn.default_hps().parse(TINY).parse(overrides)
  model = embedding_rnn.Model(hps)
  rng = np.random.default_rng(0)
  for weight in model.weights:  # so that z matters from the start
    noise = 0.2 * rng.normal(size=weight.shape)
    weight.assign_add(noise.astype(np.float32))
  return model


def make_batch():
  rng = np.random.default_rng(1)
  batch = rng.normal(size=[B, T + 1, W]).astype(np.float32)
  batch[:, 0] = 0
  return batch, np.eye(128, dtype=np.float32)[rng.integers(21, 108, B)]


@pytest.fixture(scope='module')
def model():
  return make_model()


def test_package_and_module_give_the_same_names():
  assert embedding_rnn.default_hps() == model_lib.default_hps()
  assert embedding_rnn.Model is model_lib.Model


@pytest.mark.parametrize(
  'overrides',
  [
    '',
    'unconditional=1,num_layers=3',
    'model=layer_norm,bidir=0,no_sample_vae=1,frames_per_step=5',
    'model=hyper,enc_model=hyper,hyper_lstm_size=64,hyper_embedding_size=16',
    'feedback_keep_prob=0,error_order=2,velocity_context=1,pca_dim_reduce=1',
  ],
)
def test_weights_are_estimated_before_they_are_made(overrides):
  hps = embedding_rnn.default_hps()
  hps.parse('rnn_size=96,enc_rnn_size=64').parse(overrides)
  estimate = hparams.num_weights(hps)
  assert estimate == pytest.approx(
    embedding_rnn.Model(hps).count_params(), rel=0.08
  )


def test_what_no_machine_could_hold_is_refused_before_it_is_made():
  hps = embedding_rnn.default_hps().parse('rnn_size=65536,num_layers=64')
  with pytest.raises(ValueError, match=r'rnn_size=65536.* GB of memory, and'):
    embedding_rnn.Model(hps)


def test_later_changes_of_hps_have_no_effect():
  hps = embedding_rnn.default_hps().parse(TINY)
  model = embedding_rnn.Model(hps)
  hps.kl_weight = 5.0
  assert model.hps.kl_weight == 1.0


@pytest.mark.parametrize(
  'overrides',
  [
    'model=gru',
    'enc_model=x',
    'rnn_size=0',
    'z_size=-1',
    'num_layers=0',
    'grad_clip=0',
    'use_input_dropout=1,input_dropout_prob=0',
    'pca_dim_reduce=1,n_pca_components=5',
  ],
)
def test_bad_hyperparameters(overrides):
  hps = embedding_rnn.default_hps().parse(TINY).parse(overrides)
  name = overrides.split(',')[-1].split('=')[0]
  with pytest.raises(ValueError, match=name):
    embedding_rnn.Model(hps)


def test_frames_of_another_width(model):
  with pytest.raises(ValueError, match=r'expected \[B, T, 4\]'):
    model.encode(np.zeros([2, T, 5]))
  with pytest.raises(ValueError, match=r'expected \[B, T, 4\]'):
    model.predict_mixture(
      np.zeros([T, 4]), np.zeros([2, 128]), np.zeros([2, 3])
    )


def test_unconditional_ignores_pitch_and_has_no_encoder():
  model = make_model('unconditional=1')
  batch, pitches = make_batch()
  costs = model.compute_costs(batch, None)
  assert costs.cost == costs.r_cost
  assert costs.kl_cost == costs.raw_kl == 0
  assert model.compute_costs(batch, pitches).cost == costs.cost
  with pytest.raises(ValueError, match='no encoder'):
    model.encode(batch[:, 1:])
  with pytest.raises(ValueError, match='no z'):
    model.sample(pitches, z=np.zeros([B, 3]))


def test_pitches_must_be_one_hots(model):
  batch, _ = make_batch()
  with pytest.raises(ValueError, match=r'expected one-hots \[B, 128\]'):
    model.compute_costs(batch, np.full(B, 60))


def test_conditional_needs_pitch_and_z(model):
  batch, _ = make_batch()
  with pytest.raises(ValueError, match='needs pitches'):
    model.predict_mixture(batch[:, :-1])


def test_kl_against_monte_carlo(model):
  batch, _ = make_batch()
  latent = model.encode(batch[:, 1:])
  q = tf.random.stateless_normal([20000, B, 3], [0, 0])
  z = latent.mean + tf.exp(latent.presig / 2) * q
  log_q = -0.5 * (latent.presig + q**2)
  estimate = tf.reduce_mean(log_q + 0.5 * z**2)
  actual = model.compute_costs(*make_batch()).raw_kl
  np.testing.assert_allclose(actual, estimate, atol=0.02)


def test_clip_z_with_tanh():
  context = make_model('clip_z_with_tanh=1').context(
    np.zeros([1, 128], np.float32), tf.constant([[-9.0, 0.5, 9.0]])
  )
  np.testing.assert_allclose(context[:3, 0], np.tanh([-9, 0.5, 9]), atol=1e-6)


@pytest.mark.parametrize('kind', ['recurrent', 'input', 'output'])
@pytest.mark.parametrize('unconditional', [0, 1])
def test_dropout(kind, unconditional):
  options = f'unconditional={unconditional}'
  plain = make_model(options)
  model = make_model(f'{options},use_{kind}_dropout=1,{kind}_dropout_prob=0.5')
  batch, pitches = make_batch()
  cost = lambda m, seed: m.compute_costs(batch, pitches, seed=seed).r_cost  # noqa: E731
  assert cost(model, None) == cost(plain, None)  # off at evaluation
  seeds = [tf.constant([0, i]) for i in range(2)]
  assert cost(model, seeds[0]) == cost(model, seeds[0])
  assert abs(cost(model, seeds[0]) - cost(model, seeds[1])) > 1e-4
  assert cost(plain, seeds[0]) == cost(plain, None)


def test_note_costs_average_to_the_costs(model):
  batch, pitches = make_batch()
  notes = model.note_costs(batch, pitches)
  whole = model.compute_costs(batch, pitches)
  np.testing.assert_allclose(
    tf.reduce_mean(notes.r_cost), whole.r_cost, rtol=1e-6
  )
  np.testing.assert_allclose(
    tf.reduce_mean(notes.raw_kl), whole.raw_kl, rtol=1e-6
  )
  alone = model.note_costs(batch[2:3], pitches[2:3])
  np.testing.assert_allclose(alone.r_cost[0], notes.r_cost[2], rtol=1e-5)


def test_fit_and_evaluate_as_a_keras_model():
  model = make_model('learning_rate=0.01')
  data = tf.data.Dataset.from_tensors(make_batch()).repeat(20)
  model.compile()
  before = model.evaluate(data.take(1), return_dict=True, verbose=0)
  history = model.fit(data, epochs=2, verbose=0).history
  after = model.evaluate(data.take(1), return_dict=True, verbose=0)
  assert set(history) == set(model_lib.Costs._fields)
  assert after['r_cost'] < before['r_cost'] - 0.1
  inputs = tf.data.Dataset.from_tensors((make_batch(),))
  mix = model.predict(inputs, verbose=0)
  assert mix.mean.shape == (B, T, W, 2)


def test_predict_takes_arrays_or_what_fit_takes(model):
  batch, pitches = make_batch()
  expected = model.predict_mixture(
    batch[:, :-1], pitches, model.encode(batch[:, 1:]).z
  )
  arrays = model.predict((batch, pitches), verbose=0)
  data = tf.data.Dataset.from_tensors((batch, pitches))
  for made in (arrays, model.predict(data, verbose=0), model((batch, pitches))):
    np.testing.assert_allclose(made.mean, expected.mean, atol=1e-5)


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (make_batch()[0], r'array of shape \((5|None), 8, 4\): expected a pair'),
    ([make_batch()[0]], '(list|tuple) of 1: expected a pair'),
    ({'batch': make_batch()[0]}, 'dict: expected a pair'),
  ],
)
def test_anything_but_a_pair_is_refused(model, data, message):
  other = make_model()
  other.compile('sgd')
  for call in (model.predict, other.fit, other.evaluate):
    with pytest.raises(ValueError, match=rf'{message} \(batch, pitches\)'):
      call(data, verbose=0)


def test_a_model_of_a_config_has_the_same_weights(model):
  config = json.loads(json.dumps(make_model('model=layer_norm').get_config()))
  del config['hps']['mix_prob']  # as of an older version
  made = embedding_rnn.Model.from_config(config)
  assert made.hps == make_model('model=layer_norm').hps
  config = make_model().get_config()
  same = embedding_rnn.Model.from_config(config)
  same.set_weights(model.get_weights())
  pair = make_batch()
  assert same.name == config['name']
  np.testing.assert_array_equal(same(pair).mean, model(pair).mean)


def test_a_model_is_exported_not_saved(model, tmp_path):
  with pytest.raises(NotImplementedError, match=r'embedding_rnn\.export'):
    model.save(tmp_path / 'model.keras')
  assert not list(tmp_path.iterdir())


def test_models_and_costs_show_themselves(model):
  number = sum(weight.shape.num_elements() for weight in model.weights)
  assert f'rnn_size=8, z_size=3, {number:,} weights' in repr(model)
  costs = model.compute_costs(*make_batch())
  assert repr(costs).startswith(f'Costs(cost={costs.cost.numpy():.4g}, r_cost=')
  assert f'{costs.cost.numpy():.4g}' in costs._repr_html_()
  assert 'weights&gt;' in model._repr_html_()

  @tf.function
  def in_a_graph(batch, pitches):
    assert 'Tensor' in repr(model.compute_costs(batch, pitches))

  in_a_graph(*make_batch())


def test_fit_with_another_optimizer():
  model = make_model()
  model.compile('sgd')
  data = tf.data.Dataset.from_tensors(make_batch())
  assert np.isfinite(model.fit(data, verbose=0).history['cost']).all()


def test_schedules():
  hps = embedding_rnn.default_hps()
  steps = np.array([0, 1, 100, 50000], np.int64)
  rate = schedules.LearningRate.of(hps)
  rate = schedules.LearningRate.from_config(rate.get_config())
  expected = (1e-3 - 1e-5) * 0.9999 ** steps.astype(float) + 1e-5
  np.testing.assert_allclose([rate(k) for k in steps], expected, rtol=1e-3)
  expected = 1 - (1 - 0.01) * 0.99995 ** steps.astype(float)
  weights = [schedules.kl_weight_at(hps, k) for k in steps]
  np.testing.assert_allclose(weights, expected, rtol=1e-3)


def test_sampling_is_a_function_of_the_seed(model):
  _, pitches = make_batch()
  one = model.sample(pitches, seed=3)
  assert one.shape == [B, T, W]
  np.testing.assert_array_equal(one, model.sample(pitches, seed=3))
  assert np.abs(one - model.sample(pitches, seed=4)).max() > 0.1
  first = model.sample(pitches[:2], seed=3)
  np.testing.assert_allclose(first, one[:2], atol=1e-5)
  assert model.sample(pitches, num_frames=3).shape == [B, 3, W]


def test_sampling_continues_what_teacher_forcing_predicts(model):
  _, pitches = make_batch()
  z = tf.random.stateless_normal([B, 3], [0, 0])
  out = model.sample(pitches, z, greedy=True, temperature_2=0.0)
  inputs = tf.pad(out[:, :-1], [[0, 0], [1, 0], [0, 0]])
  mix = model.predict_mixture(inputs, pitches, z)
  zeros = tf.zeros_like(out)
  expected = mix.draw(zeros, zeros, greedy=True)
  np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize(
  'arguments',
  [
    {'temperature': 0.0},
    {'temperature': float('nan')},
    {'temperature_2': -1.0},
    {'num_frames': 0},
    {'z': np.zeros([B, 4], np.float32)},
    {'pitches': np.zeros([B, 12], np.float32)},
    {'pitches': None},
  ],
)
def test_sampling_refuses(model, arguments):
  arguments = {'pitches': make_batch()[1], **arguments}
  with pytest.raises(
    ValueError,
    match=next(reversed(arguments)) if len(arguments) > 1 else 'pitches',
  ):
    model.sample(**arguments)


DEAF = 'frames_per_step=3,feedback_keep_prob=0,error_order=1'


def test_refining_is_adam_that_keeps_each_note_s_best():
  model = make_model(DEAF)
  batch, pitches = make_batch()
  frames = batch[:, 1:]
  start = tf.constant(np.random.default_rng(2).normal(size=[B, 3]), tf.float32)

  z, optimizer = tf.Variable(start), keras.optimizers.Adam(0.06, 0.9, 0.99)
  errors, path = [], []
  for _ in range(21):
    with tf.GradientTape() as tape:
      made = model.free_running_mean(frames, pitches, z)
      error = tf.reduce_mean(tf.square(frames - made), axis=[1, 2])
    errors.append(error.numpy())
    path.append(z.numpy())
    optimizer.apply_gradients([(tape.gradient(error, z), z)])
  best = np.argmin(errors, axis=0)
  assert best.max() > 0

  refined = latents.refine(model, frames, pitches, start)
  expected = np.array(path)[best, np.arange(B)]
  np.testing.assert_allclose(refined, expected, atol=1e-4)
  alone = latents.refine(model, frames[2:3], pitches[2:3], start[2:3])
  np.testing.assert_allclose(alone[0], refined[2], atol=1e-5)


def test_the_free_running_mean_is_what_greedy_sampling_gives():
  model = make_model(DEAF)
  batch, pitches = make_batch()
  z = model.encode(batch[:, 1:]).z
  made = model.free_running_mean(tf.zeros([B, T, W]), pitches, z)
  greedy = model.sample(pitches, z, greedy='mean')
  np.testing.assert_allclose(made, greedy, atol=1e-6)
