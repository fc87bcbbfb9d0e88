"""What generation depends on, and what not.

That the codes are right is what wavenet_golden_test.py checks.
"""

import numpy as np
import tensorflow as tf

from embedding_rnn.nsynth import generation


def test_same_seed_same_audio_whatever_the_batch_size(tiny):
  encodings = tiny['encoding'][:, :4]
  both = tiny.model.generate(encodings, seed=7)
  np.testing.assert_array_equal(tiny.model.generate(encodings, seed=7), both)
  first = tiny.model.generate(encodings[:1], seed=7)
  np.testing.assert_array_equal(first, both[:1])
  assert (tiny.model.generate(encodings, seed=8) != both).numpy().any()


def test_chunks_do_not_show(tiny, monkeypatch):
  expected = tiny.model.generate(tiny['encoding'], seed=1)
  monkeypatch.setattr(generation, '_CHUNK_LENGTH', 96)
  np.testing.assert_array_equal(
    tiny.model.generate(tiny['encoding'], seed=1), expected
  )


def test_generated_audio_is_likely(tiny):
  # Its cross entropy is the entropy of the distributions it was drawn from.
  encodings = tiny['encoding']
  audio = tiny.model.generate(encodings, seed=0)
  log_probs = tiny.model.log_probs(audio, encodings).numpy()
  entropy = -(np.exp(log_probs) * log_probs).sum(axis=2)
  codes = generation.mu_law.encode(audio).numpy()
  classes = generation.mu_law.to_classes(codes)
  nats = -np.take_along_axis(log_probs, classes[..., None], axis=2)[..., 0]
  error = (nats - entropy).mean()
  assert abs(error) < 5 * (nats - entropy).std() / np.sqrt(nats.size)


def test_draw_classes_is_searchsorted():
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
  classes = generation.draw_classes(logits, uniform).numpy()
  np.testing.assert_array_equal(classes[clear], np.array(expected)[clear])


def test_draw_classes_stays_in_range():
  # The sum of these probabilities rounds to less than the largest number.
  logits = tf.constant(np.random.default_rng(1).normal(size=[4096, 256]))
  logits = tf.cast(logits, tf.float32)
  sums = tf.cumsum(tf.nn.softmax(logits), axis=1)[:, -1].numpy()
  uniform = np.full(4096, np.nextafter(np.float32(1), np.float32(0)))
  assert (sums < uniform).any()
  assert generation.draw_classes(logits, uniform).numpy().max() == 255


def test_random_numbers_are_uniform_and_apart():
  numbers = generation.draw_uniform(5, 3, range(4), 512).numpy()
  assert numbers.shape == (3, 4 * 512)
  assert len(np.unique(numbers)) > 0.99 * numbers.size
  deciles = np.histogram(numbers, 10, (0, 1))[0] / numbers.size
  np.testing.assert_allclose(deciles, 0.1, atol=0.02)
  later = generation.draw_uniform(5, 2, range(2, 4), 512)
  np.testing.assert_array_equal(later, numbers[:2, 1024:])
