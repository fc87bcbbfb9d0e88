"""How well and how fast the harmonic codec encodes and decodes.

Prints a table: the log-spectral distance of 16 real NSynth notes, and how much
faster than real time a batch of 4 s notes is encoded and decoded.

Example:
  python benchmarks/codec_benchmark.py --repeats=5
"""

import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable

import numpy as np
import soundfile
from absl import app, flags
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

from embedding_rnn.audio import metrics
from embedding_rnn.audio.codec import get_codec

_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Runs of each measurement; the best counts.', lower_bound=1
)
_NOTES = ROOT / 'embedding_rnn' / 'testdata' / 'nsynth'
_BATCH_SIZES = (1, 32)


def _load_notes() -> tuple[np.ndarray, np.ndarray]:
  paths = sorted(_NOTES.glob('*.flac'))
  audio = [soundfile.read(path, dtype='float32')[0] for path in paths]
  pitches = [int(path.stem.rsplit('_', 1)[1]) for path in paths]
  return np.stack(audio), np.array(pitches)


def _best_seconds(work: Callable[[], object], what: str) -> float:
  work()  # the tables of each pitch are made once
  best = float('inf')
  for _ in tqdm(range(_REPEATS.value), desc=what, leave=False):
    start = time.perf_counter()
    work()
    best = min(best, time.perf_counter() - start)
  return best


def main(argv: list[str]) -> None:
  """Measures and prints the table."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  codec = get_codec('harmonic')
  audio, pitches = _load_notes()
  frames = codec.encode(audio, pitches)
  decoded = codec.decode(frames, pitches)
  distances = [
    metrics.log_spectral_distance(original, made)
    for original, made in zip(audio, decoded, strict=True)
  ]
  rows = [
    ('log-spectral distance, mean of 16 notes', f'{np.mean(distances):.2f} dB'),
    ('log-spectral distance, worst note', f'{np.max(distances):.2f} dB'),
  ]
  for batch_size in _BATCH_SIZES:
    chosen = np.arange(batch_size) % len(audio)
    batch = audio[chosen], frames[chosen], pitches[chosen]
    seconds = batch[0].size / codec.sample_rate
    for what, work in (
      ('encode', lambda b=batch: codec.encode(b[0], b[2])),
      ('decode', lambda b=batch: codec.decode(b[1], b[2])),
    ):
      taken = _best_seconds(work, f'{what}, batch {batch_size}')
      rows.append(
        (
          f'{what}, batch {batch_size}',
          f'{seconds / taken:.0f} x real time '
          f'({1000 * taken / batch_size:.1f} ms a note)',
        )
      )
  print(f'{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}')
  for name, value in rows:
    print(f'| {name:40} | {value:34} |')


if __name__ == '__main__':
  app.run(main)
