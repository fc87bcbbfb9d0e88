"""When to compile with XLA."""

import functools

import tensorflow as tf


@functools.cache
def prefers_xla() -> bool:
  """Whether large steps run faster under XLA on this machine.

  On an accelerator XLA fuses the many small operations of a frame into a few
  kernels. On a CPU it runs what it fuses on one core, and compiling takes
  longer than the time it saves.
  """
  return bool(tf.config.list_logical_devices('GPU'))
