"""What principal components are, and how a note moves among them."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from embedding_rnn.figures import drawing

_WEIGHT_COLOURS = 'RdBu_r'
_MAX_PLANES = 2


def components_figure(
  original: np.ndarray,
  reconstruction: np.ndarray,
  components: np.ndarray,
  variance: np.ndarray,
  *,
  title: str = '',
) -> Figure:
  """The PCA view of a note: 1600 x 900 dots; figure 5 of 2017.

  Above the share of the variance that each component has of what all of the
  kept ones have, and the weights of the channels in it. Below the paths of the
  note and of its reconstruction, from the circle to the square, in the planes
  of the first component and the second, and the third. A path is the note's
  frames projected on the components, without scaling and centring, so that it
  is one and the same whether the model is of frames or of differences.

  Args:
    original: frames `[T, W]`, in the format of the data.
    reconstruction: frames `[T, W]`.
    components: the orthonormal principal directions, `[K, W]`, at least two, as
      those of `WhitenedPCA`.
    variance: the variance of the training data in each, `[K]`.
    title: above all.

  Raises:
    ValueError: shapes that do not belong together, a value that is not finite,
      or a variance that is not above 0.
  """
  original, reconstruction = drawing.check_same_shape(
    original=original, reconstruction=reconstruction
  )
  components = drawing.check_frames(components, 'components')
  variance = _check_variance(variance, len(components))
  if len(components) < 2 or components.shape[1] != original.shape[1]:
    raise ValueError(
      f'components have the shape {components.shape}: expected at least two of '
      f'{original.shape[1]} channels, as the note has.'
    )
  num_planes = min(_MAX_PLANES, len(components) - 1)
  figure = drawing.make_figure(16.0, 9.0, title)
  shares, weights = drawing.add_panels(
    figure, 1, 2, right=0.95, bottom=5.7, gap_x=1.0
  )[0]
  _draw_shares(shares, variance)
  _draw_weights(figure, weights, components)
  planes = drawing.add_panels(
    figure, 1, num_planes, right=0.95, top=4.2, gap_x=1.0
  )[0]
  paths = original @ components.T, reconstruction @ components.T
  for ax, vertical in zip(planes, range(1, num_planes + 1), strict=True):
    _draw_paths(ax, paths, vertical)
  planes[0].legend(loc='best')
  return figure


def _check_variance(variance: npt.ArrayLike, num_components: int) -> np.ndarray:
  variance = np.asarray(variance, float)
  if (
    variance.shape != (num_components,)
    or not ((variance > 0.0) & np.isfinite(variance)).all()
  ):
    raise ValueError(
      f'variance {variance}: expected {num_components} finite numbers above 0, '
      'one for each component.'
    )
  return variance


def _draw_shares(ax: Axes, variance: np.ndarray) -> None:
  shares = 100.0 * variance / variance.sum()
  bars = ax.bar(range(len(shares)), shares, color=drawing.SKY_BLUE)
  ax.bar_label(bars, [f'{share:.2g} %' for share in shares], fontsize=9)
  ax.xaxis.set_major_locator(MaxNLocator(integer=True))
  ax.set_ylim(0.0, 1.15 * shares.max())
  ax.set_xlabel('component')
  ax.set_ylabel('share of the variance kept (%)')
  drawing.set_title(ax, 'Variance of the components')


def _draw_weights(figure: Figure, ax: Axes, components: np.ndarray) -> None:
  image = ax.imshow(
    components,
    aspect='auto',
    interpolation='nearest',
    cmap=_WEIGHT_COLOURS,
    vmin=-1.0,
    vmax=1.0,
  )
  ax.xaxis.set_major_locator(MaxNLocator(integer=True))
  ax.yaxis.set_major_locator(MaxNLocator(integer=True))
  ax.set_xlabel('channel')
  ax.set_ylabel('component')
  drawing.set_title(ax, 'Weights of the channels')
  ticks = (-1.0, -0.5, 0.0, 0.5, 1.0)
  drawing.add_colour_bar(figure, image, [ax], 'weight', ticks=ticks)


def _draw_paths(
  ax: Axes, paths: tuple[np.ndarray, np.ndarray], vertical: int
) -> None:
  """Draws `[T, K]` paths in the plane of component 0 and another."""
  lines = drawing.ORIGINAL_LINE, drawing.RECONSTRUCTION_LINE
  for path, line in zip(paths, lines, strict=True):
    x, y = path[:, 0], path[:, vertical]
    ax.plot(x, y, marker='.', markersize=4, **line)
    for end, marker in ((0, 'o'), (-1, 's')):
      ax.plot(
        x[end],
        y[end],
        marker,
        color=line['color'],
        markersize=9,
        markerfacecolor='white',
        markeredgewidth=2,
        zorder=3,
      )
  ax.grid(alpha=0.3)
  ax.set_xlabel('component 0 (embedding value)')
  ax.set_ylabel(f'component {vertical} (embedding value)')
  drawing.set_title(ax, f'Path from ○ to □, components 0 and {vertical}')
