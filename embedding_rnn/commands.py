"""What the commands share: their messages, their errors and their tables."""

import functools
import logging as python_logging
import math
from collections.abc import Callable, Mapping, Sequence

from absl import logging

# What bad input and bad luck raise; everything else is a defect of ours, and
# its traceback is welcome.
_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)


def report_errors(main: Callable[[list[str]], object]) -> Callable:
  """A main function for `absl.app.run` that ends in messages, not tracebacks.

  Messages of any level from INFO on are shown, without a prefix. With
  --verbosity=1 an error's traceback is shown, too.

  Args:
    main: takes the command line without its flags.

  Returns:
    A function that gives 0, or, after showing an error, 1.
  """

  @functools.wraps(main)
  def reporting(argv: list[str]) -> int:
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter('%(message)s'))
    logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
    try:
      if len(argv) > 1:
        raise ValueError(
          f'Unexpected argument {argv[1]!r}: every option is written '
          '--name=value; see --help.'
        )
      main(argv)
    except _EXPECTED_ERRORS as error:
      logging.debug('The error was raised here:', exc_info=True)
      logging.error('Error: %s', error)
      return 1
    except KeyboardInterrupt:
      logging.error('Interrupted.')
      return 130
    return 0

  return reporting


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
  """Lines of text with a column for each key, numbers to the right.

  Args:
    rows: at least one; all with the keys of the first. Floats are shown with
      three digits after the point, None and NaN as '-'.
  """
  columns = []
  for key in rows[0]:
    cells = [_cell(row[key]) for row in rows]
    width = max(map(len, (key, *cells)))
    is_text = any(isinstance(row[key], str) for row in rows)
    pad = str.ljust if is_text else str.rjust
    lines = [key, '-' * width, *cells]
    columns.append([pad(line, width) for line in lines])
  return '\n'.join(
    '  '.join(line).rstrip() for line in zip(*columns, strict=True)
  )


def _cell(value: object) -> str:
  if value is None or (isinstance(value, float) and math.isnan(value)):
    return '-'
  return f'{value:.3f}' if isinstance(value, float) else str(value)
