"""Embedding RNN: models how a sound evolves in time."""

import lazy_loader

# TensorFlow takes seconds to import, and much of the package works without it.
__getattr__, __dir__, __all__ = lazy_loader.attach(
  __name__,
  submod_attrs={
    'embedding_rnn': ['Model'],
    'hparams': ['HParams', 'default_hps'],
    'tf1_checkpoint': ['restore_tf1_checkpoint'],
    'trained_run': ['Run', 'load_run'],
  },
)
