"""Tests of grids.py: the runs of 2017, by name and number."""

import itertools

import numpy as np
import pytest

from embedding_rnn.embedding_rnn import Model
from embedding_rnn.experiments import grids
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.model.schedules import make_optimizer

ALL_RUNS = [
  (name, run_name, hps)
  for name in grids.EXPERIMENTS
  for run_name, hps in grids.plan_runs(name, run_all=True).items()
]


def _names(pattern, *values):
  return [pattern.format(*point) for point in itertools.product(*values)]


# As the table of the 2017 experiments writes them down: {} in the order of the
# name, and the values of each.
@pytest.mark.parametrize(
  ('name', 'run_names'),
  [
    ('default_run', ['default_local', 'default_local_unconditional']),
    ('pretrained', ['pretrained']),
    ('short_test', ['short_test']),
    ('short_test_borg', ['short_test']),
    ('overfit', ['overfit_test']),
    ('sample_vae_sweep', _names('exp3_unc_{}_no_s_{}', (0, 1), (0, 1))),
    ('z_size_sweep', _names('exp_zsize_{}', (64, 128, 256, 512, 1024, 1984))),
    ('difference_test', _names('exp_diff_input_{}', (0, 1))),
    ('small_sweep', _names('exp_rnn_size_{}', (64, 128))),
    ('rnn_size_sweep', _names('exp_rnn_size_{}', (256, 512, 1024))),
    (
      'sweep_all_layer_norm',
      _names(
        'v9_rnn{}_{}_l{}_enc{}_z{}_mix{}',
        (128, 256, 512, 1024),
        ('layer_norm',),
        (1, 2, 3, 4),
        (128, 256, 512),
        (64, 128, 256, 512, 1024),
        (5, 10, 20),
      ),
    ),
    (
      'sweep_all_with_diff',
      _names(
        'v9_rnn{}_{}_l{}_enc{}_z{}_mix{}_d{}',
        (512, 1024),
        ('layer_norm',),
        (1, 2),
        (512,),
        (256, 512, 1024),
        (5, 10, 20),
        (0, 1),
      ),
    ),
    (
      'sweep_high_layer_norm',
      _names(
        'v8_rnn{}_{}_l{}_enc{}_z{}_mix{}',
        (1024, 1600, 2048),
        ('layer_norm',),
        (1, 2, 3, 4),
        (512, 1024, 2048),
        (512, 1024, 1600, 2048),
        (20, 25, 30),
      ),
    ),
    (
      'final_experiment',
      _names('blog_13_unc0_nosam{}_d{}_pca{}', (0, 1), (0, 1), (0, 1))
      + _names('blog_13_unc1_d{}_pca{}', (0, 1), (0, 1)),
    ),
  ],
)
def test_the_whole_sweep_has_the_runs_of_2017(name, run_names):
  assert set(grids.plan_runs(name, run_all=True)) == set(run_names)
  assert len(grids.plan_runs(name, run_all=True)) == len(run_names)


def test_no_experiment_is_left_out():
  mark = test_the_whole_sweep_has_the_runs_of_2017.pytestmark[0]
  assert [name for name, _ in mark.args[1]] == list(grids.EXPERIMENTS)


@pytest.mark.parametrize('name', grids.EXPERIMENTS)
def test_one_point_is_a_run_or_two(name):
  assert 1 <= len(grids.plan_runs(name)) <= 2


def test_the_name_of_a_run_tells_its_hyperparameters():
  plan = grids.plan_runs('sweep_all_with_diff', run_all=True)
  hps = plan['v9_rnn1024_layer_norm_l2_enc512_z256_mix20_d0']
  expected = default_hps().parse(
    'rnn_size=1024,model=layer_norm,num_layers=2,enc_rnn_size=512,z_size=256,'
    'num_mixture=20,difference_input=0'
  )
  assert hps == expected


def test_blog_13():
  plan = grids.plan_runs('final_experiment', run_all=True)
  expected = default_hps().parse(
    'rnn_size=1024,model=layer_norm,num_layers=2,enc_rnn_size=1024,z_size=128,'
    'num_mixture=20,pca_dim_reduce=1,unconditional=0,difference_input=1,'
    'no_sample_vae=1'
  )
  assert plan['blog_13_unc0_nosam1_d1_pca1'] == expected


def test_hparam_is_for_all_runs_and_wins():
  plan = grids.plan_runs('short_test', hparam='num_steps=7,rnn_size=9')
  assert plan['short_test'].num_steps == 7
  assert plan['short_test'].pca_dim_reduce == 1
  plan = grids.plan_runs('z_size_sweep', True, 'num_steps=7')
  assert {hps.num_steps for hps in plan.values()} == {7}


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('z_sise_sweep',), 'did you mean z_size_sweep'),
    (('nothing like it',), 'see --list'),
    (('z_size_sweep', True, 'z_size=3'), "name of 'exp_zsize_64' tells"),
    (('final_experiment', False, 'unconditional=1'), 'blog_13_unc0'),
    (('short_test', False, 'rnn_sizes=3'), 'Unknown hyperparameter'),
  ],
)
def test_what_is_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    grids.plan_runs(*arguments)


def test_two_runs_of_one_name_are_refused(monkeypatch):
  twins = (grids.Grid('same', z_size=(1, 2)),)
  monkeypatch.setitem(grids.EXPERIMENTS, 'twins', twins)
  with pytest.raises(ValueError, match="two runs of the name 'same'"):
    grids.plan_runs('twins')


def _reduced_configurations():
  """Each structure among the runs once, sizes all different but small."""
  small = {
    'rnn_size': 7,
    'enc_rnn_size': 5,
    'z_size': 3,
    'hyper_lstm_size': 4,
    'hyper_embedding_size': 2,
    'batch_size': 2,
    'max_seq_len': 5,
  }
  training_only = ('num_steps', 'save_every', 'overfit')
  configurations = {}
  for _, run_name, hps in ALL_RUNS:
    reduced = hps.copy().override_from_dict(small)
    reduced.frames_per_step = min(reduced.frames_per_step, 2)
    for name in training_only:
      setattr(reduced, name, getattr(default_hps(), name))
    configurations.setdefault(str(reduced), (run_name, reduced))
  return list(configurations.values())


@pytest.mark.slow
def test_every_configuration_takes_a_step_at_reduced_size():
  rng = np.random.default_rng(0)
  configurations = _reduced_configurations()
  assert len(configurations) > 30
  for run_name, hps in configurations:
    model = Model(hps)
    optimizer = make_optimizer(hps)
    batch = rng.normal(size=[2, 6, model.width]).astype(np.float32)
    batch[:, 0] = 0
    pitches = np.eye(model.condition_size, dtype=np.float32)[[60, 72]]
    costs, grads = model.gradients_at_step(batch, pitches, seed=0, step=0)
    assert np.isfinite(costs.cost), run_name
    before = [v.numpy() for v in model.trainable_variables]
    optimizer.apply_gradients(
      zip(grads, model.trainable_variables, strict=True)
    )
    after = model.trainable_variables
    changed = [np.any(a != b) for a, b in zip(after, before, strict=True)]
    assert all(changed) or hps.no_sample_vae, run_name


def test_the_tables():
  table = grids.format_experiments()
  for name in grids.EXPERIMENTS:
    assert name in table
  assert '720' in table
  plan = grids.plan_runs('z_size_sweep', True, 'num_steps=7')
  lines = grids.format_plan(plan).splitlines()
  assert lines[0].startswith('6 runs')
  assert 'exp_zsize_1984: num_steps=7,z_size=1984' in lines
