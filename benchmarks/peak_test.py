import peak
import pytest
import tensorflow as tf

from embedding_rnn.embedding_rnn import Model, default_hps


def matrix_products(graph):
  """Operations of all matrix products of a graph, loops run to their ends."""
  total = 0
  for op in graph.get_operations():
    shapes = [x.shape for x in op.inputs]
    if op.outputs and op.outputs[0].shape[-1:] == [1]:
      continue  # a sum over notes
    if op.type in ('MatMul', 'BatchMatMulV2'):
      name = 'transpose_a' if op.type == 'MatMul' else 'adj_x'
      inner = shapes[0][-2 if op.get_attr(name) else -1]
      total += 2 * op.outputs[0].shape.num_elements() * inner
    elif op.type == 'Einsum':
      terms = op.get_attr('equation').decode().split('->')[0].split(',')
      sizes = {}
      for term, shape in zip(terms, shapes, strict=True):
        sizes |= dict(zip(term, shape, strict=True))
      product = 2
      for size in sizes.values():
        product *= size
      total += product
    elif op.type in ('While', 'StatelessWhile'):
      body = graph._get_function(op.get_attr('body').name).graph
      total += tf.get_static_value(op.inputs[1]) * matrix_products(body)
  return total


# Frames such that all loops are run to their ends.
@pytest.mark.parametrize(
  'overrides, num_frames',
  [
    ('', 9),
    ('model=layer_norm,num_layers=2,no_sample_vae=1', 9),
    ('model=hyper,hyper_lstm_size=8,hyper_embedding_size=4', 9),
    ('frames_per_step=4,error_order=2,feedback_keep_prob=0.0', 36),
  ],
)
def test_the_operations_done_are_those_of_the_graph(overrides, num_frames):
  sizes = 'rnn_size=32,enc_rnn_size=16,z_size=8,batch_size=64'
  hps = default_hps().parse(sizes)
  if overrides:
    hps.parse(overrides)
  model = Model(hps)
  specs = [
    tf.TensorSpec(shape)
    for shape in (
      [64, num_frames + 1, 16],
      [64, model.condition_size],
      [64, hps.z_size],
    )
  ]
  step = tf.function(
    lambda *batch: model.costs_and_gradients(*batch, 1.0)[1], autograph=False
  )
  done = matrix_products(step.get_concrete_function(*specs).graph) / 1e9
  counted = peak.training_operations(model, num_frames)
  assert counted.done == pytest.approx(done, rel=1e-6)
  assert counted.plain > counted.done


def test_the_plain_operations_are_those_of_2017():
  # A forward pass and twice that: the encoder, the decoder, the head.
  of_frame = 2 * (16 + 256) * 1024 + (16 + 64 + 128 + 1024) * 4096 + 1024 * 240
  frames = 128 * 125
  plain = peak.training_operations(Model(default_hps()), 125).plain
  # What is once for a note is a part in a thousand.
  assert plain == pytest.approx(3 * 2 * frames * of_frame / 1e9, rel=2e-3)


def test_the_peak_is_the_best_of_medians():
  before, after = {'a': 3.0, 'b': 4.0}, {'a': 5.0, 'b': 2.0}
  assert peak.best([before, after]) == (4.0, 'a')
