"""Embedding RNN: models how a sound evolves in time."""

from embedding_rnn.embedding_rnn import Model
from embedding_rnn.hparams import HParams, default_hps
from embedding_rnn.tf1_checkpoint import restore_tf1_checkpoint
from embedding_rnn.trained_run import Run, load_run

__all__ = [
  'HParams',
  'Model',
  'Run',
  'default_hps',
  'load_run',
  'restore_tf1_checkpoint',
]
