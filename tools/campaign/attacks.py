"""The three attacks, their verdicts and their count."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import shlex
import shutil
import sys
from collections.abc import Callable

import children
import damaging
import inputs
import judging
import killing
import stage as stage_lib

from embedding_rnn.utils import cli

_MAX_SHOWN = 400  # characters; the file `command` in a case's folder has all


@dataclasses.dataclass
class Result:
  """What came of an attack.

  Attributes:
    name: of the attack.
    outcomes: how often what became of a case.
    failures: what became of others, in words.
    slowest_s: the longest time until a command refused.
  """

  name: str
  outcomes: collections.Counter
  failures: list[str]
  slowest_s: float = 0.0

  def row(self) -> dict[str, object]:
    """A row of the table at the end."""
    parts = (f'{number} {what}' for what, number in self.outcomes.most_common())
    return {
      'attack': self.name,
      'cases': self.outcomes.total() + len(self.failures),
      'failed': len(self.failures),
      'slowest refusal (s)': self.slowest_s,
      'others': ', '.join(parts),
    }

  def fail(self, about: str, command: list[str], problems: list[str]) -> None:
    """Counts and shows a failure."""
    line = shlex.join(children.shown(command))
    number = self.outcomes.total() + len(self.failures)
    what = '; '.join(problems)
    self.failures.append(what)
    # ascii, for they may be full of what a terminal would obey.
    cli.write_result(f'{self.name} {number}: {about}: {what[:_MAX_SHOWN]}')
    cli.write_result(f'  {line[:_MAX_SHOWN]!a}')


def run(
  name: str,
  count: int,
  seed: int,
  stage: pathlib.Path,
  folder: pathlib.Path,
) -> Result:
  """Runs an attack, one of `ATTACKS`.

  Args:
    name: of the attack.
    count: number of cases.
    seed: of their choice.
    stage: what commands work on, see `stage.build`; not changed.
    folder: for the folders of cases; those of failures are kept.
  """
  result = Result(name, collections.Counter(), [])
  ATTACKS[name](result, count, seed, stage, folder / name)
  return result


def _try_inputs(result, count, seed, stage, folder):
  for i, (case, is_real) in enumerate(inputs.generate(count, seed, stage)):
    room = stage_lib.copy(stage, folder / f'{i:04d}' / 'room')
    if case.damage:
      path = room / case.path
      path.write_bytes(case.damage(path.read_bytes()))
    before = judging.contents_of(room)
    outcome = children.run(case.command, room, not is_real)
    problems = judging.problems_of_any(outcome, room)
    after = judging.contents_of(room)
    if outcome.status:
      words = () if case.may_pass or _is_hopeless(case) else case.words
      problems += judging.problems_of_refusal(outcome, words)
      result.slowest_s = max(result.slowest_s, outcome.seconds)
      lost = [n for n in before if after.get(n) != before[n]]
      if lost:
        problems.append(f'refused, but changed {lost}')
      verdict = 'refused'
    else:
      verdict = 'accepted'
      if not case.may_pass and not _is_said(case, outcome, room):
        problems.append('accepted without a word')
    if outcome.trouble == 'working':
      verdict = 'worked until it was asked to stop'
      if not case.may_pass:
        problems.append('not refused: worked until it was asked to stop')
    _count(result, verdict, case.about, case.command, problems, room, outcome)


def _is_hopeless(case):
  """Whether a command ends with another error than that of the case."""
  return '--soundfont=text' in case.command


def _is_said(case, outcome, room):
  """Whether a damaged file is named, if need be in a table."""
  if not case.path:
    return False
  tables = [p.read_text(errors='replace') for p in room.rglob('report.csv')]
  return any(w in text for w in case.words for text in (outcome.text, *tables))


def _count(result, verdict, about, command, problems, room, outcome):
  if problems:
    result.fail(about, command, problems)
    (room.parent / 'output').write_text(outcome.text, errors='replace')
    line = shlex.join(children.shown(command))
    (room.parent / 'command').write_text(line, errors='surrogateescape')
  else:
    result.outcomes[verdict] += 1
    shutil.rmtree(room.parent)


def _try_damages(result, count, seed, stage, folder):
  expected: dict[damaging.Action, dict] = {}
  for i, case in enumerate(damaging.generate(count, seed, stage)):
    if case.action not in expected:
      expected[case.action] = damaging.expect(case.action, stage, folder)
    room = stage_lib.copy(stage, folder / f'{i:04d}' / 'room')
    case.spoil(room)
    outcome = children.run(case.action.command, room, i % 20 != 10)
    problems = judging.problems_of_any(outcome, room)
    if outcome.status:
      problems += judging.problems_of_refusal(outcome, case.words)
      result.slowest_s = max(result.slowest_s, outcome.seconds)
      verdict = 'refused'
    elif damaging.results(case.action, room, outcome) == expected[case.action]:
      verdict = 'same result'
    elif any(word in outcome.text for word in case.words):
      verdict = 'another result, and said why'
    else:
      verdict = ''
      problems.append('another result without a word')
    command = case.action.command
    _count(result, verdict, case.about, command, problems, room, outcome)


def _try_kills(result, count, seed, stage, folder):
  for trial in killing.trials(count, seed, stage, folder):
    if trial.problems:
      result.fail(trial.about, trial.command, trial.problems)
    else:
      result.outcomes[trial.verdict] += 1
      sys.stderr.write(f'{trial.about}: as undisturbed\n')


ATTACKS: dict[str, Callable] = {
  'bad_inputs': _try_inputs,
  'damages': _try_damages,
  'kills': _try_kills,
}
