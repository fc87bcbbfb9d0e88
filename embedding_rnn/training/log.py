"""What training writes down on its way: TensorBoard events and history.csv."""

from __future__ import annotations

import csv
import errno
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tensorboard.plugins.hparams import api as hparams_api

from embedding_rnn import figures
from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import files, reading

COLUMNS = (
  'step',  # training steps done
  'split',  # train: mean over the steps since the last row; valid; test
  'cost',
  'r_cost',
  'kl_cost',
  'raw_kl',
  'learning_rate',  # of the last step; train only, as is kl_weight
  'kl_weight',
  'seconds',  # that the steps, or the evaluation, took
)
_EVENTS = 'events.out.tfevents.*'
_RECORD_BYTES = 16  # of a record, beside its content: its length and checksums
_PREFIXES = {'train': 'Train', 'valid': 'Valid', 'test': 'Eval'}
_TAGS = {
  'cost': '{}_Cost',
  'r_cost': '{}_Reconstr_Cost',
  'kl_cost': '{}_KL_Cost',
  'raw_kl': '{}_Raw_KL_Cost',
  'seconds': 'Time_Taken_{}',
  'learning_rate': 'Learning_Rate',
  'kl_weight': 'KL_Weight',
}


def restore_history(folder: pathlib.Path, history: bytes) -> None:
  """Makes history.csv again what it was at a save.

  It is no news that there are rows after those of the save, whole or torn. If
  the others have changed, a warning says so.

  Args:
    folder: the run's.
    history: the content of history.csv at the save.
  """
  path = folder / checkpoints.HISTORY
  reading.expect_plain_file(path)
  found = path.read_bytes() if path.exists() else None
  if found == history:
    return
  if found is None or not found.startswith(history):
    logging.warning(
      "'%s' %s; its rows up to the last save are written again from there.",
      path,
      'is missing' if found is None else 'is damaged',
    )
  files.write_bytes(path, history)


class NoLog:
  """Stands in for a TrainingLog where another worker writes it."""

  def __getattr__(self, name):
    return lambda *args: b''


class TrainingLog:
  """Writes each point of a run's course to TensorBoard and history.csv.

  history.csv only grows, row by row. A row that a crash tore, or that is later
  than the save from which training goes on, is gone with the next start.

  Args:
    folder: the run's.
    history: the content of history.csv to go on from; None to begin.
  """

  def __init__(self, folder: pathlib.Path, history: bytes | None = None):
    self._path = folder / checkpoints.HISTORY
    if history is None:
      header = ','.join(COLUMNS) + '\n'
      files.write_bytes(self._path, header.encode())
    else:
      restore_history(folder, history)
    self._file = self._path.open('ab')
    before = set(folder.glob(_EVENTS))
    self._writer = tf.summary.create_file_writer(str(folder))
    self._writer.init()
    (self._events,) = set(folder.glob(_EVENTS)) - before
    self._num_event_bytes = 0  # that are known to be there

  def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Writes one point.

    Args:
      step: number of training steps done.
      split: 'train', 'valid' or 'test'.
      values: by column of history.csv.
    """
    line = io.StringIO()
    row = {'step': step, 'split': split, **values}
    csv.DictWriter(line, COLUMNS, lineterminator='\n').writerow(row)
    with files.named(self._path):
      self._file.write(line.getvalue().encode())
      self._file.flush()
    tags = {
      _TAGS[name].format(_PREFIXES[split]): v for name, v in values.items()
    }
    self.write_scalars(step, tags)

  def write_hparams(self, values: Mapping[str, Any]) -> None:
    """Writes hyperparameters for TensorBoard's HParams view.

    That has one entry for a run's folder and reads it where it comes first, so
    it does no harm that training starts, and writes them, more than once.
    """
    plain = (bool, int, float, str)
    with self._writer.as_default():
      hparams_api.hparams(
        {k: v if isinstance(v, plain) else str(v) for k, v in values.items()},
        trial_id=self._path.parent.name,
      )
    self._flush()

  def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes values to TensorBoard alone, under their own tags."""
    with self._writer.as_default(step=step):
      for tag, value in values.items():
        tf.summary.scalar(tag, value)
    self._flush()

  def write_sounds(
    self, step: int, what: str, sounds: Mapping[str, np.ndarray]
  ) -> None:
    """Writes sounds and their spectrograms to TensorBoard.

    Args:
      step: number of training steps done.
      what: 'original' or 'reconstruction'.
      sounds: audio `[samples]` at 16 kHz, by name.
    """
    with self._writer.as_default(step=step):
      for name, audio in sounds.items():
        tag = f'{name}/{what}'
        tf.summary.audio(f'Audio/{tag}', audio[None, :, None], SAMPLE_RATE)
        image = figures.spectrogram_image(audio)
        tf.summary.image(f'Spectrogram/{tag}', image[None])
    self._flush()

  def _flush(self) -> None:
    """Writes events to the disk, and looks whether they are there.

    TensorFlow does not tell of all that a full disk did not take.
    """
    self._writer.flush()
    with self._events.open('rb') as file:
      end, size = self._num_event_bytes, os.fstat(file.fileno()).st_size
      while end < size:
        file.seek(end)
        length = int.from_bytes(file.read(8), 'little')
        end += _RECORD_BYTES + length
    if end != size:
      number = errno.ENOSPC
      raise OSError(number, os.strerror(number), str(self._events))
    self._num_event_bytes = size

  def history(self) -> bytes:
    """All of history.csv so far."""
    return self._path.read_bytes()

  def close(self) -> None:
    """Closes the files."""
    self._file.close()
    self._writer.close()
