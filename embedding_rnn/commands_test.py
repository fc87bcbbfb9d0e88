"""All commands: they answer at once, and results alone go to stdout."""

import pathlib
import subprocess
import sys

import pytest

from embedding_rnn import __main__ as command
from embedding_rnn.utils import cli

_ROOT = pathlib.Path(__file__).parents[1]
# With a command line that is refused, and what is said of it.
_COMMANDS = {
  'run.py': ('--hparam=rnn_sizes=3', 'Unknown hyperparameter'),
  'synthesize.py': ('--run_dir=x --temperature=0', 'temperature=0'),
  'script_utils.py': ('status no_such_job', 'no_such_job'),
  'embedding_rnn train': ('--experiment=no_such', 'no_such'),
  'embedding_rnn synthesize': ('--run_dir=no_such_run', 'no_such_run'),
  'embedding_rnn evaluate': ('--num_decoded_notes=-1', 'num_decoded_notes=-1'),
  'embedding_rnn encode': ('', 'Set --source'),
  'embedding_rnn instrument': ('', 'Set --output_dir'),
  'embedding_rnn play': ('--midi=x.mid --output=x.wav', 'Set either --run_dir'),
  'embedding_rnn export': ('--run_dir=x --output_dir=y', "no run at 'x'"),
  'embedding_rnn jobs': ('logs', 'JOB'),
  'embedding_rnn.evaluate': ('--run_dir=no_such_run', 'no_such_run'),
  'embedding_rnn.export': ('', 'Set --run_dir'),
  'embedding_rnn.nsynth.encode': ('--source=x --output_dir=y', "'x'"),
  'embedding_rnn.nsynth.fetch': ('--url=x', '--url=x: expected'),
  'embedding_rnn.nsynth.generate': ('--source=x', 'Set --output_dir'),
  'embedding_rnn.nsynth.train': ('--hparam=width=0', 'width=0: expected'),
  'embedding_rnn.data.notes.make_notes': ('', 'output_dir'),
  'embedding_rnn.data.notes.fit_codec': ('--output=x y', 'y'),
}
# Runs a command as Python does, and says at its end what was imported.
_CHILD = """
import atexit, runpy, sys
atexit.register(
  lambda: sys.stderr.write(f"imported: {'tensorflow' in sys.modules}")
)
name = sys.argv.pop(1)
if name.endswith('.py'):
  sys.argv[0] = name
  runpy.run_path(name, run_name='__main__')
else:
  runpy.run_module(name, run_name='__main__', alter_sys=True)
"""


def _call(name, *arguments):
  """Calls a command; -> its stdout and stderr, without having imported much."""
  name, *first = name.split()
  if name.endswith('.py'):
    name = str(_ROOT / name)
    if not pathlib.Path(name).exists():
      pytest.skip('an installed package comes without the root')
  child = subprocess.run(
    [sys.executable, '-c', _CHILD, name, *first, *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.stderr.endswith('imported: False'), child.stderr
  return child.stdout, child.stderr


@pytest.mark.parametrize('name', _COMMANDS)
def test_help_needs_no_tensorflow_and_has_an_example(name):
  out, err = _call(name, '--help')
  assert 'Example' in out
  assert err == 'imported: False'


@pytest.mark.parametrize('name', _COMMANDS)
def test_errors_need_no_tensorflow(name):
  arguments, message = _COMMANDS[name]
  _, err = _call(name, *arguments.split())
  assert message in err


def test_flags_of_libraries_and_flags_that_there_are_not():
  out, err = _call('embedding_rnn synthesize', '--helpfull')
  assert '--verbosity' in out and err == 'imported: False'
  _, err = _call('embedding_rnn train', '--experiment=')
  assert "Unknown experiment ''" in err
  _, err = _call('embedding_rnn synthesize', '--pitchs=60')
  assert "Unknown command line flag 'pitchs'" in err and 'pitches' in err


def test_results_alone_go_to_stdout():
  out, err = _call('embedding_rnn train', '--list')
  assert 'z_size_sweep' in out and err == 'imported: False'
  out, err = _call(
    'embedding_rnn train',
    '--experiment=z_size_sweep',
    '--dry_run',
    '--exp_name=mine',
    '--hparam=num_steps=3',
  )
  assert out.endswith('mine: num_steps=3\n') and err == 'imported: False'


def test_the_commands_show_their_own_flags():
  out, _ = _call('embedding_rnn', '--help')
  for name in command._COMMANDS:
    assert f'{cli.PROGRAM} {name}' in out
    assert f'embedding_rnn {name}' in _COMMANDS, 'not tested above'
  out, _ = _call('embedding_rnn', 'synthesize', '--help')
  assert '--pitches' in out and '--experiment' not in out
  out, err = _call('embedding_rnn', 'syntesize')
  assert not out and "'syntesize'; did you mean 'synthesize'?" in err


def test_the_command_line_can_be_given_again(monkeypatch):
  arguments = ['--interpolate=koto C4, violin C4', '--seed=1']
  monkeypatch.setattr(sys, 'argv', [f'{cli.PROGRAM} synthesize', *arguments])
  assert cli.command_line() == (
    "embedding-rnn synthesize '--interpolate=koto C4, violin C4' --seed=1"
  )
