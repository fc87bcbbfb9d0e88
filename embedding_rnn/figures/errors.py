"""The errors of experiments beside each other."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embedding_rnn.figures import drawing

_PERCENTILES = (5, 25, 50, 75, 95)
_ROW_HEIGHT = 0.24  # inches
_PANEL_WIDTH = 9.0
_CHARACTER_WIDTH = 0.09
_LABEL = """mean squared error of a note (squared embedding value)
box: the middle half of the notes; whiskers: from 5 % to 95 %; dots: beyond"""


def errors_figure(
  errors: Mapping[str, Sequence[float]], *, title: str = ''
) -> Figure:
  """The notes' mean squared errors in each of several experiments.

  Figure 6 of 2017: a box plot with a logarithmic axis, sorted by the median,
  the best at the top. A box holds the middle half of the notes, its whiskers
  reach from the 5th to the 95th percentile, dots are the notes beyond. The page
  is as high as it takes.

  Args:
    errors: the mean squared error of each note, by the experiment's name.
    title: above all.

  Raises:
    ValueError: there is no experiment, or one with no error, or with an error
      that is not above 0, which a logarithmic axis cannot show.
  """
  if not errors:
    raise ValueError('No experiment: expected errors of at least one.')
  checked = {name: _check(name, values) for name, values in errors.items()}
  order = sorted(checked, key=lambda name: np.median(checked[name]))
  labels = [drawing.shortened(name) for name in order]
  left = 0.4 + _CHARACTER_WIDTH * max(map(len, labels))
  right = 0.8
  figure = drawing.make_figure(
    left + _PANEL_WIDTH + right, 1.6 + _ROW_HEIGHT * len(order), title
  )
  ((ax,),) = drawing.add_panels(
    figure, 1, 1, left=left, right=right, bottom=0.8, top=0.8
  )
  for row, name in enumerate(order):
    _draw_box(ax, row, checked[name])
  ax.set_xscale('log')
  ax.set_ylim(len(order) - 0.5, -0.5)
  ax.set_yticks(range(len(order)), labels, fontsize=9)
  ax.grid(axis='x', which='both', alpha=0.3)
  ax.set_xlabel(_LABEL)
  ax.text(1.01, 1.0, 'median', transform=ax.transAxes, va='bottom', fontsize=9)
  return figure


def _check(name: str, errors: Sequence[float]) -> np.ndarray:
  values = np.asarray(errors, float)
  if values.ndim != 1 or not values.size:
    raise ValueError(
      f'Errors of {name!r} have the shape {values.shape}: expected [notes], at '
      'least one.'
    )
  is_good = (values > 0.0) & np.isfinite(values)
  if not is_good.all():
    row = int(np.argmin(is_good))
    raise ValueError(
      f'The error of {name!r}, note {row}, is {values[row]}: expected a finite '
      'number above 0.'
    )
  return values


def _draw_box(ax: Axes, row: int, values: np.ndarray) -> None:
  low, left, median, right, high = np.percentile(values, _PERCENTILES)
  ax.plot([low, high], [row, row], color=drawing.BLUE, linewidth=1.5)
  ax.barh(
    row,
    right - left,
    left=left,
    height=0.6,
    facecolor=drawing.PALE_BLUE,
    edgecolor=drawing.BLUE,
    zorder=2,
  )
  ends = row - 0.3, row + 0.3
  ax.vlines(median, *ends, color=drawing.VERMILION, linewidth=2.5)
  beyond = values[(values < low) | (values > high)]
  rows = np.full(len(beyond), row)
  ax.plot(beyond, rows, '.', color=drawing.BLUE, markersize=3)
  ax.annotate(
    f'{median:.3g}',
    (1.01, row),
    xycoords=ax.get_yaxis_transform(),
    va='center',
    fontsize=9,
  )
