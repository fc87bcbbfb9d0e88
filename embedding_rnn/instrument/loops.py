"""Whether a note is steady, and how to hold it for as long as one likes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embedding_rnn.audio.codec import Codec
from embedding_rnn.audio.harmonics import midi_to_hz
from embedding_rnn.audio.metrics import loudness_db

_FIRST_FRAME = 31  # of a loop, 1 s after the beginning
_LAST_FRAME = 90  # before the release
_STEADY_DB = 3.0  # by which the level of a steady note moves between them
_FADE_SECONDS = 0.03


class Loop(NamedTuple):
  """A note to be held for as long as one likes.

  Attributes:
    audio: float32 `[samples]`, which ends soon after the loop.
    start: its first sample.
    end: its last sample, after which comes the first again.
  """

  audio: np.ndarray
  start: int
  end: int


def is_steady(frames: np.ndarray, midi_pitch: int, codec: Codec) -> bool:
  """Whether a note keeps its level while it is held.

  Args:
    frames: `[T, W]`.
    midi_pitch: of the note.
    codec: of the frames.
  """
  held = codec.decode(frames[:_LAST_FRAME], midi_pitch)
  level = loudness_db(held, codec.hop_length)[_FIRST_FRAME:]
  third = len(level) // 3
  return bool(abs(level[:third].mean() - level[-third:].mean()) < _STEADY_DB)


def make_loop(frames: np.ndarray, midi_pitch: int, codec: Codec) -> Loop:
  """A steady note with a loop.

  The frames of its steady part run forwards and then backwards, so that they
  come back to where they began, with all that is alive in them. The loop is a
  whole number of periods long, and faded from its end into what comes before
  its beginning.

  Args:
    frames: `[T, W]`.
    midi_pitch: of the note.
    codec: of the frames.
  """
  there = frames[_FIRST_FRAME:_LAST_FRAME]
  round_trip = [frames[:_FIRST_FRAME], there, there[-2:0:-1], there[:8]]
  audio = codec.decode(np.concatenate(round_trip), midi_pitch)
  rate, hop = codec.sample_rate, codec.hop_length
  start = _FIRST_FRAME * hop
  period = rate / midi_to_hz(midi_pitch)
  length = _whole_periods(period, (2 * len(there) - 2) * hop)
  end = start + length
  fade = min(round(_FADE_SECONDS * rate), start, length)
  weight = np.linspace(0, 1, fade, dtype=np.float32)
  before = audio[start - fade : start]
  audio[end - fade : end] = (
    weight * before + (1 - weight) * audio[end - fade : end]
  )
  # Some samplers look a few samples beyond.
  audio[end : end + 64] = audio[start : start + 64]
  return Loop(audio[: end + 64], start, end - 1)


def _whole_periods(period: float, longest: int) -> int:
  """Samples, at most so many, that are most nearly a number of periods."""
  most = int(longest / period)
  numbers = np.arange(max(1, int(0.9 * most)), most + 1)
  lengths = numbers * period
  best = np.argmin(np.abs(lengths - np.round(lengths)))
  return round(float(lengths[best]))
