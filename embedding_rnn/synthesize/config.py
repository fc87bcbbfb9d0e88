"""What synthesis is to make, and how; as a value, and as flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from embedding_rnn.audio.pitches import parse_pitch
from embedding_rnn.model import sampling
from embedding_rnn.model.hparams import MAX_FRAMES
from embedding_rnn.training.checkpoints import PRIORS
from embedding_rnn.utils.dataclass_flags import option

if TYPE_CHECKING:  # else, TensorFlow would be imported
  from embedding_rnn.training.trained_run import Run

_NUM_PITCHES = 128  # MIDI
_MAX_SEED = 2**63 - 1
_MAX_STEPS = 1000  # of an interpolation, each a note of its own
_WAYS = ('spherical', 'straight')


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
  """What `synthesize` makes, and how; each field is an option of the command.

  Pitches may be given by name. As a value, greedy is True for the likeliest
  component, 'mean' for the mean, num_notes is None for one of each family,
  num_frames for as many as in training, or as the notes have, and temperatures
  for those of `sampling.default_controls`.
  """

  num_notes: int | None = option(
    None,
    'Held-out notes to reconstruct, over all families; default: one of each, '
    'near middle C and not too soft.',
  )
  pitches: tuple[int, ...] = option(
    (48, 60, 72),
    'Pitches of the notes to sample: names, as C4 or F#3, or MIDI numbers.',
    is_text=True,
  )
  families: tuple[str, ...] = option(
    (),
    'Instrument families of the notes to sample: one for each pitch, or one '
    'for all; default: those that are common near the pitch.',
  )
  prior: str = option(
    'fitted',
    'What latents of new notes are drawn from: where those of the training '
    'notes lie, or N(0, I).',
    choices=PRIORS,
  )
  pitch: int | None = option(
    None,
    "Reconstruct at this pitch, not at each note's own.",
    is_text=True,
  )
  alphas: tuple[float, ...] = option(
    (0.2, 0.5, 0.8, 0.85, 0.9, 0.95),  # those of 2017
    "Mixes of a note and its reconstruction: the reconstruction's shares.",
  )
  num_given: int = option(
    0, 'Also continue the reconstructed notes after so many of their frames.'
  )
  gap: tuple[int, int] | None = option(
    None,
    'Also sample their frames from the first to before the second number anew.',
  )
  num_candidates: int = option(1, 'With --gap: keep the likeliest of so many.')
  interpolate: tuple[int | str, int | str] | None = option(
    None,
    'Two notes of the data, as their rows or by name, "koto C4, violin C4": go '
    'from one to the other.',
    is_text=True,
  )
  num_steps: int = option(5, 'With --interpolate: notes on the way.')
  interpolation: str = option(
    'spherical',
    'With --interpolate: the way through the latent space.',
    choices=_WAYS,
  )
  combine: tuple[int | str, int | str, int | str] | None = option(
    None,
    'Three notes of the data, likewise, A, B and C: the note A - B + C.',
    is_text=True,
  )
  sweep: int | str | None = option(
    None,
    'A note of the data, likewise: its instrument over the keyboard.',
    is_text=True,
  )
  sweep_pitches: tuple[int, ...] = option(
    (36, 48, 60, 72, 84), 'With --sweep: the pitches.', is_text=True
  )
  num_frames: int | None = option(
    None,
    'Length of new and continued notes, which may exceed that in training.',
  )
  temperature: float | None = option(
    None,
    'Of the choice of a mixture component; above 0. Default: 0.5 for runs with '
    'error_order, else 1.',
  )
  temperature_2: float | None = option(
    None,
    "Of a component's noise; 0 for none. Default: 0.25 for runs with "
    'error_order, else 1.',
  )
  greedy: bool | str = option(
    False,
    "Take the likeliest component, or the mixture's mean.",
    choices={'no': False, 'component': True, 'mean': 'mean'},
  )
  top_p: float = option(
    1.0, 'Below 1: draw only from the likeliest components.'
  )
  keep_levels: bool = option(
    False, "Leave the sounds' own levels, do not bring them to one loudness."
  )
  seed: int = option(0, 'The same seed gives the same files.')

  def __post_init__(self) -> None:
    """Reads names of pitches; ValueError for what no run could satisfy."""
    self._read_texts()
    sampling.check_controls(**self.controls)
    self._check_what()
    self._check_values()
    self._check_sizes()

  def _read_texts(self) -> None:
    """Makes numbers of what is one, and of names of pitches."""
    readers: dict[str, Callable[[str], int | str]] = {
      **dict.fromkeys(('pitches', 'pitch', 'sweep_pitches'), parse_pitch),
      **dict.fromkeys(('interpolate', 'combine', 'sweep'), _read_row),
    }

    for name, read in readers.items():
      value: Any = getattr(self, name)
      if isinstance(value, str):
        value = read(value)
      elif isinstance(value, Iterable):
        value = tuple(read(x) if isinstance(x, str) else x for x in value)
      object.__setattr__(self, name, value)  # It is frozen.

  def _check_what(self) -> None:
    """That there is something to make, and no option without effect."""
    wanted = (self.interpolate, self.combine, self.sweep)
    if not (
      self.has_notes or self.pitches or any(x is not None for x in wanted)
    ):
      raise ValueError(
        f'num_notes={self.num_notes} and pitches={list(self.pitches)}: '
        'expected at least one note to make.'
      )
    needs = {
      'num_given': (self.num_given, 'num_notes', self.has_notes),
      'gap': (self.gap, 'num_notes', self.has_notes),
      'num_candidates': (self.num_candidates > 1, 'gap', self.gap),
      'sweep': (self.sweep is not None, 'sweep_pitches', self.sweep_pitches),
      'families': (self.families, 'pitches', self.pitches),
    }
    for name, (is_asked, needed, value) in needs.items():
      if is_asked and not value:
        raise ValueError(
          f'{name}={getattr(self, name)} has no effect with '
          f'{needed}={getattr(self, needed)}; '
          f'set {needed}, or leave {name} out.'
        )

  def _check_values(self) -> None:
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
    for name, words in (('interpolation', _WAYS), ('prior', PRIORS)):
      if getattr(self, name) not in words:
        raise ValueError(
          f'{name}={getattr(self, name)!r}: expected one of {", ".join(words)}.'
        )
    if len(self.families) not in (0, 1, len(self.pitches)):
      raise ValueError(
        f'families={list(self.families)} and pitches={list(self.pitches)}: '
        'expected a family for each pitch, or one for all.'
      )

  def _check_sizes(self) -> None:
    """Single numbers, and how many are in lists of fixed length."""
    for name, minimum, maximum in (
      ('seed', 0, _MAX_SEED),
      ('num_notes', 0, _MAX_SEED),
      ('num_given', 0, MAX_FRAMES),
      ('num_steps', 2, _MAX_STEPS),
      ('num_candidates', 1, sampling.MAX_CANDIDATES),
      ('num_frames', 1, MAX_FRAMES),
    ):
      value = getattr(self, name)
      if value is not None and value < minimum:
        raise ValueError(f'{name}={value}: expected at least {minimum}.')
      if value is not None and value > maximum:
        raise ValueError(f'{name}={value}: expected at most {maximum}.')
    for name, size, what in (
      ('interpolate', 2, 'notes'),
      ('combine', 3, 'notes'),
      ('gap', 2, 'numbers'),
    ):
      value = getattr(self, name)
      if value is not None and len(value) != size:
        raise ValueError(f'{name}={value}: expected {size} {what}.')

  @property
  def has_notes(self) -> bool:
    """Whether there are held-out notes to reconstruct."""
    return self.num_notes is None or self.num_notes > 0

  @property
  def controls(self) -> dict[str, Any]:
    """What `Run.sample` takes of it, but for what is left to the run."""
    names = ('temperature', 'temperature_2', 'greedy', 'top_p')
    values = {name: getattr(self, name) for name in names}
    return {name: x for name, x in values.items() if x is not None}

  def completed(self, run: Run) -> SynthesisConfig:
    """The same with what is left to the run."""
    controls = sampling.default_controls(run.hps) | self.controls
    return dataclasses.replace(self, **controls)

  @property
  def family_of_each(self) -> tuple[str, ...] | None:
    """Of the pitches; None if it is left to chance."""
    if len(self.families) == 1:
      return self.families * len(self.pitches)
    return self.families or None

  def check(self, run: Run, num_frames: int) -> None:
    """Raises ValueError for what this run, or notes so long, cannot do."""
    needs_latents = {
      'num_notes': self.has_notes,
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
    if self.families:
      if run.prior is None or self.prior == 'standard':
        raise ValueError(
          f'families={list(self.families)}, but latents are drawn from '
          'N(0, I), which knows none: that takes a run that has a prior, and '
          'prior=fitted.'
        )
      run.prior.check_families(self.families)
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


def _read_row(text: str) -> int | str:
  """A row as a number; the name of a note stays one."""
  return int(text) if text.strip().isdecimal() else text.strip()
