import numpy as np
import pytest
import sklearn.decomposition

from embedding_rnn import figures
from embedding_rnn.figures.conftest import pixels, texts

_ALPHAS = (0.2, 0.5, 0.8, 0.85, 0.9, 0.95)


def _note(seed=0, num_frames=20, num_channels=16):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num_frames, num_channels)).astype(np.float32)


def _panels(figure):
  """All that have a title, which colour bars have not."""
  return [ax for ax in figure.axes if ax.get_title()]


def _shown(ax):
  """The frames [T, W] and the times [T] that a panel shows."""
  (lines,) = ax.collections
  points = np.stack(lines.get_segments())
  return points[..., 1].T, points[0, :, 0]


def test_notes_side_by_side_with_the_ranges_of_2017():
  notes = [_note(i, num_frames=45 + i) for i in range(6)]
  names = [f'note {i}' for i in range(6)]
  figure = figures.channels_figure(notes, names=names, title='Originals')
  panels = _panels(figure)
  assert [ax.get_title() for ax in panels] == names
  for ax, note in zip(panels, notes, strict=True):
    frames, times = _shown(ax)
    np.testing.assert_allclose(frames, note)
    np.testing.assert_allclose(times, (np.arange(len(note)) + 0.5) * 0.032)
    assert ax.get_ylim() == (-10.0, 20.0)
    assert ax.get_xlim() == pytest.approx((0.0, len(note) * 0.032))
  assert len({ax.get_position().y0 for ax in panels}) == 1
  for text in ('embedding value', 'channel', 'Originals'):
    assert text in texts(figure)
  assert pixels(figure).shape == (400, 1600, 4)


def test_each_channel_has_a_colour_of_its_own_which_the_bar_names():
  figure = figures.channels_figure([_note()], names=['a'])
  figure.draw_without_rendering()
  (lines,) = _panels(figure)[0].collections
  assert len(np.unique(lines.get_colors(), axis=0)) == 16
  bar = figure.axes[-1]
  np.testing.assert_array_equal(bar.get_yticks(), np.arange(16))


def test_the_stages_of_a_note_are_those_of_the_transforms():
  raw, made = _note(1, 125), _note(2, 125)
  steps = [np.diff(note[::-1], axis=0, prepend=0) for note in (raw, made)]
  pca = sklearn.decomposition.PCA(6, whiten=True).fit(steps[0])
  modelled, modelled_made = map(pca.transform, steps)
  reverted = np.cumsum(pca.inverse_transform(modelled), axis=0)[::-1]
  figure = figures.stages_figure(raw, modelled, modelled_made, reverted, made)
  panels = {ax.get_title(): ax for ax in _panels(figure)}
  mse = np.mean((raw - made) ** 2)
  expected = {
    'Raw': raw,
    'Reverted, no model': reverted,
    'Reconstruction': made,
    f'Residual, MSE {mse:.3g}': raw - made,
    'Modelled original': modelled,
    'Modelled reconstruction': modelled_made,
  }
  assert list(panels) == list(expected)
  for i, (name, frames) in enumerate(expected.items()):
    np.testing.assert_allclose(_shown(panels[name])[0], frames)
    limits = (-10.0, 20.0) if i < 3 else (-5.0, 5.0)
    assert panels[name].get_ylim() == limits
  assert 'component' in texts(figure)
  assert pixels(figure).shape == (800, 1600, 4)


def test_mixes_over_their_residuals():
  original, made = _note(1), _note(2)
  mixes = [alpha * made + (1 - alpha) * original for alpha in _ALPHAS]
  figure = figures.mixes_figure(original, mixes, _ALPHAS)
  panels = _panels(figure)
  uppers, lowers = panels[:6], panels[6:]
  for alpha, mix, upper, lower in zip(
    _ALPHAS, mixes, uppers, lowers, strict=True
  ):
    assert f'{alpha}' in upper.get_title()
    np.testing.assert_allclose(_shown(upper)[0], mix)
    np.testing.assert_allclose(
      _shown(lower)[0], alpha * (original - made), atol=1e-6
    )
    mse = alpha**2 * np.mean((original - made) ** 2)
    assert lower.get_title() == f'Residual, MSE {mse:.3g}'
    assert upper.get_position().y0 > lower.get_position().y1
    assert upper.get_ylim() == (-10.0, 20.0)
    assert lower.get_ylim() == (-5.0, 5.0)
  assert pixels(figure).shape == (700, 1600, 4)


def test_the_mix_of_alpha_1_is_the_reconstruction():
  figure = figures.mixes_figure(_note(1), [_note(2)], [1.0])
  upper, lower = _panels(figure)
  assert upper.get_title() == 'Reconstruction'
  np.testing.assert_allclose(_shown(lower)[0], _note(1) - _note(2))


def test_what_is_cut_off_is_said():
  note = np.zeros((10, 10))
  note[0, :3] = 25.0, -11.0, 20.0
  figure = figures.channels_figure([note, 0 * note], names=['a', 'b'])
  beyond, within = _panels(figure)
  assert [text.get_text() for text in beyond.texts] == ['2 % beyond the axis']
  assert not within.texts


def test_value_limits_are_those_of_nsynth_unless_more_is_needed():
  assert figures.value_limits(np.array([-9.0, 16.0])) == (-10.0, 20.0)
  assert figures.value_limits([3.0], [[-17.6, 25.6]]) == (-20.0, 30.0)
  assert figures.value_limits([6.0], least=(-5.0, 5.0)) == (0.0, 10.0)
  for bad in (np.nan, -np.inf):
    with pytest.raises(ValueError, match='expected finite'):
      figures.value_limits([0.0, bad])


@pytest.mark.parametrize('num_channels', [1, 6, 40])
def test_notes_of_any_size(num_channels):
  note = _note(num_frames=1, num_channels=num_channels)
  figure = figures.channels_figure([note] * 7, names=list('abcdefg'))
  assert len(_panels(figure)) == 7
  assert pixels(figure).shape == (700, 1600, 4)


@pytest.mark.parametrize('alpha', [-0.1, 1.01, np.nan])
def test_an_alpha_out_of_range_is_refused(alpha):
  with pytest.raises(ValueError, match=f'alpha {alpha}: expected .* 0 to 1'):
    figures.mixes_figure(_note(), [_note()], [alpha])


def test_notes_that_do_not_belong_together_are_refused():
  note, short = _note(), _note(num_frames=19)
  with pytest.raises(ValueError, match='1 mixes and 2 alphas'):
    figures.mixes_figure(note, [note], [0.1, 0.2])
  with pytest.raises(ValueError, match=r'\(20, 16\) and \(19, 16\)'):
    figures.mixes_figure(note, [short], [0.1])
  with pytest.raises(ValueError, match=r'0 notes of \[\] channels'):
    figures.channels_figure([], names=[])
  with pytest.raises(ValueError, match=r'channels and 1 names'):
    figures.channels_figure([note, note], names=['a'])
  with pytest.raises(ValueError, match=r'\[6, 16\] channels'):
    figures.channels_figure([note, note[:, :6]], names=['a', 'b'])
  with pytest.raises(ValueError, match='raw has 20 frames and modelled 19'):
    figures.stages_figure(note, short, short, note, note)
  with pytest.raises(ValueError, match=r'note 1 is nan at \[0, 0\]'):
    figures.channels_figure([note, note * np.nan], names=['a', 'b'])
