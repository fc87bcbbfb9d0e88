"""Audio files that are whole or absent."""

from __future__ import annotations

import io
import os

import numpy as np
import soundfile

from embedding_rnn.utils import files

_MAX_PEAK = 0.99  # of full scale


def write_wav(
  path: str | os.PathLike[str], audio: np.ndarray, sample_rate: int
) -> float:
  """Writes a 16-bit .wav file, at the audio's own level if its peak fits.

  Args:
    path: of the file.
    audio: `[samples]`, full scale is 1.
    sample_rate: in Hz.

  Returns:
    The gain in dB, below 0 only where 16 bits could not have held the peak.

  Raises:
    OSError: if it cannot be written.
  """
  peak = float(np.abs(audio).max(initial=0.0))
  gain = _MAX_PEAK / max(peak, _MAX_PEAK)
  # By way of memory, for what soundfile raises on a full disk is no OSError.
  content = io.BytesIO()
  soundfile.write(
    content, audio * gain, sample_rate, subtype='PCM_16', format='WAV'
  )
  files.write_bytes(path, content.getvalue())
  return 20.0 * float(np.log10(gain))
