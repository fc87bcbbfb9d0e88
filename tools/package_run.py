"""Makes the run in the package of one that was trained by `pretrained`.

Its best weights are kept in half precision; what is measured of the run, and
its history, go with it. Paths of the machine do not.

Example:
  python tools/package_run.py --run_dir=logs/pretrained
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags, logging

from embedding_rnn.evaluate import tables
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli, files

# What says where things were, not what they are.
_LOCAL = ('data_dir', 'data_files', 'checkpoint_path', 'folder')
_MOST_BYTES = 8e6


def package(run_dir: str, output_dir: pathlib.Path) -> None:
  """Writes the files of a run that the package is to have.

  Args:
    run_dir: a trained run that was evaluated.
    output_dir: the folder in the package, replaced as a whole.

  Raises:
    ValueError: if the files are too large.
    FileNotFoundError: if it was not evaluated.
    DamagedFileError: for a damaged run.
  """
  run = checkpoints.read_run(run_dir)
  save, content = checkpoints.read_save(
    pathlib.Path(run_dir),
    checkpoints.BEST,
    lambda save: {
      checkpoints.WEIGHTS: save.read_arrays(checkpoints.WEIGHTS),
      checkpoints.PRIOR: save.read_arrays(checkpoints.PRIOR),
      checkpoints.COSTS: save.read_json(checkpoints.COSTS),
    },
  )
  weights = content[checkpoints.WEIGHTS]
  content[checkpoints.WEIGHTS] = {
    name: array.astype(np.float16) for name, array in weights.items()
  }
  with files.replacing_folder(output_dir) as temporary:
    run = run._replace(info=_without_paths(run.info))
    checkpoints.create_run(temporary, run)
    checkpoints.write_save(temporary, checkpoints.BEST, save.step, content)
    metrics = tables.read_metrics(pathlib.Path(run_dir) / tables.METRICS)
    tables.write_metrics(temporary, _without_paths(metrics))
    history = (pathlib.Path(run_dir) / checkpoints.HISTORY).read_bytes()
    files.write_bytes(temporary / checkpoints.HISTORY, history)
    size = sum(p.stat().st_size for p in temporary.rglob('*') if p.is_file())
    if size > _MOST_BYTES:
      raise ValueError(
        f'{size} bytes: expected at most {_MOST_BYTES:.0f}; package a smaller '
        'model.'
      )
  logging.info('Wrote %.1f MB to %s', size / 1e6, output_dir)


def _without_paths(values: Mapping[str, Any]) -> dict[str, Any]:
  return {key: value for key, value in values.items() if key not in _LOCAL}


def main(argv: list[str]) -> None:
  """Packages the run of --run_dir."""
  del argv
  package(flags.FLAGS.run_dir, pathlib.Path(flags.FLAGS.output_dir))


if __name__ == '__main__':
  flags.DEFINE_string('run_dir', None, 'The trained run.', required=True)
  flags.DEFINE_string(
    'output_dir',
    str(checkpoints.PRETRAINED_FOLDER),
    'Folder to write to, which is replaced.',
  )
  cli.run(main)
