"""Figures as they were drawn before, and were looked at.

The baselines in `testdata/figures` are a quarter of the figures' size. They are
compared by the mean colour of blocks of 16 x 16 dots, so that another version
of matplotlib may place its letters and lines a little differently. After an
intended change, look at the new figures and renew the baselines with

  RENEW_BASELINES=1 python -m pytest embedding_rnn/figures/baseline_test.py
"""

import os
import pathlib

import matplotlib
import numpy as np
import pytest
from matplotlib import image

from embedding_rnn import figures
from embedding_rnn.figures.conftest import pixels

_FOLDER = pathlib.Path(__file__).parents[1] / 'testdata' / 'figures'
_SHRINKAGE = 4  # of a baseline
_BLOCK = 16
# Of full scale. Matplotlib 3.8 and 3.11 differ by up to 0.007 and 0.1.
_MAX_RMS = 0.01
_MAX_DIFFERENCE = 0.12


def _note(phase=0.0):
  """16 channels that swing more and more quickly, [125, 16]."""
  time = np.linspace(0.0, 1.0, 125)[:, None]
  channel = np.arange(16)
  swing = np.sin(2 * np.pi * (channel + 1) * time / 4 + phase)
  return (
    swing * 8.0 / (channel + 1) + 10.0 * np.exp(-3.0 * time) - 0.3 * channel
  )


def _audio(decay):
  """Ten partials, each a little sharper than the last."""
  time = np.arange(32000) / 16000
  partials = [
    np.sin(2 * np.pi * 220.0 * k * (1 + 0.001 * k) * time) / k
    for k in range(1, 11)
  ]
  return 0.2 * np.sum(partials, axis=0) * np.exp(-decay * time)


def _likelihood():
  note = _note()
  std = np.full_like(note, 0.5)
  nats = 0.5 * ((note - _note(0.1)) / std) ** 2 + np.log(std)
  return figures.likelihood_figure(note, _note(0.1), std, nats, title='A note')


_FIGURES = {
  'note': lambda: figures.note_figure(
    _note(), _note(0.3), _audio(1.0), _audio(1.5), title='A note', midi_pitch=57
  ),
  'channels': lambda: figures.channels_figure(
    [_note(i) for i in range(6)], names=list('abcdef'), title='Notes'
  ),
  'stages': lambda: figures.stages_figure(
    _note(),
    np.diff(_note(), axis=0, append=0.0),
    np.diff(_note(0.3), axis=0, append=0.0),
    _note(),
    _note(0.3),
    title='A note',
  ),
  'components': lambda: figures.components_figure(
    _note(), _note(0.3), np.eye(16)[:4], [4.0, 3.0, 2.0, 1.0], title='A note'
  ),
  'errors': lambda: figures.errors_figure(
    {f'run_{i}': np.geomspace(1 + i, 10 + i, 50) for i in (2, 0, 1)},
    title='Experiments',
  ),
  'rainbow': lambda: figures.rainbowgrams_figure(
    [_audio(1.0)], [_audio(2.0)], names=['A note'], title='Rainbowgrams'
  ),
  'likelihood': _likelihood,
}


def _shrink(picture, factor):
  """Means over blocks, of a picture `[height, width, 3]`."""
  height, width = (size // factor for size in picture.shape[:2])
  picture = picture[: height * factor, : width * factor]
  blocks = picture.reshape(height, factor, width, factor, 3)
  return blocks.mean(axis=(1, 3))


def _render(draw):
  """A figure, shrunk, in the style of matplotlib instead of the user's."""
  with matplotlib.rc_context(matplotlib.rcParamsDefault):
    return _shrink(pixels(draw())[..., :3] / 255.0, _SHRINKAGE)


def _agree(picture, baseline):
  if picture.shape != baseline.shape:
    return False
  difference = _shrink(picture - baseline, _BLOCK // _SHRINKAGE)
  rms = np.sqrt(np.mean(np.square(difference)))
  return rms < _MAX_RMS and np.abs(difference).max() < _MAX_DIFFERENCE


@pytest.mark.parametrize('name', list(_FIGURES))
def test_figures_look_as_before(name):
  picture = _render(_FIGURES[name])
  path = _FOLDER / f'{name}.png'
  if os.environ.get('RENEW_BASELINES'):
    image.imsave(path, picture)
  baseline = image.imread(path)[..., :3]
  assert _agree(picture, baseline), (
    f'The figure differs from {path}. If that is meant, renew the baselines as '
    f'{__file__} says.'
  )


def test_a_missing_line_and_a_missing_title_are_noticed():
  whole = _FIGURES['channels']()
  changed = {'line': _FIGURES['channels'](), 'title': _FIGURES['channels']()}
  for ax in changed['line'].axes[:6]:
    (lines,) = ax.collections
    lines.set_segments(lines.get_segments()[1:])
  changed['title'].axes[0].set_title('')
  baseline = _render(lambda: whole)
  for name, figure in changed.items():
    assert not _agree(_render(lambda figure=figure: figure), baseline), name
