"""Songs, played by instruments that a run has made up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import librosa
import numpy as np

from embedding_rnn.audio import levels
from embedding_rnn.audio.codec import Codec
from embedding_rnn.audio.pitches import pitch_name
from embedding_rnn.instrument.midi import PlayedNote, Song
from embedding_rnn.instrument.voice import (
  HIGHEST_PITCH,
  LOWEST_PITCH,
  RELEASE_SECONDS,
  Voice,
  with_length,
)
from embedding_rnn.utils import cli

_NOTES_AT_ONCE = 64


def check_pitches(song: Song) -> None:
  """Raises ValueError for notes that no run has learnt."""
  outside = [
    note
    for note in song.notes
    if not LOWEST_PITCH <= note.midi_pitch <= HIGHEST_PITCH
  ]
  if outside:
    worst = max(outside, key=lambda note: abs(note.midi_pitch - 64))
    raise ValueError(
      f'{len(outside)} of {len(song.notes)} notes, such as '
      f'{pitch_name(worst.midi_pitch)} in {song.parts[worst.part]!r}, are '
      f'outside {pitch_name(LOWEST_PITCH)} to {pitch_name(HIGHEST_PITCH)}; '
      'transpose them.'
    )


def render(
  song: Song,
  voices: Sequence[Voice],
  codec: Codec,
  sample_rate: int | None = None,
) -> np.ndarray:
  """Plays a song.

  Notes that are alike are made once. Memory is that of the song's audio and of
  some notes. The song is brought to `levels.LOUDNESS_LUFS`, and to less where
  its true peak would be above `levels.MAX_PEAK_DBFS`.

  Args:
    song: what to play.
    voices: for each part.
    codec: to decode with.
    sample_rate: of the result, in Hz; the codec's if None.

  Returns:
    float32 `[samples]`.

  Raises:
    ValueError: for notes that no run has learnt.
  """
  check_pitches(song)
  rate = codec.sample_rate
  last = max(note.start_s + note.seconds for note in song.notes)
  audio = np.zeros(round((last + RELEASE_SECONDS) * rate), np.float32)
  alike = _alike(song, rate / codec.hop_length)
  with cli.progress_bar(
    desc='Playing', total=len(song.notes), unit='note'
  ) as bar:
    for part, voice in enumerate(voices):
      kinds = [kind for kind in alike if kind[0] == part]
      for start in range(0, len(kinds), _NOTES_AT_ONCE):
        some = kinds[start : start + _NOTES_AT_ONCE]
        _, pitches, velocities, lengths = zip(*some, strict=True)
        frames = voice.notes(pitches, velocities)
        for kind, note, pitch, length in zip(
          some, frames, pitches, lengths, strict=True
        ):
          sound = codec.decode(with_length(note, length), pitch)
          for played in alike[kind]:
            _add(audio, sound, round(played.start_s * rate))
          bar.update(len(alike[kind]))
  # Loudness takes less memory at the codec's rate, and is the same.
  result = audio
  if sample_rate is not None and sample_rate != rate:
    result = librosa.resample(
      audio, orig_sr=rate, target_sr=sample_rate, res_type='soxr_hq'
    )
  gain_db = levels.listening_gain_db(audio, [result], rate)
  result *= np.float32(10 ** (gain_db / 20))
  return result


def _alike(
  song: Song, frames_per_second: float
) -> dict[tuple[int, int, int, int], list[PlayedNote]]:
  """Notes by part, pitch, velocity and length in frames, in a fixed order."""
  kinds = defaultdict(list)
  for note in song.notes:
    length = max(1, round(note.seconds * frames_per_second))
    kinds[note.part, note.midi_pitch, note.velocity, length].append(note)
  return dict(sorted(kinds.items()))


def _add(audio: np.ndarray, sound: np.ndarray, start: int) -> None:
  """Adds a sound to the song; what would follow its end is left out."""
  end = min(start + len(sound), len(audio))
  audio[start:end] += sound[: end - start]
