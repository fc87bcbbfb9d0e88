import io
import logging as python_logging
import math
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest
import tensorflow as tf
from absl import logging
from rich.console import Console

from embedding_rnn.utils import cli


@pytest.fixture(autouse=True)
def _logging():
  before = logging.get_verbosity()
  filters = list(tf.get_logger().filters)
  yield
  logging.set_verbosity(before)
  tf.get_logger().filters = filters


@pytest.mark.parametrize(
  'error',
  [
    ValueError('7 is bad'),
    FileNotFoundError('7 is bad'),
    FloatingPointError('7 is bad'),
  ],
)
def test_an_expected_error_becomes_a_message(error, caplog):
  def main(argv):
    raise error

  assert cli.report_errors(main)(['command']) == 1
  assert caplog.messages == ['Error: 7 is bad']


@pytest.mark.parametrize(
  'error',
  [
    MemoryError('Unable to allocate 7 PiB'),
    tf.errors.ResourceExhaustedError(None, None, 'OOM of 7 PiB\nat a node'),
  ],
)
def test_memory_that_is_full_becomes_a_message(error, caplog):
  def main(argv):
    raise error

  assert cli.report_errors(main)(['command']) == 1
  (message,) = caplog.messages
  assert '7 PiB' in message and 'batch_size' in message and '\n' not in message


def test_a_full_disk_of_tensorflow_is_no_lack_of_memory(caplog):
  text = '/x/.model.7.tmp/variables; No space left on device'  # as it says it

  def main(argv):
    raise tf.errors.ResourceExhaustedError(None, None, text)

  assert cli.report_errors(main)(['command']) == 1
  (message,) = caplog.messages
  assert message.startswith('Error: /x/model/variables; No space left')
  assert 'make room' in message and 'memory' not in message


def test_no_name_can_speak_to_the_terminal():
  hostile = '\x1b[31mred\x07 \udcff\tof\nünits'
  harmless = '�[31mred� �\tof\nünits'
  assert cli.report_errors(lambda argv: None)(['command']) == 0
  formatter = logging.get_absl_handler().python_handler.formatter
  record = python_logging.makeLogRecord({'msg': 'Run %s', 'args': (hostile,)})
  assert formatter.format(record) == f'Run {harmless}'
  table = cli.format_table([{'\x1b[2Jrun': hostile.replace('\n', '')}])
  assert not {'\x1b', '\x07', '\udcff'} & set(table)


def test_a_defect_keeps_its_traceback():
  def main(argv):
    raise TypeError('a defect')

  with pytest.raises(TypeError, match='a defect'):
    cli.report_errors(main)(['command'])


def test_stray_arguments_are_refused_before_work(caplog):
  def main(argv):
    raise AssertionError('work was begun')

  assert cli.report_errors(main)(['command', 'rnn_size=3']) == 1
  assert "Unexpected argument 'rnn_size=3'" in caplog.text


def test_success_gives_zero_and_interruption_130():
  def interrupted(argv):
    raise KeyboardInterrupt

  assert cli.report_errors(lambda argv: None)(['command']) == 0
  assert cli.report_errors(interrupted)(['command']) == 130


def test_graphs_for_several_shapes_are_no_news(caplog):
  def main(argv):
    square = tf.function(lambda x: x * x)
    for size in range(10):
      square(tf.zeros([size]))
    tf.get_logger().warning('other news')

  with caplog.at_level('WARNING', logger='tensorflow'):
    assert cli.report_errors(main)(['command']) == 0
  assert [m for m in caplog.messages if 'retracing' in m] == []
  assert 'other news' in caplog.messages


def test_each_of_several_runs_is_tried(caplog):
  results, failed = cli.for_each(
    {'one': 1.0, 'two': 0.0, 'three': 4.0}, lambda name, x: (name, 1 / x)
  )
  assert results == {'one': ('one', 1.0), 'three': ('three', 0.25)}
  assert 'two failed: ZeroDivisionError: float division by zero' in caplog.text
  with pytest.raises(ValueError, match='1 of 3 runs failed: two: float div'):
    cli.expect_no_failures(failed, 3)
  cli.expect_no_failures({}, 3)


def test_a_table_has_aligned_columns():
  rows = [
    dict(note='bass', MSE=1.23456, pitch=48, rate='1e-05', cents=None),
    dict(note='a flute', MSE=12.0, pitch=100, rate='3', cents=math.nan),
  ]
  assert cli.format_table(rows).splitlines() == [
    'note        MSE  pitch   rate  cents',
    '────────────────────────────────────',
    'bass      1.235     48  1e-05      -',
    'a flute  12.000    100      3      -',
  ]


def test_a_table_is_plain_and_whole_whatever_the_terminal(monkeypatch):
  monkeypatch.setenv('COLUMNS', '40')
  monkeypatch.setenv('FORCE_COLOR', '1')
  monkeypatch.setenv('TTY_COMPATIBLE', '1')
  row = {f'[red]{i}[/red] :smile:': '[bold]name ' * 20 for i in range(40)}
  heading, _, line = cli.format_table([row]).splitlines()
  assert re.split(' {2,}', heading) == list(row)
  assert re.split(' {2,}', line) == [value.strip() for value in row.values()]


def test_a_live_table_may_be_empty_and_fits_the_terminal():
  assert cli.format_table([]) == ''
  console = Console(file=io.StringIO(), width=30)
  console.print(cli.make_table([{'run': 'x' * 100, 'step': 3}]))
  assert all(len(line) <= 30 for line in console.file.getvalue().splitlines())


def test_a_table_for_notebooks():
  cells = xml.etree.ElementTree.fromstring(
    cli.html_table([{'a<b': 'x&y', 'n': 1.5}, {'a<b': '', 'n': None}])
  )
  texts = [[cell.text or '' for cell in row] for row in cells]
  assert texts == [['a<b', 'n'], ['x&y', '1.500'], ['', '-']]
  assert 'right' in cells[1][1].get('style')


def test_a_piped_bar_is_a_line_every_ten_seconds(monkeypatch):
  clock = [0.0]
  monkeypatch.setattr(cli.time, 'monotonic', lambda: clock[0])
  stream = io.StringIO()
  monkeypatch.setattr(cli.sys, 'stderr', stream)
  bar = cli.progress_bar(total=50, desc='Doing')
  for _ in range(50):  # half a second each
    clock[0] += 0.5
    bar.update()
    bar.refresh()
  bar.close()
  lines = stream.getvalue().splitlines()
  assert [line.split('|')[0] for line in lines] == [
    'Doing:  40%',
    'Doing:  80%',
  ]
  assert '\r' not in stream.getvalue() and '50 [' in lines[0]


def test_a_bar_of_a_terminal_is_what_tqdm_makes_of_it(monkeypatch):
  stream = io.StringIO()
  monkeypatch.setattr(stream, 'isatty', lambda: True, raising=False)
  monkeypatch.setattr(cli.sys, 'stderr', stream)
  assert list(cli.progress_bar(range(3), 'Doing')) == [0, 1, 2]
  assert stream.getvalue().startswith('\rDoing:   0%')


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--no_such=\x1b[31m1'], "Unknown command line flag 'no_such'"),
    (['--verbosity=\x1b[31mred'], 'verbosity=�[31mred'),
    (['--noonly_check_args=true'], 'does not take an argument'),
    (['--flagfile=no_such'], 'no_such'),
    (['--flagfile=.'], '.'),
    (['--flagfile=noise'], 'decode'),
  ],
)
def test_errors_in_flags_are_a_line(arguments, message, tmp_path):
  (tmp_path / 'noise').write_bytes(b'\xff\xfe\x1b')
  code = 'from embedding_rnn.utils import cli; cli.run(print)'
  child = subprocess.run(
    [sys.executable, '-c', code, *arguments],
    cwd=tmp_path,
    env=os.environ | {'PYTHONPATH': str(pathlib.Path(cli.__file__).parents[2])},
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.returncode == 1 and not child.stdout
  assert message in child.stderr and '\x1b' not in child.stderr
  assert child.stderr.count('\n') == 1 and child.stderr.endswith('--help.\n')
