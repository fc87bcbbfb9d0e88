"""A folder of audio files and figures, each of them whole or not there."""

import io
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile
from matplotlib.figure import Figure

from embedding_rnn import files, metrics
from embedding_rnn.codec import Codec

_MAX_PEAK = 0.99  # of full scale


def make_output_dir(output_dir: str | os.PathLike[str]) -> pathlib.Path:
  """Makes a folder if need be; an OSError says if nothing can be written."""
  folder = pathlib.Path(output_dir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise OSError(
      f'Cannot write to the folder {os.fspath(output_dir)!r} '
      f'({error.strerror}); choose another output_dir.'
    ) from error
  return folder


class Writer:
  """Writes notes to a folder, as audio if there is a codec, and as figures.

  Attributes:
    folder: where to.
    codec: what decodes the notes, or None.
    timing: sample_rate and hop_length, if there is a codec.
  """

  def __init__(self, folder: pathlib.Path, codec: Codec | None):
    self.folder, self.codec = folder, codec
    self.timing = {}
    if codec:
      self.timing['sample_rate'] = codec.sample_rate
      self.timing['hop_length'] = codec.hop_length

  def decode(
    self, frames: np.ndarray, pitches: Sequence[int]
  ) -> Sequence[np.ndarray | None]:
    """Audio `[samples]` of each of the notes `[N, T, W]`, or None of each."""
    if self.codec is None:
      return [None] * len(frames)
    return self.codec.decode(frames, np.asarray(pitches))

  def write_figure(self, name: str, figure: Figure) -> str:
    """Writes a .png file; gives its name."""
    with files.replacing(self.folder / name) as temporary:
      figure.savefig(temporary, format='png')
    return name

  def write_audio(
    self, name: str, audio: np.ndarray | None, midi_pitch: int
  ) -> dict[str, Any] | None:
    """Writes a 16-bit .wav file, at the audio's own level if its peak fits.

    Args:
      name: of the file.
      audio: `[samples]`, or None for nothing.
      midi_pitch: what it should have.

    Returns:
      What is said of an audio in `synthesize`.
    """
    if audio is None:
      return None
    peak = float(np.abs(audio).max())
    gain = _MAX_PEAK / max(peak, _MAX_PEAK)
    content = io.BytesIO()  # for soundfile cannot tell a full disk
    soundfile.write(
      content,
      audio * gain,
      self.codec.sample_rate,
      subtype='PCM_16',
      format='WAV',
    )
    files.write_bytes(self.folder / name, content.getvalue())
    cents = metrics.pitch_error_cents(audio, midi_pitch, self.codec.sample_rate)
    return {
      'file': name,
      'gain_db': 20.0 * float(np.log10(gain)),
      'pitch_error_cents': cents if np.isfinite(cents) else None,
    }
