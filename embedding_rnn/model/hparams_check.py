"""Which hyperparameters go together; quick, since without TensorFlow."""

from embedding_rnn.model.hparams import HParams

# What shapes a model and the format of its data; the others are of training.
MODEL_HPARAMS = (
  'max_seq_len',
  'seq_width',
  'context_vec_size',
  'unconditional',
  'model',
  'rnn_size',
  'num_layers',
  'num_mixture',
  'enc_model',
  'enc_rnn_size',
  'bidir',
  'z_size',
  'no_sample_vae',
  'clip_z_with_tanh',
  'hyper_lstm_size',
  'hyper_embedding_size',
  'hyper_use_layer_norm',
  'difference_input',
  'pca_dim_reduce',
  'n_pca_components',
)


def check_hparams(hps: HParams) -> None:
  """Raises ValueError for values that make no model, or no training of it."""
  for name in ('model', 'enc_model'):
    value = getattr(hps, name)
    if value not in ('lstm', 'layer_norm', 'hyper'):
      raise ValueError(f'{name}={value!r}: expected lstm, layer_norm or hyper.')
  positive = (
    'max_seq_len seq_width rnn_size num_layers enc_rnn_size z_size '
    'context_vec_size batch_size num_mixture hyper_lstm_size '
    'hyper_embedding_size n_pca_components grad_clip learning_rate num_steps '
    'save_every'
  )
  for name in positive.split():
    if getattr(hps, name) <= 0:
      raise ValueError(f'{name}={getattr(hps, name)}: expected more than 0.')
  for kind in ('recurrent', 'input', 'output'):
    keep = getattr(hps, f'{kind}_dropout_prob')
    if getattr(hps, f'use_{kind}_dropout') and not 0 < keep <= 1:
      raise ValueError(
        f'{kind}_dropout_prob={keep}: expected a keep probability in (0, 1].'
      )
  if hps.pca_dim_reduce and hps.n_pca_components > hps.seq_width:
    raise ValueError(
      f'n_pca_components={hps.n_pca_components}: expected at most '
      f'seq_width={hps.seq_width}.'
    )
