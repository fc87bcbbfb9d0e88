"""What the page holds of a sound: the sound itself, and how it looks.

Browsers refuse scripts of a page on the disk its files, so what is to be played
and mixed by a script is in the page. FLAC is a third of the .wav file, without
loss.
"""

import base64
import io
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import soundfile

from embedding_rnn.audio import metrics
from embedding_rnn.figures import spectra

LOUDNESS_RANGE_DB = 60.0

_RANGE_DB = 70.0  # of spectrograms
_POOL = 2  # rows and columns of spectrograms that are seen as one
_NUM_SHADES = 32
_HOP_LENGTH = 256  # of loudness
_TICKS_HZ = {100: '100 Hz', 1000: '1 kHz'}


class Sound(NamedTuple):
  """A sound of the page.

  Attributes:
    flac: base64.
    seconds: its length.
    spectrogram: a picture as a data: address, opaque where it is loud.
    loudness: the path of its loudness in an SVG, from 0 dB, the loudest of all
      sounds beside it, down to LOUDNESS_RANGE_DB, over seconds.
    ticks: where some frequencies stand in the spectrogram, from the bottom, in
      percent.
  """

  flac: str
  seconds: float
  spectrogram: str
  loudness: str
  ticks: dict[str, float]


def read_sounds(paths: Sequence[str | os.PathLike[str]]) -> list[Sound]:
  """Reads sounds that are shown beside each other, on one scale.

  Raises:
    OSError: a file is not there, or no sound.
  """
  audios, rates = zip(*map(_read, paths), strict=True)
  spectrograms = [
    spectra.log_spectrogram_db(audio, rate)
    for audio, rate in zip(audios, rates, strict=True)
  ]
  curves = [metrics.loudness_db(audio, _HOP_LENGTH) for audio in audios]
  loudest_db = max(spectrogram.max() for spectrogram in spectrograms)
  loudest_curve_db = max(curve.max(initial=-np.inf) for curve in curves)
  return [
    Sound(
      flac=_flac(audio, rate),
      seconds=len(audio) / rate,
      spectrogram=_picture(spectrogram - loudest_db),
      loudness=_path(curve - loudest_curve_db, _HOP_LENGTH / rate),
      ticks=_ticks(rate),
    )
    for audio, rate, spectrogram, curve in zip(
      audios, rates, spectrograms, curves, strict=True
    )
  ]


def _read(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
  try:
    audio, rate = soundfile.read(path, dtype='float32')
  except soundfile.LibsndfileError as error:
    raise OSError(f"'{path}' is not a sound ({error}).") from error
  return audio, rate


def _flac(audio: np.ndarray, sample_rate: int) -> str:
  content = io.BytesIO()
  soundfile.write(content, audio, sample_rate, 'PCM_16', format='FLAC')
  return base64.b64encode(content.getvalue()).decode()


def _picture(level_db: np.ndarray) -> str:
  """Of a spectrogram `[rows, columns]`, in dB of the loudest."""
  rows, columns = (-(-size // _POOL) for size in level_db.shape)
  beyond = [(0, -size % _POOL) for size in level_db.shape]
  padded = np.pad(level_db, beyond, mode='edge')
  blocks = padded.reshape(rows, _POOL, columns, _POOL)
  share = np.clip(1.0 + blocks.max(axis=(1, 3)) / _RANGE_DB, 0.0, 1.0)
  shades = np.round(share**1.2 * (_NUM_SHADES - 1)) * 255 / (_NUM_SHADES - 1)
  alpha = shades[::-1].astype(np.uint8)
  image = PIL.Image.fromarray(np.stack([np.zeros_like(alpha), alpha], axis=-1))
  content = io.BytesIO()
  image.save(content, 'PNG', optimize=True)
  return (
    f'data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}'
  )


def _path(level_db: np.ndarray, frame_seconds: float) -> str:
  depth = np.clip(0.0 - level_db, 0.0, LOUDNESS_RANGE_DB)
  points = [
    f'{(i + 0.5) * frame_seconds:.3f} {y:.1f}' for i, y in enumerate(depth)
  ]
  return f'M{"L".join(points)}' if points else ''


def _ticks(sample_rate: int) -> dict[str, float]:
  low, high = np.log(spectra.MIN_HZ), np.log(sample_rate / 2)
  return {
    label: float(100.0 * (np.log(hz) - low) / (high - low))
    for hz, label in _TICKS_HZ.items()
    if hz < sample_rate / 2
  }
