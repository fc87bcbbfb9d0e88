"""The folder of a run: what never changes, and the saves of its training.

  hparams.json transforms.npz run.json   written once, when training starts
  manifest.json                          the SHA-256 of these three
  best-00001000/                         the weights with the best validation
                                         cost so far, their costs, and the
                                         prior of their latents
  last-00002000/                         all that training needs to go on

Each save has a manifest of its own and appears whole. The one before the newest
of each of the two is kept, to fall back to if the newest is damaged.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging

from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model.hparams import HParams, default_hps
from embedding_rnn.utils import files, locks, reading
from embedding_rnn.utils.files import DamagedFileError

if TYPE_CHECKING:  # else, reading a run's progress would take seconds
  import keras

HPARAMS, TRANSFORMS, INFO = 'hparams.json', 'transforms.npz', 'run.json'
HISTORY = 'history.csv'
# Files of a save.
WEIGHTS, COSTS, PRIOR = 'weights.npz', 'costs.json', 'prior.npz'
STATE, OPTIMIZER = 'state.json', 'optimizer.npz'
BEST, LAST = 'best', 'last'
PRIORS = ('fitted', 'standard')  # that latents of new notes are drawn from
EMBEDDING_RNN, WAVENET = 'embedding_rnn', 'wavenet'  # kinds of models
# The run in the package, and how it is named where a checkpoint's path belongs.
PRETRAINED = 'pretrained'
PRETRAINED_FOLDER = pathlib.Path(__file__).parents[1] / PRETRAINED
_INFO_TYPES = {
  'kind': str | None,
  'data_dir': str | None,
  'split_seed': int | None,
  'split_sha256': str | None,
  'data_sha256': str | None,
  'labels_sha256': str | None,
  'data_files': dict[str, list[int]] | None,
  'num_notes': dict[str, int] | None,
  'codec': str | None,
  'checkpoint': dict | None,
  'seed': int | None,
  'checkpoint_path': str | None,
  'precision': str | None,
  'version': str | None,
}
_MAX_NAME = 200  # bytes; disks take 255, of which saves and such need some
_RESTORE = (
  'restore it from a copy, or remove the folder and train the run again'
)


class RunFiles(NamedTuple):
  """What never changes in a run.

  Attributes:
    hps: hyperparameters.
    transforms: `Transforms` of the data; None for a model that has none.
    info: metadata of the run. "kind" is that of its model; EMBEDDING_RNN if it
      is not there.
  """

  hps: HParams
  transforms: Any
  info: dict[str, Any]


class Save(NamedTuple):
  """A save in a run's folder."""

  step: int
  path: pathlib.Path


def check_run_name(name: str) -> None:
  """Raises ValueError for what cannot be the name of a run's folder."""
  is_name = name not in ('', '.', '..') and pathlib.PurePath(name).name == name
  if not (is_name and name.isprintable() and len(name.encode()) <= _MAX_NAME):
    raise ValueError(
      f'exp_name={name!r}: expected a name for a folder in --log_root, of at '
      f'most {_MAX_NAME} bytes that can be shown.'
    )


def is_run(folder: str | os.PathLike[str]) -> bool:
  """Whether a folder is a run's, however damaged."""
  folder = pathlib.Path(folder)
  has_saves = any(list_saves(folder, series) for series in (BEST, LAST))
  return (folder / files.MANIFEST).exists() or has_saves


def expect_run(folder: str | os.PathLike[str]) -> pathlib.Path:
  """The folder as a path, or FileNotFoundError if it is not a run's."""
  reading.expect_path(folder)
  folder = pathlib.Path(folder)
  if not is_run(folder):
    raise FileNotFoundError(
      f"There is no run at '{folder}' (no {files.MANIFEST} in it); "
      + _nearby_runs(folder)
    )
  return folder


def folder_of(path: str | os.PathLike[str]) -> pathlib.Path:
  """The folder of a run to start from; of 'pretrained', that in the package."""
  return PRETRAINED_FOLDER if path == PRETRAINED else pathlib.Path(path)


def choose_folder(run_dir: str | None, pretrained: bool) -> pathlib.Path:
  """The run that a command's --run_dir or --pretrained names.

  Raises:
    ValueError: unless it is one of the two.
  """
  if pretrained == (run_dir is not None):
    raise ValueError(
      'Set either --run_dir to the folder of a trained run, or --pretrained.'
    )
  return PRETRAINED_FOLDER if run_dir is None else pathlib.Path(run_dir)


def absolute_path(path: str | os.PathLike[str] | None) -> str | None:
  """That of a checkpoint to start from; 'pretrained' and None stay."""
  return path if path in (None, PRETRAINED) else os.path.abspath(path)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from training in the same folder.

  The lock ends with the process, however that ends.

  Raises:
    BlockingIOError: if another process has it.
  """
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(locks.exclusive(folder / '.lock', wait=False))
    except BlockingIOError as error:
      raise BlockingIOError(
        f"The run at '{folder}' is being trained by another process "
        f'({error.strerror}); wait for it, or choose another name.'
      ) from error
    yield


def create_run(folder: str | os.PathLike[str], run: RunFiles) -> None:
  """Writes the files that never change; the folder is a run's from then on."""
  folder = pathlib.Path(folder)
  files.make_folder(folder)
  files.write_text(folder / HPARAMS, run.hps.to_json(indent=2) + '\n')
  names = [HPARAMS, INFO]
  if run.transforms:
    run.transforms.save(folder / TRANSFORMS)
    names.insert(1, TRANSFORMS)
  files.write_json(folder / INFO, run.info)
  files.write_manifest(folder, names)


def read_run(
  folder: str | os.PathLike[str], kind: str | None = EMBEDDING_RNN
) -> RunFiles:
  """Reads and checks what `create_run` wrote.

  Args:
    folder: the run's.
    kind: which model it must be of; None for any.

  Raises:
    FileNotFoundError: if there is no such folder, or it is not a run's.
    DamagedFileError: for a file that is missing or damaged, or a run of another
      model.
  """
  folder = expect_run(folder)
  checked = files.CheckedFolder(folder, _RESTORE)
  info = checked.read_json(INFO, _INFO_TYPES)
  found = info.get('kind', EMBEDDING_RNN)
  if kind not in (None, found):
    raise DamagedFileError(
      f"The run at '{folder}' is of the model {found}, expected {kind}; name "
      'another run.'
    )
  is_rnn = found == EMBEDDING_RNN
  hps = _read_hparams(checked, default_hps() if is_rnn else HParams())
  return RunFiles(hps, _read_transforms(checked) if is_rnn else None, info)


def _read_hparams(checked: files.CheckedFolder, hps: HParams) -> HParams:
  for name, value in checked.read_json(HPARAMS, finite=False).items():
    try:
      (hps.set_hparam if name in hps else hps.add_hparam)(name, value)
    except ValueError as error:
      raise checked.error(HPARAMS, f'has a bad value: {error}') from error
  return hps


def _read_transforms(checked: files.CheckedFolder) -> Transforms:
  checked.read(TRANSFORMS)
  try:
    return Transforms.load(checked.folder / TRANSFORMS)
  except ValueError as error:
    raise checked.error(TRANSFORMS, f'is damaged: {error}') from error


def precision_of(run: RunFiles) -> str:
  """The precision that a run's model computes in, see `embedding_rnn.Model`."""
  return run.info.get('precision', 'float32')


def list_saves(folder: str | os.PathLike[str], series: str) -> list[Save]:
  """The 'best' or the 'last' saves, oldest first; none is checked."""
  folder = pathlib.Path(folder)
  matches = [
    (re.fullmatch(rf'{series}-(\d+)', path.name), path)
    for path in (folder.iterdir() if folder.is_dir() else ())
  ]
  return sorted(Save(int(match[1]), path) for match, path in matches if match)


def save_at(folder: pathlib.Path, series: str, step: int) -> Save:
  """The save of a step, written or not."""
  return Save(step, folder / f'{series}-{step:08d}')


def write_save(
  folder: str | os.PathLike[str],
  series: str,
  step: int,
  contents: dict[str, dict | bytes],
) -> Save:
  """Writes a save and removes those that are then too old.

  Args:
    folder: the run's.
    series: 'best' or 'last'.
    step: number of training steps behind it.
    contents: for each file name arrays (.npz), a JSON object (.json) or bytes.
  """
  folder = pathlib.Path(folder)
  save = save_at(folder, series, step)
  with files.replacing_folder(save.path) as temporary:
    for name, content in contents.items():
      if isinstance(content, bytes):
        files.write_bytes(temporary / name, content)
      elif name.endswith('.npz'):
        files.write_arrays(temporary / name, content)
      else:
        files.write_json(temporary / name, content)
    files.write_manifest(temporary, contents)
  # Later saves than this one can only be damaged ones that training went
  # back behind.
  others = [s for s in list_saves(folder, series) if s.step != step]
  earlier = [s for s in others if s.step < step]
  for other in others:
    if other not in earlier[-1:]:
      files.remove_folder(other.path)
  return save


def read_save(
  folder: str | os.PathLike[str],
  series: str,
  read: Callable[[files.CheckedFolder], Any],
) -> tuple[Save, Any]:
  """Reads the newest save of a series that is whole.

  Args:
    folder: the run's.
    series: 'best' or 'last'.
    read: what to read of it.

  Returns:
    The save, and what `read` returned for it.

  Raises:
    FileNotFoundError: if there is none in this series.
    DamagedFileError: if all are damaged.
  """
  saves = list_saves(folder, series)
  known = _known_best(folder) if series == BEST else 0
  if not saves and known:
    raise DamagedFileError(
      f"The run at '{folder}' has lost its {series}-* saves, of which the last "
      f'was of step {known}; {_RESTORE}.'
    )
  if not saves:
    raise FileNotFoundError(
      f"The run at '{folder}' has no save named {series}-*: its training has "
      'not come that far; let it go on (--resume).'
    )
  errors = []
  for save in reversed(saves):
    try:
      content = read(files.CheckedFolder(save.path, _RESTORE))
    except DamagedFileError as error:
      errors.append(str(error))
      continue
    for text in errors:
      logging.warning("Using '%s' instead: %s", save.path, text)
    if known > saves[-1].step:
      logging.warning(
        "Using '%s', but the best of this run was of step %d, and it is lost; "
        'restore it from a copy.',
        save.path,
        known,
      )
    return save, content
  raise DamagedFileError(
    f"No {series}-* save of the run at '{folder}' is whole: " + ' '.join(errors)
  )


def _known_best(folder: str | os.PathLike[str]) -> int:
  """The step of the best save, by what the last save says; 0 if it says none.

  Training writes the best save first, so this is never ahead of it.
  """
  for save in reversed(list_saves(folder, LAST)):
    try:
      checked = files.CheckedFolder(save.path, _RESTORE)
      state = checked.read_json(STATE, {'best_step': int | None}, finite=False)
    except DamagedFileError:  # of which others speak
      continue
    return state.get('best_step') or 0
  return 0


def warn_of_damage(folder: str | os.PathLike[str], used: Save) -> None:
  """Checks the saves of a run that going on from one of them does not read.

  Each that is damaged gets a warning in the log: it is not needed now, but the
  user should know of the disk, or not count on the best weights.

  Args:
    folder: the run's.
    used: the 'last' save that training goes on from.
  """
  known, best = _known_best(folder), list_saves(folder, BEST)
  if known > max((save.step for save in best), default=0):
    logging.warning(
      'Not needed to go on, but lost: the best save, of step %d.', known
    )
  earlier = [s for s in list_saves(folder, LAST) if s.step < used.step]
  for save in earlier + best:
    try:
      files.CheckedFolder(save.path, _RESTORE).check()
    except DamagedFileError as error:
      logging.warning('Not needed to go on, but damaged: %s', error)


def read_costs(save: files.CheckedFolder) -> dict[str, dict[str, float]]:
  """The costs in a 'best' save, for each split; errors as of its `read`."""
  costs = save.read_json(COSTS, finite=False)  # NaN is told as such
  if not reading.has_type(costs, dict[str, dict[str, float]]):
    raise save.error(COSTS, 'is damaged: expected the costs of each split')
  return costs


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
  """All weights of a model by name."""
  return {name: v.numpy() for name, v in _by_name(model.weights).items()}


def optimizer_state_of(
  optimizer: keras.optimizers.Optimizer,
) -> dict[str, np.ndarray]:
  """All variables of an optimiser by name."""
  named = _optimizer_variables(optimizer)
  return {name: v.numpy() for name, v in named.items()}


def assign_weights(model: keras.Model, arrays: dict, source: str) -> None:
  """Sets all weights of a model.

  Args:
    model: a model of the same hyperparameters.
    arrays: as from `weights_of`.
    source: where they come from, for the error.

  Raises:
    DamagedFileError: naming each array that is missing, left over, of another
      shape, or not finite. The model is then unchanged.
  """
  _assign(_by_name(model.weights), arrays, source)


def assign_optimizer_state(
  optimizer: keras.optimizers.Optimizer, arrays: dict, source: str
) -> None:
  """Sets all variables of a built optimiser; as `assign_weights`."""
  _assign(_optimizer_variables(optimizer), arrays, source)


def _by_name(variables):
  return {v.path: v for v in variables}


def _optimizer_variables(optimizer):
  # Their paths start with the optimiser's name, which Keras may number.
  return {
    name.partition('/')[2]: variable
    for name, variable in _by_name(optimizer.variables).items()
  }


def _assign(variables: dict, arrays: dict, source: str) -> None:
  wrong = [f'missing {name}' for name in variables if name not in arrays]
  wrong += [f'left over {name}' for name in arrays if name not in variables]
  for name in variables.keys() & arrays.keys():
    variable, array = variables[name], arrays[name]
    if array.shape != tuple(variable.shape):
      wrong.append(f'{name} is {array.shape}, expected {variable.shape}')
    elif array.dtype.kind not in 'iuf' or not np.isfinite(array).all():
      wrong.append(f'{name} holds what is not a finite number')
  if wrong:
    raise DamagedFileError(
      f"'{source}' does not fit the run's hyperparameters: "
      + '; '.join(sorted(wrong))
      + f'; {_RESTORE}.'
    )
  for name, variable in variables.items():
    variable.assign(arrays[name])


def _nearby_runs(folder: pathlib.Path) -> str:
  """A hint: the runs in the folder, or else beside it."""
  for parent in (folder, folder.parent):
    if parent.is_dir():
      names = sorted(path.name for path in parent.iterdir() if is_run(path))
      if names:
        return f"the runs in '{parent}' are: {', '.join(names)}."
  return 'train one first, or give the folder of another.'
