"""Launches the named experiments, on this machine or on a GPU cluster.

The functions are for the main block of the root's run.py and read the flags of
the command line. Besides `default_run` there is one for each experiment of
`experiments.EXPERIMENTS`: `z_size_sweep(local=False, run_all=True)` and so on.
"""

import functools
import gc
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from absl import flags, logging

from embedding_rnn.data import notes
from embedding_rnn.experiments import grids, job, report, submission
from embedding_rnn.model.hparams import HParams
from embedding_rnn.model.hparams_check import check_hparams
from embedding_rnn.nsynth import codec as codec_choice
from embedding_rnn.training.checkpoints import is_run
from embedding_rnn.utils import cli

# What needs TensorFlow, whose import takes seconds, is imported in functions.
if TYPE_CHECKING:
  from embedding_rnn.training.trained_run import Run

flags.disclaim_key_flags()  # they belong to the command that defines them

_NUM_NOTES = 8  # reconstructed at the end of default_run


def obey_flags() -> bool:
  """Does what the command line asks for, instead of the main block.

  Returns:
    Whether there was anything: --list, --report or --experiment.

  Raises:
    ValueError: for flags that need --experiment, or as `launch`.
  """
  args = flags.FLAGS
  if args.list:
    logging.info('%s', grids.format_experiments())
  elif args.report:
    folder = pathlib.Path(args.report)
    if not folder.exists():
      folder = job.find_job(args.log_root, args.report).folder
    logging.info('%s', report.write_report(folder))
  elif args.experiment == 'default_run':
    default_run(args.local)
  elif args.experiment:
    launch(args.experiment, args.local, args.run_all)
  else:
    given = [name for name in ('local', 'run_all') if args[name].present]
    if given:
      raise ValueError(
        f'--{given[0]} goes with --experiment=NAME; what the main block of '
        'run.py switches on has it as an argument.'
      )
    return False
  return True


def launch(name: str, local: bool = True, run_all: bool = False) -> None:
  """Trains the runs of an experiment, one after another or on a cluster.

  A sweep skips the runs that are finished and continues the others. If one of
  its runs fails here, the rest are still trained.

  Args:
    name: of the experiment, one of `experiments.EXPERIMENTS`.
    local: on this machine; else as the flags of `script_utils` say.
    run_all: the whole sweep, not only one point of it.

  Raises:
    ValueError: for bad flags or bad data, or if a run failed.
    FileExistsError: if there is such a run that is another one, or if the
      experiment is no sweep and --resume is not set.
  """
  start = time.monotonic()
  plan = grids.plan_runs(name, run_all, flags.FLAGS.hparam)
  for run in _start(name, plan, local):
    logging.info('The run: %s', run.folder)
    _log_time(start)


def __getattr__(name: str) -> Callable[..., None]:
  """The function of an experiment."""
  if name not in grids.EXPERIMENTS:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return functools.partial(launch, name)


def default_run(local: bool = True, exp_name: str = 'default_local') -> None:
  """Trains a model from nothing to notes that one can hear.

  Overrides sizes and steps so that everything takes less than ten minutes on
  two cores. The embedded note collection is written to --data_dir if nothing is
  there yet; a model is trained, and an unconditional one to compare it with;
  what is measured of both on held-out notes is shown; and some held-out notes
  are reconstructed, and new ones sampled, to audio and figures.

  Args:
    local: on this machine; a cluster only trains the two models.
    exp_name: name of the run's folder in --log_root; the unconditional model's
      is the same with '_unconditional' at its end.

  Raises:
    ValueError: for bad flags, bad data, or a name that is no folder's.
    FileExistsError: if there is such a run and --resume is not set.
  """
  start = time.monotonic()
  (_, hps), (_, baseline) = grids.plan_runs(
    'default_run', hparam=flags.FLAGS.hparam
  ).items()
  plan = {exp_name: hps}
  if not hps.unconditional:
    plan[f'{exp_name}_unconditional'] = baseline
  runs = list(_start('default_run', plan, local))
  if runs:
    _evaluate_and_synthesize(*runs)
    _log_time(start)


def _evaluate_and_synthesize(
  run: 'Run', unconditional_run: 'Run | None' = None
) -> None:
  from embedding_rnn.evaluate import measures, tables
  from embedding_rnn.model import distribution
  from embedding_rnn.synthesize import synthesis

  if not distribution.is_chief(distribution.choose_strategy()):
    return
  seed = flags.FLAGS.seed
  dataset = run.open_dataset(flags.FLAGS.data_dir)
  codec = codec_choice.codec_from_flags(run.info, run.hps.seq_width)
  metrics = measures.evaluate(
    run,
    dataset,
    unconditional_run=unconditional_run,
    codec=codec,
    seed=seed,
  )
  tables.write_metrics(run.folder, metrics)
  logging.info('%s', tables.format_metrics(metrics))
  num_notes = 0
  if unconditional_run:
    num_notes = min(_NUM_NOTES, len(dataset.rows['test']))
  output_dir = pathlib.Path(run.folder) / 'synthesis'
  summary = synthesis.synthesize(
    run,
    dataset,
    output_dir,
    synthesis.Plan(num_notes=num_notes, greedy='mean', seed=seed),
    codec=codec,
    metrics=metrics,
    command=cli.command_line(),
  )
  logging.info('%s', synthesis.format_summary(summary))
  logging.info('The run: %s', run.folder)
  logging.info('Listen to it: %s', output_dir / synthesis.PAGE)


def define_flags() -> None:
  """Defines the flags that experiments read."""
  flags.DEFINE_bool('list', False, 'Show the experiments.')
  flags.DEFINE_string(
    'experiment', None, 'Launch this one, not what the main block switches on.'
  )
  flags.DEFINE_bool(
    'run_all', False, 'With --experiment: the whole sweep, not one point of it.'
  )
  flags.DEFINE_bool(
    'local', True, 'With --experiment: on this machine, not on a cluster.'
  )
  flags.DEFINE_bool(
    'dry_run', False, 'Only show the runs and their hyperparameters.'
  )
  flags.DEFINE_string(
    'report',
    None,
    'Write a table and a figure of the results in this folder of runs, or of '
    'this job.',
  )
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
    'resume',
    False,
    'Continue runs that exist, begin those that do not. Sweeps always do.',
  )
  flags.DEFINE_integer(
    'seed', 0, 'Of the weights, the batches and the samples.'
  )
  flags.DEFINE_enum(
    'precision',
    'float32',
    ['float32', 'bfloat16'],
    'Of the matrix products in training; bfloat16 is for GPUs that have it.',
  )
  flags.DEFINE_bool(
    'deterministic_ops',
    False,
    'The same bits on every repeat, on GPUs too; slower there.',
  )
  codec_choice.define_flags()
  submission.define_flags()


def _start(
  name: str, plan: Mapping[str, HParams], local: bool
) -> 'Iterator[Run]':
  """Trains runs here and yields them, or yields none; checks come first."""
  args = flags.FLAGS
  if args.dry_run:
    logging.info('%s', grids.format_plan(plan))
    return
  settings = submission.Settings(
    data_dir=args.data_dir,
    log_root=args.log_root,
    seed=args.seed,
    checkpoint_path=args.checkpoint_path,
    precision=args.precision,
    deterministic_ops=args.deterministic_ops,
  )
  if args.seed < 0:
    raise ValueError(f'--seed={args.seed}: expected at least 0.')
  if local:
    submission.expect_no_resource_flags()
  else:
    resources = submission.resources_from_flags()
  is_sweep = grids.is_sweep(name)
  resume = args.resume or is_sweep
  unfinished = {}
  for run_name, hps in plan.items():
    _check_name(run_name, resume)
    check_hparams(hps)
    if not submission.is_finished(run_name, hps, settings):
      unfinished[run_name] = hps
  if is_sweep or not local:  # what follows default_run wants all of its runs
    logging.info('%d of %d runs are left.', len(unfinished), len(plan))
    plan = unfinished
  if not plan:
    return
  _check_data(args.data_dir, next(iter(plan.values())))
  if local:
    yield from _train_here(plan, settings, resume, keep_going=is_sweep)
  else:
    submission.submit(name, plan, settings, resources)


def _check_name(run_name: str, resume: bool) -> None:
  """Raises if a run cannot have its name."""
  if run_name in ('', '.', '..') or pathlib.Path(run_name).name != run_name:
    raise ValueError(
      f'exp_name={run_name!r}: expected a name for a folder in --log_root.'
    )
  folder = pathlib.Path(flags.FLAGS.log_root, run_name)
  if not resume and is_run(folder):
    raise FileExistsError(
      f"There is a run in '{folder}' already; continue it with --resume, or "
      'choose another exp_name or --log_root.'
    )


def _check_data(data_dir: str, hps: HParams) -> None:
  """Raises if the data cannot be trained on, or not be heard."""
  from embedding_rnn.data import dataset as data
  from embedding_rnn.training import training

  notes.prepare_data_dir(
    data_dir, (hps.data_set, hps.pitch_set, hps.velocity_set)
  )
  dataset = data.open_dataset(data_dir, hps, training.SPLIT_SEED)
  codec_choice.codec_from_flags(dataset.info, hps.seq_width)


def _train_here(
  plan: Mapping[str, HParams],
  settings: submission.Settings,
  resume: bool,
  keep_going: bool,
) -> 'Iterator[Run]':
  """Trains runs, in their order, and yields them."""
  errors = []
  for run_name, hps in plan.items():
    folder = pathlib.Path(settings.log_root, run_name)
    logging.info('Training %s in %s', run_name, folder)
    gc.collect()  # of the run before, whose graph refers to itself
    try:
      run = submission.train_run(
        run_name, hps, settings, resume=resume and is_run(folder)
      )
    except Exception as error:  # such as a GPU's memory that is too small
      if not keep_going:
        raise
      logging.debug('The error was raised here:', exc_info=True)
      logging.error('%s failed: %s: %s', run_name, type(error).__name__, error)
      errors.append(f'{run_name}: {error}')
    else:
      yield run
  if errors:
    raise ValueError(
      f'{len(errors)} of {len(plan)} runs failed: ' + '\n'.join(errors)
    )


def _log_time(start: float) -> None:
  minutes, seconds = divmod(round(time.monotonic() - start), 60)
  logging.info('Their log: tensorboard --logdir=%s', flags.FLAGS.log_root)
  logging.info('Finished after %d min %02d s.', minutes, seconds)
