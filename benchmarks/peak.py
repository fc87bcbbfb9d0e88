"""What the machine can do, and how much of that a training step asks for.

  python benchmarks/peak.py

A time says little without what the machine could do at that time. Here that is
its rate of float32 matrix products: the best of several libraries and shapes,
since any one of them may have a bad day. Each library multiplies in a fresh
process, because what a process did before changes its rate, and a benchmark
measures before and after its own work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# M, K and N of [M, K] times [K, N]: a large square, and what an LSTM of 1024
# units does with a batch of 128: a frame, its backward pass, the gradients of
# weights of four frames.
SHAPES = (
  (2048, 2048, 2048),
  (4096, 1040, 128),
  (1040, 4096, 128),
  (4096, 512, 1040),
)
REPEATS = 7
# What the models of the final experiment of 2017 share.
BLOG_13 = (
  'rnn_size=1024,model=layer_norm,num_layers=2,enc_rnn_size=1024,z_size=128,'
  'num_mixture=20,batch_size=32'
)
LIBRARIES = {'TensorFlow': sys.executable, 'NumPy': sys.executable}


class Peak(NamedTuple):
  """The best rate, and where it was reached."""

  gflops: float
  where: str

  def __str__(self):
    return f'{self.gflops:.0f} GFLOP/s ({self.where})'


class Operations(NamedTuple):
  """GFLOP of the matrix products of a training step.

  Attributes:
    plain: of a graph like that of 2017, which tells each frame the note anew.
    done: of ours, which finds once for a note what z and pitch add.
  """

  plain: float
  done: float


def measure(
  libraries: Mapping[str, str] | None = None,
) -> dict[str, float]:
  """GFLOP/s of each library and shape, medians, each library on its own.

  Args:
    libraries: for each the Python that has it; `LIBRARIES` if None.
  """
  rates = {}
  for library, python in (libraries or LIBRARIES).items():
    command = [python, __file__, library]
    output = subprocess.run(
      command, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    rates |= json.loads(output.splitlines()[-1])
  return rates


def best(measurements: Sequence[Mapping[str, float]]) -> Peak:
  """The peak from what `measure` gave before and after."""
  medians = {
    where: statistics.median(rates[where] for rates in measurements)
    for where in measurements[0]
  }
  where = max(medians, key=medians.__getitem__)
  return Peak(medians[where], where)


def training_operations(model: Any, num_frames: int) -> Operations:
  """Counts the matrix products of a training step from the model's weights.

  Args:
    model: an embedding_rnn.Model; a step has hps.batch_size notes.
    num_frames: of a note.
  """
  from embedding_rnn.model import cells

  hps = model.hps
  num_steps = -(-num_frames // hps.frames_per_step)
  of_step = [model.head.kernel]
  of_note = [*(layer.kernel for layer in model.state_layers)]
  if model.conditional:
    of_note += [model.mean_layer.kernel, model.presig_layer.kernel]
    if hps.no_sample_vae:
      of_note.append(model.projection_layer.kernel)
  # Forward, the gradients of weights, and those of operands.
  plain = done = 3 * (num_steps * _size(of_step) + _size(of_note))
  if hps.error_order:
    plain = done = done + 3 * num_frames * _size([model.error_kernel])
  for cell in (*model.encoder_cells, *model.decoder_cells):
    recurrent = _size(cell.kernels().values())
    inputs = cell.input_weights().values()
    is_encoder = cell in model.encoder_cells
    rows = width = cell.w_xh.shape[0]
    if cell is model.decoder_cells[0]:
      width = model.heard_width
    features = sum(w.shape[1] for w in inputs)
    of_inputs, of_context = width * features, (rows - width) * features
    plain += 3 * num_steps * (recurrent + of_inputs + of_context)
    done += 3 * (num_steps * (recurrent + of_inputs) + of_context)
    if is_encoder and width > cells.FUSED_WIDTH:
      done -= num_steps * of_inputs  # Frames need no gradient.
  scale = 2 * hps.batch_size / 1e9
  return Operations(plain * scale, done * scale)


def _size(weights):
  sizes = 0
  for w in weights:
    size = 1
    for n in w.shape:
      size *= n
    sizes += size
  return sizes


def describe_machine() -> str:
  """Its processor and the number of cores that this process may use."""
  with open('/proc/cpuinfo') as f:
    names = {x.split(':')[1].strip() for x in f if x.startswith('model name')}
  return f'{", ".join(names)}, {len(os.sched_getaffinity(0))} cores'


def _rates(library: str) -> dict[str, float]:
  """GFLOP/s of each shape in this process."""
  import numpy as np

  if library == 'TensorFlow':
    import tensorflow as tf

    convert, multiply = tf.constant, lambda a, b: tf.matmul(a, b)[0, 0].numpy()
  elif library == 'PyTorch':
    import torch

    convert, multiply = torch.from_numpy, torch.matmul
  else:
    convert, multiply = np.asarray, np.matmul
  rng, rates = np.random.default_rng(0), {}
  for m, k, n in SHAPES:
    a, b = (
      convert(rng.standard_normal(shape, np.float32))
      for shape in ((m, k), (k, n))
    )
    seconds = []
    for _ in range(1 + REPEATS):
      start = time.perf_counter()
      multiply(a, b)
      seconds.append(time.perf_counter() - start)
    where = f'{library}, {m}x{k}x{n}'
    rates[where] = 2 * m * k * n / statistics.median(seconds[1:]) / 1e9
  return rates


def main(argv: Sequence[str]) -> None:
  """Prints the rates of all libraries, or as a child process those of one."""
  if len(argv) > 1:
    print(json.dumps(_rates(argv[1])))
    return
  rates = measure()
  print(f'{describe_machine()}\n\n| library, shape | GFLOP/s |\n|---|---|')
  for where, rate in rates.items():
    print(f'| {where} | {rate:.0f} |')
  print(f'\nThe peak is {best([rates])}.')


if __name__ == '__main__':
  main(sys.argv)
