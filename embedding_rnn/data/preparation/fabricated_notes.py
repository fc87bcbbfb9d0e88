"""A few notes in every format that NSynth comes in, for the tests."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
import soundfile
import tensorflow as tf

from embedding_rnn.data.notes import FAMILY_NAMES
from embedding_rnn.data.preparation.base import Labels

_FOLDER = pathlib.Path(__file__).parents[2] / 'testdata' / 'nsynth'
_SPLITS = 10 * ['train'] + 3 * ['valid'] + 3 * ['test']
SAMPLE_RATE = 16_000


class FabricatedNote(NamedTuple):
  """A real note with labels that are made up, but for its pitch."""

  name: str
  labels: Labels
  audio: np.ndarray


@functools.cache
def all_notes() -> list[FabricatedNote]:
  """Sixteen notes, each of an instrument of its own."""
  notes = []
  paths = sorted(_FOLDER.glob('*.flac'))
  for i, (path, split) in enumerate(zip(paths, _SPLITS, strict=True)):
    audio, _ = soundfile.read(path, dtype='float32')
    pitch, velocity = int(path.stem[-3:]), (25, 50, 75, 100, 127)[i % 5]
    family = FAMILY_NAMES[i % len(FAMILY_NAMES)]
    instrument = f'{family}_acoustic_{i:03d}'
    labels = Labels(pitch, velocity, instrument, family, split)
    name = f'{instrument}-{pitch:03d}-{velocity:03d}'
    notes.append(FabricatedNote(name, labels, audio))
  return notes


def features(note: FabricatedNote) -> dict[str, Any]:
  """The published features of a note, but for the audio."""
  labels = note.labels
  family = FAMILY_NAMES.index(labels.family)
  return {
    'note': 1000 + family,
    'note_str': note.name,
    'instrument': int(labels.instrument[-3:]),
    'instrument_str': labels.instrument,
    'pitch': labels.midi_pitch,
    'velocity': labels.velocity,
    'sample_rate': SAMPLE_RATE,
    'qualities': [0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
    'qualities_str': ['dark', 'reverb'],
    'instrument_family': family,
    'instrument_family_str': labels.family,
    'instrument_source': 0,
    'instrument_source_str': 'acoustic',
  }


def write_wavs(folder: pathlib.Path) -> None:
  """Writes wavs, in a folder for each split."""
  for note in all_notes():
    path = folder / note.labels.split / f'{note.name}.wav'
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, note.audio, SAMPLE_RATE, 'PCM_16')


def write_json_folders(folder: pathlib.Path) -> None:
  """Writes nsynth-train, nsynth-valid and nsynth-test."""
  for split in dict.fromkeys(_SPLITS):
    notes = [note for note in all_notes() if note.labels.split == split]
    audio = folder / f'nsynth-{split}' / 'audio'
    audio.mkdir(parents=True)
    for note in notes:
      soundfile.write(
        audio / f'{note.name}.wav', note.audio, SAMPLE_RATE, 'PCM_16'
      )
    examples = {note.name: features(note) for note in notes}
    text = json.dumps(examples, indent=4)
    (audio.parent / 'examples.json').write_text(text)


def write_tfrecords(folder: pathlib.Path) -> None:
  """Writes nsynth-train.tfrecord and so on."""
  folder.mkdir(exist_ok=True)
  for split in dict.fromkeys(_SPLITS):
    with tf.io.TFRecordWriter(str(folder / f'nsynth-{split}.tfrecord')) as file:
      for note in all_notes():
        if note.labels.split == split:
          file.write(example({**features(note), 'audio': note.audio}))


def example(values: dict[str, Any]) -> bytes:
  """A record of values, which are numbers, texts, bytes or lists of them."""
  encoded = {}
  for name, value in values.items():
    values_of = np.atleast_1d(value)
    if values_of.dtype.kind == 'f':
      feature = tf.train.Feature(float_list=tf.train.FloatList(value=values_of))
    elif values_of.dtype.kind == 'i':
      feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values_of))
    else:
      texts = [
        bytes(text) if isinstance(text, bytes) else str(text).encode()
        for text in values_of
      ]
      feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    encoded[name] = feature
  return tf.train.Example(
    features=tf.train.Features(feature=encoded)
  ).SerializeToString()
