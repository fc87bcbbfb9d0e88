"""The dilated convolution against NumPy and against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth import convolution


@pytest.mark.parametrize('dilation', [1, 2, 5])
def test_convolve_and_gradient(dilation):
  rng = np.random.default_rng(dilation)
  x = rng.normal(size=[2, 13, 3])
  kernel = rng.normal(size=[3, 3, 4])
  length = 13 - 2 * dilation
  expected = sum(
    x[:, f * dilation : f * dilation + length] @ kernel[f] for f in range(3)
  )

  def convolve(x, kernel):
    return convolution.convolve(x, kernel, dilation)

  np.testing.assert_allclose(convolve(x, kernel), expected, atol=1e-12)
  analytic, numeric = tf.test.compute_gradient(convolve, [x, kernel])
  for a, n in zip(analytic, numeric, strict=True):
    np.testing.assert_allclose(a, n, atol=1e-8)


@pytest.mark.parametrize('filter_length', [1, 3])
def test_layer_is_keras_conv1d(filter_length):
  layer = convolution.Convolution(3, 4, filter_length, 2, name='conv')
  layer.build()
  layer.bias.assign([1.0, 2.0, 3.0, 4.0])
  reference = keras.layers.Conv1D(4, filter_length, dilation_rate=2)
  x = np.random.default_rng(0).normal(size=[2, 9, 3]).astype(np.float32)
  reference.build(x.shape)
  reference.set_weights([layer.kernel.numpy(), layer.bias.numpy()])
  np.testing.assert_allclose(layer(x), reference(x), atol=1e-5)
