"""Speed and memory beside the same model in PyTorch and in Keras' own layers.

  python benchmarks/peers.py
  python benchmarks/peers.py --models=default_run --turns=9
  python benchmarks/peers.py --check

The first call makes a virtual environment with PyTorch for CPUs. A first check
shows that each peer computes our costs, gradients and samples from our weights.
Then, for each model and in several rounds, all are started, each in a process
of its own, and take turns at steps of training and at batches of samples, each
turn half a second or one step. So they see the same machine, and what is
compared are the mean times of one turn. The ratio is how many times as long as
ours the other takes. A start counts up to the end of the first step, memory is
the most that training took. The peak is that of `peak.py`, of PyTorch as well,
before and after.

Keras' own layers are compared where the model is one of LSTMs.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from typing import Any

from absl import app, flags
from tqdm import tqdm

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # Run from a clone, installed or not.

import peak
import turns

from embedding_rnn.experiments import grids
from embedding_rnn.model.hparams import default_hps

# Of a registry that has builds for CPUs (2.13.0+cpu), pip takes these.
PACKAGES = ('torch==2.13.0', 'numpy>=1.26')
OURS, PYTORCH, KERAS = 'ours', 'PyTorch', 'Keras layers'
SAMPLES = (1, 64, 468)  # 468: all held-out notes
# A turn is as many steps as this holds, since the first ones after those of
# another process find the caches cold.
TURN_SECONDS = 0.5
# How far a peer may be from ours: the cost in nats a value, gradients as parts
# of the largest of a weight, samples in units of the model's frames.
# Few frames, and no multiple of those in a step.
CHECKED = 'max_seq_len=27,rnn_size=48,enc_rnn_size=24,batch_size=4'
LIMITS = {'cost': 1e-5, 'gradients': 1e-4, 'samples': 1e-4}


def _plan():
  """The hyperparameters of each model."""
  models = {
    'default_hps': default_hps(),
    'blog_13': default_hps().parse(peak.BLOG_13),
  }
  for per_step in (25, 5, 1):
    recipe, *_ = grids.plan_runs('default_run').values()
    is_own = per_step == recipe.frames_per_step
    name = 'default_run' if is_own else f'default_run, {per_step} a step'
    models[name] = recipe.parse(f'frames_per_step={per_step}')
  return models


MODELS = _plan()

_MODELS = flags.DEFINE_multi_enum(
  'models', list(MODELS), list(MODELS), 'Models to measure.'
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 3, 'How often all are started.', lower_bound=1
)
_TURNS = flags.DEFINE_integer(
  'turns', 5, 'Turns at each thing in a round.', lower_bound=1
)
_SAMPLES = flags.DEFINE_multi_integer(
  'samples', list(SAMPLES), 'Notes of a batch to sample.', lower_bound=1
)
_VENV = flags.DEFINE_string(
  'venv', str(ROOT / 'build' / 'peers'), 'Folder of the virtual environment.'
)
_CHECK = flags.DEFINE_bool('check', False, 'Check the peers, and end.')


def make_environment(folder: pathlib.Path) -> str:
  """-> the Python that has PyTorch; installs it if it is not there."""
  python = folder / 'bin' / 'python'
  if not (folder / 'complete').exists():
    venv.create(folder, clear=True, with_pip=True)
    command = [python, '-m', 'pip', 'install', '--quiet', *PACKAGES]
    subprocess.run(command, check=True, stdout=sys.stderr)
    (folder / 'complete').touch()
  return str(python)


def start(name: str, python: str) -> turns.Worker:
  """A process of ours or of a peer."""
  if name == PYTORCH:
    return turns.Worker([python, str(HERE / 'peer_torch.py')])
  kind = {OURS: 'ours', KERAS: 'keras'}[name]
  return turns.Worker([sys.executable, str(HERE / 'peer_tensorflow.py'), kind])


class Peers:
  """The processes of one model.

  Attributes:
    names: of those that there are, ours first.
  """

  def __init__(self, hps: Any, python: str):
    self._hps, self._python = hps, python
    self.names = [OURS, PYTORCH]
    is_lstm = hps.model == hps.enc_model == 'lstm' and hps.num_layers == 1
    if is_lstm and hps.frames_per_step == 1:
      self.names.append(KERAS)

  def start(self, name: str) -> turns.Worker:
    """A process that makes the model, and waits to be asked."""
    worker = start(name, self._python)
    worker.ask('build', self._hps.values())
    return worker

  def measure(self, bar: tqdm) -> dict[str, Any]:
    """Times by what was done and by whom, and all else there is to show."""
    starts, memory = defaultdict(list), defaultdict(list)
    seconds: Any = defaultdict(lambda: defaultdict(list))
    for number in range(_ROUNDS.value):
      with contextlib.ExitStack() as stack:
        workers = {}
        for name in self._in_turn(number):
          worker = stack.enter_context(self.start(name))
          worker.ask('train')
          starts[name].append(turns.now() - worker.started)
          workers[name] = worker
        jobs = [('train', ())] + [('sample', (n,)) for n in _SAMPLES.value]
        for job, arguments in jobs:
          some = [
            name for name in self.names if job == 'train' or name != KERAS
          ]
          for name in some:  # what the first time takes
            workers[name].ask(job, *arguments)
          longest = max(workers[name].ask(job, *arguments) for name in some)
          times = max(1, round(TURN_SECONDS / longest))
          for turn in range(_TURNS.value):
            for name in self._in_turn(turn):
              if name in some:
                took = [
                  workers[name].ask(job, *arguments) for _ in range(times)
                ]
                seconds[(job, *arguments)][name].append(statistics.mean(took))
            bar.update()
          if job == 'train':
            for name, worker in workers.items():
              memory[name].append(worker.ask('memory_gb'))
        operations = workers[OURS].ask('operations')
    return {
      'seconds': seconds,
      'starts': starts,
      'memory': memory,
      'operations': operations,
    }

  def _in_turn(self, number):
    """Each time another one begins."""
    number %= len(self.names)
    return self.names[number:] + self.names[:number]


def check_all(models: dict, python: str) -> None:
  """Prints how far the peers are from ours, at small sizes.

  Raises:
    ValueError: one is too far.
  """
  print(
    '| the same work? | by | cost | gradients | samples |\n' + '|---' * 5 + '|'
  )
  with contextlib.ExitStack() as stack:
    workers: dict[str, turns.Worker] = {}

    def ask(name, *question):
      if name not in workers:
        workers[name] = stack.enter_context(start(name, python))
      return workers[name].ask(*question)

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = os.path.join(folder, 'case.npz')
    for model, hps in models.items():
      small = hps.copy().parse(CHECKED)
      ask(OURS, 'build', small.values())
      ask(OURS, 'write_case', path)
      for name in Peers(hps, python).names[1:]:
        ask(name, 'build', small.values())
        found = ask(name, 'check', path)
        cells = [f'{found[x]:.0e}' if x in found else '-' for x in LIMITS]
        print(f'| {model} | {name} | {" | ".join(cells)} |', flush=True)
        _expect_near(model, name, found)


def _expect_near(model, name, found):
  for what, value in found.items():
    if not value <= LIMITS[what]:
      raise ValueError(
        f'{name}, {model}: {what} differ by {value:.1e}, expected at most '
        f'{LIMITS[what]:.0e}; times would not be those of the same work.'
      )


def _median(values):
  return statistics.median(values)


def _spread(values, digits=3):
  """Median and range, to some significant digits."""
  texts = [
    _round(x, digits) for x in (_median(values), min(values), max(values))
  ]
  return '{} ({}-{})'.format(*texts)


def _round(x, digits):
  decimals = max(0, digits - len(str(int(abs(x)))) if x >= 1 else digits)
  return f'{x:.{decimals}f}'


def _ratios(seconds, name):
  return [b / a for a, b in zip(seconds[OURS], seconds[name], strict=True)]


def _print_training(results):
  print(
    '\n| training | beside | ours, s a step | theirs | ratio (range) | ours, '
    'notes a second | of the peak | theirs | peak |\n' + '|---' * 9 + '|'
  )
  for model, r in results.items():
    seconds, gflops = r['seconds'][('train',)], r['peak'].gflops
    ours, gflop = _median(seconds[OURS]), r['operations']
    rate = MODELS[model].batch_size / ours
    for name in [*seconds][1:]:
      theirs = _median(seconds[name])
      print(
        f'| {model} | {name} | {_round(ours, 3)} | {_round(theirs, 3)} '
        f'| {_spread(_ratios(seconds, name))} | {rate:.0f} '
        f'| {gflop["done"] / ours / gflops:.2f} '
        f'| {gflop["plain"] / theirs / gflops:.2f} | {r["peak"]} |'
      )


def _print_starts(results):
  print(
    '\n| start and memory | of | start to first step, s (range) | memory, GB '
    '(range) |\n' + '|---' * 4 + '|'
  )
  for model, r in results.items():
    for name in r['seconds'][('train',)]:
      print(
        f'| {model} | {name} | {_spread(r["starts"][name])} '
        f'| {_spread(r["memory"][name])} |'
      )


def _print_sampling(results):
  print(
    '\n| sampling | batch | ours, s a note | PyTorch | ratio (range) |\n'
    + '|---' * 5
    + '|'
  )
  for model, r in results.items():
    for n in _SAMPLES.value:
      seconds = r['seconds']['sample', n]
      print(
        f'| {model} | {n} | {_median(seconds[OURS]) / n:.5f} '
        f'| {_median(seconds[PYTORCH]) / n:.5f} '
        f'| {_spread(_ratios(seconds, PYTORCH))} |'
      )


def main(_):
  """Checks, measures, and prints the tables."""
  python = make_environment(pathlib.Path(_VENV.value).resolve())
  models = {name: MODELS[name] for name in _MODELS.value}
  check_all(models, python)
  if _CHECK.value:
    return
  print(f'\n{peak.describe_machine()}')
  libraries = {**peak.LIBRARIES, PYTORCH: python}
  rates, results = [peak.measure(libraries)], {}
  jobs = len(models) * _ROUNDS.value * _TURNS.value * (1 + len(_SAMPLES.value))
  with tqdm(total=jobs, unit='turn') as bar:
    for name, hps in models.items():
      results[name] = Peers(hps, python).measure(bar)
      rates.append(peak.measure(libraries))
      results[name]['peak'] = peak.best(rates[-2:])
  _print_training(results)
  _print_starts(results)
  _print_sampling(results)


if __name__ == '__main__':
  app.run(main)
