"""The embedded note collection as a source of audio."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import notes
from embedding_rnn.data.preparation.base import Labels, Note, Source
from embedding_rnn.data.preparation.recordings import Recording
from embedding_rnn.data.splits import SPLITS


class EmbeddedNotes(Source):
  """Notes of a collection, decoded by the harmonic codec when they are read.

  Args:
    collection: that of the package if None.
  """

  name = 'the embedded note collection'

  def __init__(self, collection: notes.NoteCollection | None = None):
    self._collection = notes.load() if collection is None else collection
    self.num_notes = len(self._collection.frames)

  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """As of `Source`."""
    collection = self._collection
    for row in range(start, stop):
      labels = Labels(
        int(collection.midi_pitch[row]),
        int(collection.velocity[row]),
        collection.instrument_names[collection.instrument_ids[row]],
        collection.family_names[collection.family_ids[row]],
        SPLITS[collection.split[row]],
      )
      read = functools.partial(self._read, row)
      yield Note(collection.note_name(row), labels, read)

  def facts(self) -> Iterable[str]:
    """As of `Source`."""
    return map(self._collection.note_name, range(self.num_notes))

  def _read(self, row: int) -> Recording:
    codec, collection = HarmonicCodec(), self._collection
    audio = codec.decode(collection.frames[row], collection.midi_pitch[row])
    return Recording(audio, codec.sample_rate, len(audio))
