import errno
import os

import numpy as np
import pytest
import soundfile

from embedding_rnn.utils import files, wav


def test_audio_that_is_too_loud_is_scaled_and_says_so(tmp_path):
  time = np.arange(16000) / 16000
  sine = np.sin(2 * np.pi * 440 * time).astype(np.float32)
  quiet = wav.write_wav(tmp_path / 'quiet.wav', 0.5 * sine, 16000)
  loud = wav.write_wav(tmp_path / 'loud.wav', 1.5 * sine, 16000)
  assert quiet == 0
  assert loud == pytest.approx(20 * np.log10(0.99 / 1.5), abs=1e-3)
  assert np.abs(soundfile.read(tmp_path / 'quiet.wav')[0]).max() < 0.501
  assert 0.98 < np.abs(soundfile.read(tmp_path / 'loud.wav')[0]).max() < 1


def test_full_disk(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(files.os, 'replace', full)
  with pytest.raises(OSError, match='No space left'):
    wav.write_wav(tmp_path / 'full.wav', np.zeros(64_000, np.float32), 16000)
  assert not list(tmp_path.iterdir())
