"""An instrument as a folder that samplers load: .wav files and an .sfz file."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from embedding_rnn.audio import levels
from embedding_rnn.audio.codec import Codec
from embedding_rnn.audio.pitches import pitch_name
from embedding_rnn.instrument import loops
from embedding_rnn.instrument.voice import (
  HIGHEST_PITCH,
  LOWEST_PITCH,
  Voice,
)
from embedding_rnn.utils import files
from embedding_rnn.utils.wav import write_wav

LAYERS = (50, 100, 127)  # velocities that notes are made at
PRESET = 'preset.json'
_RELEASE_SECONDS = 0.3
_FADE_SECONDS = 0.01


class Sample(NamedTuple):
  """A note of a pack.

  Attributes:
    midi_pitch: that it was made at.
    velocity: likewise.
    audio: float32 `[samples]`.
    loop: its first and last sample; None if it is played once.
  """

  midi_pitch: int
  velocity: int
  audio: np.ndarray
  loop: tuple[int, int] | None


def make_samples(
  voice: Voice,
  codec: Codec,
  keys: Sequence[int],
  velocities: Sequence[int] = LAYERS,
  with_loops: bool = True,
) -> Iterator[Sample]:
  """Notes of an instrument over the keyboard, at their own levels.

  Args:
    voice: the instrument.
    codec: to decode with.
    keys: MIDI pitches.
    velocities: at each of them, soft ones first.
    with_loops: whether notes that are steady are to be held by loops.
  """
  places = list(itertools.product(keys, velocities))
  pitches, layers = zip(*places, strict=True)
  made = voice.notes(pitches, layers)  # at once, which is much faster
  for (key, velocity), frames in zip(places, made, strict=True):
    if with_loops and loops.is_steady(frames, key, codec):
      looped = loops.make_loop(frames, key, codec)
      loop = looped.start, looped.end
      yield Sample(key, velocity, looped.audio, loop)
    else:
      audio = codec.decode(frames, key)
      fade = round(_FADE_SECONDS * codec.sample_rate)
      audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
      yield Sample(key, velocity, audio, None)


def choose_keys(low: int, high: int, step: int = 3) -> list[int]:
  """Some keys of a range of MIDI pitches, a step apart, from the second on.

  Raises:
    ValueError: for a range that is empty, or that no run has learnt.
  """
  if not LOWEST_PITCH <= low <= high <= HIGHEST_PITCH:
    raise ValueError(
      f'The keys {low} to {high}: expected a range within {LOWEST_PITCH} '
      f'({pitch_name(LOWEST_PITCH)}) to {HIGHEST_PITCH} '
      f'({pitch_name(HIGHEST_PITCH)}).'
    )
  return list(range(min(low + 1, high), high + 1, step))


def write_pack(
  folder: pathlib.Path,
  name: str,
  samples: Sequence[Sample],
  sample_rate: int,
  preset: dict[str, Any],
) -> None:
  """Writes NAME.sfz, the .wav files it names, and preset.json.

  Notes keep their levels beside each other, so the true peak of the loudest one
  is brought to `levels.MAX_PEAK_DBFS`.

  Args:
    folder: to write to, which is there.
    name: of the instrument.
    samples: its notes.
    sample_rate: of them, in Hz.
    preset: how the same is made again.

  Raises:
    OSError: if it cannot be written.
  """
  peaks_db = [levels.true_peak_dbfs(sample.audio) for sample in samples]
  gain_db = levels.MAX_PEAK_DBFS - max(peaks_db)
  gain = 10 ** (gain_db / 20) if np.isfinite(gain_db) else 1.0
  (folder / 'samples').mkdir()
  for sample in samples:
    path = folder / 'samples' / _file_name(sample)
    write_wav(path, np.float32(gain) * sample.audio, sample_rate)
  files.write_text(folder / f'{name}.sfz', _sfz(samples))
  applied_db = round(20 * float(np.log10(gain)), 2)
  files.write_json(folder / PRESET, preset | {'gain_db': applied_db})


def _file_name(sample: Sample) -> str:
  key = pitch_name(sample.midi_pitch).replace('#', 's')  # as in URLs
  return f'{sample.midi_pitch:03d}_{key}_v{sample.velocity:03d}.wav'


def _sfz(samples: Sequence[Sample]) -> str:
  """The regions of the keyboard; each key plays the nearest sample."""
  keys = _ranges(sorted({sample.midi_pitch for sample in samples}))
  layers = _ranges(LAYERS)
  # Layers have levels of their own, so velocity is not to add to them.
  lines = [
    '<control>',
    'default_path=samples/',
    '<global>',
    'amp_veltrack=0',
    f'ampeg_release={_RELEASE_SECONDS}',
  ]
  for sample in samples:
    low, high = keys[sample.midi_pitch]
    soft, loud = layers[sample.velocity]
    lines += [
      '<region>',
      f'sample={_file_name(sample)}',
      f'lokey={low} hikey={high} pitch_keycenter={sample.midi_pitch}',
      f'lovel={soft} hivel={loud}',
    ]
    if sample.loop:
      start, end = sample.loop
      lines.append(
        f'loop_mode=loop_continuous loop_start={start} loop_end={end}'
      )
    else:
      lines.append('loop_mode=no_loop')
  return '\n'.join(lines) + '\n'


def _ranges(centres: Sequence[int]) -> dict[int, tuple[int, int]]:
  """The MIDI numbers, first and last, that are nearest to each of some."""
  starts = [(a + b) // 2 + 1 for a, b in itertools.pairwise(centres)]
  bounds = itertools.pairwise([0, *starts, 128])
  return {
    centre: (start, end - 1)
    for centre, (start, end) in zip(centres, bounds, strict=True)
  }
