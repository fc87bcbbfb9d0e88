import numpy as np
import pytest

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.fastgen import int8_cost


def test_cost_of_8_bits(golden):
  codes = golden['quantized_input'][:, :256]
  cost = int8_cost.measure_int8_cost(
    golden.model.decoder, codes, golden['encoding']
  )
  log_probs = golden.model.log_probs(golden['wav'], golden['encoding']).numpy()
  classes = mu_law.to_classes(codes.astype(int))[..., None]
  nats = -np.take_along_axis(log_probs[:, :256], classes, axis=2).mean()
  assert cost.nats == pytest.approx(nats, rel=1e-5)
  # These weights are random and their nats many; there is something to lose.
  assert 0 < abs(cost.nats_int8 - cost.nats) < 0.02 * cost.nats
  assert 0.8 < cost.agreement < 1
