import librosa
import numpy as np
import pytest

from embedding_rnn import figures
from embedding_rnn.audio import harmonics
from embedding_rnn.figures import rainbow
from embedding_rnn.figures.conftest import pixels, texts

_SAMPLE_RATE = 16000

# Of linear RGB, how it looks without one kind of cones: Machado, Oliveira and
# Fernandes (A Physiologically-based Model for Simulation of Color Vision
# Deficiency, 2009), severity 1.
_VISIONS = {
  'normal': np.eye(3),
  'protanopia': [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  'deuteranopia': [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
  ],
  'tritanopia': [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
  ],
}


def _sine(hz, seconds=1.0, amplitude=0.5):
  """Audio whose frequency is a number, or one of each sample."""
  count = int(seconds * _SAMPLE_RATE)
  phase = np.cumsum(np.broadcast_to(hz, count)) / _SAMPLE_RATE
  return (amplitude * np.sin(2 * np.pi * phase)).astype(np.float32)


def _lab(rgb, vision):
  """CIE L*a*b* of sRGB colours, seen with some kind of vision."""
  linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
  linear = np.clip(linear @ np.transpose(_VISIONS[vision]), 0.0, 1.0)
  to_xyz = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
  ]
  ratio = linear @ np.transpose(to_xyz) / (0.95047, 1.0, 1.08883)
  x, y, z = np.cbrt(ratio).T  # None of our colours is in the dark, linear part.
  return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _strongest(analysis):
  """Bin, level and cents of the strongest bin in the middle of the time."""
  column = analysis.level_db.shape[1] // 2
  row = analysis.level_db[:, column].argmax()
  return row, analysis.level_db[row, column], analysis.cents[row, column]


@pytest.mark.parametrize('midi_pitch', [24, 45, 69, 96, 108])
@pytest.mark.parametrize('cents', [-40.0, 0.0, 25.0])
def test_a_sine_has_its_pitch_level_and_tuning(midi_pitch, cents):
  hz = harmonics.midi_to_hz(midi_pitch + cents / 100)
  analysis = figures.rainbowgram(_sine(hz))
  row, level_db, measured = _strongest(analysis)
  bins_hz = librosa.cqt_frequencies(row + 1, fmin=27.5, bins_per_octave=36)
  assert abs(1200 * np.log2(bins_hz[row] / hz)) <= 0.5 * 1200 / 36 + 1e-6
  assert level_db == pytest.approx(20 * np.log10(0.5), abs=0.5)
  assert measured == pytest.approx(cents, abs=1.0)


def test_all_bins_of_a_partial_have_one_colour():
  analysis = figures.rainbowgram(_sine(harmonics.midi_to_hz(69.2)))
  column = analysis.level_db.shape[1] // 2
  level = analysis.level_db[:, column]
  loud = level > level.max() - 12
  assert loud.sum() > 2
  np.testing.assert_allclose(analysis.cents[loud, column], 20.0, atol=1.0)


def test_vibrato_is_seen_over_time():
  time = np.arange(_SAMPLE_RATE) / _SAMPLE_RATE
  vibrato = 30.0 * np.sin(2 * np.pi * 3.0 * time)  # cents
  audio = _sine(harmonics.midi_to_hz(93 + vibrato / 100))
  analysis = figures.rainbowgram(audio)
  rows = analysis.level_db.argmax(axis=0)
  measured = np.take_along_axis(analysis.cents, rows[None], axis=0)[0]
  whole = slice(10, -10)
  expected = vibrato[:: rainbow._HOP_LENGTH][whole]
  error = measured[: len(vibrato[:: rainbow._HOP_LENGTH])][whole] - expected
  assert np.abs(error).max() < 6.0


def test_silence_is_dark():
  analysis = figures.rainbowgram(np.zeros(_SAMPLE_RATE))
  np.testing.assert_allclose(analysis.level_db, -120.0)
  tone, silence = _sine(440.0), np.zeros(_SAMPLE_RATE)
  figure = figures.rainbowgrams_figure([tone], [silence], names=['a'])
  images = [ax.images[0].get_array() for ax in figure.axes if ax.images]
  assert images[0].max() > 0.6 and images[1].max() == 0.0


@pytest.mark.parametrize('num_samples', [1, 512])
@pytest.mark.filterwarnings('error')
def test_audio_may_be_short(num_samples):
  audio = _sine(440.0)[:num_samples]
  analysis = figures.rainbowgram(audio)
  assert analysis.level_db.shape[1] == 1 + num_samples // 128
  figure = figures.rainbowgrams_figure([audio], [audio], names=['a'])
  assert pixels(figure).shape == (450, 1600, 4)


def test_originals_stand_beside_reconstructions():
  originals = [_sine(220.0), _sine(440.0)]
  made = [audio / 2 for audio in originals]
  figure = figures.rainbowgrams_figure(originals, made, names=['low', 'high'])
  axes = np.array([ax for ax in figure.axes if ax.images]).reshape(2, 2)
  for (left, right), name in zip(axes, ('low', 'high'), strict=True):
    assert left.get_title() == f'{name}, original'
    assert right.get_title() == f'{name}, reconstruction'
    assert left.get_position().x1 < right.get_position().x0
    # Half as loud, or 6 of 60 dB, is a tenth darker.
    peaks = [ax.images[0].get_array()[:, 60].max() for ax in (left, right)]
    assert peaks[1] / peaks[0] == pytest.approx(0.9, abs=0.01)
    assert left.get_xlim() == (0.0, 1.0)
  text = texts(figure)
  for unit in ('time (s)', 'Hz', 'cents', 'dB'):
    assert unit in text
  assert pixels(figure).shape == (800, 1600, 4)


def test_ticks_name_the_notes():
  figure = figures.rainbowgrams_figure(
    [_sine(440.0)], [_sine(440.0)], names=['a']
  )
  ax = figure.axes[0]
  for y, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
    note, hz = label.get_text().split()
    assert librosa.note_to_hz(note) == pytest.approx(2**y)
    assert int(hz) == round(2**y)


@pytest.mark.parametrize('vision', list(_VISIONS))
def test_hues_differ_but_not_in_lightness(vision):
  flat, in_tune, sharp = _lab(
    np.array([rainbow.TUNING_COLOURS(x)[:3] for x in (0.3, 0.5, 0.7)]), vision
  )
  for one, other in ((flat, in_tune), (in_tune, sharp), (flat, sharp)):
    assert np.linalg.norm(one - other) > 25
    assert abs(one[0] - other[0]) < 7


def test_the_colours_close_a_circle():
  first, last = rainbow.TUNING_COLOURS([0.0, 1.0])
  np.testing.assert_allclose(first, last, atol=1e-6)


def test_audios_that_do_not_belong_together_are_refused():
  audio = _sine(440.0, 0.1)
  with pytest.raises(ValueError, match='1 originals, 0 reconstructions'):
    figures.rainbowgrams_figure([audio], [], names=['a'])
  with pytest.raises(ValueError, match='0 originals'):
    figures.rainbowgrams_figure([], [], names=[])
  with pytest.raises(ValueError, match=r'original of a is nan at \[0\]'):
    figures.rainbowgrams_figure([audio * np.nan], [audio], names=['a'])
