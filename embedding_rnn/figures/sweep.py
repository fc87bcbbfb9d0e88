"""A picture of a sweep: its best runs, and what the settings do to the cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from embedding_rnn.figures import drawing

_MARK_OF_OTHERS = ('#808080', '.')
_VALID_STYLE: dict[str, Any] = dict(
  color=drawing.BLUE, marker='o', markersize=6
)
_TEST_STYLE: dict[str, Any] = dict(
  color=drawing.VERMILION, marker='D', markersize=5, markerfacecolor='none'
)
_COST_LABEL = 'cost (nats per value)'

_MAX_GROUPS = len(drawing.MARKS)
_MAX_BEST = 40  # runs by name
_MAX_PANELS = 12
_MAX_STRIPS = 8  # in a panel; more values get an axis of numbers
_MIN_RUNS_OF_PANELS = 3
_MIN_RUNS_OF_BOX = 5
_RUNS_WIDTH, _PANEL_WIDTH, _PANEL_HEIGHT = 8.0, 3.6, 2.5  # inches, as the rest
_RUN_HEIGHT, _AXIS_HEIGHT, _TITLE_HEIGHT = 0.21, 0.75, 0.9

_Row = Mapping[str, Any]


class _Panel(NamedTuple):
  """What a panel shows of N runs.

  Attributes:
    setting: the name of what is on the x axis.
    values: N of its values.
    costs: `[N]`; with several groups, above the best of the group.
    groups: `[N]`, their numbers.
  """

  setting: str
  values: list[Any]
  costs: np.ndarray
  groups: np.ndarray


def sweep_figure(
  rows: Sequence[_Row],
  varied: Sequence[str],
  groups: Mapping[int, str],
  title: str = '',
) -> Figure:
  """The costs of runs, 100 dots to the inch.

  On the left the 40 best runs by name, with validation and test cost; each
  group, whose costs do not compare with another's, has an axis of its own. On
  the right, from three runs on, the validation costs of all runs against each
  setting that differs within a group; with several groups, as differences from
  the best of the group.

  Args:
    rows: as of `report.Report`; one of them at least has a 'valid_cost'.
    varied: as of `report.Report`.
    groups: as of `report.Report`.
    title: above all.
  """
  known = [row for row in rows if row['valid_cost'] is not None]
  members = {n: [r for r in known if r['group'] == n] for n in groups}
  members = {number: runs for number, runs in members.items() if runs}
  num_best = math.ceil(_MAX_BEST / min(len(members), _MAX_GROUPS))
  best = {n: members[n][:num_best] for n in list(members)[:_MAX_GROUPS]}
  heights = [_AXIS_HEIGHT + _RUN_HEIGHT * len(runs) for runs in best.values()]
  panels = _panels(members, varied)
  num_columns = _num_columns(len(panels), sum(heights))
  panels_width = _PANEL_WIDTH * num_columns
  height = max(
    sum(heights), _PANEL_HEIGHT * math.ceil(len(panels) / max(1, num_columns))
  )
  figure = Figure(
    (_RUNS_WIDTH + panels_width, _TITLE_HEIGHT + height),
    dpi=drawing.DPI,
    layout='constrained',
  )
  num_shown = sum(map(len, best.values()))
  text = f'{len(known)} run' + 's' * (len(known) > 1)
  if num_shown < len(known):
    text = f'{text}, the best {num_shown} by name'
  figure.suptitle(drawing.plain(f'{title}: {text}'), fontsize=14)
  widths = [_RUNS_WIDTH, panels_width] if panels else [_RUNS_WIDTH]
  parts = figure.subfigures(1, len(widths), squeeze=False, width_ratios=widths)
  if panels:
    told_apart = groups if len(members) > 1 else {}
    _draw_panels(parts[0, 1], panels, num_columns, told_apart)
  empty = height - sum(heights)
  if empty > _AXIS_HEIGHT:
    heights.append(empty)
  _draw_groups(parts[0, 0], best, groups, heights)
  return figure


def _draw_groups(
  figure: SubFigure,
  best: Mapping[int, Sequence[_Row]],
  groups: Mapping[int, str],
  heights: Sequence[float],
) -> None:
  """Draws the best runs of groups below each other.

  Args:
    figure: where to.
    best: runs by their group.
    groups: what is said of each.
    heights: of each, and, if it is to be empty, of the space after them.
  """
  grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
  for i, (number, runs) in enumerate(best.items()):
    ax = figure.add_subplot(grid[i])
    _draw_runs(ax, runs)
    if len(groups) > 1:
      text = f'Group {number}: {groups[number]}'
      ax.set_title(drawing.plain(text), loc='left', fontsize=9)
  ax.set_xlabel(
    _COST_LABEL + '; compare only within a group' * (len(groups) > 1)
  )
  handles, labels = ax.get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper right', ncols=2)


def _draw_runs(ax: Axes, rows: Sequence[_Row]) -> None:
  """Draws validation and test cost of each run, the first at the top."""
  y = np.arange(len(rows))
  valid, test = (
    np.array([row[key] for row in rows], float)  # None becomes NaN
    for key in ('valid_cost', 'test_cost')
  )
  limit = _upper_limit(np.concatenate([valid, test[np.isfinite(test)]]))
  ends = np.minimum([valid, test], limit)
  ax.hlines(y, *ends, color='0.7', linewidth=1.5)
  for costs, style, label in (
    (valid, _VALID_STYLE, 'validation cost'),
    (test, _TEST_STYLE, 'test cost'),
  ):
    beyond = costs > limit
    common = {**style, 'linestyle': ''}
    ax.plot(np.where(beyond, np.nan, costs), y, label=label, **common)
    common['marker'] = '>'
    ax.plot(np.where(beyond, limit, np.nan), y, **common)
  ax.set_yticks(y, [_name(row) for row in rows], fontsize=9)
  ax.set_ylim(len(rows) - 0.5, -0.5)
  for row, cost in enumerate(valid):
    ax.annotate(
      f'{cost:.3f}',
      (1.0, row),
      (6, 0),
      xycoords=ax.get_yaxis_transform(),
      textcoords='offset points',
      va='center',
      fontsize=9,
      color=_VALID_STYLE['color'],
    )
  ax.grid(axis='x', alpha=0.3)
  ax.ticklabel_format(axis='x', useOffset=False)
  ax.locator_params(axis='x', nbins=7)


def _name(row: _Row) -> str:
  name = drawing.shortened(row['run'])
  if row['state'] != 'finished':
    name += f' (at {100 * row["step"] / row["num_steps"]:.0f} %)'
  return name


def _upper_limit(costs: np.ndarray) -> float:
  """A cost above it would press all others together."""
  low, high = np.percentile(costs, (25, 75))
  return min(costs.max(), high + 4 * max(high - low, 0.01))


def _num_columns(num_panels: int, height: float) -> int:
  """As few columns of panels as fit the height, but three at most."""
  num_rows = max(1, int(height / _PANEL_HEIGHT))
  return min(3, math.ceil(num_panels / num_rows))


def _panels(
  members: Mapping[int, Sequence[_Row]], varied: Sequence[str]
) -> list[_Panel]:
  rows = [row for runs in members.values() for row in runs]
  if len(rows) < _MIN_RUNS_OF_PANELS:
    return []
  best = {number: 0.0 for number in members}
  if len(members) > 1:
    best = {n: runs[0]['valid_cost'] for n, runs in members.items()}
  panels = []
  for setting in varied:
    known = [row for row in rows if row[setting] is not None]
    values = [row[setting] for row in known]
    differs = any(
      len({str(row[setting]) for row in runs}) > 1 for runs in members.values()
    )
    num_values = len(set(map(str, values)))
    if differs and (num_values <= _MAX_STRIPS or _are_numbers(values)):
      costs = [row['valid_cost'] - best[row['group']] for row in known]
      numbers = [row['group'] for row in known]
      panels.append(_Panel(setting, values, np.array(costs), np.array(numbers)))
  return panels[:_MAX_PANELS]


def _are_numbers(values: Sequence[Any]) -> bool:
  return all(isinstance(value, int | float) for value in values)


def _draw_panels(
  figure: SubFigure,
  panels: Sequence[_Panel],
  num_columns: int,
  groups: Mapping[int, str],
) -> None:
  """Draws panels with one cost axis; `groups` are told apart, if there are."""
  num_rows = math.ceil(len(panels) / num_columns)
  axes = figure.subplots(
    num_rows, num_columns, sharey=True, squeeze=False
  ).ravel()
  limit = _upper_limit(np.concatenate([panel.costs for panel in panels]))
  for ax, panel in zip(axes, panels, strict=False):
    x = _draw_x_axis(ax, panel)
    for number in np.unique(panel.groups):
      color, marker = _group_style(number if groups else 1)
      chosen = panel.groups == number
      for is_shown, shape in (
        (chosen & (panel.costs <= limit), marker),
        (chosen & (panel.costs > limit), '^'),
      ):
        ax.plot(
          x[is_shown],
          np.minimum(panel.costs, limit)[is_shown],
          shape,
          color=color,
          markersize=4,
          alpha=0.6,
          zorder=3,
        )
    ax.set_xlabel(drawing.plain(panel.setting))
    ax.grid(axis='y', alpha=0.3)
    ax.ticklabel_format(axis='y', useOffset=False)
  for ax in axes[len(panels) :]:
    ax.set_visible(False)
  label = f'validation {_COST_LABEL}'
  if groups:
    label = f'validation cost above the best of its group{_COST_LABEL[4:]}'
  if any((panel.costs > limit).any() for panel in panels):
    label += ', ▲ beyond the axis'
  figure.supylabel(label, fontsize='medium')
  if groups:
    _add_group_legend(figure, list(groups))


def _group_style(number: int) -> tuple[str, str]:
  """Colour and marker."""
  return [*drawing.MARKS, _MARK_OF_OTHERS][min(number - 1, _MAX_GROUPS)]


def _add_group_legend(figure: SubFigure, numbers: Sequence[int]) -> None:
  names = {number: f'group {number}' for number in numbers[:_MAX_GROUPS]}
  if len(numbers) > _MAX_GROUPS:
    names[numbers[_MAX_GROUPS]] = 'others'
  handles = []
  for number, name in names.items():
    color, marker = _group_style(number)
    handles.append(Line2D([], [], ls='', c=color, marker=marker, label=name))
  figure.legend(handles=handles, loc='outside upper right', ncols=3)


def _draw_x_axis(ax: Axes, panel: _Panel) -> np.ndarray:
  """Lays out the values, with boxes where many runs share one; -> x `[N]`."""
  key = None if _are_numbers(panel.values) else str
  distinct = sorted(set(panel.values), key=key)
  if len(distinct) > _MAX_STRIPS:
    x = np.array(panel.values, float)
    if x.min() > 0 and x.max() >= 20 * x.min():
      ax.set_xscale('log')
    return x
  strip = np.array([distinct.index(value) for value in panel.values])
  labels = [drawing.plain(str(value)[:12]) for value in distinct]
  ax.set_xticks(range(len(distinct)), labels)
  ax.set_xlim(-0.6, len(distinct) - 0.4)
  # The same for all figures of the same runs.
  jitter = 0.3 * (np.arange(len(strip)) * 0.618034 % 1.0 - 0.5)
  for i in range(len(distinct)):
    costs = panel.costs[strip == i]
    if len(costs) >= _MIN_RUNS_OF_BOX:
      ax.boxplot(
        costs,
        positions=[i],
        widths=0.6,
        showfliers=False,
        manage_ticks=False,
        medianprops={'color': 'black', 'linewidth': 1.5},
        boxprops={'color': '0.4'},
      )
    else:
      jitter[strip == i] = 0.0
  return strip + jitter
