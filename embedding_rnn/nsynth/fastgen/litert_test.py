"""Weights of 8 bits; what both kinds have in common is in runtime_test.py."""

import numpy as np
import pytest

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.conftest import follow
from embedding_rnn.nsynth.fastgen.litert import LiteRTGenerator, draw_classes


def test_cost_of_8_bits(golden):
  codes = golden['quantized_input'][:, :256].astype(int)
  classes = mu_law.to_classes(codes)[..., None]
  uniform = np.random.default_rng(0).random(codes.size, np.float32)
  nats, drawn = [], []
  for is_int8 in (False, True):
    generator = LiteRTGenerator(golden.model.decoder, len(codes), is_int8)
    log_probs = follow(generator, codes, golden['encoding'])
    nats.append(-np.take_along_axis(log_probs, classes, axis=2).mean())
    drawn.append(draw_classes(log_probs.reshape(-1, 256), uniform))
  log_probs = golden.model.log_probs(golden['wav'], golden['encoding']).numpy()
  expected = -np.take_along_axis(log_probs[:, :256], classes, axis=2).mean()
  assert nats[0] == pytest.approx(expected, rel=1e-5)
  # These weights are random and their nats many; there is something to lose.
  assert 0 < abs(nats[1] - nats[0]) < 0.02 * nats[0]
  assert 0.8 < (drawn[0] == drawn[1]).mean() < 1
