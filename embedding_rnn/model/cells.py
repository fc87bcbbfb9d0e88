"""The recurrent cells of 2017: LSTM, layer-norm LSTM and HyperLSTM.

Each is a Keras 3 cell (`keras.layers.RNN(LSTMCell(8))` works) that also runs
under `scan`, which is how the model uses it. Weights have the 2017 layout,
`w_xh [in, 4 * units]` and so on, with gates in the order i, j, f, o and a
forget bias of 1. Inside a step everything is feature-major, `[features, B]`.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from embedding_rnn.model import distribution
from embedding_rnn.model import scan as scan_lib

FORGET_BIAS = 1.0
LAYER_NORM_EPSILON = 1e-3
# Inputs up to this width are fused with the recurrent product: what they add to
# it is less than reading and writing the gates of all frames once more.
FUSED_WIDTH = 64


class OrthogonalGates(keras.initializers.Initializer):
  """Orthogonal within each of the four gate blocks of `[units, 4 * units]`."""

  def __call__(self, shape, dtype=None):
    """A weight `[units, 4 * units]`."""
    one = keras.initializers.Orthogonal()
    block = (shape[0], shape[1] // 4)
    return tf.concat([one(block, dtype=dtype) for _ in range(4)], axis=1)


def layer_norm(x, gamma, beta, num_blocks=1):
  """Normalises blocks of features (Ba et al., arXiv 1607.06450).

  Args:
    x: `[features, B]`.
    gamma: gain, `[features, 1]`.
    beta: offset, `[features, 1]`.
    num_blocks: how many equal blocks of features are normalised apart.
  """
  shape = tf.shape(x)

  def by_block(y):
    return tf.reshape(y, [num_blocks, x.shape[0] // num_blocks, shape[-1]])

  def mean(y):
    return tf.reduce_mean(y, axis=1, keepdims=True)

  # Its gradient is written out: a third of the operations that automatic
  # differentiation makes of it.
  @tf.custom_gradient
  def norm(x, gamma, beta):
    centred = by_block(x)
    centred -= mean(centred)
    inverse = tf.math.rsqrt(mean(tf.square(centred)) + LAYER_NORM_EPSILON)
    blocks = centred * inverse
    normed = tf.reshape(blocks, shape)

    def gradient(d):
      along = d * normed
      d_normed = by_block(d * gamma)
      d_x = d_normed - mean(d_normed) - blocks * mean(by_block(along * gamma))
      d_x = tf.reshape(d_x * inverse, shape)
      return d_x, _sum_of_notes(along), _sum_of_notes(d)

    return normed * gamma + beta, gradient

  return norm(x, gamma, beta)


def _sum_of_notes(x):
  """`[features, B]` -> `[features, 1]`; a product is the fastest sum."""
  return tf.matmul(x, tf.ones([tf.shape(x)[-1], 1]))


def lstm_gates(gates, c, mask=None):
  """-> new c and output gate from `[4 * units, B]`; mask is for tanh(j)."""
  i, j, f, o = tf.split(gates, 4, axis=0)
  candidate = tf.tanh(j)
  if mask is not None:  # Semeniuta et al., arXiv 1603.05118
    candidate *= mask
  c = c * tf.sigmoid(f + FORGET_BIAS) + tf.sigmoid(i) * candidate
  return c, tf.sigmoid(o)


class Cell(keras.layers.Layer):
  """What the cells share; a subclass gives the weights and the step.

  Args:
    units: size of the output.
    keep_prob: probability of keeping a candidate value (recurrent dropout).

  The large matrix products of `scan` have the compute dtype of the layer's
  dtype policy; weights, states and all else are float32.
  """

  # How 2017 laid out the state vector, in terms of our order (output first).
  state_layout: tuple[int, ...] = (0, 1)

  def __init__(self, units: int, keep_prob: float = 1.0, **kwargs: Any):
    super().__init__(autocast=False, **kwargs)
    self.units = units
    self.keep_prob = keep_prob
    self.state_size = [units, units]

  @property
  def output_size(self) -> int:
    return self.units

  def get_config(self):
    own = {'units': self.units, 'keep_prob': self.keep_prob}
    return {**super().get_config(), **own}

  def build(self, input_shape):
    self.w_xh = self._matrix('w_xh', input_shape[-1])
    self.w_hh = self.add_weight(
      name='w_hh',
      shape=(self.units, 4 * self.units),
      initializer=OrthogonalGates(),
    )
    self.built = True

  def _matrix(self, name, width):
    return self.add_weight(
      name=name, shape=(width, 4 * self.units), initializer='glorot_uniform'
    )

  def _norm(self, name, size):
    gamma = self.add_weight(
      name=f'{name}_gamma', shape=(size,), initializer='ones'
    )
    beta = self.add_weight(
      name=f'{name}_beta', shape=(size,), initializer='zeros'
    )
    return gamma, beta

  # A cell runs in one of two ways. Fused: the input joins the last output in
  # one product inside the loop. Hoisted: the input products of all frames are
  # one product ahead of the loop. `width` counts the inputs that change with
  # the frame; the rows of `w_xh` after them belong to the context, which is
  # fixed for a note and so adds one offset to all its frames.

  def fused(self, width: int, context: Any = None) -> tuple[dict, dict]:
    """-> (kernels, params) of steps with `inputs_t['x']` `[width, B]`."""
    kernels = self.kernels()
    w = tf.convert_to_tensor(self.w_hh)
    if width:
      w = tf.concat([w, _rows(self.w_xh, 0, width)], axis=0)
    kernels['hh'] = tf.transpose(w)
    return kernels, self.params() | self.offsets(context, width)

  def hoisted(self, x, context=None):
    """-> (inputs, kernels, params) for frames x `[T, width, B]`."""
    width = x.shape[1]
    inputs = {
      name: self._input_products(_rows(w, 0, width), x)
      for name, w in self.input_weights().items()
    }
    params = self.params() | self.offsets(context, width)
    return inputs, self.kernels(), params

  def _input_products(self, w, x):
    w, x = (tf.cast(y, self.compute_dtype) for y in (w, x))
    # One product, for which the frames stand side by side.
    frames = tf.concat(tf.unstack(x), axis=1)
    products = tf.matmul(w, frames, transpose_a=True)
    products = tf.stack(tf.split(products, x.shape[0], axis=1))
    return tf.cast(products, tf.float32)

  def input_weights(self) -> dict[str, tf.Tensor]:
    """Weights `[in, features]` of the input products."""
    return {'gates': self.w_xh}

  def offsets(self, context: Any, width: int) -> dict[str, tf.Tensor]:
    """What context `[C, B]` or None and biases add to each frame's gates."""
    if context is None:
      return {}
    return {'offset': _context_offset(self.w_xh, context, width)}

  def kernels(self) -> dict[str, tf.Tensor]:
    """Kernels of the products inside the loop."""
    return {'hh': tf.transpose(self.w_hh)}

  def params(self) -> dict[str, tf.Tensor]:
    """Weights used element-wise inside the loop, `[features, 1]`."""
    return {}

  def masks(self, num_frames: int, batch_size: int, seed: Any) -> dict:
    """Recurrent dropout masks `[T, units, B]`, kept values scaled up."""
    shape = [num_frames, self.units, batch_size]
    return {'mask': dropout_mask(shape, self.keep_prob, seed)}

  def step(self, inputs, state, params, product):
    """One frame: -> new state, output first. Shapes as in `scan`."""
    raise NotImplementedError

  def zero_state(self, batch_size: Any) -> tuple[tf.Tensor, ...]:
    return tuple(tf.zeros([n, batch_size]) for n in self.state_size)

  def split_state(self, vector: Any) -> tuple[tf.Tensor, ...]:
    """State tensors from a 2017 state vector `[state_size, B]`."""
    sizes = [self.state_size[i] for i in self.state_layout]
    parts = tf.split(vector, sizes, axis=0)
    order = sorted(range(len(parts)), key=self.state_layout.__getitem__)
    return tuple(parts[i] for i in order)

  def join_state(self, state: Sequence[tf.Tensor]) -> tf.Tensor:
    """The 2017 state vector `[state_size, B]` of a state."""
    return tf.concat([state[i] for i in self.state_layout], axis=0)

  def scan(self, x, context=None, state=None, reverse=False, seed=None):
    """Runs the cell over frames.

    Args:
      x: frames `[T, width, B]`.
      context: `[C, B]` or None.
      state: first state; zeros if None.
      reverse: run from the last frame to the first.
      seed: of the recurrent dropout, int `[2]`; None for no dropout.

    Returns:
      outputs `[T, units, B]` and the last state.
    """
    num_frames, width, batch_size = x.shape
    if width <= FUSED_WIDTH:
      inputs = {'x': x}
      kernels, params = self.fused(width, context)
    else:
      inputs, kernels, params = self.hoisted(x, context)
    if seed is not None and self.keep_prob < 1:
      inputs |= self.masks(num_frames, batch_size, seed)
    if state is None:
      state = self.zero_state(tf.shape(x)[2])
    return scan_lib.scan(
      self.step,
      inputs,
      state,
      kernels,
      params,
      reverse=reverse,
      product_dtype=tf.as_dtype(self.compute_dtype),
    )

  def call(self, inputs, states, training=False):
    """The Keras protocol: inputs `[B, in]`, states `[B, units]` each."""
    inputs_t = {'x': tf.transpose(inputs)}
    if training and self.keep_prob < 1:
      seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
      masks = self.masks(1, tf.shape(inputs)[0], seed)
      inputs_t |= {name: y[0] for name, y in masks.items()}
    kernels, params = self.fused(inputs.shape[1])
    state = [tf.transpose(s) for s in states]
    state = self.step(inputs_t, state, params, scan_lib.products(kernels))
    state = [tf.transpose(s) for s in state]
    return state[0], state


def dropout_mask(shape, keep_prob, seed):
  """0 with probability 1 - keep_prob, else 1 / keep_prob; `[..., B]`."""
  uniform = tf.random.stateless_uniform
  kept = distribution.draw(uniform, shape, seed, axis=-1) < keep_prob
  return tf.cast(kept, tf.float32) / keep_prob


def _column(variable):
  return variable[:, None]


def _rows(w, start, end):
  """Rows of a weight; the gradient of a slice that is all costs a copy."""
  w = tf.convert_to_tensor(w)
  return w if (start, end) == (0, w.shape[0]) else w[start:end]


def _context_offset(w_xh, context, width):
  rows = _rows(w_xh, width, width + context.shape[0])
  return tf.matmul(rows, context, transpose_a=True)


def _add(x, y):
  """X + y, either of which may be None."""
  if x is None or y is None:
    return x if y is None else y
  return x + y


def _gates(inputs, h, params, product):
  """Gates `[4 * units, B]` before their activation, hoisted or fused."""
  offset = params.get('offset')
  if 'gates' in inputs:
    return product('hh', h, plus=_add(inputs['gates'], offset))
  x = inputs['x']
  operand = tf.concat([h, x], axis=0) if x.shape[0] else h
  return product('hh', operand, plus=offset)


class LSTMCell(Cell):
  """LSTM (Hochreiter & Schmidhuber 1997) with one bias."""

  state_layout = (1, 0)

  def build(self, input_shape):
    super().build(input_shape)
    self.bias = self.add_weight(
      name='bias', shape=(4 * self.units,), initializer='zeros'
    )

  def offsets(self, context, width):
    offset = super().offsets(context, width).get('offset')
    return {'offset': _add(offset, _column(self.bias))}

  def step(self, inputs, state, params, product):
    h, c = state
    gates = _gates(inputs, h, params, product)
    c, output_gate = lstm_gates(gates, c, inputs.get('mask'))
    return tf.tanh(c) * output_gate, c


class LayerNormLSTMCell(Cell):
  """LSTM with each gate and the cell layer-normalised (arXiv 1607.06450)."""

  def build(self, input_shape):
    super().build(input_shape)
    self.ln_all = self._norm('ln_all', 4 * self.units)
    self.ln_c = self._norm('ln_c', self.units)

  def params(self):
    names = ('all_gamma', 'all_beta', 'c_gamma', 'c_beta')
    weights = (*self.ln_all, *self.ln_c)
    return {n: _column(w) for n, w in zip(names, weights, strict=True)}

  def step(self, inputs, state, params, product):
    h, c = state
    gates = _gates(inputs, h, params, product)
    gates = layer_norm(gates, params['all_gamma'], params['all_beta'], 4)
    c, output_gate = lstm_gates(gates, c, inputs.get('mask'))
    normed = layer_norm(c, params['c_gamma'], params['c_beta'])
    return tf.tanh(normed) * output_gate, c


class HyperLSTMCell(Cell):
  """LSTM whose gates a small LSTM scales (Ha et al., arXiv 1609.09106).

  The small cell sees the input and the last output. Its output makes, for each
  of the eight blocks (four gates of the input, four of the last output), an
  embedding and from that a scale for each unit; the last output's four blocks
  get an offset as well.

  Args:
    units: size of the output.
    hyper_units: size of the small cell.
    embedding_size: size of each block's embedding.
    use_layer_norm: layer-normalise the gates, and the small cell with them.
    keep_prob: recurrent dropout, of both cells.
  """

  NUM_SCALES = 8
  NUM_OFFSETS = 4

  def __init__(
    self,
    units: int,
    hyper_units: int = 256,
    embedding_size: int = 64,
    use_layer_norm: bool = True,
    keep_prob: float = 1.0,
    **kwargs: Any,
  ):
    super().__init__(units, keep_prob, **kwargs)
    self.hyper_units = hyper_units
    self.embedding_size = embedding_size
    self.use_layer_norm = bool(use_layer_norm)
    cell = LayerNormLSTMCell if use_layer_norm else LSTMCell
    self.hyper_cell = cell(
      hyper_units, keep_prob, name='hyper_cell', dtype=self.dtype_policy
    )
    # Ours: h, hyper h, c, hyper c.
    self.state_size = [units, hyper_units, units, hyper_units]
    self.state_layout = (0, 1, 2, 3) if use_layer_norm else (0, 3, 2, 1)

  def get_config(self):
    own = {
      'hyper_units': self.hyper_units,
      'embedding_size': self.embedding_size,
      'use_layer_norm': self.use_layer_norm,
    }
    return {**super().get_config(), **own}

  def build(self, input_shape):
    super().build(input_shape)
    units, hyper, size = self.units, self.hyper_units, self.embedding_size
    self.bias = self.add_weight(
      name='bias', shape=(4 * units,), initializer='zeros'
    )
    self.hyper_cell.build((None, input_shape[-1] + units))
    add, n, m = self.add_weight, self.NUM_SCALES, self.NUM_OFFSETS
    constant = keras.initializers.Constant
    self.w_zw = add(name='w_zw', shape=(n, hyper, size), initializer='zeros')
    self.b_zw = add(name='b_zw', shape=(n, size), initializer='ones')
    self.w_alpha = add(
      name='w_alpha', shape=(n, size, units), initializer=constant(0.1 / size)
    )
    self.w_zb = add(
      name='w_zb',
      shape=(m, hyper, size),
      initializer=keras.initializers.RandomNormal(stddev=0.01),
    )
    self.w_beta = add(
      name='w_beta', shape=(m, size, units), initializer='zeros'
    )
    self.ln_c = self._norm('ln_c', units)
    if self.use_layer_norm:
      self.ln_all = self._norm('ln_all', 4 * units)

  def fused(self, width, context=None):
    kernels = self.kernels()
    hyper = self.hyper_cell.w_xh
    rows = tf.concat([hyper[-self.units :], hyper[:width]], axis=0)
    kernels['hyper_xh'] = tf.transpose(rows)
    kernels['xh'] = tf.transpose(self.w_xh[:width])
    return kernels, self.params() | self.offsets(context, width)

  def input_weights(self):
    return {'gates': self.w_xh, 'hyper': self.hyper_cell.w_xh}

  def offsets(self, context, width):
    hyper = self.hyper_cell.offsets(context, width)
    hyper = {f'hyper_{name}': x for name, x in hyper.items()}
    return super().offsets(context, width) | hyper

  def kernels(self):
    hyper = self.hyper_cell
    z = [
      tf.reshape(tf.transpose(w, [0, 2, 1]), [-1, self.hyper_units])
      for w in (self.w_zw, self.w_zb)
    ]
    return super().kernels() | {
      'hyper_xh': tf.transpose(hyper.w_xh[-self.units :]),
      'hyper_hh': hyper.kernels()['hh'],
      'z': tf.concat(z, axis=0),
      'alpha': tf.transpose(self.w_alpha, [0, 2, 1]),
      'beta': tf.transpose(self.w_beta, [0, 2, 1]),
    }

  def params(self):
    params = {f'hyper_{n}': p for n, p in self.hyper_cell.params().items()}
    names, weights = ['bias', 'c_gamma', 'c_beta'], [self.bias, *self.ln_c]
    if self.use_layer_norm:
      names += ['all_gamma', 'all_beta']
      weights += [*self.ln_all]
    params |= {n: _column(w) for n, w in zip(names, weights, strict=True)}
    return params | {'b_zw': self.b_zw[:, :, None]}

  def masks(self, num_frames, batch_size, seed):
    seed, hyper_seed = tf.unstack(tf.random.split(seed, 2))
    hyper = self.hyper_cell.masks(num_frames, batch_size, hyper_seed)
    own = super().masks(num_frames, batch_size, seed)
    return own | {'hyper_mask': hyper['mask']}

  def step(self, inputs, state, params, product):
    h, hyper_h, c, hyper_c = state
    hyper_h, hyper_c = self._hyper_step(
      inputs, h, (hyper_h, hyper_c), params, product
    )
    num_scales, size = self.NUM_SCALES, self.embedding_size
    z = product('z', hyper_h)
    z = tf.reshape(z, [num_scales + self.NUM_OFFSETS, size, -1])
    scales = product('alpha', z[:num_scales] + params['b_zw'])
    offsets = product('beta', z[num_scales:])

    def by_gate(x):
      return tf.reshape(x, [4, self.units, -1])

    offset = params.get('offset')
    if 'gates' in inputs:
      from_x = _add(inputs['gates'], offset)
    else:
      from_x = product('xh', inputs['x'], plus=offset)
    from_x = by_gate(from_x) * scales[:4]
    from_h = by_gate(product('hh', h)) * scales[4:] + offsets
    gates = tf.reshape(from_x + from_h, [4 * self.units, -1]) + params['bias']
    if self.use_layer_norm:
      gates = layer_norm(gates, params['all_gamma'], params['all_beta'], 4)
    c, output_gate = lstm_gates(gates, c, inputs.get('mask'))
    normed = layer_norm(c, params['c_gamma'], params['c_beta'])
    return tf.tanh(normed) * output_gate, hyper_h, c, hyper_c

  def _hyper_step(self, inputs, h, state, params, product):
    """The small cell's step; its input is the frame and h."""
    params = {
      n.removeprefix('hyper_'): p
      for n, p in params.items()
      if n.startswith('hyper_')
    }
    offset = params.pop('offset', None)
    operand, plus = h, offset
    if 'hyper' in inputs:
      plus = _add(inputs['hyper'], offset)
    else:
      operand = tf.concat([h, inputs['x']], axis=0)
    inputs = {
      'gates': product('hyper_xh', operand, plus=plus),
      'mask': inputs.get('hyper_mask'),
    }

    def hyper_product(name, a, plus):
      return product(f'hyper_{name}', a, plus)

    return self.hyper_cell.step(inputs, state, params, hyper_product)
