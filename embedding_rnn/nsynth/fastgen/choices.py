"""What can generate audio, and which of it does so here."""

from __future__ import annotations

import importlib.util

WEIGHTS = ('float32', 'int8')

# Notes generated together: with more, a CPU gets no faster, and what is kept of
# the past takes 13 MB a note at the published sizes.
BATCH_SIZES = {'litert': 16, 'tensorflow': 64}


def choose_runtime(runtime: str | None = None, weights: str = 'float32') -> str:
  """Checks what is to generate, and with which weights.

  Args:
    runtime: 'litert', 'tensorflow', or None: the latter where there is a GPU,
      else the former.
    weights: 'float32', or 'int8' to round them to 8 bits, which is faster and
      less exact; for 'litert' only.

  Returns:
    The runtime.

  Raises:
    ValueError: for other words, or a runtime that is not there.
  """
  if runtime is None:
    import tensorflow as tf  # takes seconds

    has_gpu = tf.config.list_logical_devices('GPU')
    runtime = 'tensorflow' if has_gpu else 'litert'
  for value, choices in ((runtime, BATCH_SIZES), (weights, WEIGHTS)):
    if value not in choices:
      raise ValueError(f'{value!r}: expected one of {", ".join(choices)}.')
  if runtime == 'tensorflow' and weights != 'float32':
    raise ValueError(
      f'weights={weights!r} is for a CPU: set runtime to litert, or weights to '
      'float32.'
    )
  if runtime == 'litert' and not importlib.util.find_spec('ai_edge_litert'):
    raise ValueError(
      'Fast generation on a CPU needs the package ai-edge-litert: install it, '
      'or set runtime to tensorflow, which is several times slower.'
    )
  return runtime
