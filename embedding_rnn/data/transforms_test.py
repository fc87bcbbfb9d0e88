"""Tests of transforms.py against golden numbers of 2017 and scikit-learn."""

import os

import numpy as np
import pytest
from sklearn import decomposition

from embedding_rnn.data.transforms import (
  Difference,
  OneScale,
  Transforms,
  WhitenedPCA,
)
from embedding_rnn.model.hparams import default_hps


def notes(num_notes=30, num_frames=20, width=16, seed=0):
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(width, width))
  walk = rng.normal(size=(num_notes, num_frames, width)).cumsum(axis=1)
  return (walk @ mixing + 3.0).astype(np.float32)


def pca_hps(**values):
  hps = default_hps().parse('pca_dim_reduce=1')
  return hps.override_from_dict(values)


def with_signs_of(actual, expected):
  """Flips whole components, whose sign is a convention."""
  axes = tuple(range(actual.ndim - 1))
  return actual * np.sign((actual * expected).sum(axis=axes))


def test_difference_agrees_with_2017(golden):
  difference = Difference()
  forward = difference.forward(golden['raw'])
  np.testing.assert_array_equal(forward, golden['diff_forward'])
  np.testing.assert_allclose(
    difference.inverse(forward), golden['diff_inverse'], atol=1e-5
  )


def test_difference_by_its_definition():
  frames = notes(2)
  reversed_frames = np.concatenate([frames, np.zeros_like(frames[:, :1])], 1)
  expected = np.diff(reversed_frames[:, ::-1], axis=1)
  np.testing.assert_array_equal(Difference().forward(frames), expected)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_difference_and_back_is_exact_up_to_rounding(dtype):
  frames = notes(8, num_frames=125).astype(dtype)
  before = frames.copy()
  back = Difference().inverse(Difference().forward(frames))
  # Each of the 125 differences is rounded once, to 1 / 2**24 of its size.
  assert back.dtype == np.result_type(dtype, np.float32)
  scale = np.abs(frames).max()
  assert np.abs(back - frames).max() <= 4 * np.finfo(back.dtype).eps * scale
  np.testing.assert_array_equal(frames, before)


def test_pca_agrees_with_2017(golden):
  num_components = int(golden['pca_n_components'])
  pca = WhitenedPCA.fit(golden['pca_fit_stack'], num_components)
  np.testing.assert_allclose(pca.mean, golden['pca_mean'], atol=1e-12)
  np.testing.assert_allclose(
    pca.variance, golden['pca_explained_variance'], rtol=1e-10
  )
  np.testing.assert_allclose(
    with_signs_of(pca.components.T, golden['pca_components'].T),
    golden['pca_components'].T,
    atol=1e-10,
  )
  scores = pca.forward(golden['pca_in'])
  np.testing.assert_allclose(
    with_signs_of(scores, golden['pca_transform']),
    golden['pca_transform'],
    atol=1e-10,
  )
  # The inverse does not depend on the signs.
  np.testing.assert_allclose(
    pca.inverse(scores), golden['pca_inverse'], atol=1e-10
  )


@pytest.mark.parametrize('num_components', [1, 6, 16])
def test_pca_agrees_with_scikit_learn(num_components):
  train, other = notes(seed=1), notes(seed=2)
  oracle = decomposition.PCA(num_components, whiten=True).fit(
    train.reshape(-1, 16).astype(np.float64)
  )
  pca = WhitenedPCA.fit(train, num_components)
  expected = oracle.transform(other.reshape(-1, 16)).reshape(30, 20, -1)
  scores = pca.forward(other)
  assert scores.dtype == np.float32
  np.testing.assert_allclose(
    with_signs_of(scores, expected), expected, atol=1e-4
  )
  np.testing.assert_allclose(
    pca.inverse(scores).reshape(-1, 16),
    oracle.inverse_transform(expected.reshape(-1, num_components)),
    atol=1e-3,
  )


def test_pca_whitens():
  train = notes()
  scores = WhitenedPCA.fit(train, 6).forward(train).reshape(-1, 6)
  np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
  np.testing.assert_allclose(np.cov(scores.T), np.eye(6), atol=1e-5)


def test_pca_of_chunks_is_pca_of_all():
  # A large mean would ruin a covariance taken as E[xx'] - E[x]E[x]'.
  frames = notes().astype(np.float64) + 1e6
  whole = WhitenedPCA.fit(frames, 6)
  sizes = np.cumsum([1, 2, 0, 10])
  chunks = (chunk for chunk in np.split(frames, sizes))
  parts = WhitenedPCA.fit(chunks, 6)
  for name, expected in whole.to_arrays().items():
    np.testing.assert_allclose(parts.to_arrays()[name], expected, rtol=1e-6)


def test_pca_signs_are_fixed():
  frames = notes()
  components = WhitenedPCA.fit(frames, 16).components
  largest = np.abs(components).argmax(axis=1)
  assert (components[np.arange(16), largest] > 0).all()
  mirrored = WhitenedPCA.fit(-frames, 16).components
  np.testing.assert_allclose(mirrored, components, atol=1e-9)


@pytest.mark.parametrize(
  ('frames', 'num_components', 'message'),
  [
    (notes(), 0, 'from 1 to the 16 channels.*got 0'),
    (notes(), 17, 'from 1 to the 16 channels.*got 17'),
    (notes(1, 1), 1, 'at least two frames, got 1'),
    ([], 1, 'at least two frames, got none'),
    (notes() * np.nan, 1, 'NaN'),
    (np.ones([4, 5, 3]), 1, 'varies in only 0 directions'),
    (notes()[..., [0, 0, 1]], 3, 'at most 2, got 3'),
    ([notes(), notes(width=8)], 3, 'must have 16 channels'),
  ],
)
def test_pca_refuses(frames, num_components, message):
  with pytest.raises(ValueError, match=message):
    WhitenedPCA.fit(frames, num_components)


def test_pca_refuses_arrays_that_do_not_fit_together():
  arrays = WhitenedPCA.fit(notes(), 6).to_arrays()
  for name, bad in [
    ('mean', np.zeros(8)),
    ('components', np.zeros(16)),
    ('variance', np.ones(5)),
    ('variance', np.zeros(6)),
    ('mean', np.full(16, np.nan)),
  ]:
    with pytest.raises(ValueError, match='must be'):
      WhitenedPCA.from_arrays({**arrays, name: bad})


@pytest.mark.parametrize('difference_input', [0, 1])
@pytest.mark.parametrize('pca_dim_reduce', [0, 1])
def test_transforms(tmp_path, difference_input, pca_dim_reduce):
  hps = pca_hps(
    difference_input=difference_input, pca_dim_reduce=pca_dim_reduce
  )
  train, other = notes(), notes(seed=1)
  transforms = Transforms.fit(hps, np.array_split(train, 3))
  forward = transforms.forward(other)
  # The order is difference, then PCA of the differences.
  difference, expected = Difference(), other
  if difference_input:
    train, expected = difference.forward(train), difference.forward(expected)
  pca = WhitenedPCA.fit(train, 6)
  if pca_dim_reduce:
    expected = pca.forward(expected)
  assert transforms.width == expected.shape[-1] == (6 if pca_dim_reduce else 16)
  assert forward.dtype == np.float32
  np.testing.assert_allclose(forward, expected, atol=1e-5)

  back = transforms.inverse(forward)
  expected_back = pca.inverse(expected) if pca_dim_reduce else expected
  if difference_input:
    expected_back = difference.inverse(expected_back)
  np.testing.assert_allclose(back, expected_back, atol=1e-3)
  if not pca_dim_reduce:
    np.testing.assert_allclose(back, other, atol=1e-4)

  transforms.save(tmp_path / 'transforms.npz')
  loaded = Transforms.load(tmp_path / 'transforms.npz')
  assert loaded.width == transforms.width
  np.testing.assert_array_equal(loaded.forward(other), forward)
  np.testing.assert_array_equal(loaded.inverse(forward), back)


def test_transforms_with_all_components_lose_nothing():
  transforms = Transforms.fit(pca_hps(n_pca_components=16), [notes()])
  other = notes(seed=1)
  np.testing.assert_allclose(
    transforms.inverse(transforms.forward(other)), other, atol=1e-3
  )


def test_transforms_refuse_other_widths():
  transforms = Transforms.fit(pca_hps(), [notes()])
  with pytest.raises(ValueError, match=r'\[N, T, 16\], got shape \(3, 4, 6\)'):
    transforms.forward(np.zeros([3, 4, 6]))
  with pytest.raises(ValueError, match=r'\[N, T, 6\], got shape \(3, 4, 16\)'):
    transforms.inverse(np.zeros([3, 4, 16]))
  with pytest.raises(ValueError, match='16 channels, but seq_width is 8'):
    Transforms(8, pca=transforms.pca)


def test_saved_files_are_equal_and_whole(tmp_path, monkeypatch):
  transforms = Transforms.fit(pca_hps(), [notes()])
  transforms.save(tmp_path / 'a.npz')
  transforms.save(tmp_path / 'b.npz')
  saved = (tmp_path / 'a.npz').read_bytes()
  assert (tmp_path / 'b.npz').read_bytes() == saved

  def full_disk(file, **arrays):
    file.write(b'half')
    raise OSError('No space left on device')

  monkeypatch.setattr(np, 'savez', full_disk)
  with pytest.raises(OSError, match='No space'):
    transforms.save(tmp_path / 'a.npz')
  assert (tmp_path / 'a.npz').read_bytes() == saved
  assert sorted(os.listdir(tmp_path)) == ['a.npz', 'b.npz']


def test_loading_names_the_file_that_is_missing_or_damaged(tmp_path):
  path = tmp_path / 'transforms.npz'
  with pytest.raises(FileNotFoundError, match=r'No transforms at .*npz'):
    Transforms.load(path)
  transforms = Transforms.fit(pca_hps(), [notes()])
  transforms.save(path)
  good = path.read_bytes()
  expected = transforms.forward(notes())
  for size in range(0, len(good), 37):
    path.write_bytes(good[:size])
    with pytest.raises(ValueError, match=r'transforms\.npz.*damaged'):
      Transforms.load(path)
  for position in range(0, len(good), 7):
    damaged = bytearray(good)
    damaged[position] ^= 255
    path.write_bytes(damaged)
    try:
      loaded = Transforms.load(path)
    except ValueError as error:
      assert 'damaged' in str(error)
    else:  # Not every byte of a zip file matters.
      np.testing.assert_array_equal(loaded.forward(notes()), expected)
  np.savez(path, foreign=np.zeros(3))
  with pytest.raises(ValueError, match='holds no transforms'):
    Transforms.load(path)


@pytest.mark.parametrize('difference', [0, 1])
def test_one_scale_by_its_definition(difference, tmp_path):
  frames = notes()
  hps = default_hps().parse(f'one_scale=1,difference_input={difference}')
  transforms = Transforms.fit(hps, [frames[:10], frames[10:]])
  seen = Difference().forward(frames) if difference else frames
  seen = seen.astype(np.float64)
  scale = np.sqrt(seen.var(axis=(0, 1)).mean())
  expected = (seen - seen.mean(axis=(0, 1))) / scale
  actual = transforms.forward(frames)
  np.testing.assert_allclose(actual, expected, atol=1e-5)
  assert actual.dtype == np.float32
  back = transforms.inverse(actual)
  np.testing.assert_allclose(back, frames, atol=1e-4)
  transforms.save(tmp_path / 'transforms.npz')
  again = Transforms.load(tmp_path / 'transforms.npz')
  np.testing.assert_array_equal(again.forward(frames), actual)
  np.testing.assert_array_equal(again.inverse(actual), back)


def test_one_scale_for_all_components(tmp_path):
  frames = notes()
  hps = pca_hps(n_pca_components=5, difference_input=0)
  whitened = Transforms.fit(hps, [frames])
  hps.one_scale = 1
  scaled = Transforms.fit(hps, [frames])
  deviation = np.sqrt(whitened.pca.variance)
  expected = whitened.forward(frames) * deviation
  expected /= np.sqrt(np.mean(deviation**2))
  np.testing.assert_allclose(scaled.forward(frames), expected, atol=1e-5)
  back = scaled.inverse(scaled.forward(frames))
  expected = whitened.inverse(whitened.forward(frames))
  np.testing.assert_allclose(back, expected, atol=1e-3)


def test_one_scale_is_checked():
  scale = OneScale(np.zeros(3), 2.0)
  with pytest.raises(ValueError, match='3 channels'):
    Transforms(4, one_scale=scale)
  with pytest.raises(ValueError, match='expected one of them'):
    pca = WhitenedPCA(np.zeros(3), np.eye(3), np.ones(3))
    Transforms(3, pca=pca, one_scale=scale)
  for bad in (0.0, np.nan, -1.0):
    with pytest.raises(ValueError, match='finite and positive'):
      OneScale(np.zeros(3), bad)
