"""NSynth's WaveNet as a codec, and which codec it is that data is of."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from embedding_rnn import nsynth
from embedding_rnn.audio.codec import Codec, HarmonicCodec, get_codec
from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data.metadata import CHECKPOINT, CODEC
from embedding_rnn.training import checkpoints

if TYPE_CHECKING:  # else, TensorFlow would be imported
  from embedding_rnn.nsynth.runs import TrainedAutoencoder

flags.disclaim_key_flags()  # they belong to the command that defines them


class WaveNetCodec(Codec):
  """Encodes and decodes by a checkpoint, which is read when it is needed.

  A note is worked on by itself, so that its frames do not depend on the rest of
  the batch. The pitch is ignored. The same frames give the same audio, as long
  as they have the same place in their batch.

  Args:
    checkpoint_path: a run of `nsynth.train`, or a checkpoint of 2017: a folder,
      a prefix like 'model.ckpt-200000', or one of its files. For errors see
      `nsynth.load_autoencoder`.
    averaged: use the moving averages of the weights.
    seed: of decoding.
    greedy: decode to the likeliest samples; the seed has no effect then.
    weights: 'float32', or 'int8' to decode with weights of 8 bits.
    **sizes: of the `WaveNetAutoencoder`, by default those of the published
      checkpoint; a run knows its own.

  Raises:
    DamagedFileError: for a run that is damaged, or of another model.
  """

  name = 'wavenet'
  sample_rate = SAMPLE_RATE
  uses_gpu = True

  def __init__(
    self,
    checkpoint_path: str | os.PathLike[str],
    averaged: bool = False,
    *,
    seed: int = 0,
    greedy: bool = False,
    weights: str = 'float32',
    **sizes: int,
  ):
    self._path, self._averaged = os.path.abspath(checkpoint_path), averaged
    self._decoding: dict[str, Any] = {
      'seed': seed,
      'greedy': greedy,
      'weights': weights,
    }
    self._sizes = sizes
    self._is_run = checkpoints.is_run(self._path)
    if self._is_run:
      run = checkpoints.read_run(self._path, checkpoints.WAVENET)
      sizes = run.hps.values()
    self.num_channels = sizes.get('ae_bottleneck_width', 16)
    self.hop_length = sizes.get('ae_hop_length', 512)

  def __reduce__(self):
    """Other processes read the checkpoint themselves."""
    settings: dict[str, Any] = {**self._decoding, **self._sizes}
    make = functools.partial(type(self), **settings)
    return make, (self._path, self._averaged)

  @property
  def checkpoint(self) -> dict[str, Any]:
    """Its number of steps, whether the weights are averaged, and a digest."""
    model, step, _ = self._encoder
    return {
      'step': step,
      'averaged': self._averaged,
      'encoder_sha256': model.encoder.sha256(),
    }

  def _encode(self, audio: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    return self._encoder.model.encode(audio).numpy()

  def _decode(self, frames: np.ndarray, midi_pitch: np.ndarray) -> np.ndarray:
    del midi_pitch
    return self._decoder.model.generate(frames, **self._decoding).numpy()

  @functools.cached_property
  def _encoder(self) -> TrainedAutoencoder:
    return self._load(encoder_only=True)

  @functools.cached_property
  def _decoder(self) -> TrainedAutoencoder:
    if self._is_run:
      return self._encoder  # It is whole.
    return self._load(encoder_only=False)

  def _load(self, encoder_only):
    return nsynth.load_autoencoder(
      self._path, self._averaged, encoder_only, **self._sizes
    )


def define_flags(default: str | None = None) -> None:
  """Defines the flags --codec, --nsynth_checkpoint_path and --averaged.

  Args:
    default: of --codec; None for what the data says.
  """
  flags.DEFINE_enum(
    'codec',
    default,
    (HarmonicCodec.name, WaveNetCodec.name),
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
    name: 'harmonic' or 'wavenet'.
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
  metadata: Mapping[str, Any],
  seq_width: int,
  name: str | None = None,
  checkpoint_path: str | None = None,
  averaged: bool | None = None,
) -> Codec | None:
  """The codec that decodes the frames of some data, or of a run on them.

  Args:
    metadata: what the data or the run says: "codec", and for the WaveNet
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
  known, encoded_by = metadata.get(CODEC), metadata.get(CHECKPOINT)
  _expect_name(known, name)
  if averaged is None and encoded_by and checkpoint_path is not None:
    averaged = encoded_by.get('averaged')
  chosen = name or known
  if chosen is None:
    if checkpoint_path is not None:
      raise ValueError(
        'The data does not say which codec it is of; set --codec=wavenet if it '
        f'is of the checkpoint {checkpoint_path!r}.'
      )
    logging.warning(
      'The data does not say which codec it is of, so that there will be '
      'figures, but no audio. If you know it, set --codec, or add {"codec": '
      '"name"} as dataset.json to the data before training.'
    )
    return None
  if name is None and checkpoint_path is None and known == WaveNetCodec.name:
    logging.warning(
      'The frames are of the WaveNet%s; set --nsynth_checkpoint_path to it. '
      'Without it there will be figures, but no audio.',
      f' {_describe(encoded_by)}' if encoded_by else '',
    )
    return None
  codec = choose_codec(chosen, checkpoint_path, averaged)
  expect_codec(metadata, seq_width, codec, checkpoint_path)
  return codec


def expect_codec(
  metadata: Mapping[str, Any],
  seq_width: int,
  codec: Codec,
  checkpoint_path: str | None = None,
) -> None:
  """Raises ValueError if data, or a run on it, is of another codec.

  Args:
    metadata: as in `codec_of_data`; what it does not say may be anything.
    seq_width: channels of the frames.
    codec: to be used on it.
    checkpoint_path: of the codec, for the error.
  """
  _expect_name(metadata.get(CODEC), codec.name)
  if codec.num_channels != seq_width:
    raise ValueError(
      f'The codec {codec.name!r} has frames of {codec.num_channels} channels, '
      f'but seq_width is {seq_width}; name the codec of the data.'
    )
  encoded_by = metadata.get(CHECKPOINT)
  if (
    encoded_by
    and (found := codec.checkpoint)
    and found['encoder_sha256'] != encoded_by.get('encoder_sha256')
  ):
    raise ValueError(
      f'The frames were encoded by the WaveNet {_describe(encoded_by)}, but '
      f'{checkpoint_path or "the codec"} is {_describe(found)}; set '
      '--nsynth_checkpoint_path and --averaged to the same weights.'
    )


def codec_from_flags(
  metadata: Mapping[str, Any], seq_width: int
) -> Codec | None:
  """`codec_of_data` as the flags of `define_flags` say."""
  args = flags.FLAGS
  return codec_of_data(
    metadata, seq_width, args.codec, args.nsynth_checkpoint_path, args.averaged
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
