"""Whether made-up instruments cohere, beside real ones.

  python benchmarks/instruments.py --seeds=5
  python benchmarks/instruments.py --soundfont=FluidR3_GM.sf2

Measures, by family, how often notes become louder and brighter from one of
NSynth's velocities to the next, and the log-spectral distance of neighbouring
keys: of draws of the prior as they come, and of those that are chosen (of the
run in the package); or, with pyfluidsynth, of instruments of a soundfont.
Each cell has the mean over instruments, the least and the largest.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import sys
from collections import defaultdict

import numpy as np
from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

_SEEDS = flags.DEFINE_integer('seeds', 5, 'Instruments of each family.', 1)
_SOUNDFONT = flags.DEFINE_string('soundfont', None, 'Measures this instead.')
_PLACES = (0.2, 0.5, 0.8)  # of a program's keys, low to high
_OTHER_PLACES = (0.2, 0.4, 0.6, 0.8)  # than those that draws are chosen by


def real_instruments(soundfont):
  """Measures the programs of a soundfont that sound at all keys, by family."""
  from embedding_rnn.audio.codec import HarmonicCodec
  from embedding_rnn.data.notes import make_notes
  from embedding_rnn.instrument import choosing

  plan, encoder = make_notes.plan_notes(), HarmonicCodec()
  measured = defaultdict(list)

  def render(program, family, key, velocity):
    note = make_notes.Note(program, family, key, velocity)
    audio = make_notes.render_note(soundfont, note)
    return None if make_notes.is_silent(audio) else encoder.encode(audio, key)

  for program in sorted({note.program for note in plan}):
    own = [note for note in plan if note.program == program]
    pitches, family = sorted({n.midi_pitch for n in own}), own[0].family
    keys = [pitches[int(q * (len(pitches) - 1))] for q in _PLACES]
    layers = [
      render(program, family, key, velocity)
      for key in keys
      for velocity in choosing.VELOCITIES
    ]
    above = [
      render(program, family, key + 1, choosing.NEIGHBOUR_VELOCITY)
      for key in keys
    ]
    if any(frames is None for frames in layers + above):
      continue
    shape = 1, len(keys), len(choosing.VELOCITIES), *layers[0].shape
    measured[family] += choosing.measure(
      np.stack(layers).reshape(shape), np.stack(above)[None], keys
    )
  return measured


def made_instruments(num_seeds):
  """Measures first draws, and chosen ones at two sets of keys, by family."""
  import embedding_rnn
  from embedding_rnn.instrument import choosing
  from embedding_rnn.instrument.voice import Voice

  run = embedding_rnn.load_pretrained()
  first, chosen, elsewhere = {}, {}, {}
  for family in run.prior.families:
    seeds = range(num_seeds)
    voices = [Voice(run, family, seed) for seed in seeds]
    first[family] = choosing.measure_voices(run, voices)
    voices = [choosing.choose_voice(run, family, seed) for seed in seeds]
    chosen[family] = choosing.measure_voices(run, voices)
    elsewhere[family] = choosing.measure_voices(run, voices, _OTHER_PLACES)
  return first, chosen, elsewhere


def show(title, measured):
  """Prints a table."""
  print(f'\n{title}\n')
  print('| | louder | brighter | brighter by, semitones | neighbours, dB |')
  print('|---|---|---|---|---|')
  measured = measured | {'all': list(itertools.chain(*measured.values()))}
  for family, instruments in measured.items():
    cells = []
    for name in instruments[0]._fields:
      values = np.array([getattr(x, name) for x in instruments])
      if name.endswith('rises'):
        low, mean, high = (
          f'{100 * x:.0f}' for x in (values.min(), values.mean(), values.max())
        )
        cells.append(f'{mean} % ({low}-{high})')
      else:
        cells.append(
          f'{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})'
        )
    print(f'| {family} | {" | ".join(cells)} |')


def main(argv):
  """Prints what was measured."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments {argv[1:]}; see --help.')
  if _SOUNDFONT.value:
    name = os.path.basename(_SOUNDFONT.value)
    show(name, dict(real_instruments(_SOUNDFONT.value)))
    return
  first, chosen, elsewhere = made_instruments(_SEEDS.value)
  show('First draws', first)
  show('Chosen draws, at the keys that they are chosen by', chosen)
  show('Chosen draws, at other keys', elsewhere)


if __name__ == '__main__':
  app.run(main)
