"""What the tests of figures share."""

import io

import numpy as np
from matplotlib.figure import Figure

from embedding_rnn.audio import harmonics


def texts(figure: Figure) -> str:
  """Everything that is written in a figure outside of its ticks."""
  texts = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
  for ax in figure.axes:
    texts += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
  return '\n'.join(texts)


def sine(hz: float, amplitude: float = 0.5) -> np.ndarray:
  """0.64 s of a tone, 20 frames."""
  time = np.arange(20 * harmonics.HOP_LENGTH) / harmonics.SAMPLE_RATE
  return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def pixels(figure: Figure) -> np.ndarray:
  """What is saved of a figure, `[height, width, 4]` bytes."""
  stream = io.BytesIO()
  figure.savefig(stream, format='rgba')
  width, height = np.rint(figure.get_size_inches() * figure.dpi).astype(int)
  return np.frombuffer(stream.getvalue(), np.uint8).reshape(height, width, 4)
