"""Convolution over time, the one kind of layer of the NSynth WaveNet."""

import hashlib

import keras
import tensorflow as tf


class Convolution(keras.layers.Layer):
  """A convolution `[B, n + reach, in]` -> `[B, n, out]` of dilated taps.

  The reach is (filter_length - 1) * dilation. The caller pads the input by it,
  and so decides whether the layer is causal.

  Args:
    in_width: channels in.
    out_width: channels out.
    filter_length: samples that an output sees, 1 or 3.
    dilation: samples from one of them to the next.
    name: of the layer, and of its weights in a 2017 checkpoint.
  """

  def __init__(
    self,
    in_width: int,
    out_width: int,
    filter_length: int = 1,
    dilation: int = 1,
    *,
    name: str,
  ):
    super().__init__(name=name)
    self.in_width = in_width
    self.out_width = out_width
    self.filter_length = filter_length
    self.dilation = dilation

  def build(self, input_shape=None):
    """Makes the weights, with the initial values of 2017."""
    self.kernel = self.add_weight(
      name='kernel',
      shape=(self.filter_length, self.in_width, self.out_width),
      initializer=keras.initializers.VarianceScaling(1.0, 'fan_in', 'uniform'),
    )
    self.bias = self.add_weight(
      name='bias', shape=(self.out_width,), initializer='zeros'
    )

  def call(self, inputs):
    """See the class."""
    if self.filter_length == 1:
      outputs = tf.matmul(inputs, self.kernel[0])
    else:
      outputs = convolve(
        inputs, tf.convert_to_tensor(self.kernel), self.dilation
      )
    return tf.nn.bias_add(outputs, self.bias)


class ConvolutionalPart(keras.layers.Layer):
  """A part of the autoencoder that consists of convolutions.

  Built, that is given weights, on first use.
  """

  @property
  def convolutions(self) -> list[Convolution]:
    """All layers with weights."""
    raise NotImplementedError

  @property
  def tf1_shapes(self) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights in a 2017 checkpoint, by name; built or not."""
    shapes: dict[str, tuple[int, ...]] = {}
    for c in self.convolutions:
      shapes[f'{c.name}/W'] = (1, c.filter_length, c.in_width, c.out_width)
      shapes[f'{c.name}/biases'] = (c.out_width,)
    return shapes

  @property
  def tf1_variables(self) -> dict[str, keras.Variable]:
    """The weights by their names in a 2017 checkpoint; see `tf1_shapes`."""
    variables = {}
    for c in self.convolutions:
      variables[f'{c.name}/W'] = c.kernel
      variables[f'{c.name}/biases'] = c.bias
    return variables

  def sha256(self) -> str:
    """Of the weights, with their names and in the order of these."""
    digest = hashlib.sha256()
    for name, variable in sorted(self.tf1_variables.items()):
      digest.update(name.encode())
      digest.update(variable.numpy().astype('<f4').tobytes())
    return digest.hexdigest()

  def build(self, *input_shapes):
    """Makes the weights."""
    for convolution in self.convolutions:
      convolution.build()


def pad_time(x: tf.Tensor, before: int, after: int = 0) -> tf.Tensor:
  """`[B, n, C]` with zeros put before and after."""
  return tf.pad(x, [[0, 0], [before, after], [0, 0]])


def convolve(x: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
  """A dilated convolution without padding.

  Args:
    x: `[B, n + (F - 1) * dilation, in]`.
    kernel: `[F, in, out]`.
    dilation: samples from one tap of the kernel to the next.

  Returns:
    `[B, n, out]`: the sum over taps f of x[:, t + f * dilation] @ kernel[f].
  """

  # TensorFlow's own gradient of a dilated convolution does not run on a CPU.
  @tf.custom_gradient
  def run(x, kernel):
    num_taps = kernel.shape[0]

    def gradient(upstream):
      reach = (num_taps - 1) * dilation
      mirrored = tf.transpose(kernel[::-1], [0, 2, 1])
      padded = pad_time(upstream, reach, reach)
      length = tf.shape(upstream)[1]
      taps = (
        x[:, f * dilation : f * dilation + length] for f in range(num_taps)
      )
      products = [tf.tensordot(tap, upstream, [[0, 1]] * 2) for tap in taps]
      return _convolve(padded, mirrored, dilation), tf.stack(products)

    return _convolve(x, kernel, dilation), gradient

  return run(x, kernel)


def _convolve(x, kernel, dilation):
  return tf.nn.conv1d(x, kernel, 1, 'VALID', dilations=dilation)
