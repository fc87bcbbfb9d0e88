from .embedding_rnn import Model as Model
from .model.hparams import HParams as HParams
from .model.hparams import default_hps as default_hps
from .model.tf1_checkpoint import (
  restore_tf1_checkpoint as restore_tf1_checkpoint,
)
from .training.trained_run import Run as Run
from .training.trained_run import load_pretrained as load_pretrained
from .training.trained_run import load_run as load_run

__version__: str
