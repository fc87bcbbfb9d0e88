"""Notes in audio files: any folder of them, or NSynth's own."""

from __future__ import annotations

import csv
import functools
import json
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

import soundfile
from absl import logging

from embedding_rnn.audio.pitch import estimate_pitch
from embedding_rnn.data.checks import DEFAULT_VELOCITY
from embedding_rnn.data.preparation.base import (
  Labels,
  Note,
  Source,
  family_of,
  labels_of,
  midi_number,
  parse_name,
  split_of,
)
from embedding_rnn.data.preparation.recordings import READ_SECONDS, Recording
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import cli, reading

TABLE = 'notes.csv'
EXAMPLES = 'examples.json'
AUDIO_SUFFIXES = ('.wav', '.flac', '.aif', '.aiff', '.ogg', '.mp3')
_EXCERPT_BYTES = 4096
_LEAST_CONFIDENCE = 0.5  # of a pitch that is heard
_JSON_CHUNK = 1 << 20  # characters
_MAX_ITEM = 4 << 20
# The order of bytes in the sizes of chunks, and the chunk of samples.
_CHUNKS: dict[bytes, tuple[Literal['little', 'big'], bytes]] = {
  b'RIFFWAVE': ('little', b'data'),
  b'RIFXWAVE': ('big', b'data'),
  b'FORMAIFF': ('big', b'SSND'),
  b'FORMAIFC': ('big', b'SSND'),
}
_COLON = re.compile(r'\s*:\s*')


class AudioFolder(Source):
  """Files of audio.

  Args:
    folder: where they are.
    labels: by their paths in it, in order.
  """

  def __init__(self, folder: pathlib.Path, labels: dict[str, Labels]):
    self.name = str(folder)
    self.num_notes = len(labels)
    self._folder = folder
    self._files = list(labels)
    self._labels = labels
    names = folder.absolute().parts
    # NSynth's archives have the name of the split one higher.
    self._parents = names[-2:] if folder.name == 'audio' else names[-1:]

  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """As of `Source`."""
    for file in self._files[start:stop]:
      labels = self._labels_of(file)
      read = functools.partial(read_audio_file, self._folder / file)
      yield Note(file, labels, read)

  def facts(self) -> Iterable[str]:
    """As of `Source`."""
    return (f'{file} {self._labels_of(file)}' for file in self._files)

  def fingerprint(self, start: int, stop: int) -> str:
    """As of `Source`: of their sizes, beginnings and middles."""
    crc = 0
    for file in self._files[start:stop]:
      crc = zlib.crc32(_excerpt(self._folder / file), crc)
    return f'{crc:08x}'

  def _labels_of(self, file: str) -> Labels:
    labels = self._labels[file]
    if labels.split is None:
      labels = labels._replace(
        split=split_of(*self._parents, *pathlib.PurePath(file).parts[:-1])
      )
    return labels


def open_wav_folder(folder: str | os.PathLike[str]) -> AudioFolder:
  """A folder of audio files, at any depth, in the order of their paths.

  A file's pitch and velocity are in its name, as NSynth's are, or in the file
  notes.csv in the folder, a table with the columns file, pitch and velocity,
  and as you like instrument, family and split (train, valid or test). Else the
  pitch is heard in the sound, and the velocity taken to be 100.

  Args:
    folder: with files that libsndfile reads: wav, flac, aiff, ogg, mp3.

  Raises:
    FileNotFoundError: if there are none, or one in the table is missing.
    ValueError: for a bad table, or files of which no pitch is known or heard.
  """
  folder = pathlib.Path(folder)
  files, others = [], 0
  for parent, _, names in os.walk(folder):
    for name in names:
      path = os.path.relpath(os.path.join(parent, name), folder)
      if name.startswith('.') or path == TABLE:
        continue
      if name.lower().endswith(AUDIO_SUFFIXES):
        files.append(path)
      else:
        others += 1
  if not files:
    raise FileNotFoundError(
      f"There is no audio in '{folder}'; expected files that end in "
      f'{", ".join(AUDIO_SUFFIXES)}.'
    )
  if others:
    logging.info("%d files of '%s' are no audio: not used.", others, folder)
  files.sort()
  table = _read_table(folder / TABLE)
  missing = sorted(set(table) - set(files))
  if missing:
    raise FileNotFoundError(
      f"'{folder / TABLE}' lists {len(missing)} files that are not there, such "
      f'as {missing[0]!r}; correct the table.'
    )
  labels, unknown = {}, []
  for file in files:
    known = table.get(file) or parse_name(pathlib.PurePath(file).stem)
    if known:
      labels[file] = known
    else:
      unknown.append(file)
  labels |= _hear(unknown, folder)
  return AudioFolder(folder, {file: labels[file] for file in files})


def open_json_folder(folder: str | os.PathLike[str]) -> AudioFolder:
  """NSynth's json and wav folder: examples.json, and audio/*.wav.

  Args:
    folder: such as 'nsynth-train'.

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: if examples.json is damaged, or tells no pitch or velocity.
  """
  folder = pathlib.Path(folder)
  path = folder / EXAMPLES
  labels = {}
  for name, values in _read_json_items(path):
    file = os.path.join('audio', f'{name}.wav')
    if pathlib.PurePath(file).parts != ('audio', f'{name}.wav'):
      raise ValueError(
        f"'{path}' has the note {name!r}, which names no file in the folder "
        'audio; correct it.'
      )
    if file in labels:
      raise ValueError(
        f"'{path}' has the note {name!r} twice; unpack the archive again."
      )
    labels[file] = labels_of(name, values, f"'{path}', {name!r}")
  if not labels:
    raise ValueError(f"'{path}' lists no notes.")
  audio = folder / 'audio'
  there = {e.name for e in os.scandir(audio)} if audio.is_dir() else set()
  missing = [f for f in labels if os.path.basename(f) not in there]
  if missing:
    raise FileNotFoundError(
      f"'{path}' lists {len(missing)} notes whose file is not there, such as "
      f"'{folder / missing[0]}'; unpack the archive again."
    )
  if others := len(there) - len(labels):
    logging.info(
      "%d files of '%s' are not in %s: not used.", others, audio, EXAMPLES
    )
  return AudioFolder(folder, labels)


def _excerpt(path: pathlib.Path) -> bytes:
  """The size of a file, and what is in two places of it."""
  if not path.is_file():  # a pipe would wait for a writer
    return b''
  with path.open('rb', buffering=0) as file:
    size = os.fstat(file.fileno()).st_size
    places = (0, size // 2)
    parts = [os.pread(file.fileno(), _EXCERPT_BYTES, place) for place in places]
  return b''.join([str(size).encode(), *parts])


def read_audio_file(path: str | os.PathLike[str]) -> Recording:
  """The beginning of an audio file; ValueError if it is none."""
  if not os.path.isfile(path):
    raise ValueError('it is no file')
  _expect_whole_chunks(path)
  try:
    with soundfile.SoundFile(path) as file:
      frames = min(int(READ_SECONDS * file.samplerate) + 1, file.frames)
      audio = file.read(frames, dtype='float32', always_2d=True)
      if len(audio) < frames:
        raise ValueError(
          f'it is cut off after {len(audio)} of {file.frames} samples'
        )
      return Recording(audio, file.samplerate, file.frames)
  except soundfile.LibsndfileError as error:
    raise ValueError(f'it cannot be read: {error}') from error


def _hear(files: list[str], folder: pathlib.Path) -> dict[str, Labels]:
  """The labels by file of what has a pitch; ValueError if some have none."""
  heard, rows, unknown = {}, [], []
  for file in cli.progress_bar(
    files, 'Hearing pitches', unit='note', disable=not files
  ):
    try:
      audio, sample_rate, _ = read_audio_file(folder / file)
    except ValueError as error:
      raise ValueError(f"'{folder / file}': {error}.") from error
    found = estimate_pitch(audio.mean(axis=1), sample_rate)
    if found.confidence < _LEAST_CONFIDENCE:
      unknown.append(file)
      continue
    heard[file] = Labels(found.midi_pitch, DEFAULT_VELOCITY)
    rows.append(
      {
        'file': file,
        'pitch': found.midi_pitch,
        'cents above it': round(found.cents),
        'confidence': found.confidence,
      }
    )
  if unknown:
    raise _unknown_error(unknown, folder)
  if rows:
    logging.info(
      "Pitches that were heard; what is wrong, correct in '%s':\n%s",
      folder / TABLE,
      cli.format_table(rows),
    )
  return heard


def _expect_whole_chunks(path: str | os.PathLike[str]) -> None:
  """Raises ValueError if a wav or aiff file is not as long as it says.

  libsndfile reads what there is, so that a note would end in silence.
  """
  with open(path, 'rb') as file:
    size = os.fstat(file.fileno()).st_size
    kind = file.read(4) + file.read(8)[4:]
    order, samples = _CHUNKS.get(kind, (None, b''))
    while order is not None:
      header = file.read(8)
      name, length = header[:4], int.from_bytes(header[4:], order)
      end = file.tell() + length
      if len(header) < 8 or end > size:
        raise ValueError(
          f'it is cut off, or lies about its length: at byte {file.tell()} of '
          f'{size}, {length} bytes of {name!r} should follow'
        )
      file.seek(end + length % 2)
      if name == samples:
        rest = file.read(4)
        if rest and not rest.strip(b'\0').isascii():
          raise ValueError(
            f'it lies about its length: after its {length} bytes of samples '
            'there is more, and that is no chunk'
          )
        return


def _unknown_error(files: list[str], folder: pathlib.Path) -> ValueError:
  return ValueError(
    f"In {len(files)} files of '{folder}' no pitch can be heard, such as "
    f'{files[0]!r}. Name them as NSynth does, '
    'instrument-pitch-velocity, such as keyboard_acoustic_004-060-025.wav; '
    f"or describe them in '{folder / TABLE}', a table with the columns file, "
    'pitch and velocity (and as you like instrument, family and split), such '
    f'as:\nfile,pitch,velocity\n{files[0]},60,100'
  )


def _read_table(path: pathlib.Path) -> dict[str, Labels]:
  """The labels by file in notes.csv; {} if there is none."""
  if not path.exists():
    return {}
  try:
    return _parse_table(path)
  except (csv.Error, UnicodeDecodeError) as error:
    raise ValueError(
      f"'{path}' cannot be read ({error}); save it as a table with commas, in "
      'UTF-8.'
    ) from error


def _parse_table(path: pathlib.Path) -> dict[str, Labels]:
  labels = {}
  reading.expect_plain_file(path)
  with path.open(encoding='utf-8-sig', newline='') as file:
    reader = csv.DictReader(file)
    columns = set(reader.fieldnames or ())
    needed = {'file', 'pitch', 'velocity'}
    known = needed | {'instrument', 'family', 'split'}
    if not needed <= columns <= known:
      raise ValueError(
        f"'{path}' has the columns {', '.join(reader.fieldnames or ['none'])}; "
        'expected file, pitch, velocity, and perhaps instrument, family, split.'
      )
    for row in reader:
      where = f"'{path}', line {reader.line_num}"
      if None in row or None in row.values():
        raise ValueError(f'{where}: expected {len(columns)} values.')
      if row.get('split') and row['split'] not in SPLITS:
        raise ValueError(
          f'{where}: its split is {row["split"]!r}; expected '
          f'{", ".join(SPLITS)} or nothing.'
        )
      name = os.path.normpath(row['file'])
      if name in labels:
        raise ValueError(f'{where}: {name!r} is listed a second time.')
      instrument = row.get('instrument') or None
      labels[name] = Labels(
        midi_number(row['pitch'], 'pitch', where),
        midi_number(row['velocity'], 'velocity', where),
        instrument,
        row.get('family') or (instrument and family_of(instrument)),
        row.get('split') or None,
      )
  return labels


def _read_json_items(path: pathlib.Path) -> Iterator[tuple[str, dict]]:
  """Yields the items of an object of objects, without all of it in memory.

  Raises:
    ValueError: if it is damaged, or something else.
  """
  reading.expect_plain_file(path)
  try:
    yield from _decode_items(path)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"'{path}' is damaged: {error}; unpack the archive again."
    ) from error


def _decode_items(path: pathlib.Path) -> Iterator[tuple[str, dict]]:
  decoder = json.JSONDecoder(object_pairs_hook=reading.unique_names)
  before, text = '{', ''
  with path.open(encoding='utf-8') as file:
    while True:
      chunk = file.read(_JSON_CHUNK)
      text, position = text + chunk, 0
      try:
        while True:
          name, end = decoder.raw_decode(
            text, _skip(re.compile(rf'\s*{before}\s*'), text, position)
          )
          value, position = decoder.raw_decode(text, _skip(_COLON, text, end))
          if not (isinstance(name, str) and isinstance(value, dict)):
            raise ValueError(f'{str(name)[:60]!r} is no name of an object')
          reading.expect_plain([name, value])
          before = ','
          yield name, value
      except json.JSONDecodeError:
        text = text[position:]
        # There is no more that could complete it.
        if not chunk or len(text) > _MAX_ITEM:
          if before == ',' and text.strip() == '}':
            return
          raise


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
  match = pattern.match(text, position)
  if not match:
    raise json.JSONDecodeError(f'Expected {pattern.pattern}', text, position)
  return match.end()
