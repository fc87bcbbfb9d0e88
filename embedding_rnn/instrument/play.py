r"""Plays a MIDI file with instruments that a run has made up.

Examples:
  python -m embedding_rnn.instrument.play --midi=song.mid --pretrained \
    --like=flute,string --output=song.wav
  python -m embedding_rnn.instrument.play --midi=song.mid --output=song.wav \
    --run_dir=logs/default_local --like=keyboard --seed=3 --sample_rate=44100

Each track gets an instrument of its own: of the families in --like, in their
order, and another one with another --seed. Note lengths, velocities, changes of
tempo and the sustain pedal are heeded; drums are left out.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import Any

from absl import flags

from embedding_rnn.instrument import midi, options, playing
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli

_SAMPLE_RATES = (8_000, 192_000)  # Hz


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('midi', None, 'The song, a standard MIDI file.')
  flags.DEFINE_string('output', None, 'The file to write, .wav.')
  options.define_flags()
  flags.DEFINE_list(
    'like',
    [],
    'Instrument families for the tracks, begun again if there are more tracks; '
    'default: any.',
  )
  flags.DEFINE_integer(
    'sample_rate',
    None,
    'Of the file, in Hz; default: that of the notes, 16000.',
  )


def main(argv: list[str]) -> None:
  """The command: plays --midi to --output.

  Raises:
    ValueError: for flags that do not fit, a bad song, or a run without codec.
    OSError: if a file cannot be read or written.
  """
  del argv
  args = flags.FLAGS
  _check_flags(args)
  song = midi.read_song(args.midi)
  playing.check_pitches(song)
  if len(args.like) > len(song.parts):
    raise ValueError(
      f'--like names {len(args.like)} families; expected at most one for each '
      f'of {len(song.parts)} parts: {", ".join(song.parts)}.'
    )
  # Reading the song should not wait for TensorFlow.
  from embedding_rnn.instrument.choosing import choose_voice
  from embedding_rnn.utils.wav import write_wav

  run, codec = options.open_run(args)
  families = itertools.cycle(args.like or [None])
  voices = [
    choose_voice(run, family, args.seed + part)
    for part, family in zip(range(len(song.parts)), families, strict=False)
  ]
  audio = playing.render(song, voices, codec, args.sample_rate)
  rate = args.sample_rate or codec.sample_rate
  write_wav(args.output, audio, rate)
  cli.write_result(
    f'{args.output}: {len(song.notes)} notes in {len(song.parts)} parts, '
    f'{len(audio) / rate:.1f} s'
  )


def _check_flags(args: Any) -> None:
  if not args.midi or not args.output:
    raise ValueError(
      'Set --midi to the song, and --output to the file to write.'
    )
  checkpoints.choose_folder(args.run_dir, args.pretrained)
  low, high = _SAMPLE_RATES
  if args.sample_rate is not None and not low <= args.sample_rate <= high:
    raise ValueError(
      f'sample_rate={args.sample_rate}: expected {low} to {high} Hz.'
    )
  output = pathlib.Path(args.output)
  if output.suffix.lower() != '.wav':
    raise ValueError(f"--output={args.output}: expected a name with '.wav'.")
  if not output.absolute().parent.is_dir():
    raise ValueError(f'--output={args.output}: there is no such folder.')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
