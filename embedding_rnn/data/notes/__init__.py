"""The embedded note collection: something to train on with nothing to download.

Some 3,000 notes of 111 instruments, rendered as NSynth's were (one instrument,
one pitch, one velocity; held 3 s, released 1 s; 16 kHz) from the FluidR3 GM
soundfont by `make_notes.py`, and kept as frames of the harmonic codec:

  collection = load()
  train = collection.frames[collection.split == 0]   # [N, 125, 16]
  write_data_dir('data/notes')                       # the same, as .npy files
"""

import dataclasses
import os
import pathlib
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import soundfile
from absl import logging

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data import metadata, splits, writing
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.model.hparams import HParams
from embedding_rnn.utils import cli, files, locks, reading

FILE_NAME = 'notes.npz'
# What reading a file raises that is not there, cut short, or not what it was.
_DAMAGE = (*files.ARRAY_DAMAGE, OSError, zlib.error)
_NOTES_AT_ONCE = 512
_PACKAGE_FOLDER = pathlib.Path(__file__).parent
# NSynth's, in its order.
_FAMILIES = (
  'bass brass flute guitar keyboard mallet organ reed string synth_lead vocal'
)
FAMILY_NAMES = tuple(_FAMILIES.split())


@dataclasses.dataclass(frozen=True)
class NoteCollection:
  """Encoded notes; no instrument is in two splits.

  Attributes:
    frames: [N, 125, 16] float32, of `HarmonicCodec`.
    midi_pitch: [N] int64, 0..127.
    velocity: [N] int64, one of NSynth's 25, 50, 75, 100, 127.
    instrument_ids: [N] int64, places in `instrument_names`.
    family_ids: [N] int64, places in `family_names`.
    split: [N] int8: 0 train, 1 valid, 2 test.
    original_rows: [M] int64, the notes whose audio is kept, too.
    instrument_names: such as 'keyboard_000_yamaha_grand_piano'.
    family_names: the 11 families of NSynth.
    source: what the notes were made from.
  """

  frames: np.ndarray
  midi_pitch: np.ndarray
  velocity: np.ndarray
  instrument_ids: np.ndarray
  family_ids: np.ndarray
  split: np.ndarray
  original_rows: np.ndarray
  instrument_names: list[str]
  family_names: list[str]
  source: str

  def note_name(self, row: int) -> str:
    """NSynth's way to name a note: instrument, pitch, velocity."""
    instrument = self.instrument_names[self.instrument_ids[row]]
    return f'{instrument}-{self.midi_pitch[row]:03d}-{self.velocity[row]:03d}'


def load(folder: str | os.PathLike = _PACKAGE_FOLDER) -> NoteCollection:
  """Loads the collection of the package, or one made by `make_notes.py`.

  Args:
    folder: where `make_notes.py` wrote a collection.

  Raises:
    ValueError: the collection is missing or damaged.
  """
  path = pathlib.Path(folder) / FILE_NAME
  try:
    reading.expect_plain_file(path)
    with path.open('rb') as stream, np.load(stream, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
      about = reading.parse_json(arrays.pop('about').tobytes())
      frames = arrays.pop('frames').astype(np.float32)
      split = arrays.pop('split').astype(np.int8)
      whole = {name: a.astype(np.int64) for name, a in arrays.items()}
      return NoteCollection(frames=frames, split=split, **whole, **about)
  except _DAMAGE as error:
    raise ValueError(
      f'{path} is missing or damaged ({error}); reinstall the package, or make '
      'it with `python -m embedding_rnn.data.notes.make_notes`.'
    ) from error


def open_in_memory(hps: HParams) -> NoteDataset:
  """The collection of the package as a data set, without its files.

  Args:
    hps: of these, velocity_context is read.
  """
  collection, one_hot = load(), np.eye(NUM_MIDI, dtype=np.float32)
  return NoteDataset(
    data_dir=str(_PACKAGE_FOLDER),
    frames=collection.frames,
    pitches=one_hot[collection.midi_pitch],
    velocities=one_hot[collection.velocity],
    rows=splits.given_split(collection.split),
    instrument_ids=collection.instrument_ids,
    instrument_family_ids=collection.family_ids,
    metadata=_metadata(collection),
    velocity_context=bool(hps.velocity_context),
  )


def originals(
  folder: str | os.PathLike = _PACKAGE_FOLDER,
) -> list[tuple[str, int, np.ndarray]]:
  """The held-out notes that are there as audio: one of each family.

  Args:
    folder: as in `load`.

  Returns:
    A list of (note name, row in the collection, audio), audio being float32
    [64000] in -1..1 at 16 kHz.
  """
  collection = load(folder)
  notes = []
  for row in collection.original_rows.tolist():
    name = collection.note_name(row)
    path = pathlib.Path(folder) / f'{name}.flac'
    audio, _ = soundfile.read(path, dtype='float32')
    notes.append((name, row, audio))
  return notes


def prepare_data_dir(
  data_dir: str | os.PathLike[str], needed: Iterable[str]
) -> None:
  """Writes the collection to a folder, unless there is data.

  Args:
    data_dir: a folder with data, or one that is missing or empty.
    needed: names of the files that data has at least.

  Raises:
    FileNotFoundError: if there is something, but not all that is needed.
    OSError: if the folder cannot be written.
  """
  reading.expect_path(data_dir)
  folder = pathlib.Path(data_dir).resolve()
  if _has_data(folder, data_dir, needed):
    return
  files.make_folder(folder.parent)
  # Two may begin at once, of which the second waits for the notes of the first.
  lock = folder.with_name(f'.{folder.name}.lock')
  with locks.exclusive(lock, is_kept=False):
    if _has_data(folder, data_dir, needed):
      return
    logging.info('Writing the embedded note collection to %s', data_dir)
    # All files appear at once, so that nothing can be there in part.
    with files.replacing_folder(folder) as temporary:
      write_data_dir(temporary)


def _has_data(
  folder: pathlib.Path, data_dir: str | os.PathLike[str], needed: Iterable[str]
) -> bool:
  """Whether there is something; raises if it is not all that is needed."""
  if folder.exists() and not folder.is_dir():
    raise NotADirectoryError(
      f"'{data_dir}' is a file; set --data_dir to a folder."
    )
  if not folder.exists() or not any(folder.iterdir()):
    return False
  missing = [name for name in needed if not (folder / name).is_file()]
  if missing:
    raise FileNotFoundError(
      f"'{data_dir}' is not empty, but lacks {', '.join(missing)}; complete "
      'your data, or set --data_dir to a new folder for the embedded notes.'
    )
  return True


def write_data_dir(
  data_dir: str | os.PathLike, collection: NoteCollection | None = None
) -> None:
  """Writes a collection as the .npy files of a data directory.

  `dataset.json` comes last: where it stands, the other files are complete.

  Args:
    data_dir: folder to write to; made if it is not there.
    collection: what to write; None for the package's.
  """
  collection = load() if collection is None else collection
  folder = pathlib.Path(data_dir)
  folder.mkdir(parents=True, exist_ok=True)
  arrays = [getattr(collection, name) for name in writing.Notes._fields]
  num_notes = len(collection.frames)
  starts = cli.progress_bar(
    range(0, num_notes, _NOTES_AT_ONCE), desc='Writing data'
  )
  parts = (
    writing.Notes(*(array[i : i + _NOTES_AT_ONCE] for array in arrays))
    for i in starts
  )
  writing.write_notes(folder, num_notes, parts)
  files.write_json(folder / metadata.FILE, _metadata(collection))


def _metadata(collection: NoteCollection) -> dict[str, Any]:
  """What there is to say of a collection as a data set."""
  return (
    metadata.of_codec(HarmonicCodec())
    | metadata.SPLIT_NAMES
    | metadata.of_names(collection.instrument_names, collection.family_names)
    | {'source': collection.source}
  )
