import matplotlib
import numpy as np
import pytest

from embedding_rnn import figures
from embedding_rnn.figures.conftest import sine


@pytest.mark.parametrize('hz', [55.0, 261.6, 1000.0, 6000.0])
def test_spectrogram_shows_a_sine_at_its_pitch_and_level(hz):
  levels = figures.log_spectrogram_db(sine(hz, amplitude=0.5))
  row, level = levels[:, 20].argmax(), levels[:, 20].max()
  edges_hz = np.geomspace(30, 8000, len(levels) + 1)
  bin_hz = 16000 / 4096
  assert edges_hz[row] - bin_hz <= hz <= edges_hz[row + 1] + bin_hz
  assert level == pytest.approx(20 * np.log10(0.5), abs=0.3)


def test_spectrogram_of_silence_is_low_and_finite():
  np.testing.assert_allclose(figures.log_spectrogram_db(np.zeros(5120)), -120)


def test_a_picture_of_a_tone_has_its_level_in_the_row_of_its_pitch():
  tone = sine(1000.0, amplitude=0.3)
  picture = figures.spectrogram_image(tone)
  level_db = figures.log_spectrogram_db(tone)
  assert picture.shape == (*level_db.shape, 3) and picture.dtype == np.uint8
  row, column = np.unravel_index(level_db.argmax(), level_db.shape)
  brightest = matplotlib.colormaps['PuBuGn'](1.0, bytes=True)[:3]
  darkest = matplotlib.colormaps['PuBuGn'](0.0, bytes=True)[:3]
  np.testing.assert_array_equal(picture[239 - row, column], brightest)
  np.testing.assert_array_equal(picture[0, 30], darkest)
