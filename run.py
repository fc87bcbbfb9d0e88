"""Runs the experiments that are switched on in the last lines of this file.

Examples:
  python run.py
  python run.py --hparam=num_steps=5000,rnn_size=512 --log_root=./more_logs
  python run.py --resume
  python run.py --list
  python run.py --experiment=z_size_sweep --run_all --dry_run
  python run.py --experiment=z_size_sweep --run_all --local=false --gpus=1
  python run.py --report=./logs

With no data at hand, the embedded note collection is used. Every run needs a
name of its own; it is kept in the folder log_root/name.
"""

from embedding_rnn import run
from embedding_rnn.utils import cli


def main(argv):
  """Switch experiments on and off here."""
  del argv
  if run.obey_flags():
    return
  run.default_run(local=True, exp_name='default_local')
  # run.pretrained(local=True, data_dir='data/dense')
  # run.short_test(local=True)
  # run.short_test_borg(local=False)
  # run.overfit(local=False)
  # run.sample_vae_sweep(local=False, run_all=True)
  # run.z_size_sweep(local=False, run_all=True)
  # run.difference_test(local=False)
  # run.small_sweep(local=True, run_all=True)
  # run.rnn_size_sweep(local=False, run_all=True)
  # run.sweep_all_layer_norm(local=False, run_all=True)
  # run.sweep_all_with_diff(local=False, run_all=True)
  # run.sweep_high_layer_norm(local=False, run_all=True)
  # run.final_experiment(local=False, run_all=True)


if __name__ == '__main__':
  run.define_flags()
  cli.run(main)
