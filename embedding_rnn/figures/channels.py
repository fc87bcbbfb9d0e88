"""Notes as lines: every channel over time.

These are the figures 1 to 4 of the project of 2017: notes side by side, a note
on its way through the model and back, and mixes and reconstructions over what
is left of the original.

The ranges of the axes are those that suit NSynth's frames, unless others
are given; `value_limits` finds them for frames of another kind. Colours run
through viridis from the first channel to the last.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from embedding_rnn.audio import harmonics
from embedding_rnn.figures import drawing

FRAME_LIMITS = (-10.0, 20.0)
DIFFERENCE_LIMITS = (-5.0, 5.0)

_Limits = tuple[float, float]

_COLOURS = colormaps['viridis']
_LAST_COLOUR = 0.93  # beyond, viridis is too light for lines on white
_VALUE_LABEL = 'embedding value'
_BAR_MARGIN = 0.85  # inches, for a colour bar and its texts
_MAX_COLUMNS = 6


def value_limits(*frames: np.ndarray, least: _Limits = FRAME_LIMITS) -> _Limits:
  """Limits of an axis on which all values can be seen.

  Args:
    *frames: arrays of any shapes.
    least: limits that are wide enough if all values lie within.

  Returns:
    `least`, or else what the values and zero reach, rounded outwards to a
    multiple of 5.

  Raises:
    ValueError: a value is not finite.
  """
  low = float(np.min([0.0, *(np.min(array) for array in frames)]))
  high = float(np.max([0.0, *(np.max(array) for array in frames)]))
  if not math.isfinite(low) or not math.isfinite(high):
    raise ValueError(f'values from {low} to {high}: expected finite numbers.')
  if least[0] <= low and high <= least[1]:
    return least
  return 5.0 * math.floor(low / 5.0), 5.0 * math.ceil(high / 5.0)


def channels_figure(
  notes: Sequence[np.ndarray],
  *,
  names: Sequence[str],
  title: str = '',
  limits: _Limits = FRAME_LIMITS,
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """Notes side by side, six in a row: 1600 x 400 dots for a row.

  Figures 1a and 1b of 2017 are six originals, and their reconstructions.

  Args:
    notes: N times frames `[T, W]`; T may differ.
    names: N of them, one above each note.
    title: above all.
    limits: of the values; what lies beyond is cut off.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: there is no note, the names or the channels are not as many in
      each, or a value is not finite.
  """
  notes = [
    drawing.check_frames(note, f'note {i}') for i, note in enumerate(notes)
  ]
  widths = {note.shape[1] for note in notes}
  if not notes or len(names) != len(notes) or len(widths) > 1:
    raise ValueError(
      f'{len(notes)} notes of {sorted(widths)} channels and {len(names)} names:'
      ' expected at least one note, channels alike, and a name for each.'
    )
  num_columns = min(len(notes), _MAX_COLUMNS)
  num_rows = -(-len(notes) // num_columns)
  width = 1.6 + 2.4 * num_columns
  figure = drawing.make_figure(width, 1.0 + 3.0 * num_rows, title)
  axes = drawing.add_panels(
    figure, num_rows, num_columns, right=_BAR_MARGIN, gap_y=0.6, sharey=True
  )
  for ax, note, name in zip(axes.flat, notes, names, strict=False):
    lines = _draw_channels(ax, note, hop_length / sample_rate, limits)
    drawing.set_title(ax, name)
  for ax in axes.flat[len(notes) :]:
    ax.set_visible(False)
  for ax in axes[:, 0]:
    ax.set_ylabel(_VALUE_LABEL)
  drawing.add_time_label(figure, axes.flat)
  _add_channel_bar(figure, lines, axes.flat)
  return figure


def stages_figure(
  raw: np.ndarray,
  modelled: np.ndarray,
  modelled_reconstruction: np.ndarray,
  reverted: np.ndarray,
  reconstruction: np.ndarray,
  *,
  title: str = '',
  limits: _Limits = FRAME_LIMITS,
  difference_limits: _Limits = DIFFERENCE_LIMITS,
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """A note on its way through the model and back: 1600 x 800 dots.

  Figure 2 of 2017. The upper row is in the format of the data, the lower one in
  that of the model, except for the residual: raw minus reconstruction.

  Args:
    raw: the original's frames, `[T, W]`.
    modelled: the same as the model sees them, `[T, K]`: transformed, say
      to reversed differences and principal components.
    modelled_reconstruction: what the model makes of it, `[T, K]`. With
      differences, the time of both runs backwards.
    reverted: `modelled`, transformed back to `[T, W]`; if it is not as raw, the
      transforms lost something.
    reconstruction: `modelled_reconstruction`, transformed back, `[T, W]`.
    title: above all.
    limits: of the values in the upper row; what lies beyond is cut off.
    difference_limits: of those in the lower row. A model without differences
      needs wider ones.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: shapes that do not belong together, or a value is not finite.
  """
  raw, reverted, reconstruction = drawing.check_same_shape(
    raw=raw, reverted=reverted, reconstruction=reconstruction
  )
  modelled, modelled_reconstruction = drawing.check_same_shape(
    modelled=modelled, modelled_reconstruction=modelled_reconstruction
  )
  if len(raw) != len(modelled):
    raise ValueError(
      f'raw has {len(raw)} frames and modelled {len(modelled)}: expected the '
      'same note in both.'
    )
  residual = raw - reconstruction
  label = 'channel' if modelled.shape == raw.shape else 'component (modelled)'
  figure = drawing.make_figure(16.0, 8.0, title)
  axes = drawing.add_panels(
    figure, 2, 3, right=_BAR_MARGIN, gap_x=0.5, sharex=True, sharey='row'
  )
  upper = {
    'Raw': raw,
    'Reverted, no model': reverted,
    'Reconstruction': reconstruction,
  }
  lower = {
    _residual_title(residual): residual,
    'Modelled original': modelled,
    'Modelled reconstruction': modelled_reconstruction,
  }
  for row, row_limits, bar_label, stages in (
    (axes[0], limits, 'channel', upper),
    (axes[1], difference_limits, label, lower),
  ):
    for ax, (name, frames) in zip(row, stages.items(), strict=True):
      lines = _draw_channels(ax, frames, hop_length / sample_rate, row_limits)
      drawing.set_title(ax, name)
    _add_channel_bar(figure, lines, row, bar_label)
  axes[0, 0].set_ylabel(_VALUE_LABEL)
  axes[1, 0].set_ylabel(_VALUE_LABEL)
  axes[1, 1].set_ylabel('model value')
  drawing.add_time_label(figure, axes.flat)
  return figure


def mixes_figure(
  original: np.ndarray,
  mixes: Sequence[np.ndarray],
  alphas: Sequence[float],
  *,
  title: str = '',
  limits: _Limits = FRAME_LIMITS,
  difference_limits: _Limits = DIFFERENCE_LIMITS,
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """Mixes of a note and its reconstruction over their residuals.

  Figure 3 of 2017: six mixes, 1600 x 700 dots. Figure 4, a reconstruction over
  its residual, is the one mix with the alpha 1: 900 x 700 dots.

  Args:
    original: frames `[T, W]`.
    mixes: M times `[T, W]`: alpha * reconstruction + (1 - alpha) * original.
    alphas: M shares of the reconstruction, from 0 to 1.
    title: above all.
    limits: of the values; what lies beyond is cut off.
    difference_limits: of the residuals, original minus mix.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: an alpha is out of range, shapes do not belong together, or a
      value is not finite.
  """
  for alpha in alphas:
    if not 0.0 <= alpha <= 1.0:
      raise ValueError(
        f'alpha {alpha}: expected the share of the reconstruction, from 0 to 1.'
      )
  num_mixes = len(mixes)
  if not num_mixes == len(alphas) > 0:
    raise ValueError(
      f'{num_mixes} mixes and {len(alphas)} alphas: expected one alpha for '
      'each mix, and at least one.'
    )
  width = 1.6 + max(7.4, 2.4 * num_mixes)
  figure = drawing.make_figure(width, 7.0, title)
  axes = drawing.add_panels(
    figure, 2, num_mixes, right=_BAR_MARGIN, sharex=True, sharey='row'
  )
  frame_seconds = hop_length / sample_rate
  for column, mix, alpha in zip(axes.T, mixes, alphas, strict=True):
    whole, part = drawing.check_same_shape(original=original, mix=mix)
    lines = _draw_channels(column[0], part, frame_seconds, limits)
    drawing.set_title(
      column[0], 'Reconstruction' if alpha == 1.0 else f'alpha {alpha:g}'
    )
    residual = whole - part
    _draw_channels(column[1], residual, frame_seconds, difference_limits)
    drawing.set_title(column[1], _residual_title(residual))
  axes[0, 0].set_ylabel(_VALUE_LABEL)
  axes[1, 0].set_ylabel(f'residual, {_VALUE_LABEL}')
  drawing.add_time_label(figure, axes.flat)
  _add_channel_bar(figure, lines, axes.flat)
  return figure


def _residual_title(residual: np.ndarray) -> str:
  return f'Residual, MSE {np.mean(np.square(residual)):.3g}'


def _draw_channels(
  ax: Axes, frames: np.ndarray, frame_seconds: float, limits: _Limits
) -> LineCollection:
  """Draws `[T, W]` as W lines over time; says how much is cut off."""
  num_frames, num_channels = frames.shape
  times = drawing.frame_times(num_frames, frame_seconds)
  points = [np.stack([times, values], axis=-1) for values in frames.T]
  shades = _COLOURS(np.linspace(0.0, _LAST_COLOUR, num_channels))
  lines = LineCollection(
    points,
    array=np.arange(num_channels),
    cmap=ListedColormap(shades),
    norm=BoundaryNorm(np.arange(num_channels + 1) - 0.5, num_channels),
    linewidths=1.0,
  )
  ax.add_collection(lines, autolim=False)
  ax.set_xlim(0.0, num_frames * frame_seconds)
  ax.set_ylim(limits)
  ax.grid(alpha=0.3)
  is_beyond = (frames < limits[0]) | (frames > limits[1])
  if is_beyond.any():
    text = f'{100.0 * is_beyond.mean():.2g} % beyond the axis'
    ax.text(0.98, 0.97, text, transform=ax.transAxes, ha='right', va='top')
  return lines


def _add_channel_bar(
  figure: Figure,
  lines: LineCollection,
  axes: Iterable[Axes],
  label: str = 'channel',
) -> None:
  num_channels = len(lines.get_segments())
  ticks = np.arange(0, num_channels, -(-num_channels // 16))
  bar = drawing.add_colour_bar(figure, lines, axes, label, ticks=ticks)
  bar.ax.minorticks_off()
