r"""Writes an instrument that a run has made up, for samplers to load.

Examples:
  python -m embedding_rnn.instrument --pretrained --like=flute \\
    --output_dir=my_flute
  python -m embedding_rnn.instrument --run_dir=logs/default_local --seed=7 \\
    --like=keyboard --keys=C2,C7 --noloop --output_dir=my_keyboard

The folder gets an .sfz file, which samplers load, with the .wav files that it
names: every third key at three velocities. Notes that are steady are held by
loops. preset.json says how the same instrument is made again.
"""

from __future__ import annotations

import pathlib

from absl import app, flags

from embedding_rnn.audio import pitches
from embedding_rnn.instrument import options
from embedding_rnn.utils import cli


def define_flags() -> None:
  """Defines the flags of `main`."""
  options.define_flags()
  flags.DEFINE_string(
    'like', None, 'Family of the instrument, such as flute; default: any.'
  )
  flags.DEFINE_list(
    'keys', ['A1', 'C7'], 'The lowest and the highest key, by name or number.'
  )
  flags.DEFINE_bool('loop', True, 'Hold steady notes by loops.')
  flags.DEFINE_string('output_dir', None, 'Folder to write, a new one.')


def main(argv: list[str]) -> None:
  """The command: writes the instrument to --output_dir.

  Raises:
    FileExistsError: if there is something in that folder.
    ValueError: for flags that do not fit, or a run that has no instruments.
    OSError: if it cannot be written.
  """
  del argv
  args = flags.FLAGS
  if not args.output_dir:
    raise ValueError('Set --output_dir to the folder to write.')
  options.check_flags(args)
  if len(args.keys) != 2:
    raise ValueError(f'--keys={",".join(args.keys)}: expected two, as A1,C7.')
  low, high = map(pitches.parse_pitch, args.keys)
  # Bad flags should not wait for TensorFlow.
  from embedding_rnn.instrument import pack
  from embedding_rnn.instrument.voice import Voice

  keys = pack.choose_keys(low, high)
  folder = pathlib.Path(args.output_dir)
  pack.expect_new(folder)
  run, codec = options.open_run(args)
  voice = Voice(run, args.like, args.seed)
  samples = list(pack.make_samples(voice, codec, keys, args.loop))
  preset = {
    'run': pathlib.Path(run.folder).name,
    'step': run.step,
    'family': args.like,
    'seed': args.seed,
    'keys': keys,
    'velocities': list(pack.LAYERS),
    'latents': [
      voice.latents([key] * len(pack.LAYERS), pack.LAYERS).tolist()
      for key in keys
    ],
  }
  name = f'{args.like or "instrument"}_{args.seed}'
  pack.write_pack(folder, name, samples, codec.sample_rate, preset)
  looped = sum(sample.loop is not None for sample in samples)
  cli.write_result(
    f'{folder / name}.sfz: {len(samples)} samples, {looped} of them with a loop'
  )


if __name__ == '__main__':
  define_flags()
  app.run(cli.report_errors(main))
