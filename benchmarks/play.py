"""How long a song takes to be played, and how much memory.

  python benchmarks/play.py
  python benchmarks/play.py --minutes=50 --notes=16000 --sample_rate=44100

Writes a song of random notes in three tracks, hardly any two of them alike, and
plays it by the command in a process of its own with the run in the package.
"""

from __future__ import annotations

import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

import mido
from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
_NOTES = flags.DEFINE_integer('notes', 1000, 'Notes of the song.', 3)
_MINUTES = flags.DEFINE_float('minutes', 3, 'Its length.', 0.1)
_SAMPLE_RATE = flags.DEFINE_integer('sample_rate', 16_000, 'In Hz.')
_TICKS_PER_SECOND = 960  # 480 to a beat, two beats a second
_TRACKS = 3


def write_song(path: pathlib.Path, num_notes: int, seconds: float) -> None:
  """Writes a song whose notes begin at any time."""
  chance = random.Random(0)
  file = mido.MidiFile(ticks_per_beat=_TICKS_PER_SECOND // 2)
  for channel in range(_TRACKS):
    events = []
    for _ in range(channel, num_notes, _TRACKS):
      begin = chance.uniform(0, seconds - 4)
      end = begin + chance.uniform(0.1, 3)
      note, velocity = chance.randint(48, 84), chance.randint(30, 120)
      events.append((begin, 'note_on', note, velocity))
      events.append((end, 'note_off', note, 0))
    track, before = mido.MidiTrack(), 0
    for when, kind, note, velocity in sorted(events):
      ticks = round(when * _TICKS_PER_SECOND)
      message = mido.Message(
        kind,
        note=note,
        velocity=velocity,
        channel=channel,
        time=ticks - before,
      )
      track.append(message)
      before = ticks
    file.tracks.append(track)
  file.save(path)


def main(argv):
  """Prints time and memory."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments {argv[1:]}; see --help.')
  with tempfile.TemporaryDirectory() as folder:
    song, output = pathlib.Path(folder, 'song.mid'), f'{folder}/song.wav'
    write_song(song, _NOTES.value, 60 * _MINUTES.value)
    command = [sys.executable, '-m', 'embedding_rnn.instrument.play']
    command += [f'--midi={song}', f'--output={output}', '--pretrained']
    command += [f'--sample_rate={_SAMPLE_RATE.value}']
    start = time.perf_counter()
    done = subprocess.run(
      [*command, '--like=flute,string,keyboard'],
      check=True,
      cwd=ROOT,
      env=os.environ | {'CUDA_VISIBLE_DEVICES': ''},
      stdout=subprocess.PIPE,
      text=True,
    )
    seconds = time.perf_counter() - start
  memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
  cores = len(os.sched_getaffinity(0))
  print(done.stdout.strip().partition(': ')[2])
  print(f'{seconds:.1f} s, at most {memory_mb:.0f} MB, {cores} cores')


if __name__ == '__main__':
  app.run(main)
