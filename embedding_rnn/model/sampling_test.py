"""The sampler's controls against step-by-step references and theory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn.model import infilling, sampling

TINY = (
  'rnn_size=8,enc_rnn_size=6,z_size=3,num_mixture=3,seq_width=4,max_seq_len=7'
)
B, T, W = 5, 7, 4
PITCHES = tf.one_hot([60, 40, 100, 60, 0], 128)
SEED = 3


def make_model(overrides=''):
  keras.utils.set_random_seed(0)
  hps = embedding_rnn.default_hps().parse(TINY).parse(overrides)
  model = embedding_rnn.Model(hps)
  rng = np.random.default_rng(0)
  for weight in model.weights:  # so that z and the frames matter
    noise = 0.3 * rng.normal(size=weight.shape)
    weight.assign_add(noise.astype(np.float32))
  return model


@pytest.fixture(scope='module', params=[0, 1], ids=['frames', 'differences'])
def model(request):
  return make_model(f'difference_input={request.param}')


def random_notes(seed=1):
  return np.random.default_rng(seed).normal(size=(B, T, W)).astype(np.float32)


# What is known of each note: nothing, all but the last, a prefix, a suffix, and
# frames with a gap between them.
IS_GIVEN = np.array(
  [
    [0, 0, 0, 0, 0, 0, 0],
    [1, 1, 1, 1, 1, 1, 0],
    [1, 1, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 1, 1],
    [1, 0, 0, 1, 0, 1, 0],
  ],
  bool,
)


def random_numbers(num_notes=B, seed=SEED, num_frames=T, width=W):
  shape = [num_notes, num_frames, width]
  uniform = tf.random.stateless_uniform(shape, [seed, 1])
  return uniform, tf.random.stateless_normal(shape, [seed, 2])


def generate(model, pitches, z, numbers, given, is_given):
  """`Model.generate` with the frames that are given."""
  if model.hps.difference_input:
    given = given.cumsum(axis=1)
  goal, steps = infilling.look_ahead(given, is_given)
  one = tf.constant(1.0)
  known = (tf.constant(x, tf.float32) for x in (goal, 1 / steps))
  return model.generate(pitches, z, *numbers, one, one, False, one, *known)


def sample_slowly(model, z, given, is_given, **controls):
  """A reference: each frame from the teacher-forced mixture of those before.

  -> frames, log weights.
  """
  predict = tf.function(model.predict_mixture, autograph=False)
  frames = np.zeros([B, T, W], np.float32)
  log_weights = np.zeros(B)
  uniform, normal = random_numbers()
  for t in range(T):
    inputs = np.pad(frames[:, :-1], [(0, 0), (1, 0), (0, 0)])
    mix = predict(tf.constant(inputs), PITCHES, z)
    draws = mix.draw(uniform, normal, **controls).numpy()
    pulled = draws.copy()
    for n in range(B):
      ahead = np.flatnonzero(is_given[n, t:])
      if not len(ahead):
        continue
      wanted = given[n, t + ahead[0]]
      if model.hps.difference_input:
        so_far = frames[n, :t].sum(axis=0)
        wanted = given[n, : t + ahead[0] + 1].sum(axis=0) - so_far
      pulled[n, t] += (wanted - draws[n, t]) / (ahead[0] + 1)
    frames[:, t] = pulled[:, t]
    drawn, kept = (
      mix.log_prob(x).numpy()[:, t].sum(-1) for x in (draws, pulled)
    )
    log_weights += kept - np.where(is_given[:, t], 0, drawn)
  return frames, log_weights


def test_frames_around_what_is_given(model):
  given = random_notes()
  z = tf.random.stateless_normal([B, 3], [0, 0])
  controls = {'temperature': 0.7, 'temperature_2': 0.5, 'top_p': 0.8}
  arguments = {'given': given, 'is_given': IS_GIVEN, 'seed': SEED, **controls}
  actual = sampling.sample(model, PITCHES, z, **arguments).numpy()
  expected, _ = sample_slowly(model, z, given, IS_GIVEN, **controls)
  np.testing.assert_allclose(actual, expected, atol=2e-5)
  if model.hps.difference_input:
    sums, expected = (np.cumsum(x, axis=1) for x in (actual, given))
    np.testing.assert_allclose(sums[IS_GIVEN], expected[IS_GIVEN], atol=1e-5)
  else:
    np.testing.assert_array_equal(actual[IS_GIVEN], given[IS_GIVEN])
  # Nothing is known of the first note, or of the third after its first frames.
  free = sampling.sample(model, PITCHES, z, seed=SEED, **controls)
  np.testing.assert_allclose(actual[0], free[0], atol=1e-5)
  # Where nothing is given, it does not matter what stands there.
  other = np.where(IS_GIVEN[..., None], given, random_notes(2))
  if not model.hps.difference_input:
    again = sampling.sample(model, PITCHES, z, **arguments | {'given': other})
    np.testing.assert_array_equal(again, actual)


def test_the_last_frame_is_drawn_from_the_teacher_forced_mixture(model):
  given = random_notes()
  is_given = np.tile(np.arange(T) < T - 1, (B, 1))
  z = tf.random.stateless_normal([B, 3], [0, 0])
  actual = sampling.sample(
    model, PITCHES, z, given=given, is_given=is_given, seed=SEED
  )
  inputs = tf.constant(np.pad(given[:, :-1], [(0, 0), (1, 0), (0, 0)]))
  expected = model.predict_mixture(inputs, PITCHES, z).draw(*random_numbers())
  np.testing.assert_allclose(actual[:, -1], expected[:, -1], atol=2e-5)


def test_the_heaviest_candidate_is_chosen(model):
  given = random_notes()
  z = tf.random.stateless_normal([B, 3], [0, 0])
  rows = np.repeat(np.arange(B), 3)
  drawn = generate(
    model,
    tf.gather(PITCHES, rows),
    tf.gather(z, rows),
    random_numbers(3 * B),
    given[rows],
    IS_GIVEN[rows],
  )
  weights = drawn.log_weight.numpy().reshape(B, 3)
  frames = drawn.frames.numpy().reshape(B, 3, T, W)
  expected = frames[np.arange(B), weights.argmax(axis=1)]
  actual = sampling.sample(
    model,
    PITCHES,
    z,
    given=given,
    is_given=IS_GIVEN,
    num_candidates=3,
    batch_size=4,
    seed=SEED,
  )
  np.testing.assert_allclose(actual, expected, atol=2e-5)
  assert len(np.unique(weights[3:])) == 6  # Those that see something ahead.
  # One candidate has the weight of the reference.
  _, expected = sample_slowly(model, z, given, IS_GIVEN)
  one = generate(model, PITCHES, z, random_numbers(), given, IS_GIVEN)
  np.testing.assert_allclose(one.log_weight, expected, rtol=1e-4, atol=1e-4)


def test_weighted_candidates_of_a_random_walk_are_a_brownian_bridge():
  model = make_model(
    'unconditional=1,seq_width=1,num_mixture=1,num_layers=1,difference_input=1'
  )
  for weight in model.weights:  # Each difference is standard normal.
    weight.assign(tf.zeros_like(weight))
  num_draws, end = 20000, 2.0
  given = np.zeros([num_draws, T, 1])
  given[:, -1] = end
  is_given = np.tile(np.arange(T) == T - 1, (num_draws, 1))
  numbers = random_numbers(num_draws, width=1)
  pitches = tf.zeros([num_draws, 128])
  drawn = generate(model, pitches, None, numbers, given, is_given)
  weights = tf.nn.softmax(drawn.log_weight).numpy()
  assert 1 / np.sum(weights**2) > num_draws / 10  # Many of them count.
  walks = drawn.frames.numpy()[..., 0].cumsum(axis=1)
  time = np.arange(1, T + 1)
  mean = weights @ walks
  np.testing.assert_allclose(mean, end * time / T, atol=0.06)
  variance = weights @ (walks - mean) ** 2
  np.testing.assert_allclose(variance, time * (T - time) / T, atol=0.1)


def test_the_least_top_p_is_greedy(model):
  least = sampling.sample(model, PITCHES, top_p=1e-6, seed=SEED)
  greedy = sampling.sample(model, PITCHES, greedy=np.True_, seed=SEED)
  np.testing.assert_allclose(least, greedy, atol=1e-5)
  whole = sampling.sample(model, PITCHES, seed=SEED)
  assert np.abs(whole - greedy).max() > 0.1


def test_controls_do_not_compile_again(model):
  graphs = model._generate.values()
  count = lambda: sum(g.experimental_get_tracing_count() for g in graphs)  # noqa: E731
  sampling.sample(model, PITCHES, seed=0)
  before = count()
  controls = {'temperature': 0.3, 'temperature_2': 0.2, 'top_p': 0.5}
  sampling.sample(model, PITCHES, seed=2**40, **controls)
  assert count() == before > 0


def test_latents_of_the_prior(model):
  z = sampling.draw_latents(model, B, SEED)
  np.testing.assert_array_equal(
    sampling.sample(model, PITCHES, z, seed=SEED),
    sampling.sample(model, PITCHES, seed=SEED),
  )
  np.testing.assert_array_equal(sampling.draw_latents(model, 2, SEED), z[:2])
  many = sampling.draw_latents(model, 5000).numpy()
  np.testing.assert_allclose(many.mean(axis=0), 0, atol=0.06)
  np.testing.assert_allclose(np.cov(many.T), np.eye(3), atol=0.1)


GIVEN = {'given': random_notes(), 'is_given': IS_GIVEN}


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'top_p': 0.0}, 'top_p=0.0'),
    ({'top_p': 1.5}, 'top_p=1.5'),
    ({'top_p': float('nan')}, 'top_p=nan'),
    ({'temperature': float('inf')}, 'temperature=inf'),
    ({'temperature': 1e-50}, 'temperature=1e-50'),  # 0 in float32
    ({'temperature': '1'}, "temperature='1'"),
    ({'temperature_2': 1e39}, r'temperature_2=1e\+39'),
    ({'top_p': None}, 'top_p=None'),
    ({'num_frames': 2.5}, r'num_frames=2\.5: expected a whole number'),
    ({'seed': 1.5}, r'seed=1\.5: expected a whole number'),
    ({'seed': 2**64}, 'expected a whole number of 64 bits'),
    ({'greedy': 'best'}, "greedy='best'"),
    ({'z': np.full([B, 3], np.nan)}, 'NaN'),
    ({'given': GIVEN['given']}, 'both or neither'),
    (GIVEN | {'is_given': IS_GIVEN[:, 1:]}, r'is_given of \(5, 6\)'),
    (GIVEN | {'is_given': IS_GIVEN * 1.0}, 'float64: expected bool'),
    (GIVEN | {'given': GIVEN['given'][..., 1:]}, r'expected \[5, T, 4\]'),
    (GIVEN | {'given': GIVEN['given'] * np.nan}, 'given holds NaN'),
    (GIVEN | {'num_frames': 8}, 'num_frames=8, but 7'),
    ({'num_frames': 10**9}, 'num_frames=1000000000: .* at most 100,000'),
    (GIVEN | {'num_candidates': 0}, 'num_candidates=0'),
    (GIVEN | {'num_candidates': 10**8}, 'num_candidates=.* at most 1,000'),
    ({'temperature_2': 1e38}, r'temperature_2=1e\+38: .* at most 1000'),
    ({'num_candidates': 2}, 'without given frames'),
  ],
)
def test_refuses(model, arguments, message):
  with pytest.raises(ValueError, match=message):
    sampling.sample(model, PITCHES, **arguments)
