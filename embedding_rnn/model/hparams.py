"""Hyperparameters: typed, named values that a line of text can override.

`HParams` follows `tf.contrib.training.HParams`, which went away with
TensorFlow 1: the same methods, the same text format and the same words in its
errors.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from embedding_rnn.model import hparams_parsing


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
    assigned = {}
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
    try:
      values = json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
      raise ValueError(
        f'Hyperparameters are not JSON: {error} in {_shorten(text)}; expected '
        'what to_json() writes.'
      ) from error
    if not isinstance(values, dict):
      raise ValueError(
        'Hyperparameters must be a JSON object such as {"rnn_size": 512}, got '
        f'{_shorten(text)}.'
      )
    return self.override_from_dict(values)

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

  __hash__ = None  # It can change.

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
    return f'{type(self).__name__}({self})'

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
    return hparams_parsing.cast_value(name, *self._types[name], value)

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


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  result = {}
  for name, value in pairs:
    if name in result:
      raise ValueError(
        f'Multiple assignments to variable {name!r} in JSON; give each only '
        'one value.'
      )
    result[name] = value
  return result


def _shorten(text: str, length: int = 60) -> str:
  return repr(text if len(text) <= length else text[:length] + '...')


def default_hps() -> HParams:
  """The hyperparameters of 2017 and their defaults.

  Flags are ints, 0 or 1, as they were then.

  Returns:
    A new `HParams`.
  """
  return HParams(
    num_steps=10000000,  # Optimiser steps.
    save_every=1000,  # Steps between evaluations; the best are kept.
    max_seq_len=125,  # Frames in a note.
    seq_width=16,  # Channels in a frame, before PCA.
    rnn_size=1024,  # Decoder units.
    num_layers=1,  # Decoder layers.
    model='lstm',  # Decoder cell: lstm, layer_norm or hyper.
    bidir=1,  # Bidirectional encoder.
    enc_rnn_size=256,  # Encoder units in each direction.
    enc_model='lstm',  # Encoder cell: lstm, layer_norm or hyper.
    z_size=64,  # Latent size.
    context_vec_size=128,  # Pitch one-hot.
    kl_weight=1.0,  # Final weight of the KL term.
    kl_weight_start=0.01,  # First weight of the KL term.
    kl_tolerance=0.2,  # Floor of the KL term.
    batch_size=128,
    grad_clip=1.0,  # Gradients are clipped to -grad_clip..grad_clip.
    num_mixture=5,  # Gaussians in each mixture.
    clip_z_with_tanh=0,  # The decoder sees tanh(z) instead of z.
    learning_rate=0.001,  # First learning rate.
    decay_rate=0.9999,  # Decay of the learning rate in each step.
    kl_decay_rate=0.99995,  # Decay in each step of kl_weight - weight.
    min_learning_rate=0.00001,
    use_recurrent_dropout=0,
    recurrent_dropout_prob=0.95,  # Probability to KEEP, as the next two.
    use_input_dropout=0,
    input_dropout_prob=0.95,
    use_output_dropout=0,
    output_dropout_prob=0.95,
    hyper_lstm_size=256,  # Units of the hyper cell's small cell.
    hyper_embedding_size=64,
    hyper_use_layer_norm=1,
    data_set='train_z.npy',  # Files in the data directory.
    pitch_set='train_pitch_one_hot.npy',
    velocity_set='train_vels_one_hot.npy',
    unconditional=0,  # No encoder, no z, no pitch.
    is_training=1,
    trial=0,  # Label of a repeat.
    overfit=0,  # Trains on the validation split.
    difference_input=1,  # Models reversed first differences.
    no_sample_vae=0,  # z is a projection of the encoder state, no sample.
    pca_dim_reduce=0,  # Models principal components of the channels.
    n_pca_components=6,
  )
