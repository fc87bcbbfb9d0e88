"""What it costs to generate with weights of 8 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.decoder import Decoder
from embedding_rnn.nsynth.fastgen.litert import LiteRTGenerator, draw_classes


class Int8Cost(NamedTuple):
  """What 8-bit weights cost on given audio.

  Attributes:
    nats: a sample, of float32 weights: the mean of -log p(sample | those
      before).
    nats_int8: the same of 8-bit weights.
    agreement: fraction of the samples that both would draw alike, given the
      same samples before and the same random number.
  """

  nats: float
  nats_int8: float
  agreement: float


def measure_int8_cost(
  decoder: Decoder, codes: np.ndarray, encodings: np.ndarray, seed: int = 0
) -> Int8Cost:
  """Follows audio with weights of both kinds, and compares.

  Args:
    decoder: with weights.
    codes: of the audio, integers `[B, n]`, n <= frames * hop_length.
    encodings: float32 `[B, frames, bottleneck_width]`.
    seed: of the random numbers.
  """
  codes = np.asarray(codes, np.int32)
  classes = mu_law.to_classes(codes)[..., None]
  uniform = np.random.default_rng(seed).random(codes.size, np.float32)
  nats, drawn = [], []
  for is_int8 in (False, True):
    generator = LiteRTGenerator(decoder, len(codes), is_int8)
    log_probs = generator.log_probs(codes, encodings)
    nats.append(float(-np.take_along_axis(log_probs, classes, axis=2).mean()))
    rows = log_probs.reshape(-1, mu_law.NUM_CLASSES)
    drawn.append(draw_classes(rows, uniform))
  return Int8Cost(*nats, float((drawn[0] == drawn[1]).mean()))
