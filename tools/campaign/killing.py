"""Signals at random moments, and whether a command then ends as ever."""

from __future__ import annotations

import pathlib
import random
import shutil
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

import children
import judging
import stage as stage_lib

_SIGNALS = (7 * [signal.SIGKILL]) + 2 * [signal.SIGTERM] + [signal.SIGHUP]
_MAX_KILLS = 3  # in a row, until a command may end
_NUM_TRIES = 40


class Work(NamedTuple):
  """A command that is killed.

  Attributes:
    name: what it does.
    command: how it begins, and goes on.
    outputs: what it writes.
    share: of all kills.
    resumed: what is added when it is given again.
  """

  name: str
  command: list[str]
  outputs: str
  share: int
  resumed: tuple[str, ...] = ()


class Trial(NamedTuple):
  """A kill, and what came of it; see `trials`."""

  about: str
  command: list[str]
  verdict: str
  problems: list[str]


def _works() -> tuple[Work, ...]:
  run = '--run_dir=logs/run'
  resume = ('--resume',)
  return (
    Work('training', stage_lib.train(400, 20, 'k'), 'logs/k', 5, resume),
    Work(
      'WaveNet training', stage_lib.train_wavenet(30, 3, 'k'), 'logs/k', 1,
      resume,
    ),
    Work(
      'evaluation',
      [
        'embedding-rnn', 'evaluate', run, '--data_dir=data',
        '--num_importance_samples=2', '--num_decoded_notes=4',
      ],
      'logs/run', 1,
    ),
    Work(
      'encoding',
      ['embedding-rnn', 'encode', '--source=sounds', '--output_dir=out'],
      'out', 1,
    ),
    Work(
      'WaveNet generation',
      [
        '-m', 'embedding_rnn.nsynth.generate', '--source=long.npy',
        '--output_dir=out', '--nsynth_checkpoint_path=logs/wavenet',
        '--batch_size=2',
      ],
      'out', 1,
    ),
    Work(
      'synthesis',
      [
        'embedding-rnn', 'synthesize', run, '--data_dir=data', '--num_notes=1',
        '--pitches=60', '--output_dir=out',
      ],
      'out', 1,
    ),
    Work(
      'export', ['embedding-rnn', 'export', run, '--output_dir=out'], 'out', 1
    ),
    Work(
      'instrument',
      [
        'embedding-rnn', 'instrument', run, '--output_dir=out', '--keys=48,72',
      ],
      'out', 1,
    ),
    Work(
      'playing',
      [
        'embedding-rnn', 'play', run, '--midi=song.mid', '--output=out.wav',
      ],
      'out.wav', 1,
    ),
  )  # fmt: skip


def trials(
  count: int, seed: int, stage: pathlib.Path, folder: pathlib.Path
) -> Iterator[Trial]:
  """Yields kills, `count` in all; those of a trial count alike."""
  rng = random.Random(seed)
  works = [work for work in _works() for _ in range(work.share)]
  expected: dict[str, tuple] = {}
  done = 0
  rng.shuffle(works)
  for number in range(count):
    if done >= count:
      return
    work = works[number % len(works)]
    if work.name not in expected:
      expected[work.name] = _undisturbed(work, stage, folder)
    wanted = rng.randint(1, min(_MAX_KILLS, count - done))
    room = _room(stage, folder / f'{number:04d}')
    kills, outcome = _disturb(work, wanted, expected[work.name][1], room, rng)
    problems = _problems(work, outcome, room, expected[work.name][0])
    names = ', '.join(kills)
    for _ in kills:
      yield Trial(f'{work.name}: {names}', work.command, work.name, problems)
    done += len(kills)
    if not problems:
      shutil.rmtree(room.parent)
    else:
      (room.parent / 'output').write_text(outcome.text)


def _room(stage: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  import numpy as np

  room = stage_lib.copy(stage, folder / 'room')
  rng = np.random.default_rng(0)
  frames = rng.normal(size=(6, 100, 4)).astype(np.float32)
  np.save(room / 'long.npy', frames)
  return room


def _undisturbed(
  work: Work, stage: pathlib.Path, folder: pathlib.Path
) -> tuple[dict[str, str], float]:
  """What a command ends with, where two times are the same; and its seconds."""
  both, seconds = [], 0.0
  for name in ('once', 'again'):
    room = _room(stage, folder / name)
    outcome = children.run(work.command, room)
    if outcome.status:
      raise RuntimeError(f'{work.name} failed:\n{outcome.text}')
    both.append(judging.results_of(room / work.outputs))
    seconds = outcome.seconds
    shutil.rmtree(room.parent)
  differing = sorted(k for k in both[0] if both[0][k] != both[1].get(k))
  if both[0].keys() != both[1].keys() or len(differing) > 2:
    raise RuntimeError(f'{work.name} is not repeatable: {differing}')
  if differing:
    from embedding_rnn.utils import cli

    cli.write_result(f'{work.name}: not compared, never the same: {differing}')
  return {k: v for k, v in both[0].items() if k not in differing}, seconds


def _disturb(work, wanted, seconds, room, rng):
  """Kills a command a few times, and lets it end; -> signals, last outcome."""
  kills: list[str] = []
  for _ in range(_NUM_TRIES):
    resumed = work.resumed if kills else ()
    child = children.Child(
      [*work.command, *resumed], room, forked=rng.random() < 0.9
    )
    if len(kills) == wanted:
      return kills, child.outcome()
    moment = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < moment and not child.is_over():
      time.sleep(0.001)
    if child.is_over():  # Too late: begin anew.
      outcome = child.outcome()
      if outcome.status or kills:
        return kills, outcome
      seconds *= 0.8
      for path in (room / work.outputs, room / 'logs' / 'k'):
        if path.is_file():
          path.unlink()
        elif work.outputs != 'logs/run':
          shutil.rmtree(path, ignore_errors=True)
      continue
    number = rng.choice(_SIGNALS)
    child.send(number)
    outcome = child.outcome()
    kills.append(f'{number.name} after {outcome.seconds:.1f} s')
    if number == signal.SIGKILL and outcome.status != -number:
      kills.pop()
    if 'Traceback' in outcome.text:
      return kills, outcome
  raise RuntimeError(f'{work.name} could not be killed.')


def _problems(work, outcome, room, expected):
  problems = judging.problems_of_any(outcome, room)
  if outcome.status:
    return [*problems, f'given again, ended with {outcome.status}']
  found = judging.results_of(room / work.outputs)
  lost = sorted(k for k in expected if k not in found)
  others = sorted(k for k in expected if k in found and found[k] != expected[k])
  more = sorted(found.keys() - expected.keys())
  for what, names in (('lost', lost), ('not the same', others)):
    if names:
      problems.append(f'{what}: {names}')
  if [name for name in more if not name.endswith('.tmp')]:
    problems.append(f'more than undisturbed: {more}')
  return problems
