"""Launches the named experiments, on this machine or on a GPU cluster.

They are functions, to be switched on in the main block of the root's run.py,
where what the command line says holds for all of them, or to be called from
anywhere else with the same as arguments:

  run.default_run(exp_name='mine', log_root='my_logs', hparam='num_steps=200')
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import notes
from embedding_rnn.experiments import (
  grids,
  job,
  report,
  resources,
  submission,
  worker,
)
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.model.hparams import (
  HParams,
  check_hparams,
  names_that_shape,
)
from embedding_rnn.nsynth import codec
from embedding_rnn.training.checkpoints import check_run_name, is_run
from embedding_rnn.utils import cli, dataclass_flags, files
from embedding_rnn.utils.dataclass_flags import option

# What needs TensorFlow, whose import takes seconds, is imported in functions.
if TYPE_CHECKING:
  from embedding_rnn.training.trained_run import Run

flags.disclaim_key_flags()  # they belong to the command that defines them


# The fields of `Options` that the command line says, once there is one; see
# `read_flags`.
_FROM_FLAGS: dict[str, Any] = {}


@dataclasses.dataclass(frozen=True)
class Options(job.Settings):
  """How to launch an experiment, whichever it is.

  Attributes:
    codec: see `nsynth.codec.codec_of_data`; so are the next two.
    nsynth_checkpoint_path: as above.
    averaged: as above.
    resources: of each run, if it is not trained on this machine.
    command: to be given again for the same, as the page of notes shows it.
  """

  exp_name: str | None = option(
    None,
    "Name of the run, that of its folder in --log_root; default: the run's own "
    'name. For one run, not for a whole sweep.',
  )
  hparam: str = option(
    '', 'Hyperparameters as name=value,name=value; they override everything.'
  )
  resume: bool = option(
    False,
    'Continue runs that exist, begin those that do not. Sweeps always do.',
  )
  dry_run: bool = option(False, 'Only show the runs and their hyperparameters.')
  codec: str | None = None
  nsynth_checkpoint_path: str | None = None
  averaged: bool | None = None
  resources: Resources = dataclasses.field(default_factory=Resources)
  command: str = ''

  def codec_of(self, info: Mapping[str, Any], hps: HParams) -> Codec | None:
    """The codec of data, or of a run on them, that say `info`."""
    return codec.codec_of_data(
      info,
      hps.seq_width,
      self.codec,
      self.nsynth_checkpoint_path,
      self.averaged,
    )


def define_flags() -> None:
  """Defines the flags of the root's run.py."""
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
  flags.DEFINE_string(
    'report',
    None,
    'Write a table and a figure of the results in this folder of runs, or of '
    'this job.',
  )
  dataclass_flags.define(Options)
  codec.define_flags()
  resources.define_flags()


def read_flags() -> None:
  """Makes what the command line says the default of all experiments."""
  args = flags.FLAGS
  options = dataclass_flags.read(
    Options,
    codec=args.codec,
    nsynth_checkpoint_path=args.nsynth_checkpoint_path,
    averaged=args.averaged,
    resources=resources.resources_from_flags(),
    command=cli.command_line(),
  )
  _FROM_FLAGS.update(vars(options))


def obey_flags() -> bool:
  """Does what the command line asks for, instead of the main block.

  Returns:
    Whether there was anything: --list, --report or --experiment. If not, what
    the main block does is done as the other flags say.

  Raises:
    ValueError: for flags that need --experiment, or as `launch`.
  """
  read_flags()
  args = flags.FLAGS
  if args.list:
    cli.write_result(grids.format_experiments())
  elif args.report:
    folder = pathlib.Path(args.report)
    if not folder.exists():
      folder = job.find_job(args.log_root, args.report).folder
    cli.write_result(report.write_report(folder))
  elif args.experiment == 'default_run':
    default_run(args.local)
  elif args.experiment is not None:
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


def main(argv: list[str]) -> None:
  """The command embedding-rnn train: as the root's run.py is delivered."""
  del argv
  if not obey_flags():
    default_run()


def default_run(
  local: bool = True, exp_name: str = 'default_local', **options: Any
) -> None:
  """Trains a model from nothing to notes that one can hear.

  Overrides sizes and steps so that everything takes less than ten minutes on
  two cores. The embedded note collection is written to data_dir if nothing is
  there yet; a model is trained, and an unconditional one to compare it with;
  what is measured of both on held-out notes is shown; and some held-out notes
  are reconstructed, and new ones sampled, to audio and figures.

  With a checkpoint_path that is a run's, or 'pretrained', the model has that
  one's sizes and is fine-tuned: fewer and smaller steps, and no unconditional
  model beside it. Where there are fewer notes to train on than in a batch, the
  batch is all of them.

  Args:
    local: on this machine; a cluster only trains the two models.
    exp_name: name of the run's folder in log_root, if the command line names
      no other; the unconditional model's is the same with '_unconditional' at
      its end.
    **options: fields of `Options`; others are as the command line says.

  Raises:
    ValueError: for bad options, bad data, or a name that is no folder's.
    FileExistsError: if there is such a run and `resume` is not set.
  """
  start, chosen = time.monotonic(), _choose(options)
  tuning = _fine_tuning(chosen)
  exp_name = exp_name if chosen.exp_name is None else chosen.exp_name
  overrides = tuning | _batch_that_fits(chosen)
  hps, baseline = grids.plan_runs(
    'default_run', hparam=chosen.hparam, overrides=overrides
  ).values()
  plan = {exp_name: hps}
  if not (tuning or hps.unconditional):
    plan[exp_name + grids.UNCONDITIONAL] = baseline
  plan = prepare(plan, local, chosen, skip_finished=not local)
  if plan and not local:
    submission.submit('default_run', plan, chosen, chosen.resources)
  elif plan:
    runs = [_train_here(name, hps, chosen) for name, hps in plan.items()]
    _evaluate_and_synthesize(chosen, *runs)
    _log_time(start, chosen)


def _fine_tuning(options: Options) -> dict[str, Any]:
  """Hyperparameters to go on with the weights of a run; {} if it is none."""
  if options.checkpoint_path is None:
    return {}
  from embedding_rnn.training.training import find_start

  start = find_start(options.checkpoint_path)
  if start is None:
    return {}
  names = names_that_shape('model')
  return {name: start.hps.get(name) for name in names} | grids.FINE_TUNING


def _batch_that_fits(options: Options) -> dict[str, Any]:
  """A smaller batch_size if there are few notes; {} if there are enough."""
  hps, _ = grids.plan_runs('default_run', hparam=options.hparam).values()
  folder = pathlib.Path(options.data_dir)
  if not (folder / hps.data_set).is_file():
    return {}  # the embedded notes, or to be refused later
  from embedding_rnn.data.dataset import open_dataset
  from embedding_rnn.training.training import SPLIT_SEED

  dataset = open_dataset(folder, hps, SPLIT_SEED, to_train=False)
  number = len(dataset.rows['train'])
  return {'batch_size': number} if 0 < number < hps.batch_size else {}


def launch(
  name: str, local: bool = True, run_all: bool = False, **options: Any
) -> None:
  """Trains the runs of an experiment, one after another or on a cluster.

  A sweep skips the runs that are finished and continues the others. If one of
  its runs fails here, the rest are still trained.

  Args:
    name: of the experiment, one of `grids.EXPERIMENTS`.
    local: on this machine; else as the `resources` say.
    run_all: the whole sweep, not only one point of it.
    **options: fields of `Options`; others are as the command line says.

  Raises:
    ValueError: for bad options or bad data, or if a run failed.
    FileExistsError: if there is such a run that is another one, or if the
      experiment is no sweep and `resume` is not set.
  """
  start, chosen = time.monotonic(), _choose(options)
  plan = grids.plan_runs(name, run_all, chosen.hparam)
  if chosen.exp_name is not None:
    if len(plan) > 1:
      raise ValueError(
        f'exp_name={chosen.exp_name!r} is for one run, and {name} has '
        f'{len(plan)}: leave it out, or give another --log_root.'
      )
    (hps,) = plan.values()
    plan = {chosen.exp_name: hps}
  is_sweep = grids.is_sweep(name)
  if is_sweep:
    chosen = dataclasses.replace(chosen, resume=True)
  plan = prepare(plan, local, chosen, skip_finished=is_sweep or not local)

  def train(run_name: str, hps: HParams) -> None:
    run = _train_here(run_name, hps, chosen)
    cli.write_result(f'The run: {run.folder}')
    _log_time(start, chosen)

  if plan and not local:
    submission.submit(name, plan, chosen, chosen.resources)
  elif is_sweep:
    _, failed = cli.for_each(plan, train)
    cli.expect_no_failures(failed, len(plan))
  else:
    for run_name, hps in plan.items():
      train(run_name, hps)


pretrained = functools.partial(launch, 'pretrained')
short_test = functools.partial(launch, 'short_test')
short_test_borg = functools.partial(launch, 'short_test_borg')
overfit = functools.partial(launch, 'overfit')
sample_vae_sweep = functools.partial(launch, 'sample_vae_sweep')
z_size_sweep = functools.partial(launch, 'z_size_sweep')
difference_test = functools.partial(launch, 'difference_test')
small_sweep = functools.partial(launch, 'small_sweep')
rnn_size_sweep = functools.partial(launch, 'rnn_size_sweep')
sweep_all_layer_norm = functools.partial(launch, 'sweep_all_layer_norm')
sweep_all_with_diff = functools.partial(launch, 'sweep_all_with_diff')
sweep_high_layer_norm = functools.partial(launch, 'sweep_high_layer_norm')
final_experiment = functools.partial(launch, 'final_experiment')


def _choose(options: Mapping[str, Any]) -> Options:
  return Options(**{**_FROM_FLAGS, **options})


def prepare(
  plan: Mapping[str, HParams],
  local: bool,
  options: Options,
  skip_finished: bool,
) -> dict[str, HParams]:
  """Checks everything before anything is trained or submitted.

  Args:
    plan: the hyperparameters of each run, by name.
    local: whether they are to be trained on this machine.
    options: how.
    skip_finished: leave out the runs that are trained to their end.

  Returns:
    What is left of the plan; nothing if it is only to be shown.

  Raises:
    ValueError: for bad options, names, hyperparameters or data.
    FileExistsError: if there is such a run that is not to be continued.
  """
  if options.dry_run:
    cli.write_result(grids.format_plan(plan))
    return {}
  if local:
    resources.expect_defaults(options.resources)
  left = {}
  for run_name, hps in plan.items():
    _check_name(run_name, options)
    check_hparams(hps)
    is_finished = submission.is_finished(run_name, hps, options)
    if not (is_finished and skip_finished):
      left[run_name] = hps
  if skip_finished:
    logging.info('%d of %d runs are left.', len(left), len(plan))
  if left:
    _check_data(left, options)
    files.make_output_dir(options.log_root, 'log_root')
  return left


def _check_name(run_name: str, options: Options) -> None:
  """Raises if a run cannot have its name."""
  check_run_name(run_name)
  if not options.log_root:
    raise ValueError('--log_root= is empty: expected a folder, such as ./logs.')
  folder = pathlib.Path(options.log_root, run_name)
  if not options.resume and is_run(folder):
    raise FileExistsError(
      f"There is a run in '{folder}' already; continue it with --resume, or "
      'choose another exp_name or --log_root.'
    )


def _check_data(plan: Mapping[str, HParams], options: Options) -> None:
  """Raises if the data cannot be trained on, or not be heard; makes notes."""
  from embedding_rnn.data.dataset import open_dataset
  from embedding_rnn.training import task, training

  for hps in plan.values():
    task.check_run_seed(hps, options.seed)
  hps = next(iter(plan.values()))
  notes.prepare_data_dir(
    options.data_dir, (hps.data_set, hps.pitch_set, hps.velocity_set)
  )
  dataset = open_dataset(options.data_dir, hps, training.SPLIT_SEED)
  options.codec_of(dataset.metadata, hps)


def _train_here(run_name: str, hps: HParams, options: Options) -> Run:
  folder = pathlib.Path(options.log_root, run_name)
  logging.info('Training %s in %s', run_name, folder)
  resume = options.resume and is_run(folder)
  return worker.train_run(run_name, hps, options, resume=resume)


def _evaluate_and_synthesize(
  options: Options, run: Run, unconditional_run: Run | None = None
) -> None:
  from embedding_rnn.evaluate import measures, tables
  from embedding_rnn.model import distribution
  from embedding_rnn.synthesize import page, synthesis
  from embedding_rnn.synthesize.config import SynthesisConfig

  if not distribution.is_chief(distribution.choose_strategy()):
    return
  dataset = run.open_dataset(options.data_dir)
  run_codec = options.codec_of(run.info, run.hps)
  metrics = measures.evaluate(
    run,
    dataset,
    unconditional_run=unconditional_run,
    codec=run_codec,
    seed=options.seed,
  )
  tables.write_metrics(run.folder, metrics)
  cli.write_result(tables.format_metrics(metrics))
  num_notes = None if run.model.conditional else 0
  config = SynthesisConfig(num_notes=num_notes, seed=options.seed)
  config = config.completed(run)
  output_dir = synthesis.choose_output_dir(run.folder, config)
  summary = synthesis.synthesize(
    run,
    dataset,
    output_dir,
    config,
    codec=run_codec,
    metrics=metrics,
    command=options.command,
  )
  cli.write_result(synthesis.format_summary(summary))
  cli.write_result(f'The run: {run.folder}')
  cli.write_result(f'Listen to it: {output_dir / page.FILE_NAME}')


def _log_time(start: float, options: Options) -> None:
  minutes, seconds = divmod(round(time.monotonic() - start), 60)
  logging.info('Their log: tensorboard --logdir=%s', options.log_root)
  logging.info('Finished after %d min %02d s.', minutes, seconds)
