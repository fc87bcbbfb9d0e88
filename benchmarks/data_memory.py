"""Peak memory of the data pipeline, for a data set and one ten times larger.

Example:
  python benchmarks/data_memory.py --notes=12000

For each size a fresh process opens and checks the data set, fits PCA, goes once
through the validation split and draws an epoch of training batches. The table
shows by how much its memory grew.

Two numbers are shown, because pages of a memory-mapped file count as resident
while they are mapped, although the system takes them back whenever it needs
room. "anonymous" (RssAnon) is what the process has allocated itself: that would
grow if the data set were loaded. "resident" (RSS) has the mapped pages too.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from absl import app, flags
from tqdm import auto as tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

_NOTES = flags.DEFINE_integer(
  'notes',
  12000,
  'Notes of the smaller data set, of 9 kB each on disk; the larger one has ten '
  'times as many.',
  lower_bound=1000,
)
_CHILD = flags.DEFINE_string('child', None, 'Data folder to measure; internal.')
_FIELDS = {'anonymous': 'RssAnon:', 'resident': 'VmRSS:'}


def memory_mb() -> dict[str, float]:
  """Anonymous and resident memory of this process."""
  status = pathlib.Path('/proc/self/status').read_text()
  words = status.split()  # "VmRSS:", "1234", "kB", ...
  return {
    key: int(words[words.index(name) + 1]) / 1024
    for key, name in _FIELDS.items()
  }


class PeakMemory(threading.Thread):
  """Samples memory every few milliseconds and keeps the highest values."""

  def __init__(self):
    super().__init__(daemon=True)
    self.peak = memory_mb()
    self.is_done = threading.Event()

  def run(self):
    """Samples until `is_done` is set."""
    while not self.is_done.wait(0.005):
      now = memory_mb()
      self.peak = {key: max(self.peak[key], now[key]) for key in now}


def write_notes(folder: str, num_notes: int) -> None:
  """Writes a data set of random notes, in chunks."""
  from embedding_rnn.data import writing

  rng = np.random.default_rng(0)
  parts = (
    writing.Notes(
      frames=rng.normal(size=(count, 125, 16)),
      midi_pitch=rng.integers(128, size=count),
      velocity=rng.integers(128, size=count),
    )
    for start in tqdm.trange(0, num_notes, 1000, desc=f'{num_notes} notes')
    for count in [min(1000, num_notes - start)]
  )
  writing.write_notes(pathlib.Path(folder), num_notes, parts)


def measure(folder: str) -> dict[str, dict[str, float]]:
  """Runs the pipeline in this process; memory in MB and times in seconds."""
  import tensorflow as tf

  from embedding_rnn.data import batches, dataset
  from embedding_rnn.model.hparams import default_hps

  hps = default_hps().parse('pca_dim_reduce=1')
  # What TensorFlow allocates for any pipeline is no part of the question.
  list(tf.data.Dataset.range(10).prefetch(2))
  before = memory_mb()
  sampler = PeakMemory()
  sampler.start()
  times = {}
  started = time.perf_counter()

  def lap(name: str):
    nonlocal started
    times[name], started = time.perf_counter() - started, time.perf_counter()

  notes = dataset.open_dataset(folder, hps)
  lap('open')
  transforms = dataset.fit_transforms(notes, hps)
  lap('fit PCA')
  for _ in batches.evaluation_batches(
    notes, transforms, 'valid', hps.batch_size
  ):
    pass
  lap('validate')
  num_steps = len(notes.rows['train']) // hps.batch_size
  for _ in batches.training_batches(
    notes, transforms, hps, seed=0, num_steps=num_steps
  ):
    pass
  lap('epoch')
  sampler.is_done.set()
  sampler.join()
  return {
    'growth': {key: sampler.peak[key] - before[key] for key in before},
    'times': times,
  }


def measure_in_new_process(num_notes: int) -> dict:
  """Makes a data set, measures it in a process of its own, and deletes it."""
  with tempfile.TemporaryDirectory() as folder:
    write_notes(folder, num_notes)
    size = sum(file.stat().st_size for file in os.scandir(folder))
    output = subprocess.run(
      [sys.executable, __file__, f'--child={folder}'],
      check=True,
      stdout=subprocess.PIPE,
      env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
    ).stdout
  result = json.loads(output.splitlines()[-1])
  return {'notes': num_notes, 'size': size / 2**20, **result}


def main(argv):
  """Prints the table, or as a child process the measurements."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments {argv[1:]}; see --help.')
  if not os.path.exists('/proc/self/status'):
    raise app.UsageError('Reads memory from /proc, so it needs Linux.')
  if _CHILD.value:
    sys.stdout.write(json.dumps(measure(_CHILD.value)) + '\n')
    return
  results = [measure_in_new_process(_NOTES.value * k) for k in (1, 10)]
  times = results[0]['times']
  header = ['notes', 'on disk', *(f'peak {key}' for key in _FIELDS), *times]
  rows = [
    [
      f'{result["notes"]}',
      f'{result["size"]:.0f} MB',
      *(f'+{result["growth"][key]:.0f} MB' for key in _FIELDS),
      *(f'{result["times"][key]:.2f} s' for key in times),
    ]
    for result in results
  ]
  lines = [header, ['---'] * len(header), *rows]
  for line in lines:
    sys.stdout.write('| ' + ' | '.join(line) + ' |\n')


if __name__ == '__main__':
  app.run(main)
