"""Damages to the files of a run and of its data, and what reads them."""

from __future__ import annotations

import itertools
import pathlib
import random
import shutil
from collections.abc import Callable, Iterator
from typing import NamedTuple

import children
import contents
import judging
import stage as stage_lib

_RUN = 'logs/run'


class Action(NamedTuple):
  """A command that reads a run, and where it writes its results."""

  name: str
  command: list[str]
  outputs: tuple[str, ...]

  def __hash__(self):
    return hash(self.name)


class Case(NamedTuple):
  """A damage, and what is then done.

  Attributes:
    about: what is damaged, and how.
    action: what is done.
    spoil: damages a copy of the stage.
    words: one of them must be said, unless the result is the same.
  """

  about: str
  action: Action
  spoil: Callable[[pathlib.Path], None]
  words: tuple[str, ...]


def _actions() -> tuple[Action, ...]:
  run = f'--run_dir={_RUN}'
  resume = stage_lib.train(6, 1, extra=',overfit=1')
  return (
    Action('resume', [*resume, '--resume'], (_RUN,)),
    Action(
      'synthesize',
      [
        'embedding-rnn', 'synthesize', run, '--data_dir=data', '--num_notes=1',
        '--pitches=60', '--output_dir=out', '--just_figures',
      ],
      ('out',),
    ),
    Action(
      'evaluate',
      [
        'embedding-rnn', 'evaluate', run, '--data_dir=data',
        '--num_importance_samples=2', '--num_decoded_notes=1',
        '--output_dir=out',
      ],
      ('out',),
    ),
    Action('report', ['run.py', f'--report={_RUN}'], (f'{_RUN}/report.csv',)),
    Action(
      'instrument',
      [
        'embedding-rnn', 'instrument', run, '--output_dir=out', '--keys=60,61',
        '--noloop',
      ],
      ('out',),
    ),
    Action(
      'export', ['embedding-rnn', 'export', run, '--output_dir=out'],
      ('out',),
    ),
  )  # fmt: skip


def results(
  action: Action, room: pathlib.Path, outcome: children.Outcome
) -> dict:
  """All that an action gives, but for times."""
  found = {}
  for output in action.outputs:
    found |= {(output, *k): v for k, v in _results(room / output).items()}
  if action.name == 'report':
    found['shown'] = outcome.out
  return found


def _results(path: pathlib.Path) -> dict:
  if not path.exists():
    return {}
  return {(k,): v for k, v in judging.results_of(path).items()}


def expect(action: Action, stage: pathlib.Path, folder: pathlib.Path) -> dict:
  """What an action gives without damage, twice the same."""
  both = []
  for name in ('once', 'again'):
    room = stage_lib.copy(stage, folder / name / 'room')
    outcome = children.run(action.command, room)
    if outcome.status:
      raise RuntimeError(f'{action.name} failed:\n{outcome.text}')
    both.append(results(action, room, outcome))
    shutil.rmtree(room.parent)
  if both[0] != both[1]:
    differing = [k for k in both[0] if both[0][k] != both[1].get(k)]
    raise RuntimeError(f'{action.name} is not repeatable: {differing}')
  return both[0]


def generate(count: int, seed: int, stage: pathlib.Path) -> Iterator[Case]:
  """Yields damages, each action's in turn."""
  rng = random.Random(seed)
  paths = sorted(
    path.relative_to(stage)
    for folder in (_RUN, 'data')
    for path in (stage / folder).rglob('*')
    if path.is_file()
  )
  streams = []
  for action in _actions():
    cases = list(_cases(action, paths, rng))
    rng.shuffle(cases)
    streams.append(cases)
  in_turn = itertools.chain.from_iterable(itertools.zip_longest(*streams))
  yield from itertools.islice((x for x in in_turn if x), count)


def _cases(action, paths, rng):
  for path in paths:
    if path.parts[0] == 'data' and action.name not in (
      'resume', 'synthesize', 'evaluate',
    ):  # fmt: skip
      continue
    for name, spoil, others in _spoilers(path, paths, rng):
      words = tuple(word for p in (path, *others) for word in _words(p))
      yield Case(f'{path}: {name}', action, spoil, words)


def _words(path: pathlib.Path) -> tuple[str, ...]:
  """A name that a user finds the damage by: its file's, or its save's."""
  parent = path.parent.name
  is_save = parent.startswith(('best-', 'last-'))
  if is_save:
    return (path.name, parent, f'of step {int(parent[5:])}')
  return (path.name, f"'{path.parent}'")


def _spoilers(path, paths, rng):
  others = [p for p in paths if p != path and p.parts[0] == path.parts[0]]
  other, place = rng.choice(others), rng.random()

  def change(function):
    def spoil(room):
      content = (room / path).read_bytes()
      (room / path).write_bytes(function(content))

    return spoil

  def swap(room):
    one, two = (room / path).read_bytes(), (room / other).read_bytes()
    (room / path).write_bytes(two)
    (room / other).write_bytes(one)

  def delete_folder(room):
    shutil.rmtree((room / path).parent)

  for name, function in {
    'flipped': lambda x: contents.flip(x, place),
    'cut': lambda x: x[: int(place * (len(x) - 1))],
    'empty': lambda x: b'',
    'text': lambda x: b'no input\n',
    'longer': lambda x: x + b'\0',
  }.items():
    yield name, change(function), ()
  yield 'deleted', lambda room: (room / path).unlink(), ()
  yield f'swapped with {other}', swap, (other,)
  if len(path.parts) > 3:
    yield 'its folder deleted', delete_folder, ()
