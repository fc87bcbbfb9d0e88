"""Tests of trained_run.py: notes of a run to hear, to see and to find."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile

from embedding_rnn.audio import levels
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import lookup


@pytest.fixture(scope='module')
def notes(dataset):
  return dataset.notes(dataset.rows['test'][:2])[0]


class _Other(HarmonicCodec):
  name = 'other'


def test_audio_is_what_the_codec_decodes(run, notes):
  expected = HarmonicCodec().decode(notes, [60, 54])
  made = run.audio(notes, ['C4', 'F#3'])
  assert made.dtype == np.float32
  np.testing.assert_array_equal(made, expected)
  np.testing.assert_array_equal(run.audio(notes[0], 60), expected[0])
  one_hots = np.eye(128)[[60, 54]]
  np.testing.assert_array_equal(
    run.audio(notes, one_hots, codec=HarmonicCodec()), expected
  )


def test_a_codec_that_is_not_known_or_another(run, notes):
  for name, message in (
    ('wavenet', r"codec 'wavenet': give the codec.*WaveNetCodec"),
    (None, 'of a codec it does not say: give'),
  ):
    other = dataclasses.replace(run, info=run.info | {'codec': name})
    with pytest.raises(ValueError, match=message):
      other.audio(notes, 60)
  with pytest.raises(ValueError, match="'other' would decode them to noise"):
    run.play(notes, 60, codec=_Other())
  with pytest.raises(ValueError, match='2 notes or latents but 3 pitches'):
    run.audio(notes, ['C4', 'D4', 'E4'])


def test_the_player_has_all_notes_at_one_level(run, notes):
  audio = run.audio(notes, 'C4')
  player = run.play(notes, 'C4')
  sound, rate = soundfile.read(io.BytesIO(player.data))
  assert rate == HarmonicCodec.sample_rate
  # As loud as all that is to be listened to, or as loud as it can be.
  is_loud = levels.loudness_lufs(sound, rate) > levels.LOUDNESS_LUFS - 0.1
  is_full = levels.true_peak_dbfs(sound) > levels.MAX_PEAK_DBFS - 0.1
  assert is_loud or is_full
  assert levels.true_peak_dbfs(sound) < levels.MAX_PEAK_DBFS + 0.1
  expected = audio.ravel() * (np.abs(sound).max() / np.abs(audio).max())
  np.testing.assert_allclose(sound, expected, atol=1e-4)


def test_figures(run, notes):
  one = run.plot(notes[0], 'A4', title='One')
  assert one.get_suptitle() == 'One'
  (marked,) = (ax for ax in one.axes if ax.images and ax.lines)
  assert marked.get_legend().get_texts()[0].get_text().endswith('440.0 Hz')
  several = run.plot(notes, ['C4', 'Bb3'])
  assert [ax.get_title() for ax in several.axes[:2]] == ['C4', 'A#3']
  drawn = [ax.images[0].get_array().T for ax in several.axes[:2]]
  np.testing.assert_array_equal(drawn, notes)
  assert len([ax for ax in several.axes if ax.images]) == 4
  assert len([ax for ax in run.plot(notes).axes if ax.images]) == 2


def test_find(run, dataset):
  name = lookup.find_notes(dataset)[3].instrument
  assert run.find(name) == lookup.find_notes(dataset, name)
