"""Reads checkpoints that the TensorFlow 1 program of 2017 wrote."""

import glob
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from embedding_rnn.model import cells
from embedding_rnn.utils import reading

# What a checkpoint holds besides the weights.
_STEP = 'embedding_rnn/global_step'
_BOOKKEEPING = re.compile(
  rf'({_STEP}|embedding_rnn/(Variable(_1)?|beta[12]_power)|.*/Adam(_1)?)$'
)
_HYPER_SCALES = ('ix', 'jx', 'fx', 'ox', 'ih', 'jh', 'fh', 'oh')
_HYPER_OFFSETS = ('ih', 'jh', 'fh', 'oh')


class Weight(NamedTuple):
  """Where a 2017 variable lives here: a variable, or one row of it."""

  variable: Any
  row: int | None = None

  def of(self, tensor):
    """This weight's part of a tensor shaped like the variable."""
    return tensor if self.row is None else tensor[self.row]

  @property
  def shape(self) -> tuple[int, ...]:
    """Shape of the 2017 variable."""
    shape = tuple(self.variable.shape)
    return shape if self.row is None else shape[1:]


def weights_by_name(model: Any) -> dict[str, Weight]:
  """The weights of a model under the names that 2017 gave them."""
  weights: dict[str, Weight] = {}
  if model.conditional:
    directions = ('fw/', 'bw/') if model.hps.bidir else ('',)
    for cell, direction in zip(model.encoder_cells, directions, strict=True):
      scope = f'ENC_RNN/{direction}'
      weights |= _cell_weights(scope, cell)
    weights |= _linear_weights('ENC_RNN_mu', model.mean_layer)
    weights |= _linear_weights('ENC_RNN_sigma', model.presig_layer)
    if model.hps.no_sample_vae:
      weights |= _linear_weights('ENC_RNN_last_h_proj', model.projection_layer)
  stacked = model.hps.num_layers > 1
  for i, layer in enumerate(model.state_layers):
    scope = f'initial_state_{i}' if stacked else 'linear'
    weights |= _linear_weights(scope, layer)
  weights['RNN/output_w'] = Weight(model.head.kernel)
  weights['RNN/output_b'] = Weight(model.head.bias)
  for i, cell in enumerate(model.decoder_cells):
    scope = f'RNN/multi_rnn_cell/cell_{i}/' if stacked else 'RNN/'
    weights |= _cell_weights(scope, cell)
  return {f'embedding_rnn/{name}': w for name, w in weights.items()}


def restore_tf1_checkpoint(model: Any, path: str) -> int:
  """Loads the weights of a 2017 checkpoint into a model of the same shape.

  Args:
    model: an embedding_rnn.Model with the checkpoint's hyperparameters.
    path: the checkpoint's prefix, its folder, or any one of its files.

  Returns:
    The number of training steps behind the checkpoint.

  Raises:
    FileNotFoundError: there is no checkpoint at path.
    ValueError: it is damaged, or of a model of another shape; the message names
      every variable that is missing, left over or of another shape. The model
      is then unchanged.
  """
  weights = weights_by_name(model)
  shapes = {name: weight.shape for name, weight in weights.items()}
  read, step = open_weights(path, shapes, _BOOKKEEPING, _STEP)
  for name, weight in weights.items():
    if weight.row is None:
      weight.variable.assign(read(name))
  stacked: dict[int, tuple[Any, dict[int, np.ndarray]]] = {}
  for name, weight in weights.items():
    if weight.row is not None:
      rows = stacked.setdefault(id(weight.variable), (weight.variable, {}))[1]
      rows[weight.row] = read(name)
  for variable, rows in stacked.values():
    variable.assign(tf.stack([rows[i] for i in range(len(rows))]))
  return step


def open_weights(
  path: str,
  expected: Mapping[str, tuple[int, ...]],
  bookkeeping: re.Pattern[str],
  step_name: str,
  names: Iterable[str] | None = None,
) -> tuple[Callable[[str], np.ndarray], int]:
  """Opens a TensorFlow 1 checkpoint of which all weights can be read.

  They are read twice, for the check and when they are taken, so that there need
  not be memory for all of them beside the model's.

  Args:
    path: the checkpoint's prefix, its folder, or any one of its files.
    expected: shapes of the weights by their names in the checkpoint.
    bookkeeping: matches the names of what else the checkpoint may hold.
    step_name: the variable that counts training steps.
    names: of the weights to be read, after all were compared; all if None.

  Returns:
    A function of a name that reads a weight, and the number of steps; 0 if it
    is not there.

  Raises:
    FileNotFoundError: there is no checkpoint at path.
    ValueError: it is damaged, or of a model of another shape; the message names
      every variable that is missing, left over or of another shape.
  """
  prefix = _find_prefix(path)
  try:
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    _compare(prefix, expected, shapes, bookkeeping)
    for name in names or expected:
      reader.get_tensor(name)  # compares checksums
    step = reader.get_tensor(step_name) if step_name in shapes else 0
  except (tf.errors.OpError, IndexError, RuntimeError) as e:
    raise ValueError(
      f'Checkpoint {prefix} is damaged or truncated ({_first_line(e)}); fetch '
      'it again.'
    ) from e
  return reader.get_tensor, int(step)


def _cell_weights(scope, cell):
  scope = f'{scope}{type(cell).__name__}/'
  weights = {f'{scope}w_xh': cell.w_xh, f'{scope}w_hh': cell.w_hh}
  if isinstance(cell, cells.LSTMCell | cells.HyperLSTMCell):
    weights[f'{scope}bias'] = cell.bias
  for norm in ('ln_all', 'ln_c'):
    if hasattr(cell, norm):
      gamma, beta = getattr(cell, norm)
      weights[f'{scope}{norm}/ln_gamma'] = gamma
      weights[f'{scope}{norm}/ln_beta'] = beta
  weights = {name: Weight(v) for name, v in weights.items()}
  if isinstance(cell, cells.HyperLSTMCell):
    weights |= _cell_weights(scope, cell.hyper_cell)
    weights |= _hyper_weights(scope, cell)
  return weights


def _hyper_weights(scope, cell):
  weights = {}
  for i, gate in enumerate(_HYPER_SCALES):
    name = f'{scope}hyper_{gate}'
    weights[f'{name}/zw/super_linear_w'] = Weight(cell.w_zw, i)
    weights[f'{name}/zw/super_linear_b'] = Weight(cell.b_zw, i)
    weights[f'{name}/alpha/super_linear_w'] = Weight(cell.w_alpha, i)
  for i, gate in enumerate(_HYPER_OFFSETS):
    name = f'{scope}hyper_{gate}'
    weights[f'{name}/zb/super_linear_w'] = Weight(cell.w_zb, i)
    weights[f'{name}/beta/super_linear_w'] = Weight(cell.w_beta, i)
  return weights


def _linear_weights(scope, layer):
  return {
    f'{scope}/super_linear_w': Weight(layer.kernel),
    f'{scope}/super_linear_b': Weight(layer.bias),
  }


def _find_prefix(path):
  path = pathlib.Path(path)
  if path.is_dir():
    reading.expect_plain_file(path / 'checkpoint')
    try:
      prefix = tf.train.latest_checkpoint(str(path))
    except UnicodeDecodeError:
      prefix = None  # as if there were no file that names the latest
    if prefix is None:
      indexes = sorted(path.glob('*.index'))
      prefix = str(indexes[-1].with_suffix('')) if indexes else str(path)
  elif path.name == 'checkpoint':
    return _find_prefix(path.parent)
  else:
    prefix = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', str(path))
  if set(prefix) & set('*?['):
    raise ValueError(
      f"'{prefix}': TensorFlow opens no checkpoint with *, ? or [ in its path; "
      'rename the folder.'
    )
  if not pathlib.Path(f'{prefix}.index').is_file():
    raise FileNotFoundError(
      f'No TensorFlow 1 checkpoint at {path}: expected a folder, a prefix or '
      'one of the files PREFIX.index and PREFIX.data-?????-of-?????.'
    )
  name = glob.escape(pathlib.Path(prefix).name)
  for data in pathlib.Path(prefix).parent.glob(f'{name}.data-*'):
    reading.expect_plain_file(data)
  return prefix


def _compare(prefix, expected, shapes, bookkeeping):
  wrong = [
    f'missing {name} {shape}'
    for name, shape in expected.items()
    if name not in shapes
  ]
  wrong += [
    f'{name} is {tuple(shapes[name])}, the model has {shape}'
    for name, shape in expected.items()
    if name in shapes and tuple(shapes[name]) != shape
  ]
  wrong += [
    f'left over {name} {tuple(shape)}'
    for name, shape in sorted(shapes.items())
    if name not in expected and not bookkeeping.fullmatch(name)
  ]
  if wrong:
    raise ValueError(
      f'Checkpoint {prefix} is of a model with other hyperparameters: '
      + '; '.join(wrong)
      + '. Give the model those of the checkpoint.'
    )


def _first_line(error):
  return (str(error).splitlines() or [type(error).__name__])[0]
