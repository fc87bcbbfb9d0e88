"""The time loop: one cell run over all frames, with its own backward pass.

A recurrent step is a few large matrix products with cheap element-wise work
between them. Left to automatic differentiation, each frame would also add a
rank-B update to every weight gradient. Here the cell names its products, and
the loop treats them apart:

* forward, the result of each product is kept;
* backward, the element-wise part is replayed from those results (no product is
  computed twice), and only the products with the transposed kernels run;
* the weight gradients are products over many frames and notes at once.

Everything in the loop is feature-major, `[features, B]`: the kernels, stored
`[out, in]`, then stream through memory row by row, the gates of a cell are
contiguous, and one code serves B = 1 and B = 1000. Stacks are `[T, features,
B]`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

# So many frames are no loop: most of their time would be its bookkeeping.
UNROLLED_FRAMES = 8
# Frames times notes of one product for a weight gradient, and most frames.
CHUNK_COLUMNS = 512
CHUNK_FRAMES = 32
# Frames whose replay may run ahead; each one more costs memory.
PARALLEL_FRAMES = 4

# product(name, a, plus=None) -> kernels[name] @ a + plus
Product = Callable[..., tf.Tensor]
# step(inputs_t, state, params, product) -> new state, output first
Step = Callable[..., Sequence[tf.Tensor]]


def products(kernels: dict[str, tf.Tensor]) -> Product:
  """The plain `product` function of a step over these kernels.

  An operand is rounded to the dtype of its kernel, and the result has the dtype
  that the operand had.
  """

  def product(name, a, plus=None):
    y = _product(kernels[name], a)
    return y if plus is None else y + plus

  return product


def scan(
  step: Step,
  inputs: dict[str, tf.Tensor],
  state: Sequence[tf.Tensor],
  kernels: dict[str, tf.Tensor],
  params: dict[str, tf.Tensor],
  *,
  reverse: bool = False,
  product_dtype: tf.DType = tf.float32,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
  """Runs `step` over the first axis of `inputs`.

  Args:
    step: pure function of one frame. It reaches the kernels only through its
      argument `product` and uses each name once.
    inputs: what each frame adds, tensors `[T, features, B]`.
    state: tensors `[features, B]`; the first one is the cell's output.
    kernels: matrices of the in-loop products: `[out, in]` for an operand
      `[in, B]`, or `[k, out, in]` for an operand `[k, in, B]`.
    params: small tensors used element-wise in `step`, such as biases.
    reverse: run from the last frame to the first.
    product_dtype: what the operands of the in-loop products, and of those of
      their gradients, are rounded to. Their results, and all else, are float32.

  Returns:
    outputs `[T, features, B]`, in the order of `inputs`, and the state after
    the last step. Differentiable, once, in all tensors.
  """
  arguments = (dict(inputs), tuple(state), dict(kernels), dict(params))

  @tf.custom_gradient
  def run(*flat):
    inputs, state, kernels, params = tf.nest.pack_sequence_as(arguments, flat)
    kernels = {n: tf.cast(k, product_dtype) for n, k in kernels.items()}
    loop = _Loop(step, inputs, params, reverse)
    final, (first, *others), kept = loop.forward(state, kernels)
    first = first.stack()
    outputs = first[:-1] if reverse else first[1:]

    def gradient(d_outputs, *d_final):
      read = [first.__getitem__, *(s.read for s in others)]
      grads = loop.backward(read, kept, kernels, d_outputs, d_final)
      return tf.nest.flatten(grads)

    return (outputs, *final), gradient

  outputs, *final = run(*tf.nest.flatten(arguments))
  return outputs, tuple(final)


class _Loop:
  """Both directions of one scan.

  States are kept in arrays of T + 1 rows, all else in arrays of T. The first
  frame of either direction runs ahead of its loop: it shows what the loop has
  to keep.
  """

  def __init__(self, step, inputs, params, reverse):
    self.step = step
    self.inputs = inputs
    self.params = params
    self.num_frames = tf.nest.flatten(inputs)[0].shape[0]
    self.reverse = reverse
    self.last = 0 if reverse else self.num_frames - 1
    self.is_unrolled = self.num_frames <= UNROLLED_FRAMES

  def frame(self, k):
    """Frame of step k."""
    return self.num_frames - 1 - k if self.reverse else k

  def row_before(self, t):
    return t + 1 if self.reverse else t

  def row_after(self, t):
    return t if self.reverse else t + 1

  def _repeat(self, condition, body, values, most):
    """A loop, without its bookkeeping if there are few frames."""
    if not self.is_unrolled:
      return tf.while_loop(
        condition,
        body,
        values,
        maximum_iterations=most,
        parallel_iterations=PARALLEL_FRAMES,
      )
    while condition(*values):
      values = body(*values)
    return values

  def _stacks(self, tensors, size):
    if self.is_unrolled:
      return [_Rows(size) for _ in tensors]
    return [
      tf.TensorArray(
        x.dtype, size, element_shape=x.shape, clear_after_read=False
      )
      for x in tensors
    ]

  def forward(self, state, kernels):
    """-> last state, arrays of the states and of the products' results."""
    multiply = products(kernels)

    def run(t, state):
      results = {}

      def product(name, a, plus=None):
        results[name] = multiply(name, a, plus)
        return results[name]

      inputs_t = {name: x[t] for name, x in self.inputs.items()}
      return tuple(self.step(inputs_t, state, self.params, product)), results

    def body(k, state, states, kept):
      t = self.frame(k)
      state, results = run(t, state)
      states = _write(states, self.row_after(t), state)
      return k + 1, state, states, _write(kept, t, results.values())

    t = self.frame(0)
    states = _write(
      self._stacks(state, self.num_frames + 1), self.row_before(t), state
    )
    state, results = run(t, tuple(state))
    states = _write(states, self.row_after(t), state)
    kept = self._stacks(results.values(), self.num_frames)
    kept = _write(kept, t, results.values())
    _, state, states, kept = self._repeat(
      lambda k, *_: k < self.num_frames,
      body,
      (1, state, states, kept),
      self.num_frames - 1,
    )
    return state, states, dict(zip(results, kept, strict=True))

  def backward(self, read_state, kept, kernels, d_outputs, d_state):
    """-> gradients of (inputs, first state, kernels, params)."""
    transposed = {n: tf.linalg.matrix_transpose(k) for n, k in kernels.items()}
    names = tuple(kernels)

    def run(t, d_state):
      """Replays a frame -> d of its inputs, state, params; product pairs."""
      inputs_t = {name: x[t] for name, x in self.inputs.items()}
      state = tuple(read(self.row_before(t)) for read in read_state)
      results = {name: kept[name].read(t) for name in names}
      operands = {}

      def product(name, a, plus=None):
        operands[name] = a
        return _replay(results[name], a, plus, transposed[name])

      with tf.GradientTape(watch_accessed_variables=False) as tape:
        leaves = (inputs_t, state, self.params, results)
        tape.watch(leaves)
        new_state = self.step(inputs_t, state, self.params, product)
      d_inputs, d_state, d_params, d_results = tape.gradient(
        new_state,
        leaves,
        output_gradients=[d_state[0] + d_outputs[t], *d_state[1:]],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
      )
      pairs = [
        tuple(tf.cast(x, kernels[name].dtype) for x in pair)
        for name in names
        for pair in [(d_results[name], operands[name])]
      ]
      return d_inputs, d_state, d_params, pairs

    t = self.last
    d_inputs, d_state, d_params, first = run(t, tuple(d_state))
    inputs_order = tuple(d_inputs)
    input_rows = self._stacks(d_inputs.values(), self.num_frames)
    input_rows = _write(input_rows, t, d_inputs.values())
    first = tf.nest.flatten(first)
    most = self.num_frames - 1

    def frame_body(k, i, d_state, d_params, input_rows, pair_rows):
      t = self.frame(k)
      d_inputs, d_state, d_frame, pairs = run(t, d_state)
      d_params = tf.nest.map_structure(tf.add, d_params, d_frame)
      d_inputs = [d_inputs[name] for name in inputs_order]
      input_rows = _write(input_rows, t, d_inputs)
      pair_rows = _write(pair_rows, i, tf.nest.flatten(pairs))
      return k - 1, i + 1, d_state, d_params, input_rows, pair_rows

    if self.is_unrolled:
      pair_rows = self._stacks(first, self.num_frames)
      pair_rows = _write(pair_rows, 0, first)
      *_, d_state, d_params, input_rows, pair_rows = self._repeat(
        lambda k, *_: k >= 0,
        frame_body,
        (most - 1, 1, d_state, d_params, input_rows, pair_rows),
        most,
      )
      d_kernels = _outer_products(pair_rows, self.num_frames)
    else:
      # Enough columns for an efficient product, few enough for the caches.
      batch_size = first[0].shape[-1] or 1
      chunk = max(1, min(CHUNK_COLUMNS // batch_size, CHUNK_FRAMES, most))

      def chunk_body(k, d_state, d_params, d_kernels, input_rows):
        # Rows that a last, shorter chunk leaves unwritten read as zeros.
        pair_rows = self._stacks(first, chunk)
        k, _, d_state, d_params, input_rows, pair_rows = self._repeat(
          lambda k, i, *_: (k >= 0) & (i < chunk),
          frame_body,
          (k, 0, d_state, d_params, input_rows, pair_rows),
          chunk,
        )
        more = _outer_products(pair_rows, chunk)
        d_kernels = [w + p for w, p in zip(d_kernels, more, strict=True)]
        return k, d_state, d_params, d_kernels, input_rows

      d_kernels = _outer_products(_write(self._stacks(first, 1), 0, first), 1)
      _, d_state, d_params, d_kernels, input_rows = self._repeat(
        lambda k, *_: k >= 0,
        chunk_body,
        (most - 1, d_state, d_params, d_kernels, input_rows),
        -(-most // chunk),
      )
    rows = [r.stack() for r in input_rows]
    d_inputs = dict(zip(inputs_order, rows, strict=True))
    return d_inputs, d_state, dict(zip(names, d_kernels, strict=True)), d_params


def _product(kernel, a):
  return tf.cast(tf.matmul(kernel, tf.cast(a, kernel.dtype)), a.dtype)


def _replay(result, a, plus, transposed):
  """The kept result, with the gradients of the product that made it."""
  if plus is None:
    return _replay_product(result, a, transposed)
  return _replay_sum(result, a, plus, transposed)


@tf.custom_gradient
def _replay_product(result, a, transposed):
  return tf.identity(result), lambda d: (d, _product(transposed, d), None)


@tf.custom_gradient
def _replay_sum(result, a, plus, transposed):
  def gradient(d):
    one_for_all = plus.shape[-1] == 1 != d.shape[-1]
    d_plus = tf.reduce_sum(d, axis=-1, keepdims=True) if one_for_all else d
    return d, _product(transposed, d), d_plus, None

  return tf.identity(result), gradient


class _Rows:
  """As a tf.TensorArray, for loops that are unrolled."""

  def __init__(self, size, rows=None):
    self._rows = rows or [None] * size

  def write(self, t, x):
    rows = list(self._rows)
    rows[t] = x
    return _Rows(len(rows), rows)

  def read(self, t):
    return self._rows[t]

  def stack(self):
    return tf.stack(self._rows)


def _write(stacks, t, tensors):
  return [s.write(t, x) for s, x in zip(stacks, tensors, strict=True)]


def _outer_products(pair_rows, count):
  """Gradients of kernels from so many rows of pairs.

  Rows of a pair are the gradient of a product, `[(k,) out, B]`, and its
  operand, `[(k,) in, B]`; side by side they make one product.
  """
  rows = (tf.concat([r.read(i) for i in range(count)], -1) for r in pair_rows)
  return [
    tf.cast(tf.matmul(d, a, transpose_b=True), tf.float32)
    for d, a in zip(rows, rows, strict=True)
  ]
