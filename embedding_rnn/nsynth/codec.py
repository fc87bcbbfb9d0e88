"""Which codec turns frames into sound: as the flags and the data say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absl import flags, logging

from embedding_rnn.audio.codec import Codec, HarmonicCodec, get_codec
from embedding_rnn.nsynth.wavenet_codec import WaveNetCodec

CODEC_NAMES = (HarmonicCodec.name, WaveNetCodec.name)

flags.disclaim_key_flags()  # they belong to the command that defines them


def define_flags(default: str | None = None) -> None:
  """Defines the flags --codec, --nsynth_checkpoint_path and --averaged.

  Args:
    default: of --codec; None for what the data says.
  """
  flags.DEFINE_enum(
    'codec',
    default,
    CODEC_NAMES,
    "The package's own, or NSynth's WaveNet autoencoder."
    + ('' if default else ' Default: as the data says.'),
  )
  flags.DEFINE_string(
    'nsynth_checkpoint_path',
    None,
    'For the codec wavenet: folder, prefix or file of its checkpoint, or the '
    'folder of a run of embedding_rnn.nsynth.train.',
  )
  flags.DEFINE_bool(
    'averaged',
    None,
    'For the codec wavenet: use the averages of the weights. Default: as the '
    'data was encoded, or else not.',
  )


def choose_codec(
  name: str, checkpoint_path: str | None = None, averaged: bool | None = None
) -> Codec:
  """The codec of a name.

  Args:
    name: one of `CODEC_NAMES`.
    checkpoint_path: see `WaveNetCodec`, which needs it.
    averaged: see `WaveNetCodec`; None is False.

  Raises:
    ValueError: for another name, or arguments that do not fit it.
  """
  if name == WaveNetCodec.name:
    if checkpoint_path is None:
      raise ValueError(
        '--codec=wavenet needs a checkpoint: set --nsynth_checkpoint_path to '
        'its folder, prefix or one of its files.'
      )
    return WaveNetCodec(checkpoint_path, bool(averaged))
  if checkpoint_path is not None or averaged:
    raise ValueError(
      '--nsynth_checkpoint_path and --averaged are for --codec=wavenet.'
    )
  return get_codec(name)


def codec_of_data(
  info: Mapping[str, Any],
  seq_width: int,
  name: str | None = None,
  checkpoint_path: str | None = None,
  averaged: bool | None = None,
) -> Codec | None:
  """The codec that decodes the frames of some data, or of a run on them.

  Args:
    info: what the data or the run says: "codec", and for the WaveNet
      "checkpoint", see `WaveNetCodec.checkpoint`; neither if it is not known.
    seq_width: channels of the frames.
    name: the codec that is asked for; None for that of the data.
    checkpoint_path: as in `choose_codec`.
    averaged: as in `choose_codec`; None for as the data was encoded.

  Returns:
    The codec; None, with a warning, if neither the data nor the arguments say
    enough.

  Raises:
    ValueError: for another codec or checkpoint than the data's, or one of
      another width, or arguments that do not fit.
  """
  known, encoded_by = info.get('codec'), info.get('checkpoint')
  _expect_name(known, name)
  if averaged is None and encoded_by and checkpoint_path is not None:
    averaged = encoded_by.get('averaged')
  if name is None and checkpoint_path is None:
    if known is None:
      logging.warning(
        'The data does not say which codec it is of, so that there will be '
        'figures, but no audio. If you know it, set --codec, or add {"codec": '
        '"name"} as dataset.json to the data before training.'
      )
      return None
    if known == WaveNetCodec.name:
      logging.warning(
        'The frames are of the WaveNet%s; set --nsynth_checkpoint_path to it. '
        'Without it there will be figures, but no audio.',
        f' {_describe(encoded_by)}' if encoded_by else '',
      )
      return None
  elif name is None and known is None:
    raise ValueError(
      'The data does not say which codec it is of; set --codec=wavenet if it '
      f'is of the checkpoint {checkpoint_path!r}.'
    )
  codec = choose_codec(name or known, checkpoint_path, averaged)
  expect_codec(info, seq_width, codec, checkpoint_path)
  return codec


def expect_codec(
  info: Mapping[str, Any],
  seq_width: int,
  codec: Codec,
  checkpoint_path: str | None = None,
) -> None:
  """Raises ValueError if data, or a run on it, is of another codec.

  Args:
    info: as in `codec_of_data`; what it does not say may be anything.
    seq_width: channels of the frames.
    codec: to be used on it.
    checkpoint_path: of the codec, for the error.
  """
  _expect_name(info.get('codec'), codec.name)
  if codec.num_channels != seq_width:
    raise ValueError(
      f'The codec {codec.name!r} has frames of {codec.num_channels} channels, '
      f'but seq_width is {seq_width}; name the codec of the data.'
    )
  encoded_by = info.get('checkpoint')
  if encoded_by and isinstance(codec, WaveNetCodec):
    found = codec.checkpoint
    if found['encoder_sha256'] != encoded_by.get('encoder_sha256'):
      raise ValueError(
        f'The frames were encoded by the WaveNet {_describe(encoded_by)}, but '
        f'{checkpoint_path or "the codec"} is {_describe(found)}; set '
        '--nsynth_checkpoint_path and --averaged to the same weights.'
      )


def codec_from_flags(info: Mapping[str, Any], seq_width: int) -> Codec | None:
  """`codec_of_data` as the flags of `define_flags` say."""
  args = flags.FLAGS
  return codec_of_data(
    info, seq_width, args.codec, args.nsynth_checkpoint_path, args.averaged
  )


def _expect_name(known: str | None, name: str | None) -> None:
  if None not in (known, name) and name != known:
    raise ValueError(
      f'The frames are of the codec {known!r}; {name!r} would decode them to '
      f'noise. Use {known!r}.'
    )


def _describe(checkpoint: Mapping[str, Any]) -> str:
  """A checkpoint in few words."""
  kind = 'averaged' if checkpoint.get('averaged') else 'raw'
  return (
    f'at step {checkpoint.get("step")} ({kind} weights, SHA-256 '
    f'{str(checkpoint.get("encoder_sha256"))[:12]}…)'
  )
