"""What all figures share: pages of panels, labels, colours and checks.

Panels are placed by the inch. The layout engines of matplotlib would draw each
page once more to measure its texts, which takes longer than the drawing.
"""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from embedding_rnn.utils import files

DPI = 100
# Okabe and Ito's palette, which colour-blind people can tell apart; dashes and
# shapes tell lines and marks apart in print, too.
BLACK, BLUE, VERMILION, GREEN = '#000000', '#0072b2', '#d55e00', '#009e73'
PURPLE, SKY_BLUE, ORANGE = '#cc79a7', '#56b4e9', '#e69f00'
PALE_BLUE = '#cfe8f7'  # fills what has an edge
MARKS = (
  (BLUE, 'o'),
  (VERMILION, 'D'),
  (GREEN, 's'),
  (PURPLE, 'v'),
  (BLACK, 'x'),
  (SKY_BLUE, 'P'),
)
_LINE: dict[str, Any] = {'linewidth': 1.5}
ORIGINAL_LINE = _LINE | {'color': BLACK, 'label': 'original'}
RECONSTRUCTION_LINE = _LINE | {
  'color': VERMILION,
  'linestyle': (0, (4, 2)),
  'label': 'reconstruction',
}
TIME_LABEL = 'time (s)'

_PNG = {'compress_level': 1}  # half the time, for files a fifth larger
_BAR_WIDTH = 0.14  # inches, as all lengths here
_TITLE_OFFSET = 0.12
_MAX_INTERVALS = 5  # between ticks, which take most of the time of drawing
_MAX_NAME = 56  # characters


def make_figure(width: float, height: float, title: str = '') -> Figure:
  """An empty page with a title at its top edge.

  Args:
    width: in inches, rounded to a quarter, so that no dot is lost to rounding.
    height: the same.
    title: may be empty.
  """
  figure = Figure((round(4 * width) / 4, round(4 * height) / 4), dpi=DPI)
  if title:
    y = 1.0 - _TITLE_OFFSET / height
    figure.suptitle(plain(title), y=y, va='top', fontsize=15)
  return figure


def add_panels(
  figure: Figure,
  num_rows: int,
  num_columns: int,
  *,
  left: float = 0.75,
  right: float = 0.2,
  bottom: float = 0.6,
  top: float = 0.85,
  gap_x: float = 0.35,
  gap_y: float = 0.45,
  **options: Any,
) -> np.ndarray:
  """Puts a grid of panels on a page.

  Args:
    figure: the page.
    num_rows: of panels.
    num_columns: of panels.
    left: from the left edge of the page to the panels, in inches.
    right: from the right edge.
    bottom: from the bottom edge.
    top: from the top edge.
    gap_x: between columns.
    gap_y: between rows.
    **options: as in `Figure.subplots`.

  Returns:
    The axes, `[num_rows, num_columns]`.
  """
  width, height = figure.get_size_inches()
  panel_width = (width - left - right - gap_x * (num_columns - 1)) / num_columns
  panel_height = (height - bottom - top - gap_y * (num_rows - 1)) / num_rows
  grid = figure.add_gridspec(
    num_rows,
    num_columns,
    left=left / width,
    right=1.0 - right / width,
    bottom=bottom / height,
    top=1.0 - top / height,
    wspace=gap_x / panel_width,
    hspace=gap_y / panel_height,
  )
  panels = grid.subplots(squeeze=False, **options)
  for ax in panels.flat:
    ax.locator_params(nbins=_MAX_INTERVALS)
  return panels


def add_colour_bar(
  figure: Figure,
  mappable: ScalarMappable,
  axes: Iterable[Axes],
  label: str,
  gap: float = 0.12,
  **options: Any,
) -> Colorbar:
  """Adds a colour bar to the right of panels, as high as all of them.

  Args:
    figure: the page.
    mappable: what is shown.
    axes: the panels.
    label: with the unit.
    gap: from the panels to the bar, in inches.
    **options: as in `Figure.colorbar`.
  """
  boxes = [ax.get_position() for ax in axes]
  width = figure.get_size_inches()[0]
  low = min(box.y0 for box in boxes)
  high = max(box.y1 for box in boxes)
  x = max(box.x1 for box in boxes) + gap / width
  ax = figure.add_axes((x, low, _BAR_WIDTH / width, high - low))
  return figure.colorbar(mappable, cax=ax, label=label, **options)


def set_title(ax: Axes, title: str) -> None:
  """Sets the title of a panel, at a place that need not be searched for."""
  ax.set_title(plain(title), y=1.0)


def shortened(name: str) -> str:
  """A name as `plain` text, without its middle if there is no room for it."""
  if len(name) > _MAX_NAME:
    half = _MAX_NAME // 2
    name = f'{name[: half - 1]}…{name[-half:]}'
  return plain(name)


def plain(text: str) -> str:
  """A text that may hold names, for matplotlib: no formulas, no controls."""
  shown = ''.join(c if c.isprintable() or c == '\n' else '�' for c in text)
  return shown.replace('$', r'\$')


def add_time_label(figure: Figure, axes: Iterable[Axes]) -> None:
  """Labels the time axis once, below the middle of the panels."""
  boxes = [ax.get_position() for ax in axes]
  x = (min(box.x0 for box in boxes) + max(box.x1 for box in boxes)) / 2
  y = 0.12 / figure.get_size_inches()[1]
  figure.text(x, y, TIME_LABEL, ha='center', va='bottom')


def draw_image(ax: Axes, values: np.ndarray, **options: Any) -> AxesImage:
  """Draws `[rows, columns]` as blocks, with the first row at the bottom."""
  return ax.imshow(
    values, aspect='auto', origin='lower', interpolation='nearest', **options
  )


def draw_frames(
  ax: Axes, frames: np.ndarray, frame_seconds: float, **options: Any
) -> AxesImage:
  """Draws frames `[T, W]` over time, with ticks at some of the channels."""
  num_frames, num_channels = frames.shape
  extent = 0.0, num_frames * frame_seconds, -0.5, num_channels - 0.5
  image = draw_image(ax, frames.T, extent=extent, **options)
  ax.set_yticks(range(0, num_channels, max(1, num_channels // 4)))
  return image


def frame_times(num_frames: int, frame_seconds: float) -> np.ndarray:
  """The middle of each frame, `[num_frames]`, in seconds."""
  return (np.arange(num_frames) + 0.5) * frame_seconds


def check_frames(frames: npt.ArrayLike, name: str) -> np.ndarray:
  """Frames `[T, W]` as an array of floats, or ValueError."""
  frames = _check_floats(frames, name)
  if frames.ndim != 2 or not frames.size:
    raise ValueError(
      f'{name} has the shape {frames.shape}: expected [T, W], at least one '
      'frame of one channel.'
    )
  return _check_finite(frames, name)


def check_same_shape(**arrays: npt.ArrayLike) -> list[np.ndarray]:
  """Frames `[T, W]` of one shape as arrays of floats, or ValueError."""
  checked = [check_frames(array, name) for name, array in arrays.items()]
  shapes = [array.shape for array in checked]
  if len(set(shapes)) > 1:
    raise ValueError(
      f'{" and ".join(arrays)} have the shapes '
      f'{" and ".join(map(str, shapes))}: expected one shape.'
    )
  return checked


def check_audio(audio: npt.ArrayLike, name: str) -> np.ndarray:
  """Audio `[samples]` as an array of floats, or ValueError."""
  audio = _check_floats(audio, name)
  if audio.ndim != 1 or not audio.size:
    raise ValueError(
      f'{name} has the shape {audio.shape}: expected [samples], at least one.'
    )
  return _check_finite(audio, name)


def _check_floats(array: npt.ArrayLike, name: str) -> np.ndarray:
  array = np.asarray(array)
  if array.dtype.kind not in 'iuf':
    raise ValueError(f'{name} holds {array.dtype}: expected numbers.')
  return array.astype(np.result_type(array, np.float32), copy=False)


def _check_finite(array: np.ndarray, name: str) -> np.ndarray:
  finite = np.isfinite(array)
  if not finite.all():
    where = tuple(np.argwhere(~finite)[0].tolist())
    raise ValueError(
      f'{name} is {array[where]} at {list(where)}: expected finite numbers.'
    )
  return array


def write_figure(path: pathlib.Path, figure: Figure) -> None:
  """Writes a .png file."""
  with files.replacing(path) as temporary:
    figure.savefig(temporary, format='png', pil_kwargs=_PNG)
