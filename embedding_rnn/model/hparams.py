"""Hyperparameters: typed, named values that a line of text can override.

`HParams` follows `tf.contrib.training.HParams`, which went away with
TensorFlow 1: the same methods, the same text format and the same words in its
errors. What hyperparameters there are is declared below it, each of them once.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from embedding_rnn.model import hparams_parsing
from embedding_rnn.utils import cli, memory


class UnknownHyperparameterError(AttributeError, KeyError, ValueError):
  """No hyperparameter has this name.

  It is all three of the built-in errors, because an attribute, a dictionary
  and a line of text each have their own for a name that is not there.
  """

  def __str__(self):
    return str(self.args[0])  # KeyError would show the repr.


class HParams:
  """A set of named values, each of which keeps the type it started with.

  A type is int, float, bool or str, or a list of one of these; a value of None
  has no type and takes anything. Ints are fine for floats; every other change
  of type is a ValueError, also for attributes: `hps.rnn_size = 'large'`.

  Example:
    >>> hps = HParams(rnn_size=1024, model='lstm', widths=[3, 4])
    >>> hps.parse('rnn_size=512,model=layer_norm,widths[1]=8').values()
    {'rnn_size': 512, 'model': 'layer_norm', 'widths': [3, 8]}

  Args:
    **values: the names and their first values, in order.

  Raises:
    ValueError: for a name that is reserved, or a list with no elements.
  """

  def __init__(self, **values: Any):
    # name -> (type of the value or of its elements, whether it is a list)
    self.__dict__['_types'] = {}
    for name, value in values.items():
      self.add_hparam(name, value)

  def add_hparam(self, name: str, value: Any) -> None:
    """Adds a hyperparameter, whose type is from now on that of `value`.

    Args:
      name: a name that is neither there yet nor a method's.
      value: its value; a list or tuple must not be empty.

    Raises:
      ValueError: for a name that is taken, or a list with no elements.
    """
    if name in self._types:
      raise ValueError(
        f'Hyperparameter name is reserved: {name!r} is there already, with '
        f'the value {self.__dict__[name]!r}; use set_hparam to change it.'
      )
    if name in self.__dict__ or hasattr(type(self), name):
      raise ValueError(
        f'Hyperparameter name is reserved: {name!r} is a part of HParams '
        'itself; choose another name.'
      )
    self._types[name] = hparams_parsing.type_of(name, value)
    try:
      self.set_hparam(name, value)
    except ValueError:
      del self._types[name]
      raise

  def set_hparam(self, name: str, value: Any) -> None:
    """Gives an existing hyperparameter a new value of its type.

    Args:
      name: a name that is there.
      value: a value of its type, or an int for a float; a list for a list.

    Raises:
      UnknownHyperparameterError: for a name that is not there.
      ValueError: for a value of another type.
    """
    self.__dict__[name] = self._cast(name, value)

  def del_hparam(self, name: str) -> None:
    """Removes a hyperparameter; nothing happens if it is not there."""
    if name in self._types:
      del self._types[name]
      del self.__dict__[name]

  def get(self, key: str, default: Any = None) -> Any:
    """The value of `key`, or `default` if there is no such hyperparameter.

    Args:
      key: a name.
      default: what to return instead; if `key` is there, it must be of its
        type, so that a caller's mistake shows whether or not it is used.

    Raises:
      ValueError: for a default of another type than the hyperparameter's.
    """
    if key not in self:
      return default
    if default is not None:
      self._cast(key, default)
    return self.__dict__[key]

  def values(self) -> dict[str, Any]:
    """All names and values, in the order in which they were added."""
    return {
      name: list(value) if is_list else value
      for name, (_, is_list) in self._types.items()
      for value in [self.__dict__[name]]
    }

  def parse(self, text: str) -> HParams:
    """Sets values from text such as 'rnn_size=512,model=layer_norm'.

    Lists are written 'a=[1,2]' and their elements 'a[1]=3'. Blanks after commas
    and a comma at the end do no harm. Bools are true, false, True, False, 1, 0.
    A text with an error in it changes nothing.

    Args:
      text: assignments with commas between them; an empty text is none.

    Returns:
      This object.

    Raises:
      ValueError: for an unknown name, a value that cannot be read as the
        hyperparameter's type, a name that is assigned twice, or other text.
    """
    assigned: dict[str, Any] = {}
    for name, index, literal in hparams_parsing.assignments(text):
      if name not in self._types:
        self._fail_unknown(name, text)
      kind, _ = self._types[name]
      value = hparams_parsing.read_value(name, kind, literal, text)
      assigned[name] = (
        value if index is None else {**assigned.get(name, {}), index: value}
      )
    for name, value in assigned.items():
      if isinstance(value, dict):
        assigned[name] = self._replace_elements(name, value)
    return self.override_from_dict(assigned)

  def override_from_dict(self, values: Mapping[str, Any]) -> HParams:
    """Sets several values, all of them or, if one is in error, none.

    Args:
      values: names that are there, and values of their types.

    Returns:
      This object.

    Raises:
      UnknownHyperparameterError: for a name that is not there.
      ValueError: for a value of another type.
    """
    values = {name: self._cast(name, value) for name, value in values.items()}
    self.__dict__.update(values)
    return self

  def to_json(self, indent: int | None = None, sort_keys: bool = False) -> str:
    """All values as JSON text; equal HParams always give equal text."""
    return json.dumps(self.values(), indent=indent, sort_keys=sort_keys)

  def parse_json(self, text: str) -> HParams:
    """Sets values from a JSON object, all of them or, on an error, none.

    Args:
      text: what `to_json` writes, or a part of it.

    Returns:
      This object.

    Raises:
      UnknownHyperparameterError: for a name that is not there.
      ValueError: for a value of another type, or text that is not JSON.
    """
    return self.override_from_dict(hparams_parsing.read_json(text))

  def copy(self) -> HParams:
    """A copy that shares nothing with this object."""
    result = type(self)()
    result.__dict__.update(self.values())
    result.__dict__['_types'] = dict(self._types)
    return result

  def __copy__(self):
    return self.copy()

  def __deepcopy__(self, memo):
    return self.copy()

  def __contains__(self, key):
    return key in self._types

  def __eq__(self, other):
    if not isinstance(other, HParams):
      return NotImplemented
    return self._types == other._types and self.values() == other.values()

  __hash__ = None  # type: ignore[assignment]  # It can change.

  def __setattr__(self, name, value):
    self.set_hparam(name, value)

  def __delattr__(self, name):
    if name not in self:
      self._fail_unknown(name)
    self.del_hparam(name)

  def __getattr__(self, name):
    # Only called for what is not there. Python's own protocols (pickling,
    # copying) probe for special names before the object is whole.
    if name.startswith('_'):
      raise AttributeError(f'HParams has no attribute {name!r}.')
    self._fail_unknown(name)

  def __str__(self):
    return str(sorted(self.values().items()))

  def __repr__(self):
    values = self.values()
    defaults = {h.name: h.default for h in HYPERPARAMETERS}
    if values.keys() != defaults.keys():
      return f'{type(self).__name__}({self})'
    others = [(k, v) for k, v in values.items() if v != defaults[k]]
    text = ','.join(f'{name}={value}' for name, value in others)
    return 'default_hps()' + (f'.parse({text!r})' if text else '')

  def _repr_html_(self) -> str:
    """For notebooks, a table of all that differs from `default_hps()`."""
    defaults = {h.name: h.default for h in HYPERPARAMETERS}
    rows: list[dict[str, object]] = [
      {'name': name, 'value': repr(value), 'default': repr(defaults.get(name))}
      for name, value in self.values().items()
      if value != defaults.get(name)
    ]
    return cli.html_table(rows) if rows else '<code>default_hps()</code>'

  def _fail_unknown(self, name: str, text: str | None = None) -> NoReturn:
    near = difflib.get_close_matches(str(name), self._types, n=1)
    hint = (
      f'did you mean {near[0]!r}?'
      if near
      else 'there are: ' + (', '.join(self._types) or 'none') + '.'
    )
    where = '' if text is None else f' in {text!r}'
    raise UnknownHyperparameterError(
      f'Unknown hyperparameter {name!r}{where}; {hint}'
    )

  def _cast(self, name: str, value: Any) -> Any:
    if name not in self._types:
      self._fail_unknown(name)
    kind, is_list = self._types[name]
    return hparams_parsing.cast_value(name, kind, is_list, value)

  def _replace_elements(self, name: str, elements: dict[int, Any]) -> list:
    if not self._types[name][1]:
      raise ValueError(
        f'Must not pass a list element for single-valued parameter {name!r}, '
        f'got {name}[{min(elements)}]; write {name}=value.'
      )
    result = list(self.__dict__[name])
    if max(elements) >= len(result):
      raise ValueError(
        f'List index out of range: {name}[{max(elements)}], but {name} has '
        f'{len(result)} elements; assign the whole list: {name}=[...].'
      )
    for index, value in elements.items():
      result[index] = value
    return result


class Bound(NamedTuple):
  """Which values of its type a hyperparameter may have.

  Attributes:
    text: these values in words.
    holds: whether a value is one of them.
  """

  text: str
  holds: Callable[[Any], bool]


class Hyperparameter(NamedTuple):
  """The declaration of a hyperparameter, from which all else follows.

  Attributes:
    name: what it is called.
    default: its value in 2017, or what means the same; it sets the type.
    bound: what its values must keep to; None for any of its type.
    group: where it stands in the table for people, one of `GROUPS`.
    meaning: what it is, in Markdown.
    shapes: 'model' if weights of models with other values do not fit, or the
      format of their data is another; 'costs' if the costs of runs with other
      values do not compare.
  """

  name: str
  default: Any
  bound: Bound | None
  group: str
  meaning: str
  shapes: tuple[str, ...] = ()


NUM_VELOCITIES = 128  # MIDI; the size of a velocity one-hot
MAX_FRAMES = 100_000  # of a note; 53 minutes of NSynth's
_FLOATS_PER_UNIT = 4  # at least, that a step of the RNN leaves for the gradient

# Groups of hyperparameters, with what is to be said of all in one.
GROUPS = {
  'Decoder': '',
  'Encoder and latent vector': '',
  'HyperLSTM': 'used by `hyper` cells',
  'Data': '',
  'Cost': '',
  'Optimiser': 'Adam',
  'Dropout': 'in training only; each `_prob` is the probability to *keep*',
  'Labels': '',
}
_DECODER, _ENCODER, _HYPER, _DATA, _COST, _OPTIMISER, _DROPOUT, _LABELS = GROUPS


def _whole(minimum: int, maximum: int) -> Bound:
  low = f'at least {minimum}' if minimum != 1 else 'more than 0'
  return Bound(
    f'{low}, at most {maximum:,}',
    # In a range, what is no int is looked for from its start to its end.
    lambda x: minimum <= x <= maximum and x == int(x),
  )


_CELL = Bound(
  'lstm, layer_norm or hyper', ('lstm', 'layer_norm', 'hyper').__contains__
)
_FACTOR = Bound('from 0 to 1', lambda x: 0 <= x <= 1)
_FINITE = Bound('a finite number', math.isfinite)
_FLAG = Bound('0 or 1', lambda x: x in (0, 1))
_POSITIVE = Bound('more than 0', lambda x: x > 0)
_RATE = Bound('more than 0 and finite', lambda x: 0 < x < math.inf)
_WEIGHT = Bound('at least 0 and finite', lambda x: 0 <= x < math.inf)
# Far beyond all that makes sense, and small enough to be worked with: memory
# is another matter, see `expect_enough_memory`.
_STEPS = _whole(1, 1_000_000_000)
_NOTES = _whole(1, 1_000_000)
_FRAMES = _whole(1, MAX_FRAMES)
_SIZE = _whole(1, 65_536)
_LAYERS = _whole(1, 64)
_MIXTURE = _whole(1, 1024)

_MODEL, _COSTS, _BOTH = ('model',), ('costs',), ('model', 'costs')

# In the order of 2017. Flags are ints, 0 or 1, as they were then.
HYPERPARAMETERS = tuple(
  Hyperparameter(*row)
  for row in (
    ('num_steps', 10_000_000, _STEPS, _OPTIMISER, 'steps'),
    (
      'save_every', 1000, _STEPS, _OPTIMISER,
      'steps between evaluations; the best weights by validation cost are kept',
    ),
    ('max_seq_len', 125, _FRAMES, _DATA, 'frames in a note', _BOTH),
    ('seq_width', 16, _SIZE, _DATA, 'channels in a frame', _BOTH),
    ('rnn_size', 1024, _SIZE, _DECODER, 'units of a layer', _MODEL),
    ('num_layers', 1, _LAYERS, _DECODER, 'layers', _MODEL),
    (
      'model', 'lstm', _CELL, _DECODER,
      'its cell: `lstm`, `layer_norm` ([Ba et '
      'al.](https://arxiv.org/abs/1607.06450)) or `hyper` ([Ha et '
      'al.](https://arxiv.org/abs/1609.09106))',
      _MODEL,
    ),
    ('bidir', 1, _FLAG, _ENCODER, 'read the note in both directions', _MODEL),
    (
      'enc_rnn_size', 256, _SIZE, _ENCODER,
      'units in each direction', _MODEL,
    ),
    (
      'enc_model', 'lstm', _CELL, _ENCODER,
      'its cell: `lstm`, `layer_norm` or `hyper`', _MODEL,
    ),
    ('z_size', 64, _SIZE, _ENCODER, 'size of the latent vector', _MODEL),
    (
      'context_vec_size', 128, _SIZE, _DECODER,
      'size of the pitch one-hot', _MODEL,
    ),
    (
      'kl_weight', 1.0, _WEIGHT, _COST,
      'weight of the KL term in the end, and in evaluation', _COSTS,
    ),
    (
      'kl_weight_start', 0.01, _WEIGHT, _COST,
      'weight of the KL term at the first step',
    ),
    (
      'kl_tolerance', 0.2, _FINITE, _COST,
      'floor of the KL term; below it, nothing is gained by a smaller KL',
      _COSTS,
    ),
    ('batch_size', 128, _NOTES, _OPTIMISER, 'notes in a step'),
    (
      'grad_clip', 1.0, _POSITIVE, _OPTIMISER,
      'each element of a gradient is clipped to ± this',
    ),
    (
      'num_mixture', 5, _MIXTURE, _DECODER,
      'Gaussians in the mixture of each channel', _MODEL,
    ),
    (
      'clip_z_with_tanh', 0, _FLAG, _ENCODER,
      '1: squash the latent vector with tanh', _MODEL,
    ),
    (
      'learning_rate', 0.001, _RATE, _OPTIMISER,
      'learning rate at the first step',
    ),
    (
      'decay_rate', 0.9999, _FACTOR, _OPTIMISER,
      'at each step, the gap between the first learning rate and the last '
      'shrinks by this factor',
    ),
    (
      'kl_decay_rate', 0.99995, _FACTOR, _COST,
      'at each step, the gap between the two weights shrinks by this factor',
    ),
    (
      'min_learning_rate', 0.00001, _WEIGHT, _OPTIMISER,
      'learning rate in the end',
    ),
    (
      'use_recurrent_dropout', 0, _FLAG, _DROPOUT,
      "on the decoder cell's candidate values ([Semeniuta et "
      'al.](https://arxiv.org/abs/1603.05118))',
    ),
    ('recurrent_dropout_prob', 0.95, None, _DROPOUT, 'of keeping them'),
    ('use_input_dropout', 0, _FLAG, _DROPOUT, "on the decoder's input"),
    ('input_dropout_prob', 0.95, None, _DROPOUT, 'of keeping it'),
    ('use_output_dropout', 0, _FLAG, _DROPOUT, "on the decoder's output"),
    ('output_dropout_prob', 0.95, None, _DROPOUT, 'of keeping it'),
    (
      'hyper_lstm_size', 256, _SIZE, _HYPER,
      'units of the small LSTM that scales the large one', _MODEL,
    ),
    (
      'hyper_embedding_size', 64, _SIZE, _HYPER,
      'size of its embeddings', _MODEL,
    ),
    (
      'hyper_use_layer_norm', 1, _FLAG, _HYPER,
      'normalise inside the cell', _MODEL,
    ),
    ('data_set', 'train_z.npy', None, _DATA, 'file of the frames', _COSTS),
    (
      'pitch_set', 'train_pitch_one_hot.npy', None, _DATA,
      'file of the pitches',
    ),
    (
      'velocity_set', 'train_vels_one_hot.npy', None, _DATA,
      'file of the velocities',
    ),
    (
      'unconditional', 0, _FLAG, _DECODER,
      '1: a decoder alone, with no encoder, latent vector or pitch', _MODEL,
    ),
    (
      'is_training', 1, _FLAG, _LABELS,
      'kept from 2017, where it chose between two graphs',
    ),
    ('trial', 0, None, _LABELS, 'number of a repeat'),
    (
      'overfit', 0, _FLAG, _DATA,
      '1: train on the validation notes, to see whether the model can learn '
      'at all',
      _COSTS,
    ),
    (
      'difference_input', 1, _FLAG, _DATA,
      'model the steps between frames, last frame first, instead of the '
      'frames',
      _BOTH,
    ),
    (
      'no_sample_vae', 0, _FLAG, _ENCODER,
      '1: a plain autoencoder; the latent vector is a projection, not a sample',
      _MODEL,
    ),
    (
      'pca_dim_reduce', 0, _FLAG, _DATA,
      '1: model whitened principal components instead of channels', _BOTH,
    ),
    ('n_pca_components', 6, _SIZE, _DATA, 'how many of them', _BOTH),
    # Those that came later; by default they change nothing.
    (
      'frames_per_step', 1, _FRAMES, _DECODER,
      'frames that the decoder writes, and the encoder reads, in a step of '
      'the RNN; the reduction factor of [Wang et '
      'al.](https://arxiv.org/abs/1703.10135)',
      _MODEL,
    ),
    (
      'error_order', 0, _whole(0, 1024), _DECODER,
      'errors of how many frames before move the mixtures of a frame, by a '
      'learned autoregression; 0: of none ([Sun et '
      'al.](https://arxiv.org/abs/2101.12578))',
      _MODEL,
    ),
    (
      'velocity_context', 0, _FLAG, _DECODER,
      '1: tell the decoder the velocity, too, as a one-hot', _MODEL,
    ),
    (
      'feedback_keep_prob', 1.0, _FACTOR, _DECODER,
      'probability to *keep* what the RNN hears of the step before, in '
      'training alone ([Bowman et al.](https://arxiv.org/abs/1511.06349)); '
      '0: it never hears frames, in sampling neither, and has no weights for '
      'them',
      _MODEL,
    ),
    (
      'feedback_noise', 0.0, _WEIGHT, _DECODER,
      'standard deviation of the noise on what the RNN hears of the step '
      'before, in training alone',
    ),
    (
      'free_running_weight', 0.0, _WEIGHT, _COST,
      'weight of the squared error of the mixtures\' means, as they are '
      'before errors move them',
      _COSTS,
    ),
    (
      'one_scale', 0, _FLAG, _DATA,
      '1: subtract the mean frame and divide by one number, not by one for '
      'each component',
      _BOTH,
    ),
    (
      'mix_prob', 0.0, _FACTOR, _DATA,
      'probability that a training note is mixed with another, w·a + (1 - w)·b '
      'with w from -0.2 to 1.2 ([Zhang et '
      'al.](https://arxiv.org/abs/1710.09412))',
    ),
    (
      'mix_semitones', 6, _whole(0, 127), _DATA,
      'how far apart the pitches of the two may be',
    ),
    (
      'offset_scale', 0.0, _WEIGHT, _DATA,
      "size of a training note's constant random offset, in units of the "
      "spread of notes' mean frames",
    ),
  )
)  # fmt: skip


def default_hps() -> HParams:
  """The hyperparameters of 2017 and their defaults, as a new `HParams`."""
  return HParams(**{h.name: h.default for h in HYPERPARAMETERS})


def condition_size(hps: HParams) -> int:
  """Size of what tells the decoder the pitch and, if it is to, the velocity."""
  return hps.context_vec_size + NUM_VELOCITIES * hps.velocity_context


def names_that_shape(what: str) -> list[str]:
  """The names of what shapes the 'model' or the 'costs', group by group."""
  return [h.name for h in _by_group() if what in h.shapes]


def check_hparams(hps: HParams) -> None:
  """Raises ValueError for values that make no model, or no training of it."""
  for name, _, bound, *_ in HYPERPARAMETERS:
    value = getattr(hps, name)
    if bound and not bound.holds(value):
      raise ValueError(f'{name}={value!r}: expected {bound.text}.')
  for part in ('recurrent', 'input', 'output'):
    keep = getattr(hps, f'{part}_dropout_prob')
    if getattr(hps, f'use_{part}_dropout') and not 0 < keep <= 1:
      raise ValueError(
        f'{part}_dropout_prob={keep}: expected a keep probability in (0, 1].'
      )
  if hps.pca_dim_reduce and hps.n_pca_components > hps.seq_width:
    raise ValueError(
      f'n_pca_components={hps.n_pca_components}: expected at most '
      f'seq_width={hps.seq_width}.'
    )
  if hps.frames_per_step > hps.max_seq_len:
    raise ValueError(
      f'frames_per_step={hps.frames_per_step}: expected at most '
      f'max_seq_len={hps.max_seq_len}.'
    )


def num_weights(hps: HParams) -> int:
  """How many numbers a model of valid hyperparameters learns, about."""
  channels = hps.n_pca_components if hps.pca_dim_reduce else hps.seq_width
  width = channels * hps.frames_per_step
  result = hps.error_order * channels**2
  inputs = width if hps.feedback_keep_prob else 0
  context = 0
  if not hps.unconditional:
    encoder = (1 + hps.bidir) * hps.enc_rnn_size
    cell, _ = _weights_of_cell(hps, hps.enc_model, hps.enc_rnn_size, width)
    result += (1 + hps.bidir) * cell
    result += encoder * hps.z_size * (2 + hps.no_sample_vae)
    context = hps.z_size + condition_size(hps)
    inputs += context
  for _ in range(hps.num_layers):
    cell, state_size = _weights_of_cell(hps, hps.model, hps.rnn_size, inputs)
    result += cell + context * state_size
    inputs = hps.rnn_size
  return result + hps.rnn_size * width * 3 * hps.num_mixture


def _weights_of_cell(
  hps: HParams, kind: str, units: int, inputs: int
) -> tuple[int, int]:
  """Of its matrices; and the size of its state."""
  weights = 4 * units * (inputs + units)
  if kind != 'hyper':
    return weights, 2 * units
  small, embedding = hps.hyper_lstm_size, hps.hyper_embedding_size
  weights += 4 * small * (inputs + units + small)
  # Of eight scales and four offsets, each of all units.
  weights += 12 * embedding * (small + units)
  return weights, 2 * (units + small)


def expect_enough_memory(hps: HParams, is_training: bool) -> None:
  """Raises ValueError if a model cannot be held, or trained, on this machine.

  Args:
    hps: valid hyperparameters.
    is_training: whether there must be room for gradients, the state of the
      optimiser, and what a batch leaves for the gradient.
  """
  num_bytes, fix = 4 * num_weights(hps), 'set smaller sizes (such as rnn_size)'
  what = 'The model'
  if is_training:
    frames = hps.batch_size * hps.max_seq_len
    units = hps.num_layers * hps.rnn_size
    if not hps.unconditional:
      units += (1 + hps.bidir) * hps.enc_rnn_size
    left = frames // hps.frames_per_step * units * _FLOATS_PER_UNIT
    left += frames * hps.seq_width * 3 * hps.num_mixture
    num_bytes = 4 * (num_bytes + left)
    what, fix = 'Training', f'{fix}, or a smaller batch_size'
  sizes = ', '.join(
    f'{name}={getattr(hps, name)}'
    for name in ('rnn_size', 'num_layers', 'enc_rnn_size', 'z_size')
  )
  if is_training:
    sizes += f', batch_size={hps.batch_size}, max_seq_len={hps.max_seq_len}'
  memory.expect_memory(num_bytes, f'{what} with {sizes}', fix)


def markdown_table() -> str:
  """All hyperparameters for people, as a Markdown table."""
  rows = [('name', 'default', 'values', 'shapes', 'meaning'), ('---',) * 5]
  for group, members in itertools.groupby(_by_group(), lambda h: h.group):
    rows.append((f'**{group}**', '', '', '', GROUPS[group]))
    for h in members:
      default = f'`{h.default}`' if isinstance(h.default, str) else h.default
      values = h.bound.text if h.bound else ''
      shapes = ', '.join(h.shapes)
      rows.append((f'`{h.name}`', f'{default}', values, shapes, h.meaning))
  return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def _by_group() -> list[Hyperparameter]:
  return sorted(HYPERPARAMETERS, key=lambda h: [*GROUPS].index(h.group))
