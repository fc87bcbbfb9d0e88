"""NSynth's notes in TFRecords, and in TensorFlow Datasets."""

from __future__ import annotations

import functools
import os
import pathlib
import reprlib
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data.preparation.base import (
  Note,
  Source,
  labels_of,
  split_of,
)
from embedding_rnn.data.preparation.recordings import Recording
from embedding_rnn.data.splits import SPLITS
from embedding_rnn.utils import cli, files, reading

# A record is its length in 8 bytes, their checksum in 4, the content, and its
# checksum in 4.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4

_TEXTS = ('note_str', 'instrument_str', 'instrument_family_str')
_FEATURES = (
  *_TEXTS,
  'pitch',
  'velocity',
  'audio',
  'sample_rate',
  'instrument_family',
)


class TFRecordFile(Source):
  """A file of NSynth's TFRecords, of which any range can be read at once.

  Of the published features, note_str, pitch, velocity and audio must be there;
  sample_rate, instrument_str, instrument_family_str and instrument_family are
  used if they are.

  Args:
    path: the file, not compressed.

  Raises:
    ValueError: if it is damaged, truncated or something else.
  """

  def __init__(self, path: str | os.PathLike[str]):
    self.name = os.fspath(path)
    self._offsets = _index(pathlib.Path(path))
    self._split = split_of(pathlib.Path(path).name)
    self.num_notes = len(self._offsets) - 1

  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """As of `Source`."""
    for number, record in enumerate(self._records(start, stop), start):
      where = f"'{self.name}', record {number}"
      try:
        example = tf.train.Example.FromString(record)
      except Exception as error:  # protobuf has an own one for each version
        raise ValueError(f'{where} is no tf.train.Example: {error}') from error
      try:
        values = {
          name: _values(feature)
          for name, feature in example.features.feature.items()
          if name in _FEATURES
        }
        note = _note_of(values, self._split, where)
      except UnicodeDecodeError as error:
        raise ValueError(
          f'{where}: one of {", ".join(_TEXTS)} is no text of UTF-8 ({error}); '
          'write the file again.'
        ) from error
      yield note

  def facts(self) -> Iterable[str]:
    """As of `Source`."""
    sizes = np.diff(self._offsets)
    return [os.path.basename(self.name), *map(str, sizes.tolist())]

  def fingerprint(self, start: int, stop: int) -> str:
    """As of `Source`: of the checksums that are in the file."""
    crc = 0
    with open(self.name, 'rb', buffering=0) as file:
      for end in self._offsets[start + 1 : stop + 1].tolist():
        footer = os.pread(file.fileno(), _FOOTER_BYTES, end - _FOOTER_BYTES)
        crc = zlib.crc32(footer, crc)
    return f'{crc:08x}'

  def _records(self, start: int, stop: int) -> Iterator[bytes]:
    with (
      open(self.name, 'rb') as file,
      tempfile.NamedTemporaryFile(suffix='.tfrecord') as part,
    ):
      file.seek(self._offsets[start])
      content = file.read(self._offsets[stop] - self._offsets[start])
      with files.named(part.name):
        part.write(content)
        part.flush()
      # TensorFlow compares the checksums, but it reads from the start.
      try:
        yield from tf.data.TFRecordDataset(part.name).as_numpy_iterator()
      except tf.errors.DataLossError as error:
        raise ValueError(
          f"'{self.name}' is damaged in one of its records {start} to "
          f'{stop - 1}; fetch the file again.'
        ) from error


def _index(path: pathlib.Path) -> np.ndarray:
  """Where each record begins, and where the last ends: int64 `[N + 1]`."""
  reading.expect_plain_file(path)
  size = path.stat().st_size
  offsets = [0]
  with (
    path.open('rb', buffering=0) as file,
    cli.progress_bar(
      total=size,
      desc=f'Reading {path.name}',
      unit='B',
      unit_scale=True,
      delay=2,
      leave=False,
    ) as bar,
  ):
    while offsets[-1] < size:
      header = os.pread(file.fileno(), _HEADER_BYTES, offsets[-1])
      length = struct.unpack('<Q', header[:8].ljust(8, b'\xff'))[0]
      end = offsets[-1] + _HEADER_BYTES + length + _FOOTER_BYTES
      if end > size:
        raise ValueError(
          f"'{path}' is no whole TFRecord file: record {len(offsets) - 1}, at "
          f'byte {offsets[-1]} of {size}, is cut off or damaged. Unpack or '
          'fetch it again; it must not be compressed.'
        )
      bar.update(end - offsets[-1])
      offsets.append(end)
  return np.array(offsets, np.int64)


def _values(feature: Any) -> Any:
  """What a feature holds: a number or text if it is one, else an array."""
  kind = feature.WhichOneof('kind')
  values: Any = getattr(feature, kind).value if kind else ()
  if len(values) == 1 and kind != 'float_list':
    return values[0].decode() if kind == 'bytes_list' else values[0]
  return list(values) if kind == 'bytes_list' else np.asarray(values)


def _rate_of(values: Mapping[str, Any], where: str) -> int:
  """The sample rate in Hz, which may be a float; NSynth's if not given."""
  rate = np.asarray(values.get('sample_rate', SAMPLE_RATE)).reshape(-1)
  is_number = rate.shape == (1,) and rate.dtype.kind in 'iuf'
  if not (is_number and 0 < rate[0] < np.inf):
    raise ValueError(
      f'{where}: sample_rate is {rate.tolist()}; expected a number of Hz.'
    )
  return int(rate[0])


def _note_of(values: Mapping[str, Any], split: str | None, where: str) -> Note:
  """The note of NSynth's features; their texts as str."""
  missing = {'note_str', 'pitch', 'velocity', 'audio'} - set(values)
  if missing:
    raise ValueError(
      f'{where}: there is no {", ".join(sorted(missing))}, but '
      f'{", ".join(sorted(values)) or "nothing"} of the features of '
      'NSynth.'
    )
  name = values['note_str']
  if not isinstance(name, str):
    raise ValueError(
      f'{where}: its note_str is {reprlib.repr(name)}; expected a text.'
    )
  labels = labels_of(name, dict(values), f'{where} ({name})')
  audio = np.asarray(values['audio'])
  if audio.ndim != 1 or audio.dtype.kind not in 'iuf':
    raise ValueError(
      f'{where}: audio is {audio.dtype} of shape {audio.shape}; expected '
      'float32 [samples].'
    )
  recording = Recording(audio, _rate_of(values, where), len(audio))
  return Note(name, labels._replace(split=split), lambda: recording)


class TfdsSplit(Source):
  """A split of a data set of TensorFlow Datasets with NSynth's features.

  Args:
    dataset: such as 'nsynth' or 'nsynth/gansynth_subset'.
    split: its name.

  Raises:
    ValueError: if TensorFlow Datasets is not installed.
    FileNotFoundError: if it has not prepared the data set.
  """

  def __init__(self, dataset: str, split: str):
    self.name = f'tfds:{dataset}, {split}'
    self._dataset, self._split = dataset, split
    self.num_notes = self._builder.info.splits[split].num_examples

  def __reduce__(self) -> tuple[Any, ...]:
    """Other processes open it anew."""
    return TfdsSplit, (self._dataset, self._split)

  @functools.cached_property
  def _builder(self) -> Any:
    return open_tfds(self._dataset)

  def notes(self, start: int, stop: int) -> Iterator[Note]:
    """As of `Source`."""
    examples = self._builder.as_dataset(
      split=f'{self._split}[{start}:{stop}]', shuffle_files=False
    )
    for example in _load_tfds().as_numpy(examples):
      name = example['id'].decode()
      values = {
        'note_str': name,
        'pitch': example['pitch'],
        'velocity': example['velocity'],
        'audio': example['audio'],
        'instrument_family': example['instrument']['family'],
      }
      yield _note_of(values, split_of(self._split), self.name)

  def facts(self) -> Iterable[str]:
    """As of `Source`."""
    info = self._builder.info
    return [info.full_name, self._split, str(self.num_notes)]


def open_tfds(dataset: str) -> Any:
  """The builder of a prepared data set; errors as of `TfdsSplit`."""
  builder = _load_tfds().builder(dataset)
  if not builder.info.splits:
    raise FileNotFoundError(
      f'TensorFlow Datasets has no {dataset!r} in {builder.data_dir!r}; '
      f'prepare it with `tfds build {dataset}`, or set TFDS_DATA_DIR to the '
      'folder that has it.'
    )
  return builder


def tfds_splits(dataset: str) -> list[TfdsSplit]:
  """The splits of a data set, train first; errors as of `TfdsSplit`."""
  splits = open_tfds(dataset).info.splits
  return [TfdsSplit(dataset, name) for name in SPLITS if name in splits]


def _load_tfds() -> Any:
  try:
    import tensorflow_datasets  # one may do without it

    return tensorflow_datasets
  except ModuleNotFoundError as error:
    if error.name != 'tensorflow_datasets':
      raise
    raise ValueError(
      'TensorFlow Datasets is not installed, so it cannot be the source: `pip '
      'install tensorflow-datasets`, or name the files of NSynth.'
    ) from error
