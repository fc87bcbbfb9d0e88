import numpy as np
import pytest
import sklearn.decomposition

from embedding_rnn import figures
from embedding_rnn.figures.conftest import pixels, texts


def _note(seed):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(50, 16)) * np.geomspace(8.0, 0.5, 16)


def _pca(num_components):
  """Of some note: an oracle, its components and their variance."""
  pca = sklearn.decomposition.PCA(num_components, whiten=True).fit(_note(0))
  return pca, pca.components_, pca.explained_variance_


def test_the_view_shows_components_and_the_paths_among_them():
  pca, components, variance = _pca(6)
  original, made = _note(1), _note(2)
  figure = figures.components_figure(
    original, made, components, variance, title='A note'
  )
  shares, weights, *planes = figure.axes
  heights = np.array([bar.get_height() for bar in shares.patches])
  np.testing.assert_allclose(heights, 100 * variance / variance.sum())
  (image,) = weights.images
  np.testing.assert_array_equal(image.get_array(), components)
  planes = [ax for ax in planes if ax.lines]
  assert len(planes) == 2
  # The whitened scores, without whitening and centring.
  scale, shift = np.sqrt(variance), pca.mean_ @ components.T
  paths = [pca.transform(note) * scale + shift for note in (original, made)]
  for vertical, ax in enumerate(planes, start=1):
    drawn = [line for line in ax.lines if len(line.get_xdata()) > 1]
    for line, path in zip(drawn, paths, strict=True):
      np.testing.assert_allclose(line.get_xdata(), path[:, 0])
      np.testing.assert_allclose(line.get_ydata(), path[:, vertical])
    assert ax.get_ylabel() == f'component {vertical} (embedding value)'
  legend = planes[0].get_legend().get_texts()
  assert [text.get_text() for text in legend] == ['original', 'reconstruction']
  assert 'share of the variance kept (%)' in texts(figure)
  assert pixels(figure).shape == (900, 1600, 4)


def test_two_components_have_one_plane():
  figure = figures.components_figure(_note(1), _note(2), *_pca(2)[1:])
  assert sum(bool(ax.lines) for ax in figure.axes) == 1


def test_arrays_that_do_not_belong_together_are_refused():
  note = _note(1)
  _, components, variance = _pca(3)
  with pytest.raises(ValueError, match=r'\(3, 16\): expected .* 15 channels'):
    narrow = note[:, :15]
    figures.components_figure(narrow, narrow, components, variance)
  with pytest.raises(ValueError, match='at least two'):
    figures.components_figure(note, note, *_pca(1)[1:])
  for bad in (variance[:2], variance * [1, 0, 1], [1.0, np.nan, 1.0]):
    with pytest.raises(ValueError, match='expected 3 finite numbers above 0'):
      figures.components_figure(note, note, components, bad)
