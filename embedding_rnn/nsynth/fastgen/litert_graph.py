"""Small graphs of matrix products for LiteRT, written without its converter.

LiteRT reads a FlatBuffer with the operations and the constants of a graph, and
its XNNPACK runs it on the CPU. The converter of TensorFlow takes several times
the weights' memory for them; the few operations needed here are soon written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

_VERSION = 3  # of the format
_IDENTIFIER = b'TFL3'
_MAX_INPUTS = 5  # of a concatenation that XNNPACK runs
_TYPES = {
  np.dtype(np.float32): schema.TensorType.FLOAT32,
  np.dtype(np.int8): schema.TensorType.INT8,
  np.dtype(np.int32): schema.TensorType.INT32,
}
_MAX_INT8 = 127


class Graph:
  """A graph that is being written; its tensors are known by their numbers.

  All tensors are float32 matrices `[rows, columns]`.

  Args:
    is_int8: whether the kernels of `dense` are rounded to 8 bits, with a scale
      for each column. LiteRT then rounds the rows of the input as well, each by
      its own range, whenever it runs.
  """

  def __init__(self, is_int8: bool):
    self._is_int8 = is_int8
    self._graph = _make('SubGraph', tensors=[], inputs=[], operators=[])
    # The first buffer is by convention the empty one.
    self._buffers = [_make('Buffer')]
    self._codes: list[Any] = []

  def input(self, rows: int, columns: int) -> int:
    """A matrix that is given for each run."""
    self._graph.inputs.append(self._add_tensor((rows, columns)))
    return self._graph.inputs[-1]

  def dense(
    self,
    x: int,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    is_exact: bool = False,
  ) -> int:
    """Multiplies with a kernel `[in, out]` and adds a bias `[out]`.

    With `is_exact`, the kernel is never rounded to 8 bits.
    """
    kernel, scales = np.ascontiguousarray(kernel.T), None
    if self._is_int8 and not is_exact:
      scales = np.abs(kernel).max(axis=1, keepdims=True) / _MAX_INT8
      scales = np.maximum(scales, np.finfo(np.float32).tiny)
      kernel = np.rint(kernel / scales).astype(np.int8)
    options = _make('FullyConnectedOptions', asymmetricQuantizeInputs=True)
    inputs = [x, self._constant(kernel, scales)]
    if bias is not None:
      inputs.append(self._constant(bias))
    shape = self._shape(x)[0], len(kernel)
    return self._operate('FULLY_CONNECTED', inputs, shape, options)

  def split(self, x: int) -> list[int]:
    """The left and the right half of the columns."""
    rows, columns = self._shape(x)
    halves = []
    for start in (0, columns // 2):
      bounds = [[0, start], [rows, columns // 2]]
      inputs = [x, *(self._integers(bound) for bound in bounds)]
      shape = rows, columns // 2
      halves.append(
        self._operate('SLICE', inputs, shape, _make('SliceOptions'))
      )
    return halves

  def concatenate(self, parts: Sequence[int]) -> list[int]:
    """The parts side by side, in as few matrices as run fast."""
    wholes = []
    for start in range(0, len(parts), _MAX_INPUTS):
      some = parts[start : start + _MAX_INPUTS]
      columns = sum(self._shape(part)[1] for part in some)
      options = _make('ConcatenationOptions', axis=1)
      shape = self._shape(parts[0])[0], columns
      wholes.append(self._operate('CONCATENATION', some, shape, options))
    return wholes

  def num_columns(self, x: int) -> int:
    """How wide a matrix is."""
    return self._shape(x)[1]

  def add(self, a: int, b: int) -> int:
    """The sum, element by element."""
    return self._operate('ADD', [a, b], self._shape(a), _make('AddOptions'))

  def multiply(self, a: int, b: int) -> int:
    """The product, element by element."""
    return self._operate('MUL', [a, b], self._shape(a), _make('MulOptions'))

  def sigmoid(self, x: int) -> int:
    """The logistic function."""
    return self._operate('LOGISTIC', [x], self._shape(x))

  def tanh(self, x: int) -> int:
    """The hyperbolic tangent."""
    return self._operate('TANH', [x], self._shape(x))

  def relu(self, x: int) -> int:
    """The positive part."""
    return self._operate('RELU', [x], self._shape(x))

  def finish(self, outputs: Sequence[int], num_threads: int) -> Interpreter:
    """An interpreter of this graph, whose tensors keep their numbers.

    The graph is no longer usable: it gives up its memory on the way.
    """
    self._graph.outputs = list(outputs)
    model = _make(
      'Model',
      version=_VERSION,
      operatorCodes=[
        _make('OperatorCode', builtinCode=code, deprecatedBuiltinCode=code)
        for code in self._codes
      ],
      subgraphs=[self._graph],
      buffers=self._buffers,
    )
    # A builder that has to grow copies all it has.
    size = sum(len(b.data) for b in self._buffers if b.data is not None)
    builder = flatbuffers.Builder(size + 2**20)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    del model
    self._buffers.clear()
    content = bytes(memoryview(builder.Bytes)[builder.Head() :])
    del builder
    interpreter = Interpreter(model_content=content, num_threads=num_threads)
    interpreter.allocate_tensors()
    return interpreter

  def _operate(self, name, inputs, shape, options=None):
    code = getattr(schema.BuiltinOperator, name)
    if code not in self._codes:
      self._codes.append(code)
    output = self._add_tensor(shape)
    kind = 0
    if options is not None:
      kind = getattr(
        schema.BuiltinOptions, type(options).__name__.removesuffix('T')
      )
    self._graph.operators.append(
      _make(
        'Operator',
        opcodeIndex=self._codes.index(code),
        inputs=list(inputs),
        outputs=[output],
        builtinOptionsType=kind,
        builtinOptions=options,
      )
    )
    return output

  def _constant(self, array, scales=None):
    quantization = None
    if scales is not None:
      quantization = _make(
        'QuantizationParameters',
        scale=scales[:, 0],
        zeroPoint=np.zeros(len(scales), np.int64),
      )
    return self._add_tensor(
      array.shape, array.dtype, self._add_buffer(array), quantization
    )

  def _integers(self, values):
    array = np.array(values, np.int32)
    return self._add_tensor(array.shape, array.dtype, self._add_buffer(array))

  def _add_buffer(self, array):
    content = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    self._buffers.append(_make('Buffer', data=content))
    return len(self._buffers) - 1

  def _add_tensor(self, shape, dtype=np.float32, buffer=0, quantization=None):
    tensor = _make(
      'Tensor',
      shape=list(shape),
      type=_TYPES[np.dtype(dtype)],
      buffer=buffer,
      name=f'tensor_{len(self._graph.tensors)}',
      quantization=quantization,
    )
    self._graph.tensors.append(tensor)
    return len(self._graph.tensors) - 1

  def _shape(self, tensor):
    return self._graph.tensors[tensor].shape


def _make(kind, **fields):
  """An object of LiteRT's format, such as a Tensor; others than given are 0."""
  made = getattr(schema, f'{kind}T')()
  for name, value in fields.items():
    setattr(made, name, value)
  return made
