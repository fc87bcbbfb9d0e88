"""Flags that say which run makes up instruments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from embedding_rnn.training import checkpoints

# TensorFlow takes seconds to import; bad flags should not wait for it.
if TYPE_CHECKING:
  from embedding_rnn.audio.codec import Codec
  from embedding_rnn.training.trained_run import Run


def define_flags() -> None:
  """Defines --run_dir, --pretrained and --seed."""
  flags.DEFINE_string('run_dir', None, 'Folder of the trained run.')
  flags.DEFINE_bool(
    'pretrained', False, 'Take the run in the package instead of --run_dir.'
  )
  flags.DEFINE_integer('seed', 0, 'Another one gives other instruments.', 0)


def open_run(args: Any) -> tuple[Run, Codec]:
  """The run that the flags name, and the codec of its notes.

  Raises:
    FileNotFoundError: if there is no such run.
    ValueError: unless one run is named, or if its notes cannot be heard
      without a checkpoint.
  """
  folder = checkpoints.choose_folder(args.run_dir, args.pretrained)
  checkpoints.expect_run(folder)
  from embedding_rnn.nsynth.codec import codec_of_data
  from embedding_rnn.training.trained_run import load_run

  run = load_run(folder)
  codec = codec_of_data(run.info, run.hps.seq_width)
  if codec is None:
    raise ValueError(
      f"The notes of the run at '{run.folder}' take the codec "
      f'{run.info.get("codec")!r} to be heard, which needs a checkpoint; '
      "expected a run on the harmonic codec's frames."
    )
  return run, codec
