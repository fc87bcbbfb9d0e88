"""Notes to hear what a model makes of them while it learns."""

from __future__ import annotations

import numpy as np

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import metadata
from embedding_rnn.data.dataset import NoteDataset, some_rows
from embedding_rnn.training.trained_run import Run

_NUM_NOTES = 6


class Examples:
  """Some validation notes, always the same, and what a model makes of them.

  Args:
    dataset: of frames of the harmonic codec.
    run: the model, whose training goes on.
  """

  def __init__(self, dataset: NoteDataset, run: Run):
    # Notes of one instrument lie together, so these are of several.
    rows = some_rows(np.sort(dataset.rows['valid']), _NUM_NOTES)
    self._run = run
    self._notes, self._conditions = dataset.notes(rows)
    self._pitches, velocities = dataset.midi_numbers(rows)
    labels = dataset.names(metadata.INSTRUMENTS, rows) or ['note'] * len(rows)
    self._names = [
      f'{label}-{pitch:03d}-{velocity:03d}-row{row}'
      for label, pitch, velocity, row in zip(
        labels, self._pitches, velocities, rows, strict=True
      )
    ]

  def originals(self) -> dict[str, np.ndarray]:
    """The notes, decoded: audio `[samples]` by name."""
    return self._decode(self._notes)

  def reconstructions(self) -> dict[str, np.ndarray]:
    """The same of their reconstructions, but for those that are not finite."""
    return self._decode(self._run.reconstruct(self._notes, self._conditions))

  def _decode(self, notes: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.flatnonzero(np.isfinite(notes).all(axis=(1, 2)))
    if not len(rows):
      return {}
    audios = HarmonicCodec().decode(notes[rows], self._pitches[rows])
    return {self._names[row]: x for row, x in zip(rows, audios, strict=True)}
