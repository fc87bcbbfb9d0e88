"""What the commands share: their messages, their errors and their tables."""

from __future__ import annotations

import functools
import gc
import html
import io
import logging as python_logging
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar

from absl import app, flags, logging
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedding_rnn.utils import files

if TYPE_CHECKING:
  from tqdm import tqdm

# What bad input and bad luck raise; everything else is a defect of ours, and
# its traceback is welcome.
_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)

_Run = TypeVar('_Run')
_Result = TypeVar('_Result')

PROGRAM = 'embedding-rnn'  # the command that is installed
_LINE_SECONDS = 10.0  # between lines of a bar that is no terminal's
# All that a terminal may obey, but for new lines and tabs; and lone surrogates.
_CONTROLS = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]')
_MAX_WIDTH = 100_000  # characters; more than any table of ours has


def report_errors(main: Callable[[Any], object]) -> Callable:
  """A main function for `absl.app.run` that ends in messages, not tracebacks.

  Messages of any level from INFO on are shown, without a prefix. With
  --verbosity=1 an error's traceback is shown, too.

  Args:
    main: takes the command line without its flags, or what a `flags_parser`
      of `absl.app.run` made of it.

  Returns:
    A function that gives 0, or, after showing an error, 1.
  """

  @functools.wraps(main)
  def reporting(argv: Any) -> int:
    handler = logging.get_absl_handler()
    handler.setFormatter(_PlainFormatter('%(message)s'))
    logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
    python_logging.getLogger('tensorflow').addFilter(_is_news)
    try:
      if isinstance(argv, list) and len(argv) > 1:
        raise ValueError(
          f'Unexpected argument {argv[1]!r}: every option is written '
          '--name=value; see --help.'
        )
      main(argv)
    except Exception as error:
      if not isinstance(error, _EXPECTED_ERRORS) and not _is_exhausted(error):
        raise
      logging.debug('The error was raised here:', exc_info=True)
      logging.error('Error: %s', _explain(error))
      return 1
    except KeyboardInterrupt:
      logging.error('Interrupted.')
      return 130
    return 0

  return reporting


def run(
  main: Callable[[Any], object],
  parse: Callable[[list[str]], Any] | None = None,
) -> None:
  """Runs a command by its command line, and exits with its status.

  Args:
    main: see `report_errors`.
    parse: what it takes from the command line; default: all but its flags.
  """
  app.run(report_errors(main), flags_parser=parse or _parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  # A --flagfile may be no text; and some of absl's own errors are ValueErrors.
  except (flags.Error, ValueError, OSError) as error:
    problem = plain(files.explain(error)).rstrip('.')
    sys.stderr.write(f'Error in the flags: {problem}. See --help.\n')
    sys.exit(1)


def plain(text: str) -> str:
  """A text without what a terminal would obey."""
  return _CONTROLS.sub('�', text)


class _PlainFormatter(python_logging.Formatter):
  """Shows text from outside, such as names, without effect on a terminal."""

  def format(self, record: python_logging.LogRecord) -> str:
    return plain(super().format(record))


def _is_exhausted(error: Exception) -> bool:
  """Whether a disk, or a device's memory, was too small."""
  tensorflow = sys.modules.get('tensorflow')  # else it is none of its errors
  kind = tensorflow and tensorflow.errors.ResourceExhaustedError
  is_memory = isinstance(error, (MemoryError, kind) if kind else MemoryError)
  return is_memory or files.is_full_disk(error)


def _explain(error: Exception) -> str:
  """An error in words, most often in a line."""
  if files.is_full_disk(error) or not _is_exhausted(error):
    return files.explain(error)
  first = (str(error).splitlines() or ['no more can be had'])[0]
  return (
    f'the memory is full ({first}); ask for less at a time, such as a smaller '
    'batch_size, smaller sizes or fewer notes.'
  )


def _is_news(record: python_logging.LogRecord) -> bool:
  # A graph for each batch size and each set of options is what we want.
  return 'triggered tf.function retracing' not in record.getMessage()


def write_result(text: str) -> None:
  """Writes what a command was asked for to stdout; all else goes to stderr."""
  sys.stdout.write(f'{plain(text)}\n')
  sys.stdout.flush()


def command_line() -> str:
  """The command that runs now, to be given again in a shell."""
  if sys.argv[0].startswith(f'{PROGRAM} '):
    return shlex.join([*sys.argv[0].split(), *sys.argv[1:]])
  main = sys.modules['__main__']
  spec = getattr(main, '__spec__', None)
  program = (
    ['-m', spec.name.removesuffix('.__main__')]
    if spec
    else [os.path.relpath(sys.argv[0])]
  )
  return shlex.join(['python', *program, *sys.argv[1:]])


def for_each(
  runs: Mapping[str, _Run], action: Callable[[str, _Run], _Result]
) -> tuple[dict[str, _Result], dict[str, str]]:
  """Does something with each of several runs, even if it fails with some.

  Args:
    runs: by name.
    action: takes a name and what there is under it.

  Returns:
    What the action gave by name; and by name what went wrong.
  """
  results, failed = {}, {}
  for name, run in runs.items():
    gc.collect()  # of the run before, whose graph refers to itself
    try:
      results[name] = action(name, run)
    except Exception as error:  # such as a GPU's memory that is too small
      logging.debug('The error was raised here:', exc_info=True)
      failed[name] = _explain(error)
      logging.error(
        '%s failed: %s: %s', name, type(error).__name__, failed[name]
      )
  return results, failed


def progress_bar(*arguments: Any, **options: Any) -> tqdm:
  """A bar of tqdm on stderr; if that is piped, a line every ten seconds.

  Arguments are those of `tqdm`. What takes less time than that writes nothing
  to a pipe.
  """
  from tqdm import auto  # Help does without it.

  is_notebook = auto.tqdm is not auto.asyncio_tqdm
  if not is_notebook and not sys.stderr.isatty():
    options |= {'file': _Lines(sys.stderr), 'mininterval': _LINE_SECONDS}
  return auto.tqdm(*arguments, **options)


class _Lines:
  """A stream that makes lines of what a bar writes, and few of them."""

  def __init__(self, stream: TextIO):
    self._stream = stream
    self._last = time.monotonic()

  def write(self, text: str) -> None:
    """Writes a state of the bar, unless there was one lately."""
    text = text.replace('\x1b[A', '').strip()
    if text and time.monotonic() - self._last >= _LINE_SECONDS:
      self._stream.write(f'{text}\n')
      self._last = time.monotonic()

  def flush(self) -> None:
    """Flushes the stream."""
    self._stream.flush()


def expect_no_failures(failed: Mapping[str, str], num_runs: int) -> None:
  """Raises ValueError if there is a failure, as of `for_each`."""
  if failed:
    raise ValueError(
      f'{len(failed)} of {num_runs} runs failed: '
      + '\n'.join(f'{name}: {error}' for name, error in failed.items())
    )


class Column(NamedTuple):
  """A column of a table for people; numbers go to the right."""

  heading: str
  cells: list[str]
  is_numeric: bool


def table_columns(rows: Sequence[Mapping[str, object]]) -> list[Column]:
  """A column for each key, for a terminal or a page.

  Args:
    rows: all with the keys of the first.
  """
  columns = []
  for key in rows[0] if rows else ():
    cells = [format_cell(row[key]) for row in rows]
    columns.append(Column(plain(key), cells, all(map(_is_number, cells))))
  return columns


def make_table(rows: Sequence[Mapping[str, object]]) -> Table:
  """`table_columns` for the terminal or a live view."""
  table = Table(
    box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
  )
  columns = table_columns(rows)
  for column in columns:
    justify: Any = 'right' if column.is_numeric else 'left'
    table.add_column(Text(column.heading), justify=justify, no_wrap=True)
  for line in zip(*(column.cells for column in columns), strict=True):
    # As Text, for brackets in names are no markup.
    table.add_row(*map(Text, line))
  return table


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
  """`make_table(rows)` as lines of plain text, as wide as need be."""
  # Like a file, whatever the terminal, the notebook or the environment.
  text = io.StringIO()
  console = Console(
    file=text,
    color_system=None,
    force_terminal=False,
    force_jupyter=False,
    width=_MAX_WIDTH,
  )
  console.print(make_table(rows))
  return '\n'.join(line.rstrip() for line in text.getvalue().splitlines())


def html_table(rows: Sequence[Mapping[str, object]]) -> str:
  """`table_columns` as HTML, for notebooks."""
  columns = table_columns(rows)
  lines = []
  for i in range(len(rows) + 1):
    tag, line = ('td' if i else 'th'), ''
    for heading, cells, is_numeric in columns:
      side = 'right' if is_numeric else 'left'
      cell = html.escape([heading, *cells][i])
      line += f'<{tag} style="text-align:{side}">{cell}</{tag}>'
    lines.append(f'<tr>{line}</tr>')
  return f'<table>{"".join(lines)}</table>'


def format_cell(value: object) -> str:
  """Floats with three digits after the point, None and NaN as '-'."""
  if value is None or (isinstance(value, float) and math.isnan(value)):
    return '-'
  return f'{value:.3f}' if isinstance(value, float) else plain(str(value))


def _is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return cell == '-'
  return True
