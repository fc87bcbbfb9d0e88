"""The named experiments, and how one is run on this machine.

An experiment is a name and what it overrides of `default_hps()`; `--hparam`
comes last and wins. The functions are for the main block of the root's run.py
and read the flags of the command line.
"""

import os
import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import flags, logging

from embedding_rnn import (
  commands,
  data,
  evaluation,
  notes,
  synthesize,
  training,
)
from embedding_rnn.checkpoints import is_run
from embedding_rnn.hparams import HParams, default_hps
from embedding_rnn.trained_run import Run

flags.disclaim_key_flags()  # they belong to the command that defines them

# Sizes and steps with which default_run takes minutes on two cores. In so few
# steps the decoder would learn to copy the frame before and leave z alone, and
# its own frames would then lead it astray; hence the strong input dropout. The
# weight of the KL term is near that of a whole note's evidence lower bound.
_DEFAULT_RUN = {
  'model': 'layer_norm',
  'rnn_size': 128,
  'enc_rnn_size': 64,
  'z_size': 32,
  'batch_size': 32,
  'num_steps': 1400,
  'save_every': 100,
  'difference_input': 0,
  'pca_dim_reduce': 1,
  'n_pca_components': 10,
  'use_input_dropout': 1,
  'input_dropout_prob': 0.06,
  'kl_weight': 0.01,
  'kl_weight_start': 0.01,
  'learning_rate': 0.006,
  'decay_rate': 0.998,
  'min_learning_rate': 0.0002,
}
_BASELINE_STEPS = 400  # of the unconditional model that it is compared with

_NUM_NOTES = 8  # reconstructed at the end of default_run
_SAMPLE_PITCHES = (48, 60, 72)


class Experiment(NamedTuple):
  """What a run is called, and how it differs from `default_hps()`."""

  run_name: str
  overrides: Mapping[str, Any]


EXPERIMENTS = {
  'default_run': Experiment('default_local', _DEFAULT_RUN),
  'short_test': Experiment(
    'short_test', {'num_steps': 100, 'save_every': 50, 'pca_dim_reduce': 1}
  ),
  'overfit': Experiment('overfit_test', {'overfit': 1}),
}


def default_run(local: bool = True, exp_name: str = 'default_local') -> None:
  """Trains a model from nothing to notes that one can hear.

  Overrides sizes and steps so that everything takes less than ten minutes on
  two cores. The embedded note collection is written to --data_dir if nothing is
  there yet; a model is trained, and an unconditional one to compare it with;
  the errors of both on held-out notes are shown; and some held-out notes are
  reconstructed, and new ones sampled, to audio and figures.

  Args:
    local: on this machine; clusters come with a later version.
    exp_name: name of the run's folder in --log_root; the unconditional model's
      is the same with '_unconditional' at its end.

  Raises:
    ValueError: for bad flags, bad data, or a name that is no folder's.
    FileExistsError: if there is such a run and --resume is not set.
  """
  start = time.monotonic()
  hps = _hparams('default_run')
  plan = {exp_name: hps}
  if not hps.unconditional:
    plan[f'{exp_name}_unconditional'] = baseline = hps.copy()
    baseline.unconditional = 1
    baseline.num_steps = min(hps.num_steps, _BASELINE_STEPS)
    baseline.save_every = min(hps.save_every, baseline.num_steps)
  run, *unconditional = _train(plan, local)
  folder = _run_dir(exp_name)
  dataset = run.open_dataset(flags.FLAGS.data_dir)
  if unconditional:
    errors = evaluation.evaluate_reconstruction(
      run, dataset, unconditional_run=unconditional[0]
    )
    logging.info('%s', format_errors(errors))
  output_dir = folder / 'synthesis'
  num_notes = 0
  if unconditional:
    num_notes = min(_NUM_NOTES, len(dataset.rows['test']))
  summary = synthesize.synthesize(
    run,
    dataset,
    output_dir,
    num_notes=num_notes,
    pitches=_SAMPLE_PITCHES,
    greedy='mean',
    seed=flags.FLAGS.seed,
  )
  logging.info('%s', synthesize.format_summary(summary))
  logging.info('Audio and figures: %s', output_dir)
  _finish(folder, start)


def short_test(local: bool = True) -> None:
  """A hundred steps of the full-size model with PCA; arguments as above."""
  _run('short_test', local)


def overfit(local: bool = True) -> None:
  """Trains on the validation notes: can the model learn them by heart?"""
  _run('overfit', local)


def define_flags() -> None:
  """Defines the flags that experiments read."""
  flags.DEFINE_string(
    'data_dir',
    './data/notes',
    'Folder of the data. If it is missing or empty, the embedded note '
    'collection is written to it.',
  )
  flags.DEFINE_string('log_root', './logs', 'Folder of the run folders.')
  flags.DEFINE_string(
    'checkpoint_path',
    None,
    'A run folder or a 2017 checkpoint whose weights training starts from.',
  )
  flags.DEFINE_string(
    'hparam',
    '',
    'Hyperparameters as name=value,name=value; they override everything.',
  )
  flags.DEFINE_bool(
    'resume', False, 'Continue runs that exist, begin those that do not.'
  )
  flags.DEFINE_integer(
    'seed', 0, 'Of the weights, the batches and the samples.'
  )


def format_errors(errors: Mapping[str, Any]) -> str:
  """What `evaluation.evaluate_reconstruction` gives, as a table."""
  names = {
    'reconstruction_mse': 'reconstruction',
    'mean_frame_mse': "repeat the note's mean frame",
    'unconditional_mse': 'unconditional model',
  }
  rows = [
    {'held-out notes': name, 'mean squared error': errors[key]}
    for key, name in names.items()
    if key in errors
  ]
  rows[0]['held-out notes'] += f' of {errors["num_notes"]} notes'
  return commands.format_table(rows)


def prepare_data(data_dir: str | os.PathLike[str], hps: HParams) -> None:
  """Writes the embedded note collection, unless there is data.

  Args:
    data_dir: a folder with data, or one that is missing or empty.
    hps: for the names of the files.

  Raises:
    FileNotFoundError: if there is something, but not all that is needed.
    OSError: if the folder cannot be written.
  """
  if not _needs_data(data_dir, hps):
    return
  folder = pathlib.Path(data_dir).resolve()
  folder.parent.mkdir(parents=True, exist_ok=True)
  logging.info('Writing the embedded note collection to %s', data_dir)
  # All files appear at once, so that nothing can be there in part.
  temporary = folder.with_name(f'{folder.name}.{os.getpid()}.tmp')
  try:
    notes.write_data_dir(temporary)
    os.replace(temporary, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _needs_data(data_dir: str | os.PathLike[str], hps: HParams) -> bool:
  folder = pathlib.Path(data_dir)
  if folder.exists() and not folder.is_dir():
    raise NotADirectoryError(
      f"'{folder}' is a file; set --data_dir to a folder."
    )
  if not folder.exists() or not any(folder.iterdir()):
    return True
  needed = (hps.data_set, hps.pitch_set, hps.velocity_set)
  missing = [name for name in needed if not (folder / name).is_file()]
  if missing:
    raise FileNotFoundError(
      f"'{folder}' is not empty, but lacks {', '.join(missing)}; complete your "
      'data, or set --data_dir to a new folder for the embedded notes.'
    )
  return False


def _hparams(experiment: str) -> HParams:
  """Defaults, then what the experiment overrides, then --hparam."""
  hps = default_hps()
  hps.override_from_dict(EXPERIMENTS[experiment].overrides)
  return hps.parse(flags.FLAGS.hparam)


def _run(experiment: str, local: bool) -> None:
  """Trains an experiment of one run."""
  start = time.monotonic()
  run_name = EXPERIMENTS[experiment].run_name
  _train({run_name: _hparams(experiment)}, local)
  _finish(_run_dir(run_name), start)


def _train(plan: Mapping[str, HParams], local: bool) -> list[Run]:
  """Trains runs, in their order, after everything has been checked."""
  args = flags.FLAGS
  if not local:
    raise ValueError(
      'local=False: running on clusters comes with a later version; set '
      'local=True to run on this machine.'
    )
  if args.seed < 0:
    raise ValueError(f'--seed={args.seed}: expected at least 0.')
  for run_name in plan:
    _check_run_name(run_name)
  hps = next(iter(plan.values()))
  prepare_data(args.data_dir, hps)
  dataset = data.open_dataset(args.data_dir, hps, training.SPLIT_SEED)
  synthesize.dataset_codec(dataset, hps.seq_width)
  runs = []
  for i, (run_name, hps) in enumerate(plan.items()):
    folder = _run_dir(run_name)
    logging.info('Training %s in %s', run_name, folder)
    runs.append(
      training.train(
        hps,
        args.data_dir,
        folder,
        resume=args.resume and is_run(folder),
        seed=args.seed,
        checkpoint_path=None if i else args.checkpoint_path,
      )
    )
  return runs


def _check_run_name(run_name: str) -> None:
  if run_name in ('', '.', '..') or pathlib.Path(run_name).name != run_name:
    raise ValueError(
      f'exp_name={run_name!r}: expected a name for a folder in --log_root.'
    )
  folder = _run_dir(run_name)
  if not flags.FLAGS.resume and is_run(folder):
    raise FileExistsError(
      f"There is a run in '{folder}' already; continue it with --resume, or "
      'choose another exp_name or --log_root.'
    )


def _run_dir(run_name: str) -> pathlib.Path:
  return pathlib.Path(flags.FLAGS.log_root) / run_name


def _finish(folder: pathlib.Path, start: float) -> None:
  minutes, seconds = divmod(round(time.monotonic() - start), 60)
  logging.info('The run: %s', folder)
  logging.info('Its log: tensorboard --logdir=%s', flags.FLAGS.log_root)
  logging.info('Finished after %d min %02d s.', minutes, seconds)
