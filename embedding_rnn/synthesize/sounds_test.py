import base64
import io
import re

import numpy as np
import PIL.Image
import pytest
import soundfile

from embedding_rnn.synthesize import sounds

_RATE = 16_000


@pytest.fixture
def write(tmp_path):
  """Writes seconds of a tone."""

  def write_tone(hz, amplitude, seconds=2.0):
    time = np.arange(int(_RATE * seconds)) / _RATE
    path = tmp_path / f'{hz}_{amplitude}_{seconds}.wav'
    soundfile.write(path, amplitude * np.sin(2 * np.pi * hz * time), _RATE)
    return path

  return write_tone


def pixels(sound):
  """How opaque the picture of a sound is, `[height, width]` from 0 to 1."""
  content = base64.b64decode(sound.spectrogram.partition('base64,')[2])
  return np.asarray(PIL.Image.open(io.BytesIO(content)))[..., 1] / 255


@pytest.mark.parametrize(('hz', 'label'), [(100, '100 Hz'), (1000, '1 kHz')])
def test_a_tone_is_a_line_at_its_tick(write, hz, label):
  (sound,) = sounds.read_sounds([write(hz, 0.5)])
  rows = pixels(sound)[:, 20:-20].mean(axis=1)
  height = 1 - (rows.argmax() + 0.5) / len(rows)
  assert rows.max() > 0.95
  assert height == pytest.approx(sound.ticks[label] / 100, abs=0.015)


def test_sounds_beside_each_other_have_one_scale(write):
  loud, soft = sounds.read_sounds([write(500, 0.5), write(500, 0.05)])
  assert pixels(loud).max() == 1
  assert pixels(soft).max() == pytest.approx((50 / 70) ** 1.2, abs=0.04)
  for sound, expected in ((loud, 0), (soft, 20)):
    points = np.array(re.findall(r'([\d.]+) ([\d.]+)', sound.loudness), float)
    assert (np.diff(points[:, 0]) > 0).all() and points[-1, 0] < 2
    np.testing.assert_allclose(points[:, 1], expected, atol=0.2)


@pytest.mark.parametrize('seconds', [0.001, 0.3])
def test_short_sounds(write, seconds):
  (sound,) = sounds.read_sounds([write(500, 0.5, seconds)])
  assert sound.seconds == pytest.approx(seconds, abs=1e-4)
  assert pixels(sound).size


def test_what_is_no_sound_is_refused(tmp_path):
  (tmp_path / 'x.wav').write_text('x')
  with pytest.raises(OSError, match=r"x\.wav' is not a sound"):
    sounds.read_sounds([tmp_path / 'x.wav'])
