"""Mu-law against numbers of Magenta's program, over all codes."""

import numpy as np
import pytest

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.conftest import TESTDATA


@pytest.fixture(scope='module')
def golden():
  return np.load(TESTDATA / 'mulaw.npz', allow_pickle=False)


def test_decode_all_codes(golden):
  codes = golden['codes'][:-1]
  np.testing.assert_array_equal(codes, np.arange(-128, 128))
  audio = mu_law.decode(codes)
  for name in ('decode_numpy', 'decode_tf'):
    np.testing.assert_allclose(audio, golden[name][:-1], rtol=0, atol=1e-7)
  assert audio[128] == 0.0


def test_all_codes_survive(golden):
  codes = golden['codes'][:-1]
  np.testing.assert_array_equal(mu_law.encode(mu_law.decode(codes)), codes)


@pytest.mark.parametrize('name', ['ramp', 'rand', 'edge'])
def test_encode(golden, name):
  codes = mu_law.encode(golden[name]).numpy()
  expected = np.clip(golden[f'{name}_code'], -128, 127)
  if name != 'edge':  # of which every sample is far from the next code
    clear = golden[f'{name}_boundary_dist'] > 1e-5
    assert clear.mean() > 0.99
    codes, expected = codes[clear], expected[clear]
  np.testing.assert_array_equal(codes, expected)


def test_classes_and_signal(golden):
  codes = np.arange(-128, 128)
  np.testing.assert_array_equal(mu_law.to_classes(codes), np.arange(256))
  np.testing.assert_array_equal(mu_law.to_codes(np.arange(256)), codes)
  signal = mu_law.to_signal(codes)
  np.testing.assert_array_equal(signal, golden['x_scaled_of_code'][:-1])
