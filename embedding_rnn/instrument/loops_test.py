"""Loops that nobody hears."""

import numpy as np
import pytest

from embedding_rnn.audio import metrics
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.instrument import loops
from embedding_rnn.instrument.conftest import OneNote

CODEC = HarmonicCodec()


def test_bowed_notes_are_steady_and_struck_ones_are_not():
  steady = {
    family: loops.is_steady(OneNote(family).frames, 60, CODEC)
    for family in ('string', 'reed', 'vocal', 'mallet', 'guitar')
  }
  assert [x for x, yes in steady.items() if yes] == ['string', 'reed', 'vocal']


def test_a_number_of_periods():
  for midi_pitch in range(21, 109):
    period = 16_000 / (440 * 2 ** ((midi_pitch - 69) / 12))
    length = loops._whole_periods(period, 59_392)
    assert 0.8 * 59_392 < length <= 59_392
    # The phase of the fundamental where the loop is closed.
    cycles = length / period
    assert abs(cycles - round(cycles)) * period <= 0.5


@pytest.mark.parametrize('midi_pitch', [36, 60, 96])
def test_a_loop_is_not_heard(midi_pitch):
  made = loops.make_loop(OneNote().frames, midi_pitch, CODEC)
  loop = made.audio[made.start : made.end + 1]
  held = np.concatenate([made.audio[: made.start], loop, loop, loop])
  cents = metrics.pitch_error_cents(held[-len(loop) :], midi_pitch)
  assert abs(cents) < 5
  # A click stands out where the curvature does.
  bend = np.abs(np.diff(held, 2))
  seams = made.start + len(loop) * np.array([1, 2])
  for seam in seams:
    at_seam = bend[seam - 50 : seam + 50].max()
    assert at_seam < 1.2 * bend[made.start : made.start + len(loop)].max()
  # Nor does the level jump more than it does within the note.
  jumps = np.abs(np.diff(metrics.loudness_db(held)))
  own = jumps[31 : made.end // 512].max()
  assert jumps[made.end // 512 :].max() < 1.2 * own
