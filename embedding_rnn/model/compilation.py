"""When to compile with XLA."""

import tensorflow as tf

_FEW_NOTES = 2


def prefers_xla() -> bool:
  """Whether a step over many notes runs faster under XLA on this machine.

  On an accelerator XLA fuses the many small operations of a frame into a few
  kernels. On a CPU it runs what it fuses on one core.
  """
  return bool(tf.config.list_logical_devices('GPU'))


def prefers_xla_for_sampling(batch_size: int) -> bool:
  """The same for sampling, where the operations of a few notes are small."""
  return batch_size <= _FEW_NOTES or prefers_xla()
