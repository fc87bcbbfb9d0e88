"""Opens sources of notes by their names; the embedded notes as one."""

from __future__ import annotations

import bisect
import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import notes
from embedding_rnn.data.preparation import audio_files
from embedding_rnn.data.preparation.base import Labels, Note, Source
from embedding_rnn.data.preparation.recordings import Recording
from embedding_rnn.data.splits import SPLITS

_TFDS = 'tfds:'


class Chain(Source):
  """Sources one after another.

  Args:
    parts: at least one.

  Raises:
    ValueError: for two parts of the same notes.
  """

  def __init__(self, parts: Sequence[Source]):
    self.parts = tuple(parts)
    self.name = ', '.join(part.name for part in self.parts)
    self._ends = list(itertools.accumulate(p.num_notes for p in self.parts))
    self.num_notes = self._ends[-1]
    seen: dict[str, Source] = {}
    for part in self.parts:
      other = seen.setdefault(part.sha256, part)
      whole = 0, part.num_notes
      if other is not part and (
        other.fingerprint(*whole) == part.fingerprint(*whole)
      ):
        raise ValueError(
          f'{part.name} and {other.name} hold the same notes; name each source '
          'once.'
        )

  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """As of `Source`."""
    for part, first, end in self._ranges(start, stop):
      yield from part.notes(first, end)

  def facts(self) -> Iterable[str]:
    """As of `Source`."""
    return (part.sha256 for part in self.parts)

  def fingerprint(self, start: int, stop: int) -> str:
    """As of `Source`."""
    return ' '.join(
      part.fingerprint(first, end)
      for part, first, end in self._ranges(start, stop)
    )

  def _ranges(self, start: int, stop: int) -> Iterator[tuple[Source, int, int]]:
    """The parts that have notes of a range, and which of theirs."""
    while start < stop:
      i = bisect.bisect_right(self._ends, start)
      offset = self._ends[i] - self.parts[i].num_notes
      end = min(stop, self._ends[i])
      yield self.parts[i], start - offset, end - offset
      start = end


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


def open_source(*names: str | os.PathLike[str]) -> Source:
  """Opens notes in files, folders or TensorFlow Datasets.

  Args:
    *names: each of them
      a folder of audio files, see `audio_files.open_wav_folder`,
      NSynth's json and wav folder, such as 'nsynth-train', or one with several,
      a file of NSynth's TFRecords, such as 'nsynth-train.tfrecord', or a folder
      of them, or
      'tfds:' and a data set of TensorFlow Datasets, such as 'tfds:nsynth'.

  Returns:
    The notes of all, in the order of the names.

  Raises:
    FileNotFoundError: if there are no notes.
    ValueError: for damaged or ambiguous sources.
  """
  if not names:
    raise ValueError('Name at least one source of notes.')
  parts = [part for name in names for part in _open(os.fspath(name))]
  parts = [part for part in parts if part.num_notes]
  if not parts:
    raise FileNotFoundError(
      f'There are no notes in {", ".join(map(str, names))}.'
    )
  return Chain(parts)


def _open(name: str) -> Sequence[Source]:
  if name.startswith(_TFDS):
    from embedding_rnn.data.preparation import tfrecords

    return tfrecords.tfds_splits(name.removeprefix(_TFDS))
  path = pathlib.Path(name)
  if path.is_dir():
    return _open_folder(path)
  if not path.exists():
    raise FileNotFoundError(f"There is no '{path}'; name a file or a folder.")
  if path.name == audio_files.EXAMPLES:
    return [audio_files.open_json_folder(path.parent)]
  if _is_tfrecord(path):
    return [_open_records(path)]
  raise ValueError(
    f"'{path}' is neither a folder nor a file of TFRecords; name the folder of "
    'audio files, or a file with .tfrecord in its name.'
  )


def _open_folder(folder: pathlib.Path) -> Sequence[Source]:
  json_files = sorted(
    [
      *folder.glob(audio_files.EXAMPLES),
      *folder.glob(f'*/{audio_files.EXAMPLES}'),
    ]
  )
  record_files = sorted(filter(_is_tfrecord, folder.iterdir()))
  if json_files and record_files:
    raise ValueError(
      f"'{folder}' holds both '{json_files[0]}' and '{record_files[0]}', "
      'perhaps of the same notes; name one kind.'
    )
  if json_files:
    return [audio_files.open_json_folder(path.parent) for path in json_files]
  if record_files:
    return list(map(_open_records, record_files))
  return [audio_files.open_wav_folder(folder)]


def _open_records(path: pathlib.Path) -> Source:
  # They take TensorFlow, and that takes seconds to import.
  from embedding_rnn.data.preparation import tfrecords

  return tfrecords.TFRecordFile(path)


def _is_tfrecord(path: pathlib.Path) -> bool:
  return '.tfrecord' in path.name and path.is_file()
