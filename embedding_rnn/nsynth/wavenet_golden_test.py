"""The WaveNet autoencoder against numbers of Magenta's TensorFlow 1 program.

testdata/nsynth_wavenet holds what Magenta's graphs computed with random
weights: 'tiny' (6 layers, 32 samples a frame) and 'mid' (30 layers, 512 samples
a frame, as published, but narrow). Of the time steps a part is kept.
Tolerances: their float32 differs from float64 by 6e-6 (frames), 1.3e-5
(logits of up to 120) and 2e-6 (probabilities, losses).
"""

import numpy as np
import pytest
import tensorflow as tf

from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.conftest import TESTDATA, follow
from embedding_rnn.nsynth.fastgen.runtime import (
  BATCH_SIZES,
  make_generator,
)


def close(actual, expected, atol=2e-5, rtol=1e-6):
  np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
  ('group', 'suffix'), [('raw', ''), ('ema', '_ema')], ids=['raw', 'averaged']
)
def test_frames_logits_and_loss(golden, group, suffix):
  golden.set_weights(group)
  model, wav = golden.model, golden['wav']
  frames = golden[f'encoding{suffix}']
  close(model.encode(wav), frames)
  log_probs = model.log_probs(wav, frames).numpy()
  expected = tf.nn.log_softmax(golden[f'logits{suffix}'])
  close(log_probs[:, golden['logit_steps']], expected)
  close(tf.reduce_mean(model.losses_of_notes(wav)), golden[f'loss{suffix}'])


def test_quantised_input(golden):
  codes = mu_law.encode(golden['wav'])
  np.testing.assert_array_equal(codes, golden['quantized_input'])


def test_odd_lengths_are_cut_to_whole_frames(golden):
  length = int(golden['encode_trim_input_len'])
  assert length % golden.model.hop_length
  frames = golden.model.encode(golden['wav'][:, :length])
  close(frames, golden['encode_out_trim'])


def test_gradients(golden):
  loss, gradients = golden.model.loss_and_gradients(golden['wav'])
  close(loss, golden['loss'])
  gradients = {
    id(v): g.numpy()
    for v, g in zip(golden.model.trainable_variables, gradients, strict=True)
  }
  path = TESTDATA / f'{golden.name}_grads.npz'
  expected = np.load(path, allow_pickle=False)
  unused = f'res_{int(golden["cfg_num_layers"])}/'
  for name, variable in golden.variables().items():
    actual = gradients[id(variable)]
    if name.startswith(unused):
      assert name not in expected
      assert not actual.any()
    else:
      gradient = expected[name].reshape(actual.shape)
      np.testing.assert_allclose(
        actual, gradient, rtol=0, atol=1e-4 * abs(gradient).max(), err_msg=name
      )


def test_teacher_forced_probabilities(golden):
  log_probs = golden.model.log_probs(golden['wav'], golden['encoding']).numpy()
  check_log_probs(golden, log_probs)


def test_teacher_forced_generation(golden):
  generator = make_generator(
    golden.model.decoder, len(golden['encoding']), runtime='litert'
  )
  num_samples = golden['tf_nll'].shape[1]
  codes = golden['quantized_input'][:, :num_samples]
  check_log_probs(golden, follow(generator, codes, golden['encoding']))


def check_log_probs(golden, log_probs):
  num_samples = golden['tf_nll'].shape[1]
  steps = golden['tf_steps']
  probs = np.exp(log_probs[:, steps])
  close(probs, golden['tf_probs'], atol=4e-6, rtol=0)
  classes = mu_law.to_classes(golden['quantized_input'].astype(int))
  nats = -np.take_along_axis(
    log_probs[:, :num_samples], classes[:, :num_samples, None], axis=2
  )[..., 0]
  expected = golden['tf_nll']
  # Magenta's probabilities underflow where these log probabilities do not.
  likely = np.isfinite(expected)
  close(nats[likely], expected[likely], rtol=1e-5)
  assert (nats[~likely] > 80).all()


@pytest.fixture(params=BATCH_SIZES)
def runtime(request):
  """Each of them."""
  return request.param


def generate(golden, runtime, num_samples, uniform=None):
  """Codes from given random numbers, in chunks of a frame."""
  hop = golden.model.hop_length
  num_frames = -(-num_samples // hop)
  if uniform is not None:
    padding = num_frames * hop - num_samples
    uniform = np.pad(uniform, ((0, 0), (0, padding))).astype(np.float32)
  frames = golden['encoding']
  generator = make_generator(golden.model.decoder, len(frames), runtime=runtime)
  state = generator.initial_state()
  chunks = []
  for frame in range(num_frames):
    chunk = slice(frame * hop, (frame + 1) * hop)
    codes, state = generator(
      frames[:, frame : frame + 1],
      None if uniform is None else uniform[:, chunk],
      state,
    )
    chunks.append(codes)
  return tf.concat(chunks, axis=1)[:, :num_samples]


@pytest.mark.parametrize('kind', ['argmax', 'sample'])
def test_generated_codes(golden, runtime, kind):
  expected = golden[f'{kind}_codes']
  uniform = golden['sample_u'] if kind == 'sample' else None
  codes = generate(golden, runtime, expected.shape[1], uniform)
  np.testing.assert_array_equal(mu_law.to_classes(codes), expected)
  close(mu_law.decode(codes), golden[f'{kind}_audio'], atol=1e-7)


def test_synthesised_audio(tiny, runtime):
  expected = tiny['synth_audio']
  codes = generate(tiny, runtime, expected.shape[1], tiny['synth_u'])
  close(mu_law.decode(codes), expected, atol=1e-7)


def test_greedy_generation(tiny, runtime):
  num_samples = tiny['argmax_audio'].shape[1]
  num_frames = num_samples // tiny.model.hop_length
  audio = tiny.model.generate(
    tiny['encoding'][:, :num_frames], greedy=True, runtime=runtime
  )
  close(audio, tiny['argmax_audio'], atol=1e-7)
