r"""Exports a run as a TensorFlow SavedModel, to be used without this package.

Example:
  python -m embedding_rnn.export --run_dir=logs/default_local \
    --output_dir=exported/1

The folder then serves as it is, in TensorFlow Serving or from any program:

  model = tf.saved_model.load('exported/1')
  latent = model.signatures['encode'](notes=notes)
  made = model.signatures['decode'](pitches=[60], z=latent['z'], num_frames=125)

Its file export.json says what each signature takes and gives, and what the
frames are. Notes are in the original format: the transforms are in the graph.
"""

from absl import flags, logging

from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('run_dir', None, 'Folder of the trained run.')
  flags.DEFINE_string('output_dir', None, 'Folder to write; must not exist.')


def main(argv: list[str]) -> None:
  """The command: exports --run_dir to --output_dir."""
  del argv
  args = flags.FLAGS
  if not args.run_dir or not args.output_dir:
    raise ValueError(
      'Set --run_dir to the folder of a trained run, and --output_dir to the '
      'folder to write.'
    )
  checkpoints.expect_run(args.run_dir)
  # TensorFlow is imported when all that can be said before has been said.
  from embedding_rnn.export import export_run
  from embedding_rnn.training.trained_run import load_run

  run = load_run(args.run_dir)
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)  # TensorFlow tells of its inner names.
  folder = export_run(run, args.output_dir)
  logging.set_verbosity(verbosity)
  cli.write_result(f'The SavedModel, described in its export.json: {folder}')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
