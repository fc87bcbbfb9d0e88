"""How cost grows: with notes, frames, batch, units, mixtures and devices.

  python benchmarks/growth.py
  python benchmarks/growth.py --factors=units --factors=batch

The model is that of the default run, and one thing of it is changed at a time.
Each size has a process of its own, which makes the model, takes a step to warm
up, and is then asked for steps in turn with the others of its table. The slope
is how many times the seconds of a step grow where the size is doubled, as a
power of two: 0 is free, 1 is in proportion. Devices share the cores of this
machine: what they show is what sharing itself costs.

Notes are those of one data directory, repeated. What is measured of them is how
long the data take to open and check, and a batch to be read and augmented; the
time of a training step does not depend on how many notes there are.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import statistics
import sys
import tempfile
from typing import Any

from absl import app, flags
from tqdm import tqdm

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # Run from a clone, installed or not.

import peak
import turns

from embedding_rnn.experiments import grids

# By the hyperparameter that is changed; None: the number of devices.
SIZES: dict[str, tuple[str | None, tuple[int, ...]]] = {
  'frames': ('max_seq_len', (125, 250, 500)),
  'batch': ('batch_size', (16, 32, 64, 128)),
  'units': ('rnn_size', (128, 256, 512, 1024)),
  'mixtures': ('num_mixture', (1, 3, 6, 12)),
  'devices': (None, (1, 2, 4)),
}
NOTES = (1, 10, 100)  # times the notes of a data directory

_FACTORS = flags.DEFINE_multi_enum(
  'factors', [*SIZES, 'notes'], [*SIZES, 'notes'], 'What to change.'
)
_TURNS = flags.DEFINE_integer('turns', 15, 'Steps of each size.', lower_bound=1)
_BASE = flags.DEFINE_integer(
  'base_notes', 3000, 'Notes of the smallest data directory.', lower_bound=100
)


def ask_in_turn(sizes: tuple[int, ...], name: str | None) -> list[dict]:
  """Seconds of a step and memory of each size of one table."""
  recipe, *_ = grids.plan_runs('default_run').values()
  command = [sys.executable, str(HERE / 'peer_tensorflow.py'), 'ours']
  with contextlib.ExitStack() as stack:
    workers = []
    for size in sizes:
      worker = stack.enter_context(turns.Worker(command))
      hps = recipe.copy()
      if name:
        hps.parse(f'{name}={size}')
      worker.ask('build', hps.values(), 1 if name else size)
      worker.ask('train')
      workers.append(worker)
    seconds: list[list[float]] = [[] for _ in workers]
    for _ in tqdm(range(_TURNS.value), desc=name or 'devices', unit='turn'):
      for worker, taken in zip(workers, seconds, strict=True):
        taken.append(worker.ask('train'))
    return [
      {
        'seconds': statistics.median(taken),
        'range': (min(taken), max(taken)),
        'memory': worker.ask('memory_gb'),
      }
      for worker, taken in zip(workers, seconds, strict=True)
    ]


def slope(sizes: tuple[int, ...], values: list[float]) -> list[float | None]:
  """Between each size and the one before: the power that the values grow by."""
  slopes: list[float | None] = [None]
  for i in range(1, len(sizes)):
    slopes.append(
      math.log(values[i] / values[i - 1]) / math.log(sizes[i] / sizes[i - 1])
    )
  return slopes


class Notes:
  """Answers for one data directory, in a process of its own."""

  def measure(self, folder: str, num_batches: int) -> dict[str, float]:
    """Seconds to open a data directory, and those of a batch of it."""
    from embedding_rnn.data import batches, dataset

    hps, *_ = grids.plan_runs('default_run').values()
    opened = turns.now()
    notes = dataset.open_dataset(folder, hps)
    transforms = dataset.fit_transforms(notes, hps)
    opened = turns.now() - opened
    made = iter(batches.training_batches(notes, transforms, hps, seed=0))
    next(made)
    seconds = [turns.seconds_of(lambda: next(made)) for _ in range(num_batches)]
    return {
      'open': opened,
      'batch': statistics.median(seconds),
      'memory': turns.memory_gb(),
    }


def _print_notes(base: int) -> None:
  import data_memory

  print('\n| notes | on disk, MB | open, s | a batch, ms | memory, GB |')
  print('|---|---|---|---|---|')
  for times in NOTES:
    with tempfile.TemporaryDirectory() as folder:
      data_memory.write_notes(folder, base * times)
      size = sum(x.stat().st_size for x in pathlib.Path(folder).iterdir())
      command = [sys.executable, __file__, 'child']
      with turns.Worker(command) as worker:
        found = worker.ask('measure', folder, 200)
    print(
      f'| {base * times:,} | {size / 1e6:.0f} | {found["open"]:.2f} '
      f'| {1e3 * found["batch"]:.2f} | {found["memory"]:.2f} |',
      flush=True,
    )


def _print_table(factor: str, sizes: tuple[int, ...], results: Any) -> None:
  print(f'\n| {factor} | ms a step (range) | slope | memory, GB | slope |')
  print('|---|---|---|---|---|')
  columns = [
    slope(sizes, [r[name] for r in results]) for name in ('seconds', 'memory')
  ]
  for size, r, *slopes in zip(sizes, results, *columns, strict=True):
    low, high = (1e3 * x for x in r['range'])
    by_time, by_memory = ('' if x is None else f'{x:.2f}' for x in slopes)
    print(
      f'| {size} | {1e3 * r["seconds"]:.1f} ({low:.1f}-{high:.1f}) '
      f'| {by_time} | {r["memory"]:.2f} | {by_memory} |',
      flush=True,
    )


def main(argv: list[str]) -> None:
  """Measures, and prints a table for each thing that is changed."""
  if argv[1:] == ['child']:
    turns.serve(Notes())
    return
  print(peak.describe_machine())
  for factor in _FACTORS.value:
    if factor == 'notes':
      _print_notes(_BASE.value)
      continue
    name, sizes = SIZES[factor]
    _print_table(factor, sizes, ask_in_turn(sizes, name))


if __name__ == '__main__':
  app.run(main)
