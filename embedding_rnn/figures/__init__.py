"""Figures of notes and of experiments.

Each function takes arrays and returns a `matplotlib.figure.Figure`, without the
global state of pyplot, so that figures can be drawn in several processes at a
time; `figure.savefig(path)` writes it, 100 dots to the inch.
"""

from embedding_rnn.figures.channels import (
  DIFFERENCE_LIMITS,
  FRAME_LIMITS,
  channels_figure,
  mixes_figure,
  stages_figure,
  value_limits,
)
from embedding_rnn.figures.components import components_figure
from embedding_rnn.figures.errors import errors_figure
from embedding_rnn.figures.likelihood import likelihood_figure
from embedding_rnn.figures.notes import (
  note_figure,
  overview_figure,
  sample_figure,
)
from embedding_rnn.figures.rainbow import rainbowgram, rainbowgrams_figure
from embedding_rnn.figures.spectra import log_spectrogram_db

__all__ = [
  'DIFFERENCE_LIMITS',
  'FRAME_LIMITS',
  'channels_figure',
  'components_figure',
  'errors_figure',
  'likelihood_figure',
  'log_spectrogram_db',
  'mixes_figure',
  'note_figure',
  'overview_figure',
  'rainbowgram',
  'rainbowgrams_figure',
  'sample_figure',
  'stages_figure',
  'value_limits',
]
