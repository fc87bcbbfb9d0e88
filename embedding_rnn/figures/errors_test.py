import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.backends.backend_agg import FigureCanvasAgg

from embedding_rnn import figures
from embedding_rnn.figures.conftest import texts


def _errors(num_experiments, num_notes=200):
  rng = np.random.default_rng(0)
  return {
    f'exp_{i}': np.exp(rng.normal(rng.normal(), 0.6, num_notes))
    for i in range(num_experiments)
  }


def test_boxes_are_sorted_by_median_on_a_logarithmic_axis():
  errors = _errors(5)
  figure = figures.errors_figure(errors, title='All experiments')
  (ax,) = figure.axes
  order = sorted(errors, key=lambda name: np.median(errors[name]))
  assert [label.get_text() for label in ax.get_yticklabels()] == order
  assert ax.get_xscale() == 'log' and ax.yaxis_inverted()
  assert 'mean squared error' in texts(figure)
  assert 'All experiments' in texts(figure)


def test_names_are_no_formulas():
  hostile = [r'$\frac{$', r'$x$ \$', 'a\x1b[0m\udcff', '$']
  errors = dict(zip(hostile, _errors(4).values(), strict=True))
  figure = figures.errors_figure(errors, title=r'$\sqrt{')
  FigureCanvasAgg(figure).draw()  # Fails for a bad formula.
  labels = {label.get_text() for label in figure.axes[0].get_yticklabels()}
  assert labels == {r'\$\frac{\$', r'\$x\$ \\$', 'a�[0m�', r'\$'}
  assert not any(cbook.is_math_text(text) for text in labels)


def test_boxes_whiskers_and_dots_are_the_percentiles():
  errors = _errors(3)
  (ax,) = figures.errors_figure(errors).axes
  order = sorted(errors, key=lambda name: np.median(errors[name]))
  whiskers, dots = ax.lines[::2], ax.lines[1::2]
  for row, name in enumerate(order):
    low, left, median, right, high = np.percentile(
      errors[name], (5, 25, 50, 75, 95)
    )
    box = ax.patches[row]
    assert box.get_x() == pytest.approx(left)
    assert box.get_x() + box.get_width() == pytest.approx(right)
    assert box.get_y() + box.get_height() / 2 == pytest.approx(row)
    np.testing.assert_allclose(whiskers[row].get_xdata(), (low, high))
    (mark,) = ax.collections[row].get_segments()
    np.testing.assert_allclose(mark[:, 0], median)
    beyond = dots[row].get_xdata()
    assert len(beyond) == 20 and ((beyond < low) | (beyond > high)).all()
    assert f'{median:.3g}' in [text.get_text() for text in ax.texts]


def test_the_page_grows_and_long_names_fit():
  heights = []
  for num_experiments in (2, 72):
    errors = {
      f'v9_rnn1024_2_l4_enc512_z1024_mix20_{name}' * 2: values
      for name, values in _errors(num_experiments, 3).items()
    }
    figure = figures.errors_figure(errors)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    heights.append(figure.get_size_inches()[1])
    (ax,) = figure.axes
    boxes = [t.get_window_extent(renderer) for t in ax.get_yticklabels()]
    assert min(box.x0 for box in boxes) > 0, 'a name begins beyond the page'
    tops = [box.y0 for box in boxes[:-1]]
    bottoms = [box.y1 for box in boxes[1:]]
    assert (np.array(tops) >= np.array(bottoms)).all(), 'names overlap'
  assert heights[0] < heights[1]


def test_a_single_note_has_a_box():
  (ax,) = figures.errors_figure({'a': [0.5]}).axes
  assert ax.patches[0].get_x() == 0.5


@pytest.mark.parametrize(
  ('errors', 'message'),
  [
    ({}, 'No experiment'),
    ({'a': []}, r"'a' have the shape \(0,\)"),
    ({'a': [1.0, 0.0]}, "'a', note 1, is 0.0: expected .* above 0"),
    ({'a': [1.0], 'b': [np.nan]}, "'b', note 0, is nan"),
    ({'a': [np.inf]}, 'is inf'),
  ],
)
def test_errors_that_cannot_be_drawn_are_refused(errors, message):
  with pytest.raises(ValueError, match=message):
    figures.errors_figure(errors)
