"""Songs as audio: onsets, pitches, lengths, levels."""

import numpy as np
import pytest
import soundfile

from embedding_rnn.audio import levels, pitch
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.instrument import play, playing
from embedding_rnn.instrument.conftest import OneNote
from embedding_rnn.instrument.midi import PlayedNote, Song
from embedding_rnn.instrument.midi_test import off, on, save


@pytest.fixture(scope='module')
def song():
  played = [
    PlayedNote(0.503 * i, 0.45, midi_pitch, 90, 0)
    for i, midi_pitch in enumerate([60, 67, 60, 72])
  ]
  return Song(['melody'], [*played, PlayedNote(2.5, 6.0, 55, 90, 0)])


def test_pitches_onsets_and_lengths(song):
  voice, codec = OneNote(), HarmonicCodec()
  audio, rate = playing.render(song, [voice], codec), 16_000
  assert voice.calls == 4  # what is alike is made once
  loudness = levels.loudness_lufs(audio, rate)
  peak_db = levels.true_peak_dbfs(audio)
  assert peak_db <= levels.MAX_PEAK_DBFS + 0.01
  assert loudness == pytest.approx(levels.LOUDNESS_LUFS, abs=0.01)
  assert len(audio) == round(9.5 * rate)
  for note in song.notes:
    start = round(note.start_s * rate)
    heard = audio[start + 2000 : start + 7000]
    assert pitch.estimate_pitch(heard).midi_pitch == note.midi_pitch
  alone = Song(song.parts, [song.notes[1]])
  sound = playing.render(alone, [voice], codec)
  onset = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())[0] / rate
  assert 0 <= onset - 0.503 < 0.02
  # It lasts, and then it ends.
  level = lambda start: np.abs(audio[round(start * rate) :][:1600]).max()  # noqa: E731
  assert level(8.3) > 0.2 and level(9.3) < 0.05


def test_another_rate_is_the_same_sound(song):
  voice, codec = OneNote(), HarmonicCodec()
  low, high = (
    playing.render(song, [voice], codec, rate) for rate in (None, 32_000)
  )
  assert len(high) == 2 * len(low)
  np.testing.assert_allclose(high[::2], low, atol=0.02)


def test_notes_that_nobody_learnt_are_refused():
  song = Song(['bass'], [PlayedNote(0, 1, 12, 90, 0)])
  with pytest.raises(ValueError, match="1 of 1 notes, such as C0 in 'bass'"):
    playing.check_pitches(song)


def test_the_command(tmp_path, parse_flags, playable_run, monkeypatch):
  path = save(tmp_path / 'song.mid', [on(60), off(60, 100), on(62), off(62, 9)])
  output = tmp_path / 'song.wav'
  monkeypatch.setattr(
    'embedding_rnn.training.trained_run.load_run', lambda _: playable_run
  )
  monkeypatch.setattr('embedding_rnn.training.checkpoints.expect_run', str)
  arguments = [f'--midi={path}', f'--output={output}', '--run_dir=x']
  parse_flags(play.define_flags, [*arguments, '--sample_rate=22050'])
  play.main(['play'])
  audio, rate = soundfile.read(output)
  assert rate == 22_050
  assert len(audio) / rate == pytest.approx(0.545 + 1, abs=1e-3)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'Set --midi'),
    (['--midi=x.mid', '--output=x.wav'], 'Set either --run_dir'),
    (['--midi=x.mid', '--output=x.mp3', '--pretrained'], "a name with '.wav'"),
    (['--midi=x.mid', '--output=no/x.wav', '--pretrained'], 'no such folder'),
    (
      ['--midi=x.mid', '--output=x.wav', '--pretrained', '--sample_rate=1'],
      'sample_rate=1: expected 8000 to 192000',
    ),
  ],
)
def test_bad_flags(parse_flags, arguments, message):
  parse_flags(play.define_flags, arguments)
  with pytest.raises(ValueError, match=message):
    play.main(['play'])
