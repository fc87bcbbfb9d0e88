"""The named experiments as data: what each run is called and changes.

An experiment is one or more grids over what it overrides of `default_hps()`.
"""

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from embedding_rnn.model.hparams import HParams, default_hps
from embedding_rnn.utils import cli

# Follows the name of a run in that of its unconditional baseline.
UNCONDITIONAL = '_unconditional'


class RunAll(NamedTuple):
  """Values of a hyperparameter that a whole sweep takes one after another.

  Attributes:
    values: with run_all.
    otherwise: without; if there are none, the grid has no runs then.
  """

  values: Sequence[Any]
  otherwise: Sequence[Any]


class Grid:
  """Runs that differ in some hyperparameters.

  Args:
    run_name: a format, as 'exp_zsize_{z_size}'; its fields are hyperparameters.
    **overrides: for each hyperparameter a value, a tuple of values to take one
      after another, or a RunAll. The last one varies fastest.
  """

  def __init__(self, run_name: str, **overrides: Any):
    self.run_name = run_name
    self.overrides = overrides

  @property
  def is_sweep(self) -> bool:
    """Whether there may be several runs."""
    values = self.overrides.values()
    return any(isinstance(value, tuple) for value in values)

  def points(self, run_all: bool) -> Iterator[dict[str, Any]]:
    """Yields the overrides of each run."""
    choices = [_choices(value, run_all) for value in self.overrides.values()]
    for values in itertools.product(*choices):
      yield dict(zip(self.overrides, values, strict=True))


def _choices(value: Any, run_all: bool) -> Sequence[Any]:
  if isinstance(value, RunAll):
    return value.values if run_all else value.otherwise
  return value if isinstance(value, tuple) else (value,)


# Sizes and steps with which default_run takes minutes on two cores. The RNN
# takes wide steps, of which there are few, and hears no frames: it says how a
# note goes from its latent alone, and the errors, which hang together from
# frame to frame, are the noise around that. The weight of the KL term is that
# of a whole note's evidence lower bound: a note has Z / (T W) times as many
# latents as values.
_DEFAULT_STEPS = 6000
_DEFAULT_RUN = {
  'model': 'layer_norm',
  'rnn_size': 256,
  'enc_model': 'layer_norm',
  'enc_rnn_size': 64,
  'z_size': 32,
  'num_mixture': 3,
  'frames_per_step': 25,
  'error_order': 4,
  'feedback_keep_prob': 0.0,
  'velocity_context': 1,
  'difference_input': 0,
  'one_scale': 1,
  'mix_prob': 0.9,
  'offset_scale': 0.3,
  'free_running_weight': 10.0,
  'kl_weight': 0.016,
  'kl_weight_start': 0.016,
  'kl_tolerance': 0.0,
  'batch_size': 32,
  'num_steps': _DEFAULT_STEPS,
  'save_every': 500,
  'learning_rate': 0.016,
  'decay_rate': math.exp(-5 / _DEFAULT_STEPS),
  'min_learning_rate': 0.00032,
}
# Its run, and an unconditional model to compare it with.
_BASELINE_STEPS = 1000
_DEFAULT_BASELINE = {
  **_DEFAULT_RUN,
  'unconditional': 1,
  'feedback_keep_prob': 1.0,
  'free_running_weight': 0.0,
  'num_steps': _BASELINE_STEPS,
  'decay_rate': math.exp(-5 / _BASELINE_STEPS),
}

# The model that the package carries: larger, and trained for hours on the notes
# of `make_notes --dense`.
_PRETRAINED_STEPS = 40_000
_PRETRAINED = {
  **_DEFAULT_RUN,
  'rnn_size': 384,
  'enc_rnn_size': 128,
  'batch_size': 64,
  'num_steps': _PRETRAINED_STEPS,
  'save_every': 4000,
  'decay_rate': math.exp(-5 / _PRETRAINED_STEPS),
}

# What default_run changes if it starts from another run's weights.
_FINE_TUNING_STEPS = 1500
FINE_TUNING = {
  'num_steps': _FINE_TUNING_STEPS,
  'save_every': 250,
  'learning_rate': 0.004,
  'decay_rate': math.exp(-5 / _FINE_TUNING_STEPS),
  'min_learning_rate': 0.00008,
}

_BLOG_13 = {
  'rnn_size': 1024,
  'model': 'layer_norm',
  'num_layers': 2,
  'enc_rnn_size': 1024,
  'z_size': 128,
  'num_mixture': 20,
  'pca_dim_reduce': RunAll((0, 1), (0,)),
  'difference_input': RunAll((0, 1), (0,)),
}

_LAYER_NORM_NAME = (
  'rnn{rnn_size}_{model}_l{num_layers}_enc{enc_rnn_size}_z{z_size}'
  '_mix{num_mixture}'
)

EXPERIMENTS: Mapping[str, Sequence[Grid]] = {
  'default_run': (
    Grid('default_local', **_DEFAULT_RUN),
    Grid(f'default_local{UNCONDITIONAL}', **_DEFAULT_BASELINE),
  ),
  'pretrained': (Grid('pretrained', **_PRETRAINED),),
  'short_test': (
    Grid('short_test', num_steps=100, save_every=100, pca_dim_reduce=1),
  ),
  'short_test_borg': (Grid('short_test', num_steps=1000, save_every=100),),
  'overfit': (Grid('overfit_test', overfit=1),),
  'sample_vae_sweep': (
    Grid(
      'exp3_unc_{unconditional}_no_s_{no_sample_vae}',
      unconditional=RunAll((0, 1), (0,)),
      no_sample_vae=RunAll((0, 1), (0,)),
    ),
  ),
  'z_size_sweep': (
    Grid(
      'exp_zsize_{z_size}',
      z_size=RunAll((64, 128, 256, 512, 1024, 1984), (64,)),
    ),
  ),
  'difference_test': (
    Grid('exp_diff_input_{difference_input}', difference_input=(0, 1)),
  ),
  'small_sweep': (
    Grid('exp_rnn_size_{rnn_size}', rnn_size=RunAll((64, 128), (64,))),
  ),
  'rnn_size_sweep': (
    Grid('exp_rnn_size_{rnn_size}', rnn_size=RunAll((256, 512, 1024), (1024,))),
  ),
  'sweep_all_layer_norm': (
    Grid(
      f'v9_{_LAYER_NORM_NAME}',
      rnn_size=RunAll((128, 256, 512, 1024), (512,)),
      model='layer_norm',
      num_layers=RunAll((1, 2, 3, 4), (1,)),
      enc_rnn_size=RunAll((128, 256, 512), (512,)),
      z_size=RunAll((64, 128, 256, 512, 1024), (64,)),
      num_mixture=RunAll((5, 10, 20), (5,)),
    ),
  ),
  'sweep_all_with_diff': (
    Grid(
      f'v9_{_LAYER_NORM_NAME}_d{{difference_input}}',
      rnn_size=RunAll((512, 1024), (512,)),
      model='layer_norm',
      num_layers=RunAll((1, 2), (1,)),
      enc_rnn_size=512,
      z_size=RunAll((256, 512, 1024), (64,)),
      num_mixture=RunAll((5, 10, 20), (5,)),
      difference_input=(0, 1),
    ),
  ),
  'sweep_high_layer_norm': (
    Grid(
      f'v8_{_LAYER_NORM_NAME}',
      rnn_size=RunAll((1024, 1600, 2048), (512,)),
      model='layer_norm',
      num_layers=RunAll((1, 2, 3, 4), (1,)),
      enc_rnn_size=RunAll((512, 1024, 2048), (512,)),
      z_size=RunAll((512, 1024, 1600, 2048), (64,)),
      num_mixture=RunAll((20, 25, 30), (5,)),
    ),
  ),
  # An unconditional model has no latent to sample or not.
  'final_experiment': (
    Grid(
      'blog_13_unc{unconditional}_nosam{no_sample_vae}_d{difference_input}'
      '_pca{pca_dim_reduce}',
      **_BLOG_13,
      unconditional=0,
      no_sample_vae=RunAll((0, 1), (1,)),
    ),
    Grid(
      'blog_13_unc{unconditional}_d{difference_input}_pca{pca_dim_reduce}',
      **_BLOG_13,
      unconditional=RunAll((1,), ()),
    ),
  ),
}


def is_sweep(name: str) -> bool:
  """Whether an experiment may have several runs that differ in one thing."""
  return any(grid.is_sweep for grid in EXPERIMENTS[name])


def plan_runs(
  name: str,
  run_all: bool = False,
  hparam: str = '',
  overrides: Mapping[str, Any] | None = None,
) -> dict[str, HParams]:
  """The runs of an experiment.

  Args:
    name: of the experiment.
    run_all: the whole sweep, not only one point of it.
    hparam: hyperparameters as name=value,name=value, for all runs. They
      override what the experiment does, but for what a run's name tells.
    overrides: the same as values by name; hparam overrides these, too.

  Returns:
    The hyperparameters of each run, by its name.

  Raises:
    ValueError: for an unknown experiment or hyperparameter, for one that a
      run's name tells, or for two runs of one name.
  """
  if name not in EXPERIMENTS:
    close = difflib.get_close_matches(name, EXPERIMENTS, 1)
    hint = f'did you mean {close[0]}?' if close else 'see --list.'
    raise ValueError(f'Unknown experiment {name!r}; {hint}')
  runs: dict[str, HParams] = {}
  for grid in EXPERIMENTS[name]:
    for point in grid.points(run_all):
      hps = default_hps().override_from_dict(point)
      run_name = grid.run_name.format(**hps.values())
      hps.override_from_dict(overrides or {}).parse(hparam)
      if grid.run_name.format(**hps.values()) != run_name:
        raise ValueError(
          f'--hparam={hparam} would change what the name of {run_name!r} '
          f'tells (it follows {grid.run_name!r}); leave that to the experiment.'
        )
      if run_name in runs:
        raise ValueError(
          f'{name} has two runs of the name {run_name!r}: {runs[run_name]} and '
          f'{hps}; tell them apart in {grid.run_name!r}.'
        )
      runs[run_name] = hps
  return runs


def format_experiments() -> str:
  """The experiments with their numbers of runs, as a table."""
  rows = []
  for name, grids in EXPERIMENTS.items():
    plan = plan_runs(name, run_all=True)
    rows.append(
      {
        'experiment': name,
        'runs': len(plan_runs(name)),
        'with --run_all': len(plan),
        'names of runs': ', '.join(grid.run_name for grid in grids),
      }
    )
  return cli.format_table(rows)


def format_plan(plan: Mapping[str, HParams]) -> str:
  """The names of runs, with what their hyperparameters differ in."""
  defaults = default_hps().values()
  lines = [f'{len(plan)} runs; beside the values of default_hps():']
  for run_name, hps in plan.items():
    overrides = [
      f'{name}={value}'
      for name, value in hps.values().items()
      if value != defaults.get(name)
    ]
    lines.append(f'{run_name}: {",".join(overrides) or "no other"}')
  return '\n'.join(lines)
