"""What a model expects of a note, and how it is surprised."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embedding_rnn.audio import harmonics
from embedding_rnn.figures import drawing

_NATS_COLOURS = 'viridis'
_MAX_PERCENTILE = 99.5  # one outlier would darken all the others
_NUM_COLUMNS = 3
_MAX_PANELS = 6


def likelihood_figure(
  note: np.ndarray,
  mean: np.ndarray,
  std: np.ndarray,
  nats: np.ndarray,
  *,
  channels: Sequence[int] | None = None,
  variable: str = 'channel',
  title: str = '',
  sample_rate: int = harmonics.SAMPLE_RATE,
  hop_length: int = harmonics.HOP_LENGTH,
) -> Figure:
  """A note against the mixtures that a model had for it: 1600 x 1000 dots.

  Some channels, each with the mean of its mixture and one standard deviation on
  either side; below, for each value, the negative logarithm of the density that
  the model had there: the brighter, the less it was expected.

  All is in the model's format and order; with differences, the last frame
  comes first.

  Args:
    note: `[T, W]`, what the model was to write.
    mean: `[T, W]`, of the mixtures, each given the frames before.
    std: `[T, W]`, of the mixtures, in all.
    nats: `[T, W]`, minus the log density of each value.
    channels: up to six that are shown; None for six spread evenly.
    variable: what a channel is in the model's format.
    title: above all.
    sample_rate: of the audio, in Hz.
    hop_length: samples to a frame.

  Raises:
    ValueError: the shapes differ, a value is not finite, a standard deviation
      is below 0, or a channel is not there.
  """
  note, mean, std, nats = drawing.check_same_shape(
    note=note, mean=mean, std=std, nats=nats
  )
  if std.min() < 0.0:
    raise ValueError(f'std reaches {std.min():g}: expected at least 0.')
  num_frames, num_channels = note.shape
  channels = _choose(channels, num_channels)
  frame_seconds = hop_length / sample_rate
  times = drawing.frame_times(num_frames, frame_seconds)
  figure = drawing.make_figure(16.0, 10.0, title)
  num_rows = -(-len(channels) // _NUM_COLUMNS)
  panels = drawing.add_panels(
    figure,
    num_rows,
    min(len(channels), _NUM_COLUMNS),
    right=0.95,
    bottom=4.3,
    gap_x=0.6,
    sharex=True,
  ).ravel()
  for ax, channel in zip(panels, channels, strict=False):
    _draw_channel(ax, times, *(a[:, channel] for a in (note, mean, std)))
    drawing.set_title(ax, f'{variable.capitalize()} {channel}')
  for ax in panels[len(channels) :]:
    ax.set_visible(False)
  panels[0].set_xlim(0.0, num_frames * frame_seconds)
  for ax in panels[::_NUM_COLUMNS]:
    ax.set_ylabel('model value')
  panels[0].legend(loc='best', fontsize=9)
  ((ax,),) = drawing.add_panels(figure, 1, 1, right=0.95, top=6.4)
  _draw_nats(figure, ax, nats, frame_seconds, variable)
  return figure


def _choose(channels: Sequence[int] | None, num_channels: int) -> list[int]:
  if channels is None:
    count = min(num_channels, _MAX_PANELS)
    return np.linspace(0, num_channels - 1, count).round().astype(int).tolist()
  channels = list(channels)
  if not 0 < len(channels) <= _MAX_PANELS or not all(
    0 <= channel < num_channels for channel in channels
  ):
    raise ValueError(
      f'channels={channels}: expected one to {_MAX_PANELS} numbers from 0 to '
      f'{num_channels - 1}.'
    )
  return channels


def _draw_channel(
  ax: Axes,
  times: np.ndarray,
  note: np.ndarray,
  mean: np.ndarray,
  std: np.ndarray,
) -> None:
  ax.fill_between(
    times,
    mean - std,
    mean + std,
    color=drawing.BLUE,
    alpha=0.3,
    linewidth=0.0,
    label='mean ± std',
  )
  ax.plot(times, mean, color=drawing.BLUE, linewidth=1.2, label='mixture mean')
  ax.plot(times, note, color=drawing.BLACK, linewidth=1.0, label='note')
  ax.grid(alpha=0.3)


def _draw_nats(
  figure: Figure,
  ax: Axes,
  nats: np.ndarray,
  frame_seconds: float,
  variable: str,
) -> None:
  num_frames, num_channels = nats.shape
  image = ax.imshow(
    nats.T,
    aspect='auto',
    origin='lower',
    interpolation='nearest',
    cmap=_NATS_COLOURS,
    vmax=np.percentile(nats, _MAX_PERCENTILE),
    extent=(0.0, num_frames * frame_seconds, -0.5, num_channels - 0.5),
  )
  drawing.set_title(ax, f'Surprise, {nats.mean():.3f} nats per value')
  ax.set_xlabel("time (s), in the model's order")
  ax.set_ylabel(variable)
  ax.set_yticks(range(0, num_channels, max(1, num_channels // 4)))
  drawing.add_colour_bar(figure, image, [ax], 'surprise (nats)', extend='max')
