import numpy as np
import pytest

from embedding_rnn.nsynth.fastgen.litert_graph import Graph


def run(graph, outputs, **inputs):
  interpreter = graph.finish(outputs, num_threads=1)
  for number, value in inputs.values():
    interpreter.set_tensor(number, value)
  interpreter.invoke()
  return [interpreter.get_tensor(number) for number in outputs]


def normal(*shape):
  rng = np.random.default_rng(shape[0])
  return rng.normal(size=shape).astype(np.float32)


def test_operations():
  a, b = normal(3, 8), normal(4, 8)[:3]
  graph = Graph(is_int8=False)
  x, y = graph.input(3, 8), graph.input(3, 8)
  left, right = graph.split(x)
  wholes = graph.concatenate([left, right, y, x, left, right, y])
  outputs = [
    graph.add(x, y),
    graph.multiply(x, y),
    graph.sigmoid(x),
    graph.tanh(x),
    graph.relu(x),
    *wholes,
  ]
  widths = [graph.num_columns(whole) for whole in wholes]
  results = run(graph, outputs, x=(x, a), y=(y, b))
  expected = [a + b, a * b, 1 / (1 + np.exp(-a)), np.tanh(a), np.maximum(a, 0)]
  for actual, value in zip(results, expected, strict=False):
    np.testing.assert_allclose(actual, value, rtol=1e-5, atol=1e-6)
  joined = np.concatenate(results[5:], axis=1)
  np.testing.assert_array_equal(joined, np.concatenate([a, b, a, a, b], axis=1))
  assert widths == [28, 12]


@pytest.mark.parametrize('is_int8', [False, True])
def test_dense(is_int8):
  a, kernel, bias = normal(3, 200), normal(200, 50), normal(50)
  # Scales are by column.
  kernel *= np.geomspace(1e-3, 1e3, 50, dtype=np.float32)
  graph = Graph(is_int8)
  x = graph.input(3, 200)
  outputs = [
    graph.dense(x, kernel),
    graph.dense(x, kernel, bias),
    graph.dense(x, kernel, bias, is_exact=True),
  ]
  plain, biased, exact = run(graph, outputs, x=(x, a))
  expected = a.astype(float) @ kernel
  size = np.linalg.norm(kernel, axis=0) * np.sqrt(200 / 3)
  rounding = 1e-5 * (size + 1)
  # Steps of 1/127 of the largest number, some 3 times the usual one, of either.
  tolerance = 0.02 * size + rounding if is_int8 else rounding
  assert (abs(exact - expected - bias) < rounding).all()
  assert (abs(plain - expected) < tolerance).all()
  assert (abs(biased - expected - bias) < tolerance).all()
  assert (abs(plain - expected) > 1e-4 * size).any() == is_int8
