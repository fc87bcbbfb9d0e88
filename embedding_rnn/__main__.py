"""The command that is installed: embedding-rnn train, synthesize and so on."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any, NamedTuple

from absl import flags

from embedding_rnn.utils import cli


class _Command(NamedTuple):
  """A command of its own module, which is imported when it is called.

  Attributes:
    module: has `main` and what defines or parses its flags.
    summary: what it does.
    examples: command lines, without its name.
  """

  module: str
  summary: str
  examples: tuple[str, ...]


_COMMANDS = {
  'train': _Command(
    'embedding_rnn.run',
    'Trains a model on notes, and makes notes to hear with it; or trains the '
    'runs of an experiment. With no data at hand, the embedded notes are used.',
    (
      '--exp_name=mine',
      '--data_dir=data/mine --hparam=num_steps=5000,rnn_size=512',
      '--list',
      '--experiment=z_size_sweep --run_all --dry_run',
      '--report=logs',
    ),
  ),
  'synthesize': _Command(
    'embedding_rnn.synthesize.command',
    'Makes notes of a trained run, and a page to hear and see them on.',
    (
      '--pretrained',
      '--run_dir=logs/default_local',
      '--run_dir=logs/default_local --pitches=C3,F#4 --families=flute',
      '--run_dir=logs/default_local --interpolate="koto C4, violin C4"',
    ),
  ),
  'evaluate': _Command(
    'embedding_rnn.evaluate.__main__',
    'Measures trained runs on held-out notes.',
    ('--run_dir=logs/default_local', '--run_dir=logs'),
  ),
  'encode': _Command(
    'embedding_rnn.nsynth.encode',
    'Encodes recordings of notes as data to train on.',
    ('--source=my_wavs --output_dir=data/mine',),
  ),
  'instrument': _Command(
    'embedding_rnn.instrument.__main__',
    'Writes an instrument that a run has made up: a page, and for samplers.',
    ('--pretrained --like=flute --output_dir=my_flute',),
  ),
  'play': _Command(
    'embedding_rnn.instrument.play',
    'Plays a MIDI file with instruments that a run has made up.',
    ('--midi=song.mid --pretrained --like=flute,string --output=song.wav',),
  ),
  'export': _Command(
    'embedding_rnn.export.__main__',
    'Writes a trained run as a TensorFlow SavedModel.',
    ('--run_dir=logs/default_local --output_dir=exported/1',),
  ),
  'jobs': _Command(
    'embedding_rnn.experiments.commands',
    'Looks after runs on a Slurm cluster: status, wait, logs and cancel.',
    ('status --watch',),
  ),
}


def main() -> Any:
  """Does what the command line of `embedding-rnn` says.

  Returns:
    The exit status: 0 after help; 2, after an error, for no such command; that
    of a command is the status of `SystemExit`.
  """
  name, *arguments = sys.argv[1:] or ['']
  if name in ('help', '-h', '--help', '--helpfull', '--helpshort'):
    cli.write_result(_overview())
    return 0
  if name not in _COMMANDS:
    near = difflib.get_close_matches(name, _COMMANDS, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else '.'
    problem = f'There is no command {name!r}{hint}\n\n' if name else ''
    sys.stderr.write(f'{problem}{_overview()}\n')
    return 2
  command = _COMMANDS[name]
  # Help, messages and the page of notes show it as it was typed.
  sys.argv = [f'{cli.PROGRAM} {name}', *arguments]
  sys.modules['__main__'].__doc__ = '\n'.join(
    [command.summary, '', 'Examples:', *_examples(name)]
  )
  module = importlib.import_module(command.module)
  if hasattr(module, 'parse_command_line'):
    return cli.run(module.main, module.parse_command_line)
  before = set(flags.FLAGS)
  module.define_flags()
  for flag in set(flags.FLAGS) - before:  # Those that --help shows.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
  return cli.run(module.main)


def _overview() -> str:
  rows = [f'  {name:11}{c.summary}' for name, c in _COMMANDS.items()]
  return '\n'.join(
    [
      f'Usage: {cli.PROGRAM} COMMAND ...; each COMMAND has its own --help.',
      '',
      *rows,
      '',
      'Examples:',
      *(_examples(name)[0] for name in _COMMANDS),
    ]
  )


def _examples(name: str) -> list[str]:
  return [f'  {cli.PROGRAM} {name} {x}' for x in _COMMANDS[name].examples]


if __name__ == '__main__':
  sys.exit(main())
