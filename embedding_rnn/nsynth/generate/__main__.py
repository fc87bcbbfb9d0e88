r"""Generates the audio of frames, sample by sample, with NSynth's WaveNet.

Examples:
  python -m embedding_rnn.nsynth.generate --source=frames.npy \
    --output_dir=audio --nsynth_checkpoint_path=wavenet-ckpt/model.ckpt-200000
  python -m embedding_rnn.nsynth.generate --source=data/mine/train_z.npy \
    --output_dir=audio --nsynth_checkpoint_path=wavenet-ckpt --weights=int8

A source is a .npy file of frames, [frames, 16] or [notes, frames, 16], or a
folder of such files. A frame becomes 512 samples, at 16 kHz 32 ms. Each note is
written to a 16-bit .wav file of its name.

It may take long: an estimate is shown before it begins. The command may be
stopped at any time; given again, it goes on, and makes the same. What there is
of the notes that it works on can be heard in the folder partial.
"""

from __future__ import annotations

import os

from absl import flags

from embedding_rnn import nsynth
from embedding_rnn.data import metadata
from embedding_rnn.nsynth.codec import WaveNetCodec, expect_codec
from embedding_rnn.nsynth.fastgen.choices import (
  BATCH_SIZES,
  WEIGHTS,
  choose_runtime,
)
from embedding_rnn.utils import cli


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string(
    'source', None, 'A .npy file of frames, or a folder of such files.'
  )
  flags.DEFINE_string('output_dir', None, 'The folder to write to.')
  flags.DEFINE_string(
    'nsynth_checkpoint_path',
    None,
    'Folder, prefix or file of the checkpoint of the WaveNet autoencoder, or '
    'the folder of a run of embedding_rnn.nsynth.train.',
  )
  flags.DEFINE_bool('averaged', False, 'Use the averages of the weights.')
  flags.DEFINE_integer(
    'seed', 0, "Of all randomness. A note's depends on its name, too."
  )
  flags.DEFINE_bool('greedy', False, 'Take the likeliest class of each sample.')
  flags.DEFINE_enum(
    'weights',
    'float32',
    WEIGHTS,
    'int8 rounds them to 8 bits: faster, less exact; on a CPU only.',
  )
  flags.DEFINE_integer(
    'batch_size',
    None,
    'Notes generated together; by default '
    + ', '.join(f'{n} on {name}' for name, n in BATCH_SIZES.items())
    + '.',
    lower_bound=1,
  )
  flags.DEFINE_enum(
    'runtime',
    None,
    list(BATCH_SIZES),
    'What generates; by default tensorflow where there is a GPU, else litert.',
  )


def main(argv: list[str]) -> None:
  """The command: generates the notes of --source in --output_dir.

  Raises:
    ValueError: for flags that are missing or do not fit, or frames of
      another codec or checkpoint, if dataset.json tells; else as of
      `load_notes` and `generate_notes`.
  """
  del argv
  args = flags.FLAGS
  for name in ('source', 'output_dir', 'nsynth_checkpoint_path'):
    if not args[name].value:
      raise ValueError(f'Set --{name}: {args[name].help}')
  runtime = choose_runtime(args.runtime, args.weights)
  _expect_same_codec(
    args.source, WaveNetCodec(args.nsynth_checkpoint_path, args.averaged)
  )
  from embedding_rnn.nsynth.generate.notes import generate_notes, load_notes

  model, *_ = nsynth.load_autoencoder(
    args.nsynth_checkpoint_path, args.averaged
  )
  notes = load_notes(args.source, model.bottleneck_width)
  paths = generate_notes(
    model,
    notes,
    args.output_dir,
    args.seed,
    args.greedy,
    args.weights,
    args.batch_size,
    runtime,
  )
  folder = os.path.abspath(args.output_dir)
  cli.write_result(f"{len(paths)} notes are in '{folder}'.")


def _expect_same_codec(source: str, codec: WaveNetCodec) -> None:
  """Raises ValueError if a data directory says that it is of another."""
  folder = source if os.path.isdir(source) else os.path.dirname(source)
  expect_codec(metadata.read(folder), codec.num_channels, codec)


if __name__ == '__main__':
  define_flags()
  cli.run(main)
