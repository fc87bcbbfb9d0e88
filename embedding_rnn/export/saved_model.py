"""A run as a SavedModel: its signatures as functions of named tensors."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from embedding_rnn import __version__
from embedding_rnn.model.decoder import Decoder
from embedding_rnn.model.hparams import NUM_VELOCITIES
from embedding_rnn.model.mixture import Components, Mixture
from embedding_rnn.training.trained_run import Run
from embedding_rnn.utils import files

_SCALAR = tf.TensorSpec([], tf.float32)
_CONTROLS = {'temperature': _SCALAR, 'temperature_2': _SCALAR, 'top_p': _SCALAR}
_FRAMES = (
  'Notes are float32 [batch, frames, seq_width] in the original format, and '
  'encode takes them of max_seq_len frames. Pitches are MIDI numbers. In step, '
  'a frame is in the format of the model: the first input is a zero frame, and '
  'each further one the frame before; uniform is in [0, 1), normal is standard '
  'normal; state_* go from initial_state to step, and from step to step; '
  'to_notes takes all frames in the order in which they were made.'
)


_STEPS = (
  ' What is said of a frame in step holds for all frames_per_step frames of a '
  'step, in one vector.'
)


def export_run(run: Run, output_dir: str | os.PathLike[str]) -> pathlib.Path:
  """Writes a run as a SavedModel, whole or not at all.

  The signatures, which compute the same as the methods of `Run` or its model:
    encode: notes to latents; not of an unconditional run.
    sample: new notes, with temperature, temperature_2, top_p and a seed.
    decode: new notes, truly greedy: each value is the mean of its mixture.
    initial_state, step: a frame at a time, from random numbers of the caller's;
      the mixtures are given, too.
    to_notes: the frames of all steps to notes.
  With hps.velocity_context, those that take pitches take velocities, too. With
  hps.frames_per_step, a step gives so many frames, in one vector.

  Args:
    run: a trained run.
    output_dir: the folder to write; it must not exist.

  Returns:
    The folder. Its `export.json` describes the frames and the signatures.

  Raises:
    FileExistsError: if output_dir exists.
    OSError: if it cannot be written.
  """
  output_dir = pathlib.Path(output_dir)
  if output_dir.exists():
    raise FileExistsError(
      f"'{output_dir}' exists already; choose another output_dir."
    )
  files.make_output_dir(output_dir.parent)
  servable = _Servable(run)  # It holds weights that graphs do not keep alive.
  functions = {
    name: tf.function(function, autograph=False).get_concrete_function(**inputs)
    for name, (function, inputs) in servable.signatures().items()
  }
  module = tf.Module()
  module.weights = [v for f in functions.values() for v in f.variables]
  with files.replacing_folder(output_dir) as temporary:
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, os.fspath(temporary), functions, options)
    files.write_json(temporary / 'export.json', _describe(run, functions))
  return output_dir


class _Servable:
  """What a run can do, as functions of named tensors.

  The first axis of all but scalars is the batch, here; inside a step it is the
  last one.
  """

  def __init__(self, run: Run):
    self._hps = run.hps
    self._model = run.model
    self._transforms = run.transforms
    self._decoder = Decoder(run.model)
    # As variables, or each step would make the kernels anew.
    own = self._decoder
    weights = own.layers, own.head, own.error_weights
    own.layers, own.head, own.error_weights = tf.nest.map_structure(
      lambda x: tf.Variable(x, trainable=False), weights
    )
    zeros = {'num_notes': 1}
    if run.model.conditional:
      zeros = {'pitches': tf.zeros([1], tf.int32)}
      zeros['z'] = tf.zeros([1, run.hps.z_size])
      if run.hps.velocity_context:
        zeros['velocities'] = tf.zeros([1], tf.int32)
    self._state = self._begin(**zeros)

  def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
    """For each signature its function and what it takes."""
    hps, model, spec = self._hps, self._model, tf.TensorSpec
    which = {'num_notes': spec([], tf.int32)}
    if model.conditional:
      which = {
        'pitches': spec([None], tf.int32),
        'z': spec([None, hps.z_size], tf.float32),
      }
      if hps.velocity_context:
        which['velocities'] = which['pitches']
    length = {'num_frames': spec([], tf.int32)}
    frame = spec([None, model.step_width], tf.float32)
    step = {'frame': frame, 'uniform': frame, 'normal': frame}
    state = {
      name: spec([None, x.shape[1]], tf.float32)
      for name, x in _to_named(self._state).items()
    }
    frames = {'frames': spec([None, None, model.width], tf.float32)}
    notes = spec([None, hps.max_seq_len, hps.seq_width], tf.float32)
    seed = {'seed': spec([], tf.int64)}
    result: dict[str, tuple[Callable, dict[str, tf.TensorSpec]]] = {
      'sample': (self.sample, which | length | _CONTROLS | seed),
      'decode': (self.decode, which | length),
      'initial_state': (self.initial_state, which),
      'step': (self.step, step | _CONTROLS | state),
      'to_notes': (self.to_notes, frames),
    }
    if model.conditional:
      result['encode'] = (self.encode, {'notes': notes})
    return result

  def encode(self, notes):
    frames = self._transforms.forward(notes, tnp)
    return self._model.encode(frames)._asdict()

  def sample(
    self, num_frames, temperature, temperature_2, top_p, seed, **which
  ):
    _check_controls(temperature, temperature_2, top_p)
    shape = self._shape(which, num_frames)
    uniform = tf.random.stateless_uniform(shape, [seed, 1])
    normal = tf.random.stateless_normal(shape, [seed, 2])
    controls = temperature, temperature_2, False, top_p
    return self._generate(which, uniform, normal, controls)

  def decode(self, num_frames, **which):
    zeros = tf.zeros(self._shape(which, num_frames))
    return self._generate(which, zeros, zeros, (1.0, 1.0, 'mean'))

  def initial_state(self, **which):
    return _to_named(self._begin(**which))

  def step(
    self, frame, uniform, normal, temperature, temperature_2, top_p, **state
  ):
    _check_controls(temperature, temperature_2, top_p)
    flat = [tf.transpose(state[name]) for name in sorted(state)]
    states, offsets, *errors = tf.nest.pack_sequence_as(self._state, flat)
    heard = tf.transpose(frame)[: self._model.heard_width]
    mix, gate, states = self._decoder.step(heard, states, offsets)
    values = mix.draw(
      tf.transpose(uniform),
      tf.transpose(normal),
      temperature,
      temperature_2,
      top_p=top_p,
    )
    if gate is not None:
      led = self._decoder.lead(mix, gate, values, errors[0])
      values, mix, errors = led.values, led.mix, [led.errors]
    by_note = Components(*(tf.transpose(x, [0, 2, 1]) for x in mix))
    state = _to_named((states, offsets, *errors))
    named = Mixture.of(by_note)._asdict()
    return {'frame': tf.transpose(values), **named, **state}

  def to_notes(self, frames):
    return {'notes': self._transforms.inverse(frames, tnp)}

  def _begin(self, num_notes=None, z=None, **labels):
    context = None
    if self._model.conditional:
      context = self._model.context(self._conditions(**labels), z)
      num_notes = tf.shape(z)[0]
    state = self._decoder.begin(context, num_notes)
    if not self._hps.error_order:
      return state
    return *state, self._decoder.no_errors(num_notes)

  def _generate(self, which, uniform, normal, controls):
    conditions, z = None, which.pop('z', None)
    if self._model.conditional:
      conditions = self._conditions(**which)
    drawn = self._decoder.generate(conditions, z, uniform, normal, *controls)
    return self.to_notes(drawn.frames)

  def _shape(self, which, num_frames):
    message = 'num_frames: expected at least 1.'
    # Before the loop, which else fails first.
    with tf.control_dependencies(
      [tf.debugging.assert_positive(num_frames, message)]
    ):
      num_frames = tf.identity(num_frames)
    num_notes = which.get('num_notes')
    if num_notes is None:
      num_notes = tf.shape(which['pitches'])[0]
    return [num_notes, num_frames, self._model.width]

  def _conditions(self, pitches, velocities=None):
    one_hots = _one_hots('pitches', pitches, self._hps.context_vec_size)
    if velocities is None:
      return one_hots
    more = _one_hots('velocities', velocities, NUM_VELOCITIES)
    return tf.concat([one_hots, more], axis=1)


def _one_hots(what: str, numbers: Any, size: int) -> tf.Tensor:
  for check, bound in (
    (tf.debugging.assert_greater_equal, 0),
    (tf.debugging.assert_less, size),
  ):
    check(numbers, bound, f'{what}: expected MIDI numbers below {size}.')
  return tf.one_hot(numbers, size)


def _to_named(state: Any) -> dict[str, tf.Tensor]:
  flat = tf.nest.flatten(state)
  return {f'state_{i:02d}': tf.transpose(x) for i, x in enumerate(flat)}


def _check_controls(temperature: Any, temperature_2: Any, top_p: Any) -> None:
  for value, message in (
    (temperature, 'temperature: expected more than 0.'),
    (top_p, 'top_p: expected more than 0.'),
  ):
    tf.debugging.assert_positive(value, message)
  tf.debugging.assert_non_negative(
    temperature_2, 'temperature_2: expected at least 0.'
  )


def _describe(run: Run, functions: dict[str, Any]) -> dict[str, Any]:
  """What export.json says."""

  def tensors(named):
    return {
      name: {'dtype': spec.dtype.name, 'shape': spec.shape.as_list()}
      for name, spec in sorted(named.items())
    }

  known = ('codec', 'sample_rate')
  return {
    'version': __version__,
    'run': os.path.basename(os.path.abspath(run.folder)),
    'step': run.step,
    'hparams': run.hps.values(),
    **{name: run.info[name] for name in known if name in run.info},
    'frames': _FRAMES + (_STEPS if run.hps.frames_per_step > 1 else ''),
    'signatures': {
      name: {
        'inputs': tensors(function.structured_input_signature[1]),
        'outputs': tensors(function.structured_outputs),
      }
      for name, function in functions.items()
    },
  }
