"""What synthesis is to make, and how; as a value, and as flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from embedding_rnn.model import sampling
from embedding_rnn.training.trained_run import Run

_NUM_PITCHES = 128  # MIDI
_MAX_SEED = 2**63 - 1
_MIXES = (0.2, 0.5, 0.8, 0.85, 0.9, 0.95)  # those of 2017
_WAYS = ('spherical', 'straight')
_GREEDY = {'no': False, 'component': True, 'mean': 'mean'}

flags.disclaim_key_flags()  # they belong to the command that defines them


@dataclasses.dataclass(frozen=True)
class Plan:
  """What `synthesize` makes, and how.

  Attributes:
    num_notes: how many notes of the test split to reconstruct, spread evenly
      over the instrument families; 0 for an unconditional run.
    pitches: the MIDI pitch of each new note.
    pitch: MIDI pitch to reconstruct at; each note's own if None.
    alphas: mixes of a note and its reconstruction, by the reconstruction's
      share, from 0 to 1.
    num_given: if not 0, the reconstructed notes are also continued after so
      many of their frames.
    gap: if given, their frames from the first to before the second number are
      also sampled anew.
    num_candidates: of which each filled note is the likeliest.
    interpolate: rows of two notes of the data, to go from one to the other.
    num_steps: notes on that way, both ends included.
    interpolation: 'spherical' or 'straight'.
    combine: rows of three notes A, B and C of the data, for A - B + C.
    sweep: row of a note of the data whose latent is held.
    sweep_pitches: the MIDI pitches at which it is.
    num_frames: of what has no original, and of continued notes; as many as in
      training, or as the notes have, if None.
    temperature: of the choice of a mixture component, above 0.
    temperature_2: of a component's noise, at least 0.
    greedy: True takes the likeliest component, 'mean' the mixture's mean.
    top_p: below 1, only the likeliest components are drawn from.
    seed: of the choice of notes and of all randomness, at least 0.
  """

  num_notes: int = 8
  pitches: tuple[int, ...] = (48, 60, 72)
  pitch: int | None = None
  alphas: tuple[float, ...] = _MIXES
  num_given: int = 0
  gap: tuple[int, int] | None = None
  num_candidates: int = 1
  interpolate: tuple[int, int] | None = None
  num_steps: int = 5
  interpolation: str = 'spherical'
  combine: tuple[int, int, int] | None = None
  sweep: int | None = None
  sweep_pitches: tuple[int, ...] = (36, 48, 60, 72, 84)
  num_frames: int | None = None
  temperature: float = 1.0
  temperature_2: float = 1.0
  greedy: bool | str = False
  top_p: float = 1.0
  seed: int = 0

  def __post_init__(self):
    """Raises ValueError for values that no run could satisfy."""
    sampling.check_controls(**self.controls)
    self._check_what()
    self._check_values()
    self._check_sizes()

  def _check_what(self):
    """That there is something to make, and no wish in vain."""
    wanted = (self.interpolate, self.combine, self.sweep)
    if self.num_notes < 0 or not (
      self.num_notes or self.pitches or any(x is not None for x in wanted)
    ):
      raise ValueError(
        f'num_notes={self.num_notes} and pitches={list(self.pitches)}: '
        'expected at least one note to make.'
      )
    needs = {
      'num_given': (self.num_given, 'num_notes', self.num_notes),
      'gap': (self.gap, 'num_notes', self.num_notes),
      'num_candidates': (self.num_candidates > 1, 'gap', self.gap),
      'sweep': (self.sweep is not None, 'sweep_pitches', self.sweep_pitches),
    }
    for name, (is_asked, needed, value) in needs.items():
      if is_asked and not value:
        raise ValueError(
          f'{name}={getattr(self, name)} has no effect with {needed}={value}; '
          f'set {needed}, or leave {name} out.'
        )

  def _check_values(self):
    """What is in the lists, and the words."""
    own = () if self.pitch is None else (self.pitch,)
    for pitch in (*self.pitches, *own, *self.sweep_pitches):
      if not 0 <= pitch < _NUM_PITCHES or pitch != int(pitch):
        raise ValueError(
          f'pitch {pitch}: expected a MIDI pitch from 0 to {_NUM_PITCHES - 1} '
          '(60 is middle C).'
        )
    for alpha in self.alphas:
      if not 0 <= alpha <= 1:
        raise ValueError(
          f'alpha {alpha}: expected a share of the reconstruction from 0 to 1.'
        )
    # Files are named by them.
    if len({f'{alpha:.2f}' for alpha in self.alphas}) < len(self.alphas):
      raise ValueError(
        f'alphas={list(self.alphas)}: expected numbers that differ in their '
        'first two digits.'
      )
    if self.interpolation not in _WAYS:
      raise ValueError(
        f'interpolation={self.interpolation!r}: expected one of '
        f'{", ".join(_WAYS)}.'
      )

  def _check_sizes(self):
    """Single numbers, and how many are in lists of fixed length."""
    for name, minimum in (
      ('seed', 0),
      ('num_given', 0),
      ('num_steps', 2),
      ('num_candidates', 1),
      ('num_frames', 1),
    ):
      value = getattr(self, name)
      if value is not None and value < minimum:
        raise ValueError(f'{name}={value}: expected at least {minimum}.')
    if self.seed > _MAX_SEED:
      raise ValueError(f'seed={self.seed}: expected at most {_MAX_SEED}.')
    for name, size in (('interpolate', 2), ('combine', 3), ('gap', 2)):
      value = getattr(self, name)
      if value is not None and len(value) != size:
        raise ValueError(f'{name}={value}: expected {size} numbers.')

  @property
  def controls(self) -> dict[str, Any]:
    """What `Run.sample` takes of it."""
    names = ('temperature', 'temperature_2', 'greedy', 'top_p')
    return {name: getattr(self, name) for name in names}

  def check(self, run: Run, num_frames: int) -> None:
    """Raises ValueError for what this run, or notes so long, cannot do."""
    needs_latents = {
      'num_notes': self.num_notes,
      'interpolate': self.interpolate,
      'combine': self.combine,
      'sweep': self.sweep is not None,
    }
    for name, value in needs_latents.items():
      if value and not run.model.conditional:
        raise ValueError(
          f'{name}={getattr(self, name)}, but an unconditional run has no '
          'encoder and cannot reconstruct; set num_notes=0 and ask for new '
          'notes (pitches) alone.'
        )
    if self.num_given >= (self.num_frames or num_frames):
      raise ValueError(
        f'num_given={self.num_given}: expected fewer than the '
        f'{self.num_frames or num_frames} frames of the whole note.'
      )
    if self.num_given > num_frames:
      raise ValueError(
        f'num_given={self.num_given}: expected at most the {num_frames} frames '
        'of a note.'
      )
    if self.gap and not (
      0 <= self.gap[0] < self.gap[1] <= num_frames
      and self.gap[1] - self.gap[0] < num_frames
    ):
      raise ValueError(
        f'gap={self.gap}: expected the first frame of the gap and the first '
        f'after it, within 0 to {num_frames}, and less than all frames.'
      )


def define_flags() -> None:
  """Defines a flag for each field of `Plan`."""
  default = Plan()
  flags.DEFINE_integer(
    'num_notes', 8, 'Held-out notes to reconstruct, over all families.'
  )
  flags.DEFINE_list(
    'pitches', _texts(default.pitches), 'MIDI pitches of the notes to sample.'
  )
  flags.DEFINE_integer(
    'pitch', None, "Reconstruct at this MIDI pitch, not at each note's own."
  )
  flags.DEFINE_list(
    'alphas',
    _texts(default.alphas),
    "Mixes of a note and its reconstruction: the reconstruction's shares.",
  )
  flags.DEFINE_integer(
    'num_given',
    0,
    'Also continue the reconstructed notes after so many of their frames.',
  )
  flags.DEFINE_list(
    'gap',
    None,
    'Also sample their frames from the first to before the second number anew.',
  )
  flags.DEFINE_integer(
    'num_candidates', 1, 'With --gap: keep the likeliest of so many.'
  )
  flags.DEFINE_list(
    'interpolate', None, 'Two rows of the data: go from one note to the other.'
  )
  flags.DEFINE_integer('num_steps', 5, 'With --interpolate: notes on the way.')
  flags.DEFINE_enum(
    'interpolation',
    'spherical',
    _WAYS,
    'With --interpolate: the way through the latent space.',
  )
  flags.DEFINE_list(
    'combine', None, 'Three rows of the data, A, B and C: the note A - B + C.'
  )
  flags.DEFINE_integer(
    'sweep', None, 'A row of the data: its instrument over the keyboard.'
  )
  flags.DEFINE_list(
    'sweep_pitches',
    _texts(default.sweep_pitches),
    'With --sweep: the MIDI pitches.',
  )
  flags.DEFINE_integer(
    'num_frames',
    None,
    'Length of new and continued notes, which may exceed that in training.',
  )
  flags.DEFINE_float(
    'temperature', 1.0, 'Of the choice of a mixture component; above 0.'
  )
  flags.DEFINE_float(
    'temperature_2', 1.0, "Of a component's noise; 0 for none."
  )
  flags.DEFINE_enum(
    'greedy',
    'no',
    list(_GREEDY),
    "Take the likeliest component, or the mixture's mean.",
  )
  flags.DEFINE_float(
    'top_p', 1.0, 'Below 1: draw only from the likeliest components.'
  )
  flags.DEFINE_integer('seed', 0, 'The same seed gives the same files.')


def from_flags() -> Plan:
  """The plan that the command line asks for; ValueError for a bad one."""
  args = flags.FLAGS
  values = {f.name: args[f.name].value for f in dataclasses.fields(Plan)}
  for name in ('pitches', 'gap', 'interpolate', 'combine', 'sweep_pitches'):
    values[name] = _numbers(name, values[name], int)
  values['alphas'] = _numbers('alphas', values['alphas'], float)
  values['greedy'] = _GREEDY[values['greedy']]
  return Plan(**values)


def _numbers(name, texts, kind):
  """The numbers of a list flag, or None as it is."""
  if texts is None:
    return None
  try:
    return tuple(map(kind, texts))
  except ValueError:
    what = 'whole numbers' if kind is int else 'numbers'
    raise ValueError(
      f'--{name}={",".join(texts)}: expected {what} with commas between them.'
    ) from None


def _texts(values: Sequence[float]) -> list[str]:
  return [f'{value:g}' for value in values]
