import numpy as np
import pytest

from embedding_rnn import figures
from embedding_rnn.figures.conftest import pixels, sine, texts


def _frames(num_notes=None, seed=0):
  shape = (20, 16) if num_notes is None else (num_notes, 20, 16)
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_note_figure_draws_what_it_is_given():
  original, made = _frames(seed=1), _frames(seed=2)
  figure = figures.note_figure(
    original, made, sine(440), sine(440, 0.25), title='A flute', midi_pitch=69
  )
  images = [ax.images[0] for ax in figure.axes if ax.images]
  shown = [image.get_array().T for image in images[:3]]
  np.testing.assert_array_equal(shown[0], original)
  np.testing.assert_array_equal(shown[1], made)
  np.testing.assert_array_equal(shown[2], original - made)
  limits = {image.get_clim() for image in images[:3]}
  assert len(limits) == 1, 'the frames have different scales'
  ((low, high),) = limits
  assert low == -high, 'white is not zero'
  assert images[3].get_clim() == images[4].get_clim()
  assert images[0].get_extent()[1] == pytest.approx(20 * 0.032)
  text = texts(figure)
  mse = np.mean((original - made) ** 2)
  assert 'A flute' in text and f'MSE {mse:.3f}' in text
  assert 'mean difference 6.0 dB' in text
  for unit in ('time (s)', 'frequency (Hz)', 'dBFS', 'channel'):
    assert unit in text
  assert pixels(figure).shape == (1000, 1600, 4)


def test_note_figure_says_what_the_second_note_is():
  figure = figures.note_figure(
    _frames(), _frames(), sine(440), sine(440), what='Filling'
  )
  text = texts(figure)
  assert 'Filling embedding' in text and 'Filling audio' in text
  labels = [t.get_text() for t in figure.axes[-1].get_legend().get_texts()]
  assert labels[1] == 'filling' and 'econstruction' not in text


def test_note_figure_marks_the_pitch_on_the_strongest_row():
  figure = figures.note_figure(
    _frames(), _frames(), sine(440), sine(440), midi_pitch=69
  )
  marked = [ax for ax in figure.axes if ax.images and ax.lines]
  assert len(marked) == 2
  for ax in marked:
    y = ax.lines[0].get_ydata()[0]
    levels = ax.images[0].get_array()
    _, _, bottom, top = ax.images[0].get_extent()
    row = (y - bottom) / (top - bottom) * len(levels)
    assert abs(row - (levels[:, 20].argmax() + 0.5)) < 3


def test_note_figure_does_without_audio():
  figure = figures.note_figure(_frames(), _frames())
  assert sum(bool(ax.images) for ax in figure.axes) == 3
  assert 'Hz' not in texts(figure)


def test_note_figure_refuses_what_does_not_belong_together():
  with pytest.raises(ValueError, match=r'\(20, 16\) and \(19, 16\)'):
    figures.note_figure(_frames(), _frames()[:19])
  with pytest.raises(ValueError, match='both or none'):
    figures.note_figure(_frames(), _frames(), sine(440))


def test_sample_figure_shows_frames_audio_and_pitch():
  figure = figures.sample_figure(_frames(), sine(440), midi_pitch=69)
  images = [ax.images[0] for ax in figure.axes if ax.images]
  np.testing.assert_array_equal(images[0].get_array().T, _frames())
  (legend,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
  assert '440.0 Hz' in legend.get_texts()[0].get_text()
  assert pixels(figure).shape == (1000, 1600, 4)
  without = figures.sample_figure(_frames(), midi_pitch=69)
  assert sum(bool(ax.images) for ax in without.axes) == 1


def test_one_frame_is_a_point_of_loudness():
  audio = sine(440)[:512]
  figure = figures.sample_figure(_frames()[:1], audio, midi_pitch=69)
  assert figure.axes[-1].lines[0].get_marker() == 'o'


@pytest.mark.parametrize('has_audio', [True, False])
def test_overview_puts_originals_above_reconstructions(has_audio):
  originals, made = _frames(3, seed=1), _frames(3, seed=2)
  audio = [sine(hz) for hz in (110, 220, 440)] if has_audio else None
  figure = figures.overview_figure(
    originals, made, audio, audio, names=['bass', 'flute', 'organ']
  )
  axes = [ax for ax in figure.axes if ax.images]
  assert len(axes) == (12 if has_audio else 6)
  for i in range(3):
    upper, lower = axes[i], axes[3 + i]
    np.testing.assert_array_equal(upper.images[0].get_array().T, originals[i])
    np.testing.assert_array_equal(lower.images[0].get_array().T, made[i])
    assert upper.get_position().y0 > lower.get_position().y0
  assert [ax.get_title() for ax in axes[:3]] == ['bass', 'flute', 'organ']


def test_overview_of_one_note_has_room_for_its_title():
  figure = figures.overview_figure(
    [_frames()],
    [_frames()],
    names=['bass'],
    title='Held-out notes and their reconstructions',
  )
  figure.canvas.draw()
  extent = figure._suptitle.get_window_extent()
  assert 0 < extent.x0 and extent.x1 < figure.bbox.width


def test_overview_refuses_names_that_are_too_few():
  with pytest.raises(ValueError, match='2 reconstructions and 1 names'):
    figures.overview_figure(_frames(2), _frames(2), names=['bass'])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_cannot_be_drawn_are_refused_with_their_place(value):
  bad = _frames()
  bad[3, 5] = value
  for draw in (
    lambda: figures.note_figure(bad, _frames()),
    lambda: figures.sample_figure(bad, midi_pitch=60),
    lambda: figures.overview_figure([bad], [_frames()], names=['bass']),
  ):
    with pytest.raises(ValueError, match=rf'is {value} at \[3, 5\]'):
      draw()
  audio = sine(440)
  audio[7] = value
  with pytest.raises(ValueError, match=rf'is {value} at \[7\]'):
    figures.sample_figure(_frames(), audio, midi_pitch=60)


def test_figures_of_equal_input_are_equal():
  first, second = (
    pixels(figures.sample_figure(_frames(), sine(440), midi_pitch=69))
    for _ in range(2)
  )
  np.testing.assert_array_equal(first, second)


def test_notes_figure_has_a_column_for_each_note():
  frames = _frames(3)
  figure = figures.notes_figure(
    list(frames), [sine(220), sine(440), sine(880)], names=['a', 'b', 'c']
  )
  top, bottom = figure.axes[:3], figure.axes[3:6]
  assert [ax.get_title() for ax in top] == ['a', 'b', 'c']
  for ax, note in zip(top, frames, strict=True):
    np.testing.assert_array_equal(ax.images[0].get_array().T, note)
  for axes in (top, bottom):
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
  loudest = [ax.images[0].get_array().mean(axis=1).argmax() for ax in bottom]
  assert loudest == sorted(set(loudest)), 'higher notes are not drawn higher'
  assert len(figures.notes_figure(frames, names=['', '', '']).axes) == 4
  with pytest.raises(ValueError, match='3 notes, 1 sounds and 3 names'):
    figures.notes_figure(frames, [sine(220)], names=['', '', ''])
