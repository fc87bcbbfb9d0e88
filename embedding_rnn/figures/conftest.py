"""What the tests of figures share."""

import io

import numpy as np
from matplotlib.figure import Figure


def texts(figure: Figure) -> str:
  """Everything that is written in a figure outside of its ticks."""
  texts = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
  for ax in figure.axes:
    texts += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
  return '\n'.join(texts)


def pixels(figure: Figure) -> np.ndarray:
  """What is saved of a figure, `[height, width, 4]` bytes."""
  stream = io.BytesIO()
  figure.savefig(stream, format='rgba')
  width, height = np.rint(figure.get_size_inches() * figure.dpi).astype(int)
  return np.frombuffer(stream.getvalue(), np.uint8).reshape(height, width, 4)
