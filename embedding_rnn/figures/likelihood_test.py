import numpy as np
import pytest
import scipy.stats

from embedding_rnn import figures
from embedding_rnn.figures.conftest import pixels, texts


def _arrays(num_frames=40, num_channels=16):
  rng = np.random.default_rng(0)
  note, mean = rng.normal(size=(2, num_frames, num_channels))
  std = rng.uniform(0.5, 2.0, size=mean.shape)
  return note, mean, std, -scipy.stats.norm.logpdf(note, mean, std)


def test_the_note_lies_over_what_was_expected():
  note, mean, std, nats = _arrays()
  figure = figures.likelihood_figure(note, mean, std, nats, channels=[2, 7])
  panels = [ax for ax in figure.axes if ax.lines]
  assert [ax.get_title() for ax in panels] == ['Channel 2', 'Channel 7']
  times = (np.arange(40) + 0.5) * 0.032
  for ax, i in zip(panels, (2, 7), strict=True):
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines['note'].get_ydata(), note[:, i])
    np.testing.assert_array_equal(lines['mixture mean'].get_ydata(), mean[:, i])
    np.testing.assert_allclose(lines['note'].get_xdata(), times)
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    for edge in (mean[:, i] - std[:, i], mean[:, i] + std[:, i]):
      points = set(map(tuple, np.stack([times, edge], axis=1)))
      assert points <= set(map(tuple, corners))
    assert ax.get_xlim() == pytest.approx((0.0, 40 * 0.032))


def test_the_heat_map_shows_all_values_and_names_their_mean():
  note, mean, std, nats = _arrays()
  figure = figures.likelihood_figure(note, mean, std, nats)
  (image,) = [ax.images[0] for ax in figure.axes if ax.images]
  np.testing.assert_array_equal(image.get_array().T, nats)
  low, high = image.get_clim()
  assert low == nats.min()
  assert np.mean(nats <= high) == pytest.approx(0.995, abs=0.002)
  text = texts(figure)
  assert f'{nats.mean():.3f} nats per value' in text
  assert 'surprise (nats)' in text and 'time (s)' in text
  assert pixels(figure).shape == (1000, 1600, 4)


@pytest.mark.parametrize(
  ('num_channels', 'expected'),
  [(16, [0, 3, 6, 9, 12, 15]), (6, list(range(6))), (1, [0])],
)
def test_some_channels_of_many_are_shown(num_channels, expected):
  figure = figures.likelihood_figure(
    *_arrays(2, num_channels), variable='component'
  )
  titles = [ax.get_title() for ax in figure.axes if ax.lines]
  assert titles == [f'Component {channel}' for channel in expected]
  assert 'channel' not in texts(figure)


def test_arrays_that_do_not_belong_together_are_refused():
  note, mean, std, nats = _arrays()
  with pytest.raises(ValueError, match=r'note and mean and std and nats have'):
    figures.likelihood_figure(note, mean[:, :3], std, nats)
  with pytest.raises(ValueError, match='std reaches -'):
    figures.likelihood_figure(note, mean, -std, nats)
  with pytest.raises(ValueError, match=r'nats is inf at \[0, 0\]'):
    figures.likelihood_figure(note, mean, std, nats + np.inf)
  for channels in ([], [16], [-1], range(7)):
    with pytest.raises(ValueError, match='numbers from 0 to 15'):
      figures.likelihood_figure(note, mean, std, nats, channels=channels)
