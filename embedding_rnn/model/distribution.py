"""Several GPUs, or several machines, that train one model; and XLA.

Each device holds a replica of the model. All are given the same whole batch;
each takes its `share` of it, and what they find is averaged. Random numbers are
drawn for the whole batch and shared in the same way, so that a step is the
same, but for rounding, however many replicas do it.

TensorFlow's replica context says how many replicas there are and which one asks
for its share; outside `tf.distribute` there is one, whose share is all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
from submitit.slurm.slurm import SlurmJobEnvironment

from embedding_rnn.utils import reading

_FIRST_PORT, _NUM_PORTS = 12_000, 20_000  # below those given to clients
_PARTING_SECONDS = 1.0
_FEW_NOTES = 2


@functools.cache
def choose_strategy() -> tf.distribute.Strategy:
  """The way to train with all that this process was given.

  That is all workers of a cluster, where the environment variable TF_CONFIG
  lists several or Slurm runs several tasks of this step; else all GPUs that
  TensorFlow sees; else its first device. With a cluster, it must be called
  before any TensorFlow operation.

  Returns:
    The strategy, always the same one in a process.

  Raises:
    ValueError: for variables of Slurm, or a TF_CONFIG, that fit no cluster.
  """
  if 'TF_CONFIG' not in os.environ:
    config = _slurm_config()
    if config:
      os.environ['TF_CONFIG'] = json.dumps(config)
  try:
    config = reading.parse_json(os.environ.get('TF_CONFIG') or '{}')
    cluster = config.get('cluster', {})
    reading.expect_types({'cluster': cluster}, {'cluster': dict[str, list]})
  except ValueError as error:
    raise ValueError(
      f'The environment variable TF_CONFIG is no description of a cluster: '
      f'{error}; correct or unset it.'
    ) from error
  if sum(map(len, cluster.values())) > 1:
    return tf.distribute.MultiWorkerMirroredStrategy()
  if len(tf.config.list_physical_devices('GPU')) > 1:
    return tf.distribute.MirroredStrategy()
  return tf.distribute.get_strategy()


def _slurm_config() -> dict | None:
  """TF_CONFIG of a Slurm step of several tasks; None for any other process."""
  # Set by srun alone: the script of a job is no task of a step.
  environment = os.environ
  num_tasks = int(environment.get('SLURM_STEP_NUM_TASKS', 1))
  if num_tasks == 1:
    return None
  hosts = list(SlurmJobEnvironment().hostnames)
  counts = []  # such as '2(x3),1'
  for count, times in re.findall(
    r'(\d+)(?:\(x(\d+)\))?', environment['SLURM_STEP_TASKS_PER_NODE']
  ):
    counts += [int(count)] * int(times or 1)
  first_port = _FIRST_PORT + int(environment['SLURM_JOB_ID']) % _NUM_PORTS
  workers = [
    (host, first_port + i)
    for host, count in zip(hosts, counts, strict=False)
    for i in range(count)
  ]
  rank = int(environment['SLURM_PROCID'])
  node = environment.get('SLURMD_NODENAME')
  if (
    len(hosts) != len(counts)
    or len(workers) != num_tasks
    or rank >= num_tasks
    or node not in (None, workers[rank][0])
  ):
    raise ValueError(
      f'Slurm runs task {rank} of {num_tasks} on {node}, with {counts} tasks '
      f'on the nodes {hosts}: expected tasks on all nodes of the job, in their '
      'order. Start it with srun --distribution=block on whole jobs, or set '
      'TF_CONFIG.'
    )
  return {
    'cluster': {'worker': [f'{host}:{port}' for host, port in workers]},
    'task': {'type': 'worker', 'index': rank},
  }


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes."""
  return strategy.extended.should_checkpoint


def has_workers(strategy: tf.distribute.Strategy) -> bool:
  """Whether other processes take part."""
  return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def expect_even_shares(
  batch_size: int, strategy: tf.distribute.Strategy
) -> None:
  """Raises ValueError if a batch cannot be shared out evenly."""
  count = strategy.num_replicas_in_sync
  if batch_size % count:
    raise ValueError(
      f'batch_size={batch_size}: expected a multiple of the {count} devices '
      f'that share it, such as {-(-batch_size // count) * count}; or give the '
      'run fewer GPUs (CUDA_VISIBLE_DEVICES).'
    )


def happened_anywhere(strategy: tf.distribute.Strategy, happened: bool) -> bool:
  """Whether something happened on any worker. All of them must ask."""
  if not has_workers(strategy):
    return bool(happened)
  return bool(_sum_over_replicas(strategy)(tf.constant(float(happened))) > 0)


def part(strategy: tf.distribute.Strategy) -> None:
  """Waits until every worker has come here, and may end."""
  happened_anywhere(strategy, False)
  if has_workers(strategy):
    # What one has sent, others may not have read; its end would be an error.
    time.sleep(_PARTING_SECONDS)


@functools.cache
def _sum_over_replicas(strategy):
  """-> function that sums a number over the replicas."""

  def on_replica(number):
    return all_reduce('SUM', [tf.identity(number)])[0]  # on its device

  @tf.function(autograph=False)
  def sum_of(number):
    sums = strategy.run(on_replica, (number,))
    return strategy.experimental_local_results(sums)[0]

  return sum_of


@contextlib.contextmanager
def all_or_none(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """No worker goes on from its block before all have ended theirs well.

  Raises:
    RuntimeError: on the workers that were well, if another was not.
  """
  try:
    yield
  except Exception:
    happened_anywhere(strategy, True)
    raise
  if happened_anywhere(strategy, False):
    raise RuntimeError(
      'Another worker of this run stopped with an error; see its log.'
    )


def prefers_xla() -> bool:
  """Whether a step over many notes runs faster under XLA on this machine.

  On an accelerator XLA fuses the many small operations of a frame into a few
  kernels. On a CPU it runs what it fuses on one core.
  """
  return bool(tf.config.list_logical_devices('GPU'))


def prefers_xla_for_sampling(batch_size: int, frames_per_step: int) -> bool:
  """The same for sampling, where the operations of a few notes are small.

  Where a step draws several frames, there are few steps: to compile their many
  operations takes longer than all that it saves.
  """
  is_small = batch_size <= _FEW_NOTES and frames_per_step == 1
  return is_small or prefers_xla()


# What replicas do, inside strategy.run.


def num_replicas() -> int:
  """How many replicas share a batch with this one, itself included."""
  context = tf.distribute.get_replica_context()
  return context.num_replicas_in_sync if context else 1


def share(x: tf.Tensor, axis: int = 0) -> tf.Tensor:
  """This replica's part of what belongs to a whole batch.

  Args:
    x: `[..., B, ...]`, for B notes.
    axis: which axis is that of the notes.

  Returns:
    `[..., B / num_replicas, ...]`.
  """
  count = num_replicas()
  if count == 1:
    return x
  size = x.shape.as_list()
  axis %= len(size)
  size[axis] //= count
  begin = [0] * len(size)
  context = tf.distribute.get_replica_context()
  begin[axis] = context.replica_id_in_sync_group * size[axis]
  return tf.slice(x, begin, size)


def draw(
  distribution: Callable, shape: Sequence[int], seed: tf.Tensor, axis: int
) -> tf.Tensor:
  """Random numbers for this replica's notes: its share of the whole batch's.

  Args:
    distribution: `tf.random.stateless_normal` or one like it.
    shape: of the result.
    seed: int `[2]`, the same on all replicas.
    axis: which axis of the shape is that of the notes.
  """
  count = num_replicas()
  if count == 1:
    return distribution(shape, seed)
  whole = list(shape)
  whole[axis] *= count
  return share(distribution(whole, seed), axis)


def all_reduce(reduction: str, tensors: list) -> list:
  """The 'SUM' or the 'MEAN' over the replicas of each of some tensors."""
  context = tf.distribute.get_replica_context()
  if num_replicas() == 1 or not tensors:
    return tensors
  return context.all_reduce(reduction, tensors)
