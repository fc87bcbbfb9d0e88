import librosa
import numpy as np
import pytest

from embedding_rnn.audio import pitches


def test_names_against_librosa():
  midi = np.arange(128)
  names = [pitches.pitch_name(pitch) for pitch in midi]
  assert names == librosa.midi_to_note(midi, unicode=False).tolist()
  np.testing.assert_array_equal(pitches.to_midi(names), midi)
  others = ['Bb2', 'cb4', 'g♯3', 'E♭-1', 'b5', 'F#3']
  assert pitches.to_midi(others).tolist() == list(librosa.note_to_midi(others))


def test_numbers_and_shapes():
  assert pitches.parse_pitch(' 60 ') == pitches.parse_pitch('C4') == 60
  assert pitches.to_midi('A4') == 69 and pitches.to_midi('A4').shape == ()
  np.testing.assert_array_equal(pitches.to_midi([['C4', 61]]), [[60, 61]])
  one_hots = np.eye(128, dtype=np.float32)[:2]
  assert pitches.to_midi(one_hots) is one_hots


@pytest.mark.parametrize('text', ['', 'H4', 'C', 'C10', 'Cb-1', '128', '6.5'])
def test_what_is_no_pitch(text):
  with pytest.raises(ValueError, match=f"pitch '{text}': .* Bb2.*0 to 127"):
    pitches.to_midi([60, text])
