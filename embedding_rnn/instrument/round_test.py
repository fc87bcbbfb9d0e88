"""Frère Jacques as a round of three instruments, measured as it is heard."""

import mido
import numpy as np
import pytest
import soundfile

from embedding_rnn.audio import levels, metrics
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.audio.harmonics import midi_to_hz
from embedding_rnn.instrument import choosing, midi, play, playing
from embedding_rnn.training.trained_run import load_pretrained

BEAT = 0.6  # seconds
# A traditional melody: pitches above its key note, and beats.
MELODY = (
  *(2 * ((0, 1), (2, 1), (4, 1), (0, 1))),
  *(2 * ((4, 1), (5, 1), (7, 2))),
  *(2 * ((7, 0.5), (9, 0.5), (7, 0.5), (5, 0.5), (4, 1), (0, 1))),
  *(2 * ((0, 1), (-5, 1), (0, 2))),
)
# Each voice begins two bars after the one before.
VOICES = {'flute': 72, 'guitar': 60, 'keyboard': 48}
RATE = 16_000


def write_round(path):
  """The round as a MIDI file: a track of tempo, and one for each voice."""
  file = mido.MidiFile(ticks_per_beat=480)
  tempo = mido.MetaMessage('set_tempo', tempo=round(1e6 * BEAT))
  file.tracks.append(mido.MidiTrack([tempo]))
  for number, (name, key) in enumerate(VOICES.items()):
    track = mido.MidiTrack([mido.MetaMessage('track_name', name=name)])
    rest = 480 * 8 * number
    for step, beats in MELODY:
      message = {'note': key + step, 'channel': number}
      track.append(mido.Message('note_on', velocity=90, time=rest, **message))
      length = round(480 * beats * 0.9)
      track.append(mido.Message('note_off', time=length, **message))
      rest = round(480 * beats) - length
    file.tracks.append(track)
  file.save(path)


def expected_notes():
  """(voice, start in seconds, beats, pitch) of all notes."""
  notes = []
  for number, key in enumerate(VOICES.values()):
    beat = 8.0 * number
    for step, beats in MELODY:
      notes.append((number, beat * BEAT, beats, key + step))
      beat += beats
  return notes


def onset(audio, start_s, midi_pitch):
  """When the partial of a pitch rises most steeply near a time, in seconds."""
  begin = round((start_s - 0.1) * RATE)
  near = np.pad(audio, (RATE, 0))[RATE + begin :][: round(0.3 * RATE)]
  time = np.arange(len(near)) / RATE
  turned = near * np.exp(-2j * np.pi * midi_to_hz(midi_pitch) * time)
  window = np.hanning(round(0.03 * RATE))
  envelope = np.abs(np.convolve(turned, window / window.sum(), 'valid'))
  return np.argmax(np.diff(envelope)) / RATE - 0.085


@pytest.fixture(scope='module')
def run():
  """The run in the package."""
  return load_pretrained()


@pytest.mark.slow
def test_a_round_is_played_as_it_is_written(
  run, tmp_path, parse_flags, monkeypatch
):
  path, output = tmp_path / 'round.mid', tmp_path / 'round.wav'
  write_round(path)
  monkeypatch.setattr(
    'embedding_rnn.training.trained_run.load_run', lambda _: run
  )
  arguments = [f'--midi={path}', f'--output={output}', '--pretrained']
  parse_flags(play.define_flags, [*arguments, f'--like={",".join(VOICES)}'])
  play.main(['play'])
  mix, rate = soundfile.read(output)
  assert rate == RATE
  # As loud as all sounds, or as the peaks of what is plucked let it be.
  louder = levels.loudness_lufs(mix, RATE) - levels.LOUDNESS_LUFS
  higher = levels.true_peak_dbfs(mix) - levels.MAX_PEAK_DBFS
  assert max(louder, higher) == pytest.approx(0, abs=0.01)

  codec, song = HarmonicCodec(), midi.read_song(path)
  assert song.parts == list(VOICES)
  voices = [
    choosing.choose_voice(run, family, number)
    for number, family in enumerate(VOICES)
  ]
  alone = []
  for number, voice in enumerate(voices):
    notes = [n._replace(part=0) for n in song.notes if n.part == number]
    part = playing.render(midi.Song(['one'], notes), [voice], codec)
    alone.append(np.pad(part, (0, len(mix) - len(part))))
  # What is heard together is what is heard alone, at some gains.
  gains, *_ = np.linalg.lstsq(np.stack(alone, axis=1), mix, rcond=None)
  rest = mix - gains @ np.stack(alone)
  assert np.abs(rest).max() < 1e-3 and (gains > 0).all()

  measured, before = 0, 0
  for number, start_s, beats, midi_pitch in expected_notes():
    interval, before = abs(midi_pitch - before), midi_pitch
    audio = alone[number]
    first, last = start_s + 0.08, start_s + 0.85 * beats * BEAT
    held = audio[round(first * RATE) : round(last * RATE)]
    cents = metrics.pitch_error_cents(held, midi_pitch, resolution_cents=10)
    assert abs(cents) < 15, (number, start_s)
    if interval < 2:
      continue  # the note before rings at the same frequencies
    # A note of its own tells how long its attack takes.
    note = codec.decode(voices[number].notes([midi_pitch], [90])[0], midi_pitch)
    late = onset(audio, start_s, midi_pitch) - onset(note, 0, midi_pitch)
    assert abs(late) < 0.01, (number, start_s)
    measured += 1
  assert measured == 3 * 24
