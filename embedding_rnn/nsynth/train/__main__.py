r"""Trains an NSynth WaveNet autoencoder of one's own.

Examples:
  python -m embedding_rnn.nsynth.train --exp_name=small \
    --hparam=width=32,skip_width=32,num_layers=10,ae_width=16,ae_num_layers=10 \
    --hparam=batch_size=4,num_steps=2000,save_every=500,learning_rate=0.002
  python -m embedding_rnn.nsynth.train --exp_name=h512_bo16 \
    --source=nsynth-train,nsynth-valid,nsynth-test
  python -m embedding_rnn.nsynth.encode --codec=wavenet \
    --nsynth_checkpoint_path=logs/h512_bo16 --averaged ...

Without --source it learns the embedded notes; other sources are those of
embedding_rnn.nsynth.encode. All sizes and settings that are not given are those
of the published model. The run is kept in log_root/exp_name, as the runs of
run.py are: it may be stopped at any time, and --resume goes on with it.
"""

from __future__ import annotations

import os

from absl import flags

from embedding_rnn.data.preparation.sources import EmbeddedNotes, open_source
from embedding_rnn.nsynth.train import hparams
from embedding_rnn.training.checkpoints import check_run_name
from embedding_rnn.utils import cli


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_list(
    'source',
    None,
    'Files or folders of notes, or tfds:nsynth; default: the embedded notes.',
  )
  flags.DEFINE_string('log_root', './logs', 'Folder of the run folders.')
  flags.DEFINE_string('exp_name', 'wavenet', "Name of the run's folder.")
  flags.DEFINE_multi_string(
    'hparam', [], 'Hyperparameters as name=value,name=value.'
  )
  flags.DEFINE_bool('resume', False, 'Go on with the run.')
  flags.DEFINE_integer('seed', 0, 'Of the weights and the crops.')
  flags.DEFINE_bool(
    'deterministic_ops',
    False,
    'The same bits on every repeat, on GPUs too; slower there.',
  )


def main(argv: list[str]) -> None:
  """The command: trains the run --exp_name.

  Raises:
    ValueError: for bad flags or notes; else as of `training.train`.
  """
  del argv
  args = flags.FLAGS
  check_run_name(args.exp_name)
  hps = hparams.default_hps().parse(','.join(args.hparam))
  hparams.check_hparams(hps)
  # TensorFlow is imported when all that can be said before has been said.
  from embedding_rnn.nsynth.train import training

  source = open_source(*args.source) if args.source else EmbeddedNotes()
  folder = os.path.join(args.log_root, args.exp_name)
  trained = training.train(
    hps,
    source,
    folder,
    resume=args.resume,
    seed=args.seed,
    deterministic_ops=args.deterministic_ops,
  )
  costs = [
    {'held-out notes': split, 'nats a sample': values['cost']}
    for split, values in trained.costs.items()
  ]
  cli.write_result(f'Best weights, at step {trained.step}:')
  cli.write_result(cli.format_table(costs))
  cli.write_result(
    f'As a codec: --codec=wavenet --nsynth_checkpoint_path={folder}'
  )


if __name__ == '__main__':
  define_flags()
  cli.run(main)
