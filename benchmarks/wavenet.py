"""Speed and memory of the NSynth WaveNet at full size, and the cost of 8 bits.

  python benchmarks/wavenet.py
  python benchmarks/wavenet.py --kinds=int8 --batch_sizes=1 --repeats=9
  python benchmarks/wavenet.py --nsynth_checkpoint_path=wavenet-ckpt

Generation is measured frame by frame, each of 512 samples a note, right after
the machine's rate of reading memory; its rate of float32 matrix products is
measured before and after each row (see `peak.py`). These are limits of any
program that reads all weights at each step, 238 MB, and does all arithmetic,
119 MFLOP a sample. The first is no limit to one that looks ahead or has 8-bit
weights. Beside it are the rates of Magenta's fastgen on a machine with two
cores and 155 GFLOP/s. Each row is a process of its own, so that its peak of
memory is its own. The weights are random; with a checkpoint the cost of 8 bits
is that of its weights.
"""

import concurrent.futures
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np
from absl import app, flags
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

import peak

# Audio samples a second of Magenta's fastgen, by batch size, and how many times
# as many we want.
FASTGEN = {1: 22, 4: 80, 16: 275}
GOALS = {
  'tensorflow': {},
  'litert': {1: 4, 4: 3, 16: 2.5},
  'int8': {1: 10, 4: 8, 16: 3},
}
# Seconds that Magenta took to encode a note of 4 s.
ENCODING, ENCODING_GOAL = 2.6, 1.8
WEIGHTS_GB, SAMPLE_GFLOP = 0.238, 0.119
NOTES_TO_ENCODE, NOTES_TO_FOLLOW, SAMPLES_TO_FOLLOW = 4, 4, 1024

_KINDS = flags.DEFINE_multi_enum(
  'kinds',
  [*GOALS, 'encoding', 'cost'],
  [*GOALS, 'encoding', 'cost'],
  'What to measure: generation, encoding, or the cost of 8 bits.',
)
_BATCH_SIZES = flags.DEFINE_multi_integer(
  'batch_sizes', list(FASTGEN), 'Of generation.', lower_bound=1
)
_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Repeats of each measurement.', lower_bound=1
)
_CHECKPOINT = flags.DEFINE_string(
  'nsynth_checkpoint_path', None, 'For the cost of 8 bits; random if not given.'
)
_CHILD = flags.DEFINE_string('child', None, 'For the processes it starts.')


def _median(values):
  return sorted(values)[len(values) // 2]


class _Memory:
  """Measures how fast this process reads memory at the moment, GB/s."""

  def __init__(self):
    # Of 256 MB in all, several times the cache.
    num_threads = len(os.sched_getaffinity(0))
    self._parts = np.split(
      np.ones(2**26 // num_threads * num_threads, np.float32), num_threads
    )
    self._pool = concurrent.futures.ThreadPoolExecutor(num_threads)
    self.measure()  # what it takes to begin

  def measure(self):
    start = time.perf_counter()
    list(self._pool.map(lambda part: part @ part, self._parts))
    size = sum(part.nbytes for part in self._parts)
    return size / (time.perf_counter() - start) / 1e9


def _memory_gb():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _measure_generation(kind, batch_size):
  """Seconds to begin, rates of frames, those of the machine, and memory."""
  from embedding_rnn import nsynth
  from embedding_rnn.nsynth.fastgen import runtime

  model = nsynth.WaveNetAutoencoder()
  model.decoder.build()
  start = time.perf_counter()
  generator = runtime.make_generator(
    model.decoder,
    batch_size,
    'int8' if kind == 'int8' else 'float32',
    'tensorflow' if kind == 'tensorflow' else 'litert',
  )
  encodings = np.zeros([batch_size, 1 + _REPEATS.value, 16], np.float32)
  chunks = runtime.stream(generator, encodings, seed=0)
  made = time.perf_counter() - start
  next(chunks)
  memory_gb, memory, rates, gb_per_s = _memory_gb(), _Memory(), [], []
  for _ in range(_REPEATS.value):
    gb_per_s.append(memory.measure())
    start = time.perf_counter()
    codes, _ = next(chunks)
    rates.append(codes.size / (time.perf_counter() - start))
  return {
    'made_s': made,
    'memory_gb': memory_gb,
    'rates': rates,
    'gb_per_s': gb_per_s,
  }


def _measure_encoding():
  """Seconds a note of 4 s, and memory; without a decoder."""
  from embedding_rnn import nsynth

  model = nsynth.WaveNetAutoencoder()
  audio = np.random.default_rng(0).uniform(-1, 1, [NOTES_TO_ENCODE, 64_000])
  model.encode(audio).numpy()
  memory, seconds = _memory_gb(), []
  for _ in range(_REPEATS.value):
    start = time.perf_counter()
    model.encode(audio).numpy()
    seconds.append((time.perf_counter() - start) / NOTES_TO_ENCODE)
  return {
    'memory_gb': memory,
    'seconds': seconds,
    'has_decoder': model.decoder.built,
  }


def _load_golden():
  """Magenta's test of 30 layers: a model with its weights, and its audio."""
  from embedding_rnn import nsynth

  folder = ROOT / 'embedding_rnn/testdata/nsynth_wavenet'
  test, weights = np.load(folder / 'mid.npz'), np.load(folder / 'mid_vars.npz')
  sizes = [int(test[name]) for name in test if name.startswith('cfg_')]
  model = nsynth.WaveNetAutoencoder(*sizes)
  model.build()
  for part in (model.encoder, model.decoder):
    for name, variable in part.tf1_variables.items():
      variable.assign(weights[f'raw:{name}'].reshape(variable.shape))
  return model, test['wav']


def _int8_cost(model, audio):
  """Follows audio `[B, n]` with weights of both kinds, and compares."""
  import tensorflow as tf

  from embedding_rnn.nsynth import mu_law
  from embedding_rnn.nsynth.fastgen import litert

  frames = model.encode(audio).numpy()
  classes = mu_law.to_classes(mu_law.encode(audio)).numpy()
  uniform = np.random.default_rng(0).random(classes.size, np.float32)
  nats, drawn = [], []
  for is_int8 in (False, True):
    generator = litert.LiteRTGenerator(model.decoder, len(audio), is_int8)
    logits = []

    def follow(step, logits_of_step, logits=logits):
      logits.append(logits_of_step)
      return classes[:, step]

    generator.run(frames, follow, generator.initial_state(), classes.shape[1])
    log_probs = tf.nn.log_softmax(np.stack(logits, axis=1)).numpy()
    followed = np.take_along_axis(log_probs, classes[..., None], axis=2)
    nats.append(float(-followed.mean()))
    rows = log_probs.reshape(-1, mu_law.NUM_CLASSES)
    drawn.append(litert.draw_classes(rows, uniform))
  agreement = float((drawn[0] == drawn[1]).mean())
  return {'nats': nats[0], 'nats_int8': nats[1], 'agreement': agreement}


def _measure_cost():
  """Nats a sample, and how many samples of both kinds of weights are alike."""
  import keras
  import soundfile

  from embedding_rnn import nsynth

  keras.utils.set_random_seed(0)
  name = "Magenta's test of 30 layers, random weights"
  costs = {name: _int8_cost(*_load_golden())}
  full = nsynth.WaveNetAutoencoder()
  full.build()
  if _CHECKPOINT.value:
    full.restore_tf1_checkpoint(_CHECKPOINT.value)
  notes = sorted((ROOT / 'embedding_rnn/testdata/nsynth').glob('*.flac'))
  audio = np.stack(
    [soundfile.read(path, SAMPLES_TO_FOLLOW)[0] for path in notes]
  )[:: len(notes) // NOTES_TO_FOLLOW]
  name = _CHECKPOINT.value or 'full size, random weights'
  return costs | {name: _int8_cost(full, audio)}


def _run_child(*job):
  command = [sys.executable, __file__, f'--child={json.dumps(job)}']
  command.append(f'--repeats={_REPEATS.value}')
  if _CHECKPOINT.value:
    command.append(f'--nsynth_checkpoint_path={_CHECKPOINT.value}')
  output = subprocess.run(
    command, check=True, stdout=subprocess.PIPE, text=True
  ).stdout
  return json.loads(output.splitlines()[-1])


def _measure(kind, *arguments):
  if kind == 'encoding':
    return _measure_encoding()
  if kind == 'cost':
    return _measure_cost()
  return _measure_generation(kind, *arguments)


def _print_generation(results):
  print(
    '\n| generation, audio samples a second | batch | median (range) | of '
    'fastgen | goal | of the limit by arithmetic | by reading | memory, GB | '
    'made in, s | peak, GFLOP/s | GB/s |\n' + '|---' * 11 + '|'
  )
  for (kind, batch_size), r in results.items():
    rate, gflops = _median(r['rates']), r['peak'].gflops
    bandwidth = _median(r['gb_per_s'])
    before, goal = FASTGEN.get(batch_size), GOALS[kind].get(batch_size)
    print(
      f'| {kind} | {batch_size} '
      f'| {rate:.0f} ({min(r["rates"]):.0f}-{max(r["rates"]):.0f}) '
      f'| {f"{rate / before:.1f} times {before}" if before else "-"} '
      f'| {goal or "-"} '
      f'| {rate / (gflops / SAMPLE_GFLOP):.2f} '
      f'of {gflops / SAMPLE_GFLOP:.0f} '
      f'| {rate / (batch_size * bandwidth / WEIGHTS_GB):.2f} '
      f'of {batch_size * bandwidth / WEIGHTS_GB:.0f} '
      f'| {r["memory_gb"]:.2f} | {r["made_s"]:.1f} '
      f'| {gflops:.0f} | {bandwidth:.0f} |'
    )


def _print_encoding(r):
  print(
    '\n| encoding a note of 4 s, in a batch | s, median (range) | Magenta | '
    'goal | memory, GB | peak, GFLOP/s |\n' + '|---' * 6 + '|'
  )
  what = 'decoder built' if r['has_decoder'] else 'no decoder built'
  print(
    f'| {what} | {_median(r["seconds"]):.2f} '
    f'({min(r["seconds"]):.2f}-{max(r["seconds"]):.2f}) | {ENCODING} '
    f'| {ENCODING_GOAL} | {r["memory_gb"]:.2f} | {r["peak"].gflops:.0f} |'
  )


def _print_cost(results):
  print(
    '\n| 8-bit weights | nats a sample, float32 | int8 | cost | drawn alike |\n'
    + '|---' * 5
    + '|'
  )
  for name, r in results.items():
    print(
      f'| {name} | {r["nats"]:.4f} | {r["nats_int8"]:.4f} '
      f'| {r["nats_int8"] - r["nats"]:+.4f} | {100 * r["agreement"]:.1f} % |'
    )


def main(_):
  """Prints the tables."""
  if _CHILD.value:
    print(json.dumps(_measure(*json.loads(_CHILD.value))))
    return
  print(peak.describe_machine())
  jobs = []
  for kind in _KINDS.value:
    sizes = [[size] for size in _BATCH_SIZES.value] if kind in GOALS else [[]]
    jobs += [(kind, *size) for size in sizes]
  results, rates = {}, [peak.measure()]
  for job in tqdm(jobs, unit='row'):
    results[job] = _run_child(*job)
    if job != ('cost',):
      rates.append(peak.measure())
      results[job]['peak'] = peak.best(rates[-2:])
  runtime = {job: r for job, r in results.items() if job[0] in GOALS}
  if runtime:
    _print_generation(runtime)
  if ('encoding',) in results:
    _print_encoding(results['encoding',])
  if ('cost',) in results:
    _print_cost(results['cost',])


if __name__ == '__main__':
  app.run(main)
