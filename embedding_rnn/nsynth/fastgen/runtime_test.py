"""What generation depends on, and what not.

That the codes are right is what wavenet_golden_test.py checks.
"""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth import WaveNetAutoencoder, mu_law
from embedding_rnn.nsynth.conftest import follow
from embedding_rnn.nsynth.fastgen import litert, runtime, tensorflow_loop


@pytest.fixture(params=['tensorflow', 'litert', 'int8'])
def options(request):
  """Arguments of `generate`."""
  if request.param == 'int8':
    return {'weights': 'int8', 'runtime': 'litert'}
  return {'runtime': request.param}


def test_same_seed_same_audio_whatever_the_batch_size(
  tiny, options, monkeypatch
):
  frames = np.concatenate([tiny['encoding'][:, :4]] * 2)[:3]
  audio = tiny.model.generate(frames, 7, **options).numpy()
  assert (audio[0] != audio[2]).any()
  monkeypatch.setattr(runtime, 'BATCH_SIZES', {'litert': 2, 'tensorflow': 2})
  np.testing.assert_array_equal(
    tiny.model.generate(frames, 7, **options), audio
  )
  first = tiny.model.generate(frames[:1], 7, **options)
  np.testing.assert_array_equal(first, audio[:1])
  other = tiny.model.generate(frames[:1], 8, **options)
  assert (other != audio[:1]).numpy().any()


def test_chunks_do_not_show(tiny, options, monkeypatch):
  expected = tiny.model.generate(tiny['encoding'], 1, **options)
  monkeypatch.setattr(runtime, '_CHUNK_LENGTH', 96)
  np.testing.assert_array_equal(
    tiny.model.generate(tiny['encoding'], 1, **options), expected
  )


def test_runtimes_go_on_from_one_anothers_states(tiny):
  frames = tiny['encoding']
  expected = runtime.generate_codes(tiny.model.decoder, frames, 1)
  generators = [
    runtime.make_generator(tiny.model.decoder, len(frames), runtime=name)
    for name in runtime.BATCH_SIZES
  ]
  state, chunks = None, []
  for i in range(frames.shape[1]):
    some = frames[:, : i + 1]
    codes, state = next(runtime.stream(generators[i % 2], some, 1, state=state))
    chunks.append(codes)
  np.testing.assert_array_equal(np.concatenate(chunks, axis=1), expected)


@pytest.mark.parametrize('hop_length', [5, 6, 8])
def test_any_hop_length(hop_length):
  # Looking ahead must not reach over what is known.
  model = WaveNetAutoencoder(4, 4, 5, 4, 4, 2, 2, 3, hop_length)
  tf.keras.utils.set_random_seed(0)
  frames = np.random.default_rng(0).normal(size=[2, 8, 3])
  one, other = (
    model.generate(frames.astype(np.float32), 0, runtime=name)
    for name in runtime.BATCH_SIZES
  )
  np.testing.assert_array_equal(one, other)


def test_generated_audio_is_likely(tiny, options):
  # Its cross entropy is the entropy of the distributions it was drawn from.
  frames = tiny['encoding']
  audio = tiny.model.generate(frames, 0, **options)
  codes = mu_law.encode(audio).numpy()
  if options.get('weights') == 'int8':
    generator = runtime.make_generator(
      tiny.model.decoder, len(frames), **options
    )
    log_probs = follow(generator, codes, frames)
  else:
    log_probs = tiny.model.log_probs(audio, frames).numpy()
  entropy = -(np.exp(log_probs) * log_probs).sum(axis=2)
  classes = mu_law.to_classes(codes)
  nats = -np.take_along_axis(log_probs, classes[..., None], axis=2)[..., 0]
  error = (nats - entropy).mean()
  assert abs(error) < 5 * (nats - entropy).std() / np.sqrt(nats.size)


@pytest.mark.parametrize(
  'draw_classes', [tensorflow_loop.draw_classes, litert.draw_classes]
)
def test_draw_classes(draw_classes):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=[1000, 256]).astype(np.float32)
  uniform = rng.random(1000).astype(np.float32)
  cumulative = np.cumsum(tf.nn.softmax(logits), axis=1, dtype=np.float64)
  expected = [
    np.searchsorted(row, number)
    for row, number in zip(cumulative, uniform, strict=True)
  ]
  clear = abs(cumulative - uniform[:, None]).min(axis=1) > 1e-6
  assert clear.mean() > 0.95
  classes = np.asarray(draw_classes(logits, uniform))
  np.testing.assert_array_equal(classes[clear], np.array(expected)[clear])


@pytest.mark.parametrize(
  'draw_classes', [tensorflow_loop.draw_classes, litert.draw_classes]
)
def test_draw_classes_stays_in_range(draw_classes):
  # The sum of these probabilities rounds to less than the largest number.
  logits = np.random.default_rng(1).normal(size=[4096, 256])
  logits = logits.astype(np.float32)
  sums = tf.cumsum(tf.nn.softmax(logits), axis=1)[:, -1].numpy()
  uniform = np.full(4096, np.nextafter(np.float32(1), np.float32(0)))
  assert (sums < uniform).any()
  assert np.asarray(draw_classes(logits, uniform)).max() == 255


def test_random_numbers_are_uniform_and_apart():
  numbers = runtime.draw_uniform(5, range(3), range(4), 512)
  assert numbers.shape == (3, 4 * 512)
  assert len(np.unique(numbers)) > 0.99 * numbers.size
  deciles = np.histogram(numbers, 10, (0, 1))[0] / numbers.size
  np.testing.assert_allclose(deciles, 0.1, atol=0.02)
  later = runtime.draw_uniform(5, [1, 0], range(2, 4), 512)
  np.testing.assert_array_equal(later, numbers[[1, 0], 1024:])


def test_bad_choices(tiny, monkeypatch):
  decoder = tiny.model.decoder
  with pytest.raises(ValueError, match="'int4': expected one of float32, int8"):
    runtime.make_generator(decoder, 1, 'int4')
  with pytest.raises(ValueError, match="'cpu': expected one of litert, tensor"):
    runtime.make_generator(decoder, 1, runtime='cpu')
  with pytest.raises(ValueError, match="'int8' is for a CPU: set runtime"):
    runtime.make_generator(decoder, 1, 'int8', 'tensorflow')
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ValueError, match='package ai-edge-litert: install it'):
    runtime.make_generator(decoder, 1)
