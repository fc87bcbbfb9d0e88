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
