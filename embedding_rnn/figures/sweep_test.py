import io
import itertools

import numpy as np
import pytest

from embedding_rnn.figures import sweep

# Matplotlib only warns when it finds no layout.
pytestmark = pytest.mark.filterwarnings('error')


_MARKS = tuple('oDsvxP.^>')


def make_rows(num_runs, groups=(1,), **settings):
  """Runs whose validation cost is their place, best first in each group."""
  values = itertools.cycle(itertools.product(*settings.values()))
  rows = []
  for place, point in zip(range(num_runs), values, strict=False):
    row = {
      'run': f'v9_rnn1024_layer_norm_l4_enc512_z1024_mix{place}',
      'group': groups[place % len(groups)],
      'state': 'finished',
      'step': 30,
      'num_steps': 40,
      'valid_cost': float(place),
      'test_cost': place + 0.25,
    }
    rows.append(row | dict(zip(settings, point, strict=True)))
  return sorted(rows, key=lambda row: row['group'])


def draw(rows, settings=(), groups=None):
  figure = sweep.sweep_figure(
    rows, list(settings), groups or {1: ''}, 'A sweep'
  )
  figure.savefig(io.BytesIO(), format='png')
  return figure


def axes_of(figure):
  return [ax for part in figure.subfigs for ax in part.axes]


def points(ax):
  """All points of an axes, by x; boxes have no markers."""
  lines = [
    line.get_xydata() for line in ax.lines if line.get_marker() in _MARKS
  ]
  xy = np.concatenate(lines)
  return sorted(map(tuple, xy[np.isfinite(xy).all(axis=1)].tolist()))


@pytest.mark.parametrize('num_runs', [1, 2, 12, 432])
def test_the_best_runs_are_shown_by_name(num_runs):
  settings = {'rnn_size': (64, 128, 256), 'model': ('lstm', 'hyper')}
  figure = draw(make_rows(num_runs, **settings), settings)
  ax, *panels = axes_of(figure)
  shown = min(num_runs, 40)
  names = [label.get_text() for label in ax.get_yticklabels()]
  assert names == [
    f'v9_rnn1024_layer_norm_l4_enc512_z1024_mix{i}' for i in range(shown)
  ]
  assert points(ax) == sorted(
    point for i in range(shown) for point in ((i, i), (i + 0.25, i))
  )
  assert ax.get_ylim()[0] > ax.get_ylim()[1], 'the best is not at the top'
  assert 'nats per value' in ax.get_xlabel()
  assert [panel.get_xlabel() for panel in panels] == (
    list(settings) if num_runs > 2 else []
  )
  assert f'{num_runs} run' in figure.get_suptitle()
  width, height = figure.get_size_inches() * 100
  for text in (*ax.get_yticklabels(), *ax.texts):
    box = text.get_window_extent()
    assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 < box.y1 <= height


def test_panels_show_every_run_at_its_value():
  settings = {'z_size': (64, 1984, 128), 'rate': tuple(np.geomspace(1, 1e3, 9))}
  rows = make_rows(54, **settings)
  _, strips, axis = axes_of(draw(rows, settings))
  labels = [label.get_text() for label in strips.get_xticklabels()]
  assert labels == ['64', '128', '1984']
  drawn = sorted(
    (y, labels[round(x)]) for x, y in points(strips) if y == round(y)
  )
  assert drawn == [(r['valid_cost'], str(r['z_size'])) for r in rows]
  assert axis.get_xscale() == 'log'
  assert points(axis) == sorted((r['rate'], r['valid_cost']) for r in rows)


def test_groups_have_axes_of_their_own_and_share_panels():
  settings = {'rnn_size': (64, 64, 128, 128), 'pca_dim_reduce': (0, 1)}
  rows = make_rows(12, groups=(1, 2), rnn_size=(64, 64, 128, 128))
  for row in rows:
    row['pca_dim_reduce'] = int(row['group'] == 2)
  groups = {1: 'pca_dim_reduce=0', 2: 'pca_dim_reduce=1'}
  figure = draw(rows, settings, groups)
  first, second, panel = axes_of(figure)
  for ax, number in ((first, 1), (second, 2)):
    assert ax.get_title(loc='left') == f'Group {number}: {groups[number]}'
    costs = [row['valid_cost'] for row in rows if row['group'] == number]
    assert {x for x, _ in points(ax)} == {*costs, *(c + 0.25 for c in costs)}
  assert 'only within a group' in second.get_xlabel()
  assert panel.get_xlabel() == 'rnn_size'
  assert sorted({y for _, y in points(panel)}) == [0, 2, 4, 6, 8, 10]
  assert 'above the best of its group' in figure.subfigs[1].get_supylabel()


def test_more_groups_than_styles():
  numbers = tuple(range(1, 10))
  rows = make_rows(27, groups=numbers, z_size=tuple(range(27)))
  figure = draw(rows, ['z_size'], {n: f'kl_weight={n}' for n in numbers})
  assert len(figure.subfigs[0].axes) == 6
  assert len(points(figure.subfigs[1].axes[0])) == 27
  (legend,) = figure.subfigs[1].legends
  names = [text.get_text() for text in legend.get_texts()]
  assert names == [*(f'group {n}' for n in range(1, 7)), 'others']


def test_a_diverged_run_does_not_press_the_others_together():
  rows = make_rows(12, z_size=(1, 2, 3))
  rows[-1]['valid_cost'] = 1e6
  ax, panel = axes_of(draw(rows, ['z_size']))
  assert ax.get_xlim()[1] < 100 and panel.get_ylim()[1] < 100
  assert len(points(ax)) == 2 * 12 and len(points(panel)) == 12
  assert ax.texts[-1].get_text() == '1000000.000'


def test_runs_that_go_on_or_have_no_costs():
  rows = make_rows(3, z_size=(1, 2, 3))
  rows[0] |= {'state': 'unfinished', 'test_cost': None}
  rows[2] |= {'valid_cost': None}
  (ax,) = axes_of(draw(rows, ['z_size']))
  first, second = [label.get_text() for label in ax.get_yticklabels()]
  assert first.endswith('mix0 (at 75 %)') and second.endswith('mix1')
  assert points(ax) == [(0, 0), (1, 1), (1.25, 1)]
