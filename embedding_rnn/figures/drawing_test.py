import numpy as np
import pytest

from embedding_rnn.figures import drawing


def _inches(figure, ax):
  """Left, bottom, right and top edge of a panel."""
  box = ax.get_position()
  width, height = figure.get_size_inches()
  return box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height


def test_panels_lie_where_they_were_asked_to():
  figure = drawing.make_figure(12.0, 6.0, 'title')
  margins = {'left': 1.0, 'right': 0.5, 'bottom': 0.7, 'top': 0.8}
  panels = drawing.add_panels(figure, 2, 3, gap_x=0.25, gap_y=0.5, **margins)
  assert panels.shape == (2, 3)
  boxes = np.array([[_inches(figure, ax) for ax in row] for row in panels])
  np.testing.assert_allclose(boxes[:, 0, 0], 1.0)
  np.testing.assert_allclose(boxes[:, -1, 2], 11.5)
  np.testing.assert_allclose(boxes[-1, :, 1], 0.7)
  np.testing.assert_allclose(boxes[0, :, 3], 5.2)
  np.testing.assert_allclose(boxes[:, 1:, 0] - boxes[:, :-1, 2], 0.25)
  np.testing.assert_allclose(boxes[0, :, 1] - boxes[1, :, 3], 0.5)


def test_a_colour_bar_stands_beside_all_of_its_panels():
  figure = drawing.make_figure(12.0, 6.0)
  panels = drawing.add_panels(figure, 2, 3, right=1.0)
  image = panels[0, 0].imshow(np.eye(2))
  bar = drawing.add_colour_bar(figure, image, panels.flat, 'level (dB)')
  left, bottom, right, top = _inches(figure, bar.ax)
  assert left == pytest.approx(11.12) and right < 11.5
  assert bottom == pytest.approx(_inches(figure, panels[1, 0])[1])
  assert top == pytest.approx(_inches(figure, panels[0, 0])[3])
  assert bar.ax.get_ylabel() == 'level (dB)'


def test_checks_give_back_floats():
  assert drawing.check_frames([[1, 2]], 'x').dtype == np.float64
  for dtype in (np.float32, np.float64):
    assert drawing.check_audio(np.zeros(3, dtype), 'x').dtype == dtype


@pytest.mark.parametrize(
  ('frames', 'message'),
  [
    (np.zeros(3), r'note has the shape \(3,\): expected \[T, W\]'),
    (np.zeros((0, 16)), r'\(0, 16\)'),
    ([[0.0, np.nan]], r'note is nan at \[0, 1\]: expected finite'),
    ([['a']], 'note holds <U1: expected numbers'),
    ([[1j]], 'note holds complex128'),
  ],
)
def test_frames_that_are_none_are_refused(frames, message):
  with pytest.raises(ValueError, match=message):
    drawing.check_frames(frames, 'note')


def test_audio_that_is_none_is_refused():
  with pytest.raises(ValueError, match=r'x has the shape \(1, 5\)'):
    drawing.check_audio(np.zeros((1, 5)), 'x')


def test_arrays_of_different_shapes_are_refused():
  with pytest.raises(ValueError, match=r'a and b have .*\(2, 1\) and \(1, 1\)'):
    drawing.check_same_shape(a=[[1.0], [2.0]], b=[[1.0]])
