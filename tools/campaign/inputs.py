"""Bad inputs: command lines and files that commands must refuse."""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import children
import contents
import stage as stage_lib

_TRAIN = {
  'experiment': 'short_test',
  'data_dir': 'data',
  'log_root': 'logs',
  'exp_name': 'new',
  'hparam': f'{stage_lib.TINY},num_steps=2,save_every=1',
}
_SYNTHESIZE = {
  'run_dir': 'logs/run',
  'data_dir': 'data',
  'num_notes': '1',
  'pitches': '60',
  'output_dir': 'out',
  'just_figures': 'true',
}
_EVALUATE = {
  'run_dir': 'logs/run',
  'data_dir': 'data',
  'num_importance_samples': '2',
  'num_decoded_notes': '1',
}
_ENCODE = {'source': 'sounds', 'output_dir': 'out'}
_EXPORT = {'run_dir': 'logs/run', 'output_dir': 'out'}


class Command(NamedTuple):
  """A command that has flags.

  Attributes:
    program: how it is called.
    module: defines its flags.
    options: with which it succeeds.
    required: those that it cannot do without.
  """

  program: tuple[str, ...]
  module: str
  options: Mapping[str, str]
  required: tuple[str, ...] = ()

  def line(self, *others: str, **options: str | None) -> list[str]:
    """A command line; an option that is None is left out."""
    chosen = {**self.options, **options}
    given = [f'--{k}={v}' for k, v in chosen.items() if v is not None]
    return [*self.program, *given, *others]


def _module(name: str) -> tuple[str, ...]:
  return ('-m', f'embedding_rnn.{name}')


def _part(name: str) -> tuple[str, ...]:
  return ('embedding-rnn', name)


COMMANDS = (
  Command(_part('train'), 'embedding_rnn.run', _TRAIN),
  Command(('run.py',), 'embedding_rnn.run', _TRAIN),
  Command(
    _part('synthesize'),
    'embedding_rnn.synthesize.command',
    _SYNTHESIZE,
    ('run_dir',),
  ),
  Command(
    ('synthesize.py',),
    'embedding_rnn.synthesize.command',
    _SYNTHESIZE,
    ('run_dir',),
  ),
  Command(
    _part('evaluate'),
    'embedding_rnn.evaluate.__main__',
    _EVALUATE,
    ('run_dir',),
  ),
  Command(
    _module('evaluate'),
    'embedding_rnn.evaluate.__main__',
    _EVALUATE,
    ('run_dir',),
  ),
  Command(
    _part('encode'), 'embedding_rnn.nsynth.encode', _ENCODE, tuple(_ENCODE)
  ),
  Command(
    _module('nsynth.encode'),
    'embedding_rnn.nsynth.encode',
    _ENCODE,
    tuple(_ENCODE),
  ),
  Command(
    _part('instrument'),
    'embedding_rnn.instrument.__main__',
    {'run_dir': 'logs/run', 'output_dir': 'out', 'keys': '60,62'},
    ('run_dir', 'output_dir'),
  ),
  Command(
    _part('play'),
    'embedding_rnn.instrument.play',
    {'run_dir': 'logs/run', 'midi': 'song.mid', 'output': 'out.wav'},
    ('run_dir', 'midi', 'output'),
  ),
  Command(
    _part('export'), 'embedding_rnn.export.__main__', _EXPORT, tuple(_EXPORT)
  ),
  Command(
    _module('export'), 'embedding_rnn.export.__main__', _EXPORT, tuple(_EXPORT)
  ),
  Command(
    _module('nsynth.generate'),
    'embedding_rnn.nsynth.generate.__main__',
    {
      'source': 'frames.npy',
      'output_dir': 'out',
      'nsynth_checkpoint_path': 'logs/wavenet',
    },
    ('source', 'output_dir', 'nsynth_checkpoint_path'),
  ),
  Command(
    _module('nsynth.train'),
    'embedding_rnn.nsynth.train.__main__',
    {
      'source': 'sounds',
      'log_root': 'logs',
      'exp_name': 'new',
      'hparam': stage_lib.WAVENET + ',num_steps=2,save_every=1',
    },
  ),
  Command(
    _module('nsynth.fetch'),
    'embedding_rnn.nsynth.fetch',
    {'url': 'http://127.0.0.1:9/x.tar', 'output_dir': 'out'},
  ),
  Command(
    _module('data.notes.make_notes'),
    'embedding_rnn.data.notes.make_notes',
    {'soundfont': 'text', 'output_dir': 'out', 'limit': '1'},
    ('output_dir',),
  ),
  Command(
    _module('data.notes.fit_codec'),
    'embedding_rnn.data.notes.fit_codec',
    {'soundfont': 'text', 'output': 'out.npz'},
    ('output',),
  ),
)
_JOBS = (('embedding-rnn', 'jobs'), ('script_utils.py',))

_ESCAPE = '\x1b[31mred\x07'
_JUNK = ('abc', '\u2603', _ESCAPE, '1 2', 'None', '[1]')
_BAD_NUMBERS = ('', 'nan', 'inf', '-inf', '1e999', '--1', '0x', '1,5', *_JUNK)
_BAD = {
  'int': ('1.5', '1e3', *_BAD_NUMBERS),
  'float': _BAD_NUMBERS,
  'bool': ('', 'maybe', '2', 'nan', *_JUNK),
  'enum': ('', 'no_such', 'NAN', *_JUNK),
}
# Perhaps in range.
_EDGES = {
  'int': ('-1', '0', str(2**31), str(2**63), '-9' * 20, '9' * 30, '9' * 5000),
  'float': ('-1', '0', '-0.0', '1e-300', '1e38', '-1e38', '1e308'),
}
_TEXTS = ('', ' ', ',', ',,', '-1', 'nan', '%s', "'", '..', 'x' * 1000, *_JUNK)
_INPUTS = (
  'run_dir source midi notes checkpoint_path nsynth_checkpoint_path soundfont '
  'report'
).split()
_OUTPUTS = 'output_dir log_root output'.split()
_BAD_TEXTS = {
  'exp_name': ('', '.', '..', '../x', 'a/b', '/x', 'x' * 300, _ESCAPE, 'a\nb'),
  'experiment': ('', 'no_such', _ESCAPE, 'short_tests'),
  'families': ('no_such', 'flute,string,bass', _ESCAPE),
  'like': ('no_such', _ESCAPE, 'flute,x'),
  'pitches': ('H4', '128', '-1', 'C99', 'nan', '60.5', '', '60,,61', _ESCAPE),
  'pitch': ('H4', '128', '-1', 'C99', 'nan', '60.5', _ESCAPE),
  'keys': ('60', 'C5,C4', '200,300', 'C4,C5,C6', 'x,y', '-1,5'),
  'interpolate': ('1', '1,2,3', '999999,0', '-1,0', 'no_such C4,x', '0,nan'),
  'combine': ('1', '1,2', '0,1,99999', 'a,b,c', '1,2,3,4'),
  'sweep': ('no_such C4', '99999', '-1', 'nan', _ESCAPE),
  'gap': ('5', '70,40', '-1,4', '0,1000', '5,5', 'a,b', '1,2,3', '0.5,2'),
  'alphas': ('nan', 'inf', 'a', '1e999', _ESCAPE),
  'url': (
    '',
    'x',
    'file:///etc/passwd',
    'http://',
    'http://[',
    'ftp://a/b.tar',
  ),
}
_BAD_HPARAMS = (
  'x=1', 'rnn_size', 'rnn_size=', 'rnn_size=1.5', 'rnn_size=0', 'rnn_size=-1',
  'rnn_size=10000000', 'num_layers=100000', 'z_size=1000000000', 'rnn_size=nan',
  'num_mixture=100000000', 'num_steps=9' + '0' * 25, 'model=gru',
  'learning_rate=nan', 'learning_rate=inf', 'learning_rate=-1', 'bidir=2',
  'grad_clip=nan', 'kl_weight=-1', 'decay_rate=1.5', 'kl_tolerance=inf',
  'batch_size=0', 'batch_size=999', 'rnn_size=4,rnn_size=5', 'rnn_size[0]=4',
  '=', ',', 'rnn_size=4;z_size=5', 'rnn_sizes=3', '\u2603=1', _ESCAPE,
  'data_set=no_such.npy', 'frames_per_step=7', 'max_seq_len=99999',
  'seq_width=3', 'model="lstm', 'rnn_size=65536,batch_size=1000000',
)  # fmt: skip
_BAD_WAVENET_HPARAMS = (
  'x=1', 'width', 'width=', 'width=1.5', 'width=0', 'width=-1', 'width=nan',
  'width=99999999', 'num_stages=0', 'num_layers=100000', 'batch_size=999',
  'learning_rate=nan', 'learning_rate=inf', 'learning_rate=-1',
  'learning_rate=0', 'crop_length=100', 'ae_hop_length=0',
  'num_steps=9' + '0' * 25, 'width=4,width=5', _ESCAPE,
)  # fmt: skip
_NOWHERE = ('no/such', 'text/below', 'x' * 300, '/dev/null/x', '\u2603')


class Case(NamedTuple):
  """A command line, and perhaps a file, that is not as it should be.

  Attributes:
    about: what of it is tried.
    command: as `children.run` takes it.
    may_pass: whether it may be what somebody meant.
    words: one of them must stand in the message; any if there are none.
    path: a file of the stage that is damaged; '' if there is none.
    damage: what becomes of its content.
  """

  about: str
  command: list[str]
  may_pass: bool = False
  words: tuple[str, ...] = ()
  path: str = ''
  damage: Callable[[bytes], bytes] | None = None


def generate(
  count: int, seed: int, stage: pathlib.Path
) -> Iterator[tuple[Case, bool]]:
  """Yields cases, each command's in turn, and whether to start a new Python."""
  rng = random.Random(seed)
  streams = [list(_of_command(c, stage, rng)) for c in COMMANDS]
  streams += [list(_of_jobs(program)) for program in _JOBS]
  streams.append(list(_of_contents(stage, rng)))
  streams.append(streams[-1])  # There are many, and of all commands.
  for stream in {id(stream): stream for stream in streams}.values():
    rng.shuffle(stream)
  taking = [iter(s) for s in streams[:-1]]
  taking.append(taking[-1])
  in_turn = itertools.chain.from_iterable(itertools.zip_longest(*taking))
  cases = [case for case in in_turn if case is not None][:count]
  for i, case in enumerate(cases):
    yield case, i % 20 == 10


def _flags_of(command: Command, stage: pathlib.Path) -> dict[str, str]:
  """The type of each flag that a command defines."""
  return json.loads(_list_flags(command.module, stage))


@functools.cache
def _list_flags(module: str, stage: pathlib.Path) -> str:
  def body():
    import importlib

    from absl import flags

    imported = importlib.import_module(module)
    before = set(flags.FLAGS)
    imported.define_flags()
    new = sorted(set(flags.FLAGS) - before)
    types = {name: flags.FLAGS[name].flag_type() for name in new}
    print(json.dumps(types))  # noqa: T201

  return children.call(body, stage).out


def _of_command(
  command: Command, stage: pathlib.Path, rng: random.Random
) -> Iterator[Case]:
  for flag, kind in _flags_of(command, stage).items():
    for value, may_pass in _values(flag, kind):
      shown = value[:40] if value.isprintable() else flag
      yield Case(
        f'--{flag} of type {kind}',
        command.line(**{flag: value}),
        may_pass,
        (shown.partition(',')[0] or flag, flag, ascii(value)),
      )
    for other in ('', '=') if kind != 'bool' else ():
      yield Case(
        f'--{flag} without a value', command.line(f'--{flag}{other}'), True
      )
    if kind == 'bool':
      yield Case(f'--no{flag} and a value', command.line(f'--no{flag}=true'))
  yield from _of_line(command)
  if 'hparam' in command.options:
    wavenet = 'nsynth' in command.module
    for text in _BAD_WAVENET_HPARAMS if wavenet else _BAD_HPARAMS:
      given = command.options['hparam']
      name = text.partition('=')[0]
      known = name in re.findall(r'(\w+)=', given)
      # Twice the same name is refused anyhow.
      both = text if known else f'{given},{text}'
      yield Case('--hparam', command.line(hparam=both))


def _of_line(command: Command) -> Iterator[Case]:
  """Yields lines that are wrong whatever the flags are."""
  for other in (
    '--no_such=1',
    '--no_such',
    '-x',
    '--=',
    '--no_such=' + _ESCAPE,
  ):
    yield Case(
      'an unknown flag', command.line(other), words=(other[:9].strip('-='),)
    )
  for other in ('x', '\u2603', _ESCAPE, 'x=1', '-', '--', '--\nx'):
    yield Case('an argument', command.line(other), other in ('--', '-'))
  for value in ('no_such', 'folder', 'text', 'song.mid', ''):
    yield Case('--flagfile', command.line(f'--flagfile={value}'), not value)
  for name in ('verbosity', 'v', 'logger_levels', 'log_dir', 'undefok'):
    for value in ('abc', '', _ESCAPE):  # a high number shows tracebacks
      yield Case('a flag of absl', command.line(f'--{name}={value}'), True)
  for name in command.required:
    yield Case(f'no --{name}', command.line(**{name: None}), words=(name,))
  for name, value in command.options.items():
    yield Case(f'--{name} twice', command.line(f'--{name}={value}'), True)
  if 'run_dir' in command.required and 'export' not in command.module:
    for flag in ('--pretrained', '--pretrained=true'):
      if 'evaluate' not in command.module:
        yield Case('two runs', command.line(flag))


def _values(flag: str, kind: str) -> Iterator[tuple[str, bool]]:
  """Yields values of a flag, and whether they may be meant."""
  for value in _BAD.get(kind, ()):
    yield value, False
  for value in _EDGES.get(kind, ()):
    yield value, True
  if kind in ('int', 'float', 'bool', 'enum'):
    return
  if flag in _BAD_TEXTS:
    for value in _BAD_TEXTS[flag]:
      yield value, False
  elif flag in _INPUTS:
    for value in ('text', 'folder', 'data/splits.npy', *_NOWHERE):
      # A folder of runs, or of notes, may be empty.
      yield value, flag == 'report' and value == 'folder'
  elif flag in _OUTPUTS:
    for value in ('text', 'text/below', '/proc/x', '/dev/null', 'x' * 300):
      yield value, False
    yield '', False
  if flag == 'data_dir':
    for value in ('text', 'text/below', '/proc/x', 'x' * 300):
      yield value, False
  for value in _TEXTS:
    yield value, True


def _of_jobs(program: tuple[str, ...]) -> Iterator[Case]:
  job = 'sweep-1'
  lines = [
    [], ['no_such'], [_ESCAPE], ['status', 'no_such'], ['status', _ESCAPE],
    ['status', ''], ['status', 'text'], ['status', 'x' * 300],
    ['status', job, 'more'], ['status', job, '--no_such'],
    ['status', '--log_root=text'], ['status', '--log_root=no/such'],
    ['status', '--log_root='], ['status', '--log_root=' + 'x' * 300],
    ['status', '--log_root=text/below'], ['status', '--watch=1'],
    ['logs'], ['logs', job], ['logs', job, 'no_such'], ['logs', job, _ESCAPE],
    ['logs', job, '../a'], ['logs', 'no_such', 'a'], ['wait', 'no_such'],
    ['wait', job], ['cancel'], ['cancel', job], ['cancel', job, 'no_such'],
    ['cancel', job, 'a', 'a'], ['cancel', 'text'], ['--log_root=logs', 'wait'],
    ['wait', '--watch'], ['status', '--verbosity=abc'], ['logs', job, 'a', 'b'],
  ]  # fmt: skip
  for line in lines:
    yield Case(' '.join(line[:1]) or 'nothing', [*program, *line])
  for line in (['status', job], ['status'], ['logs', job, 'a'], ['--']):
    yield Case('what there is', [*program, *line], may_pass=True)


def _of_contents(stage: pathlib.Path, rng: random.Random) -> Iterator[Case]:
  """Yields commands that read a file with another content."""
  train, encode = COMMANDS[0], COMMANDS[6]
  wavenet = next(c for c in COMMANDS if c.module.endswith('train.__main__'))
  generate_ = next(c for c in COMMANDS if 'generate' in c.module)
  play = next(c for c in COMMANDS if c.module.endswith('play'))
  wav = min((stage / 'sounds').glob('*.wav')).name
  arrays = sorted(p.name for p in (stage / 'data').iterdir())
  job = 'logs/jobs/sweep-1'
  readers = [
    (f'sounds/{wav}', encode.line()),
    ('sounds/notes.csv', encode.line()),
    ('sounds/notes.csv', encode.line(damaged='skip')),
    (f'sounds/{wav}', encode.line(damaged='skip')),
    (f'sounds/{wav}', wavenet.line()),
    ('nsynth/nsynth-train/examples.json', encode.line(source='nsynth')),
    (f'nsynth/nsynth-train/audio/{wav}', encode.line(source='nsynth')),
    ('notes.tfrecord', encode.line(source='notes.tfrecord')),
    ('song.mid', play.line()),
    ('frames.npy', generate_.line()),
    ('others.npz', COMMANDS[4].line(notes='others.npz')),
    (f'{job}/job.json', ['embedding-rnn', 'jobs', 'status', job]),
    (f'{job}/job.json', ['script_utils.py', 'logs', job, 'a']),
    (f'{job}/job.json', ['run.py', f'--report={job}']),
    *((f'data/{name}', train.line()) for name in arrays),
    *((f'data/{name}', COMMANDS[2].line()) for name in arrays),
  ]
  for path, command in readers:
    for damage in contents.damages(path, rng):
      name = pathlib.PurePath(path).name
      yield Case(
        f'{path}: {damage.name}',
        command,
        damage.may_pass,
        (name, pathlib.PurePath(name).stem),
        path,
        damage.apply,
      )
