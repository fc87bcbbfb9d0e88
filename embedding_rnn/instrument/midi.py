"""The notes of a MIDI file, in seconds."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from typing import Any, NamedTuple

import mido
from absl import logging

from embedding_rnn.utils import reading

_DRUM_CHANNEL = 9  # of General MIDI, counted from 0
_SUSTAIN, _PEDAL_DOWN = 64, 64  # controller, and its least value
_MAX_SECONDS = 3600.0
_LONGEST_NOTE_SECONDS = 60.0
# What mido raises on files that are no MIDI, or damaged.
_DAMAGE = (
  OSError,
  ValueError,
  EOFError,
  KeyError,
  IndexError,
  TypeError,
  mido.KeySignatureError,
)


class PlayedNote(NamedTuple):
  """A note of a song.

  Attributes:
    start_s: when it begins, in seconds.
    seconds: for how long it is held, by key or by pedal.
    midi_pitch: 0..127.
    velocity: MIDI, 1..127.
    part: place of its part in `Song.parts`.
  """

  start_s: float
  seconds: float
  midi_pitch: int
  velocity: int
  part: int


class Song(NamedTuple):
  """What a MIDI file has to play.

  Attributes:
    parts: names, one for each track and channel that has notes.
    notes: in the order of their beginnings.
  """

  parts: list[str]
  notes: list[PlayedNote]


def read_song(path: str | os.PathLike[str]) -> Song:
  """Reads a MIDI file.

  Tempo changes are followed, and the sustain pedal holds notes until it is
  released or the key is struck again. Drums are left out, with a warning.

  Args:
    path: of a standard MIDI file (.mid).

  Raises:
    OSError: if it cannot be read.
    ValueError: if it is damaged, has no notes, or lasts more than an hour.
  """
  content = io.BytesIO(reading.read_bytes(path))
  try:
    file = mido.MidiFile(file=content)
    events = _events(file)
  except _DAMAGE as error:
    reason = str(error) or 'it ends too early'
    raise ValueError(
      f"'{os.fspath(path)}' is no MIDI file, or damaged ({reason}); save it "
      'again as a standard MIDI file.'
    ) from error
  seconds = events[-1][0] if events else 0.0
  if seconds > _MAX_SECONDS:
    raise ValueError(
      f"'{os.fspath(path)}' lasts {seconds / 60:.0f} minutes; expected at most "
      f'{_MAX_SECONDS / 60:.0f}. Cut it into pieces.'
    )
  keys = sorted(
    {(track, m.channel) for _, track, m in events if m.type == 'note_on'}
  )
  drums = [key for key in keys if key[1] == _DRUM_CHANNEL]
  keys = [key for key in keys if key[1] != _DRUM_CHANNEL]
  if drums:
    logging.warning('Drums (channel 10) have no pitch: they are left out.')
  notes: list[PlayedNote] = []
  for part, key in enumerate(keys):
    own = [(time, m) for time, track, m in events if (track, m.channel) == key]
    notes += _notes_of(own, part)
  if not notes:
    raise ValueError(f"'{os.fspath(path)}' has no notes to play.")
  names = [track.name.strip() for track in file.tracks]
  parts = [
    names[track] or f'track {track + 1}, channel {channel + 1}'
    for track, channel in keys
  ]
  return Song(parts, sorted(notes))


def _events(file: Any) -> list[tuple[float, int, Any]]:
  """(time in seconds, track, message) of all channel messages, in order."""
  timed = []
  for number, track in enumerate(file.tracks):
    ticks = 0
    for message in track:
      ticks += message.time
      timed.append((ticks, number, message))
  timed.sort(key=lambda event: event[0])
  is_joined = file.type != 2  # there, each track has a time of its own
  if not is_joined:
    raise ValueError('its tracks are independent songs (type 2)')
  if not file.ticks_per_beat > 0:
    raise ValueError(f'it has {file.ticks_per_beat} ticks to a beat')
  events, seconds, before, tempo = [], 0.0, 0, 500_000
  for ticks, number, message in timed:
    seconds += mido.tick2second(ticks - before, file.ticks_per_beat, tempo)
    before = ticks
    if message.type == 'set_tempo':
      tempo = message.tempo
    elif not message.is_meta and hasattr(message, 'channel'):
      events.append((seconds, number, message))
  return events


def _notes_of(events: list[tuple[float, Any]], part: int) -> list[PlayedNote]:
  """The notes of one part; what is never released ends with the part."""
  notes: list[PlayedNote] = []
  sounding: dict[int, list[tuple[float, int]]] = defaultdict(list)
  released: set[int] = set()  # keys that the pedal still holds
  is_down = False

  def end(pitch: int, time: float) -> None:
    for start, velocity in sounding.pop(pitch, ()):
      seconds = min(time - start, _LONGEST_NOTE_SECONDS)
      notes.append(PlayedNote(start, seconds, pitch, velocity, part))
    released.discard(pitch)

  for time, message in events:
    if message.type == 'note_on' and message.velocity:
      end(message.note, time)  # One string, struck again.
      sounding[message.note].append((time, message.velocity))
    elif message.type in ('note_on', 'note_off'):
      if is_down:
        released.add(message.note)
      else:
        end(message.note, time)
    elif message.type == 'control_change' and message.control == _SUSTAIN:
      is_down = message.value >= _PEDAL_DOWN
      for pitch in () if is_down else sorted(released):
        end(pitch, time)
  last = events[-1][0]
  for pitch in sorted(sounding):
    end(pitch, last)
  return notes
