"""Exported runs, in a process of their own that lacks this package."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import embedding_rnn
from embedding_rnn import export
from embedding_rnn.data import checks
from embedding_rnn.export import __main__ as command
from embedding_rnn.model.decoder import by_step
from embedding_rnn.training.trained_run_test import make_data, make_run

# A second process imports TensorFlow, and much is traced.
pytestmark = pytest.mark.slow

RUNS = {
  'conditional': (
    'model=hyper,num_layers=2,hyper_lstm_size=4,hyper_embedding_size=3,'
    'difference_input=1,pca_dim_reduce=1,n_pca_components=3,no_sample_vae=1,'
    'clip_z_with_tanh=1'
  ),
  'unconditional': 'unconditional=1,difference_input=0',
  'several_frames': (
    'model=layer_norm,frames_per_step=4,error_order=2,velocity_context=1,'
    'one_scale=1,difference_input=0'
  ),
  'deaf': 'frames_per_step=4,error_order=2,feedback_keep_prob=0',
}
VELOCITIES = np.array([25, 100, 0], np.int32)
PITCHES = np.array([60, 0, 127], np.int32)
NUM_FRAMES, SEED = 9, 5
CONTROLS = {'temperature': 0.7, 'temperature_2': 0.5, 'top_p': 0.8}

# Calls signatures with the arrays of a file, and writes what they give.
CHILD = """
import sys
sys.modules['embedding_rnn'] = None
sys.modules['tensorflow_probability'] = None
import numpy as np
import tensorflow as tf

for folder in sys.argv[1:]:
  model = tf.saved_model.load(folder)
  call = {name: f for name, f in model.signatures.items()}
  inputs, result = {}, {}
  with np.load(folder + '_inputs.npz') as arrays:
    for name in arrays:
      signature, _, key = name.partition('/')
      inputs.setdefault(signature, {})[key] = tf.constant(arrays[name])

  def keep(name, outputs):
    result.update({f'{name}/{key}': x.numpy() for key, x in outputs.items()})

  for name in ('encode', 'sample', 'decode'):
    if name in call:
      keep(name, call[name](**inputs[name]))
  state = call['initial_state'](**inputs['initial_state'])
  step = inputs['step']
  uniform, normal = step.pop('uniform'), step.pop('normal')
  frame, frames = tf.zeros_like(uniform[:, 0]), []
  for t in range(uniform.shape[1]):
    given = {'frame': frame, 'uniform': uniform[:, t], 'normal': normal[:, t]}
    outputs = call['step'](**given, **step, **state)
    keep(f'step_{t}', outputs)
    frame = outputs['frame']
    frames.append(frame)
    state = {k: x for k, x in outputs.items() if k.startswith('state_')}
  width = call['to_notes'].structured_input_signature[1]['frames'].shape[-1]
  frames = tf.reshape(tf.stack(frames, axis=1), [len(frame), -1, width])
  keep('to_notes', call['to_notes'](frames=frames[:, :NUM_FRAMES]))
  np.savez(folder + '_outputs.npz', **result)
"""


def random_numbers(model):
  shape = [len(PITCHES), NUM_FRAMES, model.width]
  numbers = {
    'uniform': tf.random.stateless_uniform(shape, [SEED, 1]),
    'normal': tf.random.stateless_normal(shape, [SEED, 2]),
  }
  per_step = model.hps.frames_per_step
  return {name: by_step(x, per_step) for name, x in numbers.items()}


def inputs_of(run, notes):
  """What each signature is called with."""
  which = {'num_notes': np.int32(len(PITCHES))}
  if run.model.conditional:
    which = {'pitches': PITCHES, 'z': 100 * run.draw_latents(len(PITCHES))}
  if run.hps.velocity_context:
    which['velocities'] = VELOCITIES
  length = {'num_frames': np.int32(NUM_FRAMES)}
  controls = {name: np.float32(value) for name, value in CONTROLS.items()}
  return {
    'encode': {'notes': notes},
    'sample': which | length | controls | {'seed': np.int64(SEED)},
    'decode': which | length,
    'initial_state': which,
    'step': controls | random_numbers(run.model),
  }


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('exports')


@pytest.fixture(scope='module')
def notes(folder):
  make_data(folder / 'data')
  return np.load(folder / 'data' / 'train_z.npy')[:3].astype(np.float32)


@pytest.fixture(scope='module')
def runs(folder, notes):
  for name, extra in RUNS.items():
    make_run(folder / f'{name}_run', folder / 'data', extra)
  return {n: embedding_rnn.load_run(folder / f'{n}_run') for n in RUNS}


@pytest.fixture(scope='module')
def results(folder, notes, runs):
  """What a fresh process gets from the exported runs."""
  for name, run in runs.items():
    export.export_run(run, folder / name)
    arrays = {
      f'{signature}/{key}': value
      for signature, inputs in inputs_of(run, notes).items()
      for key, value in inputs.items()
    }
    np.savez(folder / f'{name}_inputs.npz', **arrays)
  child = f'NUM_FRAMES = {NUM_FRAMES}\n{CHILD}'
  command = [sys.executable, '-c', child, *(str(folder / n) for n in runs)]
  subprocess.run(command, check=True, timeout=300)
  results = {}
  for name in runs:
    with np.load(folder / f'{name}_outputs.npz') as arrays:
      results[name] = dict(arrays)
  return results


def close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize('name', RUNS)
def test_the_same_numbers_without_the_package(name, runs, results, notes):
  run, result = runs[name], results[name]
  z = None
  if run.model.conditional:
    z = 100 * run.draw_latents(len(PITCHES))
    for key, value in run.encode(notes)._asdict().items():
      close(result[f'encode/{key}'], value)
  which = {'velocity': VELOCITIES, 'num_frames': NUM_FRAMES}
  sampled = run.sample(PITCHES, z, seed=SEED, **which, **CONTROLS)
  close(result['sample/notes'], sampled)
  decoded = run.sample(PITCHES, z, greedy='mean', **which)
  close(result['decode/notes'], decoded)
  # A frame at a time, from the same random numbers.
  close(result['to_notes/notes'], sampled)
  num_steps = -(-NUM_FRAMES // run.hps.frames_per_step)

  def all_steps(key):
    x = np.stack([result[f'step_{s}/{key}'] for s in range(num_steps)], axis=1)
    x = x.reshape(len(x), -1, run.model.width, *x.shape[3:])
    return x[:, :NUM_FRAMES]

  frames = all_steps('frame')
  inputs = np.pad(frames[:, :-1], [(0, 0), (1, 0), (0, 0)])
  conditions = checks.conditions(PITCHES, VELOCITIES, run.hps)
  mix = run.model.predict_mixture(inputs, conditions, z)
  for key, value in mix._asdict().items():
    close(all_steps(key), value)


@pytest.mark.parametrize('name', RUNS)
def test_description(name, folder, runs, results):
  description = json.loads((folder / name / 'export.json').read_text())
  assert description['hparams'] == runs[name].hps.values()
  assert description['codec'] == 'harmonic' and description['step'] == 20
  signatures = description['signatures']
  assert ('encode' in signatures) == (name != 'unconditional')
  for key, value in results[name].items():
    signature, _, output = key.partition('/')
    outputs = signatures[
      signature.split('_')[0] if 'step' in key else signature
    ]
    shape = outputs['outputs'][output]['shape']
    assert len(shape) == value.ndim
    assert all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
  for key, inputs in signatures.items():
    assert set(inputs) == {'inputs', 'outputs'}, key


def test_bad_numbers_are_refused(folder, results):
  call = tf.saved_model.load(folder / 'conditional').signatures
  inputs = {'z': tf.zeros([1, 3]), 'num_frames': tf.constant(2)}
  for pitch in (-1, 128):
    with pytest.raises(tf.errors.InvalidArgumentError, match='MIDI numbers'):
      call['decode'](pitches=tf.constant([pitch]), **inputs)
  none = {'pitches': tf.constant([60]), 'num_frames': tf.constant(0)}
  with pytest.raises(tf.errors.InvalidArgumentError, match='num_frames: exp'):
    call['decode'](**inputs | none)
  controls = {name: tf.constant(value) for name, value in CONTROLS.items()}
  for name in CONTROLS:
    with pytest.raises(tf.errors.InvalidArgumentError, match=f'{name}: exp'):
      call['sample'](
        pitches=tf.constant([60]),
        seed=tf.constant(0, tf.int64),
        **inputs,
        **controls | {name: tf.constant(-1.0)},
      )


def test_whole_or_not_at_all(folder, runs, tmp_path, monkeypatch):
  with pytest.raises(FileExistsError, match='exists already'):
    export.export_run(runs['unconditional'], tmp_path)
  (tmp_path / 'file').touch()
  with pytest.raises(OSError, match='Cannot write to the folder'):
    export.export_run(runs['unconditional'], tmp_path / 'file' / '1')
  (tmp_path / 'file').unlink()

  def full_disk(module, path, *args):
    with open(f'{path}/saved_model.pb', 'wb'):
      raise OSError('No space left on device')

  monkeypatch.setattr(tf.saved_model, 'save', full_disk)
  with pytest.raises(OSError, match='No space'):
    export.export_run(runs['unconditional'], tmp_path / 'new')
  assert not list(tmp_path.iterdir())


def test_command(folder, runs, tmp_path, parse_flags):
  output_dir = tmp_path / 'models' / '1'
  arguments = [f'--run_dir={runs["unconditional"].folder}']
  parse_flags(command.define_flags, [*arguments, f'--output_dir={output_dir}'])
  command.main([])
  assert tf.saved_model.contains_saved_model(output_dir)


def test_command_needs_its_flags(parse_flags):
  parse_flags(command.define_flags, ['--run_dir=x'])
  with pytest.raises(ValueError, match='--output_dir'):
    command.main([])
