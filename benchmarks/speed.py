"""Speed of training and sampling, against the machine and against 2017.

  python benchmarks/speed.py
  python benchmarks/speed.py --models=default_hps --repeats=9

A training step is measured as two rates, both as fractions of the machine's
peak just before and just after it (see `peak.py`): that of the matrix products
that are done, and that of those which the 2017 graph spends on a step. What z
and pitch add to the gates is not among the former for each frame, since it is
found once for a note. Sampling is measured against the 2017 times on a machine
of the same kind, which had two cores and ran a float32 matrix product at 155
GFLOP/s; the peak measured here is printed beside it. Each model runs in a
process of its own, so that its peak of memory is its own.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time

from absl import app, flags
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

import peak

# What the 2017 graphs take: GB of a training step, and seconds of sampling one
# sequence of 125 frames.
MODELS = {
  'default_hps': ('', 4.8, 0.525),
  'blog_13': (peak.BLOG_13, 13.5, 1.40),
}
NUM_FRAMES, WIDTH, PITCHES = 125, 16, 128

_MODELS = flags.DEFINE_multi_enum(
  'models', list(MODELS), list(MODELS), 'Models to measure.'
)
_REPEATS = flags.DEFINE_integer(
  'repeats', 7, 'Repeats of each measurement.', lower_bound=1
)
_CHILD = flags.DEFINE_string('child', None, 'For the processes it starts.')


def _median(values):
  return sorted(values)[len(values) // 2]


def _measure_training(name, repeats):
  """Times of the first step and of others, their GFLOP, and memory."""
  import tensorflow as tf  # its import is part of the time

  import embedding_rnn
  from embedding_rnn.embedding_rnn import make_optimizer
  from embedding_rnn.training.step import make_training_step
  from embedding_rnn.training.training import NoteObjective

  hps = embedding_rnn.default_hps().parse(MODELS[name][0])
  model = embedding_rnn.Model(hps)
  optimizer = make_optimizer(hps)
  optimizer.build(model.trainable_variables)
  step = make_training_step(NoteObjective(model, seed=0), optimizer)
  batch = tf.random.stateless_normal(
    [hps.batch_size, NUM_FRAMES + 1, WIDTH], [0, 0]
  )
  pitches = tf.one_hot(tf.range(hps.batch_size) % PITCHES, PITCHES)

  def train():
    step.function(batch, pitches)
    step.totals.numpy()

  train()
  first = time.clock_gettime(time.CLOCK_BOOTTIME) - _process_start()
  train()
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    train()
    seconds.append(time.perf_counter() - start)
  memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
  return {
    'first_step_s': first,
    'seconds': seconds,
    'gflop': peak.training_operations(model, NUM_FRAMES)._asdict(),
    'memory_gb': memory,
  }


def _process_start():
  with open('/proc/self/stat') as f:
    ticks = int(f.read().rsplit(')', 1)[1].split()[19])
  return ticks / 100


def _measure_sampling(name, repeats):
  """Seconds a sequence at batch 1 and batch 64."""
  import tensorflow as tf

  import embedding_rnn

  hps = embedding_rnn.default_hps().parse(MODELS[name][0])
  model = embedding_rnn.Model(hps)
  result = {}
  for batch_size in (1, 64):
    pitches = tf.one_hot([60] * batch_size, PITCHES)
    model.sample(pitches, seed=0)
    seconds = []
    for _ in range(repeats):
      start = time.perf_counter()
      model.sample(pitches, seed=0).numpy()
      seconds.append((time.perf_counter() - start) / batch_size)
    result[f'batch_{batch_size}'] = _median(seconds)
  return result


def _run_child(kind, name):
  command = [sys.executable, __file__, f'--child={kind}', f'--models={name}']
  command.append(f'--repeats={_REPEATS.value}')
  output = subprocess.run(
    command, check=True, stdout=subprocess.PIPE, text=True
  ).stdout
  return json.loads(output.splitlines()[-1])


def main(_):
  """Prints the tables."""
  if _CHILD.value:
    measure = globals()[f'_measure_{_CHILD.value}']
    print(json.dumps(measure(_MODELS.value[0], _REPEATS.value)))
    return
  print(f'{peak.describe_machine()}\n')
  kinds = ('training', 'sampling')
  jobs = [(kind, name) for kind in kinds for name in _MODELS.value]
  results, rates = {}, [peak.measure()]
  for job in tqdm(jobs, unit='model'):
    results[job] = _run_child(*job)
    rates.append(peak.measure())
    results[job]['peak'] = peak.best(rates[-2:])
  print(
    '| training | s a step (range) | of the peak, products done '
    '| those of 2017 | peak | memory, GB (2017) | first step after, s |\n'
    + '|---' * 7
    + '|'
  )
  for name in _MODELS.value:
    r, memory = results['training', name], MODELS[name][1]
    seconds, gflops = r['seconds'], r['peak'].gflops
    done, plain = (
      r['gflop'][kind] / _median(seconds) / gflops for kind in ('done', 'plain')
    )
    print(
      f'| {name} | {_median(seconds):.2f} '
      f'({min(seconds):.2f}-{max(seconds):.2f}) | {done:.2f} | {plain:.2f} '
      f'| {r["peak"]} | {r["memory_gb"]:.2f} ({memory}) '
      f'| {r["first_step_s"]:.1f} |'
    )
  print('\n| sampling | s a sequence | of 2017 |\n|---|---|---|')
  for name in _MODELS.value:
    r, before = results['sampling', name], MODELS[name][2]
    for batch_size in (1, 64):
      seconds = r[f'batch_{batch_size}']
      print(
        f'| {name}, batch {batch_size} | {seconds:.4f} '
        f'| 1/{before / seconds:.1f} (peak {r["peak"].gflops:.0f} GFLOP/s) |'
      )


if __name__ == '__main__':
  app.run(main)
