"""How well and how fast the harmonic codec encodes and decodes.

Prints two tables. One has a row for each of 27 notes, the 16 of NSynth and the
11 held-out originals of the embedded collection: the log-spectral distance of
what is decoded, and how loud it begins and ends. The other sums them up, says
how many of the collection's decoded test notes begin or end with a click, and
how much faster than real time a batch of 4 s notes is encoded and decoded.

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
from embedding_rnn.audio.codec import Codec, get_codec
from embedding_rnn.data import notes, splits

_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Runs of each measurement; the best counts.', lower_bound=1
)
_NSYNTH = ROOT / 'embedding_rnn' / 'testdata' / 'nsynth'
_BATCH_SIZES = (1, 32)
_FIRST, _LAST = 320, 80  # samples: 20 ms and 5 ms
_CLICK = 0.1  # of a note's peak
_COLUMNS = ('first 20 ms, dB', 'decoded', 'error', 'last 5 ms, dB', 'decoded')

Rows = list[tuple[str, ...]]


def _load_nsynth() -> tuple[list[str], np.ndarray, np.ndarray]:
  paths = sorted(_NSYNTH.glob('*.flac'))
  audio = [soundfile.read(path, dtype='float32')[0] for path in paths]
  pitches = [int(path.stem.rsplit('_', 1)[1]) for path in paths]
  return [path.stem for path in paths], np.stack(audio), np.array(pitches)


def _load_originals(
  collection: notes.NoteCollection,
) -> tuple[list[str], np.ndarray, np.ndarray]:
  names, rows, audio = zip(*notes.originals(), strict=True)
  return list(names), np.stack(audio), collection.midi_pitch[list(rows)]


def _levels(audio: np.ndarray, part: slice) -> np.ndarray:
  """How loud a part of each note is: [N, samples] -> [N], in dB."""
  audio = audio[:, part]
  return metrics.loudness_db(audio, audio.shape[1])[:, 0]


def _peaks(audio: np.ndarray) -> np.ndarray:
  return np.abs(audio).max(axis=1)


def _measure_notes(
  names: list[str], audio: np.ndarray, decoded: np.ndarray
) -> tuple[Rows, np.ndarray, np.ndarray]:
  """Rows of the notes, their distances, and the errors of their attacks."""
  first = [_levels(x, slice(_FIRST)) for x in (audio, decoded)]
  last = [_levels(x, slice(-_LAST, None)) for x in (audio, decoded)]
  pairs = list(zip(audio, decoded, strict=True))
  errors = np.array([metrics.attack_error_db(*pair) for pair in pairs])
  distances = np.array([metrics.log_spectral_distance(*pair) for pair in pairs])
  rows = [
    (name, f'{distance:.2f}', *(f'{level:.1f}' for level in levels))
    for name, distance, *levels in zip(
      names, distances, *first, errors, *last, strict=True
    )
  ]
  return rows, distances, errors


def _count_clicks(decoded: np.ndarray) -> Rows:
  """Of how many notes the first or last samples are loud."""
  loud = np.abs(decoded) > _CLICK * _peaks(decoded)[:, None]
  parts = {
    'start above a tenth of their peak': slice(1),
    '... in the first 0.25 ms': slice(4),
    '... in the first 1 ms': slice(16),
    'end above a tenth of their peak': slice(-1, None),
  }
  return [
    (what, f'{100 * loud[:, part].any(axis=1).mean():.1f} %')
    for what, part in parts.items()
  ]


def _best_seconds(work: Callable[[], object], what: str) -> float:
  work()  # the tables of each pitch are made once
  best = float('inf')
  for _ in tqdm(range(_REPEATS.value), desc=what, leave=False):
    start = time.perf_counter()
    work()
    best = min(best, time.perf_counter() - start)
  return best


def _measure_speed(
  codec: Codec, audio: np.ndarray, pitches: np.ndarray
) -> Rows:
  frames = codec.encode(audio, pitches)
  rows = []
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
  return rows


def _print_table(rows: Rows) -> None:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = (f'{cell:{width}}' for cell, width in zip(row, widths, strict=True))
    print(f'| {" | ".join(cells)} |')


def main(argv: list[str]) -> None:
  """Measures and prints the tables."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  codec = get_codec('harmonic')
  collection = notes.load()
  nsynth, originals = _load_nsynth(), _load_originals(collection)
  table: Rows = [('note', 'distance, dB', *_COLUMNS)]
  measured = []
  for names, audio, pitches in (nsynth, originals):
    decoded = codec.decode(codec.encode(audio, pitches), pitches)
    rows, *values = _measure_notes(names, audio, decoded)
    table += rows
    measured.append(values)
  (distances, errors), (_, other_errors) = measured
  summary: Rows = [
    ('log-spectral distance, mean of 16 notes', f'{distances.mean():.2f} dB'),
    ('log-spectral distance, worst note', f'{distances.max():.2f} dB'),
  ]
  for what, chosen in (
    ('16 + 11 notes', np.concatenate([errors, other_errors])),
    ('16 NSynth notes', errors),
    ('11 originals', other_errors),
  ):
    error = np.median(np.abs(chosen))
    summary.append((f'error of first 20 ms, {what}', f'{error:.2f} dB'))
  is_test = collection.split == splits.SPLITS.index('test')
  decoded = codec.decode(
    collection.frames[is_test], collection.midi_pitch[is_test]
  )
  last = _levels(decoded, slice(-_LAST, None)) - 20 * np.log10(_peaks(decoded))
  summary.append((f'of {len(decoded)} decoded test notes:', ''))
  summary += _count_clicks(decoded)
  summary.append(
    ('last 5 ms below the peak, median', f'{-np.median(last):.1f} dB')
  )
  summary.append(('last 5 ms below the peak, least', f'{-last.max():.1f} dB'))
  summary += _measure_speed(codec, *nsynth[1:])
  print(f'{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}')
  for rows in (table, summary):
    _print_table(rows)
    print()


if __name__ == '__main__':
  app.run(main)
