import numpy as np
import pytest

from embedding_rnn import figures
from embedding_rnn.nsynth.generate.encodings import load_encodings


def fabricated(*shape):
  values = np.random.default_rng(0).uniform(-9, 16, (*shape, 16))
  return values.astype(np.float32)


@pytest.mark.parametrize('shape', [(62,), (1, 62), (3, 45), (1, 1)])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_frames_are_counted_as_frames(tmp_path, shape, dtype):
  path = tmp_path / 'x.npy'
  values = fabricated(*shape).astype(dtype)
  np.save(path, values)
  loaded = load_encodings(path)
  assert loaded.dtype == np.float32
  np.testing.assert_array_equal(
    loaded, values.astype(np.float32).reshape(-1, shape[-1], 16)
  )


def test_figures_of_any_length(tmp_path):
  for num_frames in (1, 45, 62):
    np.save(tmp_path / 'x.npy', fabricated(num_frames))
    (frames,) = load_encodings(tmp_path / 'x.npy')
    for figure in (
      figures.sample_figure(frames, midi_pitch=60),
      figures.note_figure(frames, frames),
    ):
      image = figure.axes[0].images[0]
      assert image.get_array().shape == (16, num_frames)
      assert image.get_extent()[1] == pytest.approx(num_frames * 0.032)
  figure.savefig(tmp_path / 'x.png')


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.zeros(16, 'f4'), r'\(16,\).* Audio must be encoded first'),
    (np.zeros([2, 3, 62, 16], 'f4'), r'\(2, 3, 62, 16\); expected'),
    (np.zeros([0, 16], 'f4'), 'holds no notes'),
    (np.zeros([1, 0, 16], 'f4'), r'\(1, 0, 16\)'),
    (np.zeros([62, 8], 'f4'), r'\(62, 8\); expected .*of another model'),
    (np.zeros([1, 16, 62], 'f4'), 'transposed'),
    (np.zeros([62, 16], 'i4'), 'holds int32; expected floats'),
    (np.full([62, 16], np.nan), 'nan in note 0, frame 0, channel 0'),
    (np.full([62, 16], 1e300), 'inf in note 0'),
    (np.array([{}]), 'not a whole .npy file'),
  ],
)
def test_bad_values(tmp_path, values, message):
  path = tmp_path / 'x.npy'
  np.save(path, values, allow_pickle=True)
  with pytest.raises(ValueError, match=message):
    load_encodings(path)


def test_bad_files(tmp_path):
  path = tmp_path / 'x.npy'
  with pytest.raises(FileNotFoundError, match='There is no file'):
    load_encodings(path)
  np.save(path, fabricated(62))
  path.write_bytes(path.read_bytes()[:-5])
  with pytest.raises(ValueError, match=r'not a whole \.npy file'):
    load_encodings(path)


def test_another_width(tmp_path):
  np.save(tmp_path / 'x.npy', np.zeros([7, 5], 'f4'))
  assert load_encodings(tmp_path / 'x.npy', 5).shape == (1, 7, 5)
