"""Songs read, against mido's own way to play them."""

import os

import mido
import pytest

from embedding_rnn.instrument import midi
from embedding_rnn.instrument.midi import PlayedNote


def on(note, time=0, velocity=80, channel=0):
  return mido.Message(
    'note_on', note=note, velocity=velocity, channel=channel, time=time
  )


def off(note, time=0, channel=0):
  return mido.Message('note_off', note=note, channel=channel, time=time)


def pedal(value, time=0):
  return mido.Message('control_change', control=64, value=value, time=time)


def save(path, *tracks, file_type=1):
  """Tracks of 100 ticks to a beat, 0.5 s each unless a track says otherwise."""
  file = mido.MidiFile(ticks_per_beat=100, type=file_type)
  file.tracks.extend(mido.MidiTrack(track) for track in tracks)
  file.save(path)
  return path


def test_changes_of_tempo_are_those_that_mido_plays(tmp_path):
  tempos = [
    mido.MetaMessage('set_tempo', tempo=tempo, time=time)
    for tempo, time in ((400_000, 0), (900_000, 250), (300_000, 130))
  ]
  melody = [mido.MetaMessage('track_name', name='melody')]
  for note in range(60, 70):
    melody += [on(note, 20), off(note, 35)]
  path = save(tmp_path / 'song.mid', tempos, melody)
  now, begun, expected = 0.0, {}, []
  for message in mido.MidiFile(path):
    now += message.time
    if message.type == 'note_on':
      begun[message.note] = now
    elif message.type == 'note_off':
      expected.append((begun[message.note], now, message.note))
  song = midi.read_song(path)
  assert song.parts == ['melody']
  found = [(n.start_s, n.start_s + n.seconds, n.midi_pitch) for n in song.notes]
  assert found == [pytest.approx(times) for times in expected]


def test_parts_are_tracks_and_channels(tmp_path, caplog):
  first = [on(60), off(60, 100), on(35, channel=9), off(35, 50, channel=9)]
  second = [on(48, channel=2), on(50, channel=3), off(48, 200, channel=2)]
  song = midi.read_song(save(tmp_path / 'song.mid', first, second))
  assert song.parts == [
    'track 1, channel 1', 'track 2, channel 3', 'track 2, channel 4'
  ]  # fmt: skip
  assert {note[1:] for note in song.notes} == {
    (0.5, 60, 80, 0), (1.0, 48, 80, 1), (0.0, 50, 80, 2)
  }  # fmt: skip
  assert 'Drums' in caplog.text


def test_the_pedal_holds_notes(tmp_path):
  track = [
    *(pedal(127), on(60), off(60, 100), on(62), off(62, 100)),
    *(on(60, 100), off(60, 100), pedal(0, 200), on(64), off(64, 100)),
  ]
  song = midi.read_song(save(tmp_path / 'song.mid', track))
  assert song.notes == [
    PlayedNote(0.0, 1.5, 60, 80, 0),  # until it is struck again
    PlayedNote(0.5, 2.5, 62, 80, 0),
    PlayedNote(1.5, 1.5, 60, 80, 0),
    PlayedNote(3.0, 0.5, 64, 80, 0),
  ]


@pytest.mark.parametrize(
  ('track', 'message'),
  [
    ([], 'no notes to play'),
    ([on(35, channel=9)], 'no notes to play'),
    ([on(60), off(60, 800_000)], 'lasts 67 minutes'),
  ],
)
def test_songs_that_cannot_be_played(tmp_path, track, message):
  path = save(tmp_path / 'song.mid', track)
  with pytest.raises(ValueError, match=message):
    midi.read_song(path)


def test_every_damage_is_said_in_one_line(tmp_path):
  whole = save(tmp_path / 'song.mid', [on(60), off(60, 100)]).read_bytes()
  path, outcomes = tmp_path / 'damaged.mid', set()
  for place in range(len(whole)):
    flipped = bytearray(whole)
    flipped[place] ^= 0xFF
    for content in (whole[:place], bytes(flipped)):
      path.write_bytes(content)
      try:
        outcomes.add(type(midi.read_song(path)))
      except ValueError as error:
        assert '\n' not in str(error) and 'damaged.mid' in str(error)
        outcomes.add(ValueError)
  assert outcomes == {ValueError, midi.Song}
  path.write_bytes(b'')
  with pytest.raises(ValueError, match=r'damaged \(it ends too early\)'):
    midi.read_song(path)
  with pytest.raises(FileNotFoundError):
    midi.read_song(tmp_path / 'none.mid')
  songs = save(tmp_path / 'songs.mid', [on(60)], [on(62)], file_type=2)
  with pytest.raises(ValueError, match='independent'):
    midi.read_song(songs)


def test_a_pipe_is_not_waited_for(tmp_path):
  path = tmp_path / 'x'
  os.mkfifo(path)
  with pytest.raises(OSError, match='a pipe, a socket or a device'):
    midi.read_song(path)
