"""What can be made of a trained run: notes of several kinds, and from what.

In a notebook:

  run = embedding_rnn.load_run('logs/default_local')
  dataset = run.open_dataset()
  ends = Originals(dataset, [12, 80])
  made = interpolation(run, ends, num_steps=5, greedy='mean')
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from embedding_rnn.audio.pitches import pitch_name
from embedding_rnn.data import checks
from embedding_rnn.data.lookup import find_rows
from embedding_rnn.data.metadata import FAMILIES, INSTRUMENTS
from embedding_rnn.model import latents

# Processes that draw figures import this file, too, and need no TensorFlow.
if TYPE_CHECKING:
  from embedding_rnn.data.dataset import NoteDataset
  from embedding_rnn.training.trained_run import Run

_BATCH_SIZE = 64
_MAX_NAME_LENGTH = 60  # of an instrument; file systems take 255 bytes


class ModelView(NamedTuple):
  """A note and its reconstruction as the model sees them; each `[T, W]`.

  Attributes:
    original: the note in the model's format.
    made: the reconstruction in the model's format.
    mean: of each value's mixture, given the note's frames before it.
    std: standard deviation of that mixture.
    nats: negative log density of the note's value.
    reverted: the note, taken to the model's format and back, `[T, 16]`.
  """

  original: np.ndarray
  made: np.ndarray
  mean: np.ndarray
  std: np.ndarray
  nats: np.ndarray
  reverted: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratedNote:
  """A note that was made.

  Attributes:
    section: what kind of note: 'reconstruction', 'continuation', 'filling',
      'sample', 'interpolation', 'combination' or 'sweep'.
    name: for its files.
    title: for people.
    midi_pitch: what it was made at.
    frames: the note, `[T, 16]`.
    original: a real note that it should be like, `[T, 16]`, or None.
    family: instrument family, or None.
    metadata: what else there is to say of it; goes to summary.json.
    view: for reconstructions.
  """

  section: str
  name: str
  title: str
  midi_pitch: int
  frames: np.ndarray
  original: np.ndarray | None = None
  family: str | None = None
  metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  view: ModelView | None = None


class Originals:
  """Notes of a data set, with all that is known of each.

  Args:
    dataset: the data set.
    rows: of the notes in it, or what they are called, as 'koto C4'.
    midi_pitch: to make something of them at; each note's own if None.

  Attributes:
    rows: ints `[N]`.
    notes: `[N, T, 16]`.
    own_pitches: MIDI pitches of the notes, ints `[N]`.
    pitches: what to make something of them at, ints `[N]`.
    velocities: MIDI velocities of the notes, ints `[N]`.

  Raises:
    ValueError: as `lookup.find_rows`.
  """

  def __init__(
    self,
    dataset: NoteDataset,
    rows: Iterable[int | str],
    midi_pitch: int | None = None,
  ):
    self.rows = find_rows(dataset, rows)
    self._dataset = dataset
    self.notes, _ = dataset.notes(self.rows)
    self.own_pitches, self.velocities = dataset.midi_numbers(self.rows)
    self.pitches = self.own_pitches
    if midi_pitch is not None:
      self.pitches = np.full_like(self.own_pitches, midi_pitch)

  def latents(self, run: Run) -> np.ndarray:
    """Those of the notes, at their own pitches, `[N, Z]`."""
    pitches, velocities = self.own_pitches, self.velocities
    return run.encode(self.notes, pitches, velocity=velocities).z

  def __len__(self) -> int:
    return len(self.rows)

  def name(self, i: int) -> str:
    """As NSynth names notes: instrument-pitch-velocity; with its row.

    It may be part of a file name, whatever instruments are called.
    """
    instrument = self._label(INSTRUMENTS, i) or 'note'
    instrument = re.sub(r'[^\w-]+', '_', instrument)[:_MAX_NAME_LENGTH]
    velocity = self.velocities[i]
    pitch = self.own_pitches[i]
    return f'{instrument}-{pitch:03d}-{velocity:03d}_row{self.rows[i]}'

  def family(self, i: int) -> str | None:
    """Name of the note's instrument family, if known."""
    return self._label(FAMILIES, i)

  def instrument(self, i: int) -> str:
    """The name of the note's instrument for people, such as 'Tenor sax'."""
    family = self.family(i)
    name = self._label(INSTRUMENTS, i) or family or f'note {self.rows[i]}'
    # Collections name an instrument by family, number and what it is.
    name = re.sub(rf'^{re.escape(family or "")}_\d+_(?=\D)', '', name)
    return _capitalised(name)

  def title(self, i: int) -> str:
    """The note's name for people: 'Koto · C2 · velocity 75'."""
    pitch = pitch_title(self.own_pitches[i])
    title = f'{self.instrument(i)} · {pitch} · velocity {self.velocities[i]}'
    if self.pitches[i] != self.own_pitches[i]:
      title += f', at {pitch_title(self.pitches[i])}'
    return title

  def generated(
    self,
    section: str,
    made: np.ndarray,
    suffix: str = '',
    what: str = '',
    metadata: Mapping[str, Any] | None = None,
    views: Sequence[ModelView] | None = None,
  ) -> list[GeneratedNote]:
    """Notes made of these; without originals, if they are of other length.

    Their names end in `suffix`, their titles in `what`.
    """
    notes = []
    for i, frames in enumerate(made):
      original = self.notes[i] if self.notes[i].shape == frames.shape else None
      details = {'row': int(self.rows[i]), **(metadata or {})}
      if original is not None:
        details['mse'] = float(np.mean(np.square(original - frames)))
      note = GeneratedNote(
        section=section,
        name=self.name(i) + suffix,
        title=self.title(i) + what,
        midi_pitch=int(self.pitches[i]),
        frames=frames,
        original=original,
        family=self.family(i),
        metadata=details,
        view=views[i] if views else None,
      )
      notes.append(note)
    return notes

  def _label(self, key: str, i: int) -> str | None:
    names = self._dataset.names(key, self.rows[i : i + 1])
    return names[0] if names else None


def pitch_title(midi_pitch: int) -> str:
  """A MIDI pitch for people: 'C♯4'."""
  return pitch_name(midi_pitch).replace('#', '♯')


def _capitalised(name: str) -> str:
  name = name.replace('_', ' ').strip()
  return name[:1].upper() + name[1:]


def reconstructions(
  run: Run, originals: Originals, **settings: Any
) -> list[GeneratedNote]:
  """Notes, encoded and sampled anew from their latents.

  Args:
    run: a conditional run.
    originals: the notes, at least one.
    **settings: of `Run.sample`.
  """
  notes, pitches = originals.notes, originals.pitches
  velocities = originals.velocities
  if run.model.conditional:
    z = originals.latents(run)
    made = run.sample(pitches, z, velocity=velocities, **settings)
  else:
    made = run.reconstruct(notes, pitches, velocity=velocities, **settings)
  views = model_views(run, notes, pitches, made, velocities)
  return originals.generated('reconstruction', made, views=views)


def infills(
  run: Run, originals: Originals, gap: tuple[int, int], **settings: Any
) -> list[GeneratedNote]:
  """Notes of which some frames are sampled anew.

  Args:
    run: a run.
    originals: the notes, at least one.
    gap: the first frame that is sampled, and the first after it that is kept.
    **settings: of `Run.fill`.
  """
  frames = np.arange(originals.notes.shape[1])
  is_known = (frames < gap[0]) | (frames >= gap[1])
  made = run.fill(
    originals.notes,
    is_known,
    originals.pitches,
    velocity=originals.velocities,
    **settings,
  )
  metadata = {'gap_frames': list(gap)}
  what = f', frames {gap[0]} to {gap[1] - 1} made anew'
  return originals.generated('filling', made, '_filled', what, metadata)


def continuations(
  run: Run, originals: Originals, num_given: int, **settings: Any
) -> list[GeneratedNote]:
  """As `infills`, of `Run.continue_notes`: only the beginnings are kept."""
  made = run.continue_notes(
    originals.notes,
    num_given,
    originals.pitches,
    velocity=originals.velocities,
    **settings,
  )
  metadata = {'given_frames': num_given}
  what = f', continued after {num_given} frames'
  return originals.generated('continuation', made, '_continued', what, metadata)


def samples(
  run: Run,
  pitches: Sequence[int],
  families: Sequence[str] | None = None,
  **settings: Any,
) -> list[GeneratedNote]:
  """New notes, of latents drawn from a prior.

  Args:
    run: a run.
    pitches: a MIDI pitch for each, at least one.
    families: an instrument family for each; None to leave it to chance.
    **settings: of `Run.sample`.
  """
  made = run.sample(np.asarray(pitches, int), family=families, **settings)
  titles = [_capitalised(f'new {family}') for family in families or ()]
  titles = titles or ['New note'] * len(made)
  return _generated('sample', titles, pitches, made, families=families)


def interpolation(
  run: Run,
  ends: Originals,
  num_steps: int = 5,
  kind: str = 'spherical',
  **settings: Any,
) -> list[GeneratedNote]:
  """Notes on the way from one note's latent to another's.

  Args:
    run: a conditional run.
    ends: two notes. All is made at the pitch of the first.
    num_steps: how many, both ends included, at least 2.
    kind: 'spherical' or 'straight', see `latents.interpolate`.
    **settings: of `Run.sample`.
  """
  fractions = np.linspace(0.0, 1.0, num_steps)
  start, end = ends.latents(run)
  z = latents.interpolate(start, end, fractions, kind)
  pitch = int(ends.pitches[0])
  velocity = ends.velocities[0]
  made = run.sample(pitch, z, velocity=velocity, **settings)
  first, last = ends.instrument(0), ends.instrument(1)
  titles = [f'{first} to {last}, {fraction:.0%}' for fraction in fractions]
  metadata = [
    {'fraction': float(fraction), 'ends': [first, last]}
    for fraction in fractions
  ]
  return _generated(
    'interpolation', titles, [pitch] * num_steps, made, metadata
  )


def combination(
  run: Run, terms: Originals, **settings: Any
) -> list[GeneratedNote]:
  """The note of the latent A - B + C of three notes, at the pitch of A."""
  z = latents.analogy(*terms.latents(run))
  pitches = terms.pitches[:1]
  velocity = terms.velocities[0]
  made = run.sample(pitches, z, velocity=velocity, **settings)
  a, b, c = (terms.instrument(i) for i in range(3))
  titles = [f'{a} minus {b} plus {c}']
  metadata = [{'rows': terms.rows.tolist()}]
  return _generated('combination', titles, pitches, made, metadata)


def sweep(
  run: Run, original: Originals, pitches: Sequence[int], **settings: Any
) -> list[GeneratedNote]:
  """One instrument over the keyboard: the latent of a note at many pitches."""
  z = original.latents(run)[0]
  velocity = original.velocities[0]
  made = run.sample(np.asarray(pitches, int), z, velocity=velocity, **settings)
  instrument = original.instrument(0)
  titles = [instrument] * len(made)
  row = int(original.rows[0])
  metadata = [{'row': row, 'instrument': instrument}] * len(pitches)
  return _generated('sweep', titles, pitches, made, metadata)


def _generated(
  section: str,
  titles: Sequence[str],
  pitches: Sequence[int] | np.ndarray,
  made: np.ndarray,
  metadata: Sequence[Mapping[str, Any]] | None = None,
  families: Sequence[str] | None = None,
) -> list[GeneratedNote]:
  """Notes without originals."""
  metadata = metadata or [{}] * len(made)
  names = families or itertools.repeat(None, len(made))
  return [
    GeneratedNote(
      section=section,
      name=f'{section}_{i:03d}_p{pitch:03d}',
      title=f'{title} · {pitch_title(pitch)}',
      midi_pitch=int(pitch),
      frames=frames,
      family=family,
      metadata=details,
    )
    for i, (title, pitch, frames, family, details) in enumerate(
      zip(titles, pitches, made, names, metadata, strict=True)
    )
  ]


def model_views(
  run: Run,
  notes: np.ndarray,
  pitches: Sequence[int] | np.ndarray,
  made: np.ndarray,
  velocities: npt.ArrayLike | None = None,
) -> list[ModelView]:
  """What the model sees of notes and of their reconstructions.

  Args:
    run: a conditional run.
    notes: `[N, T, 16]`.
    pitches: MIDI pitches `[N]`.
    made: reconstructions `[N, T, 16]`.
    velocities: MIDI velocities `[N]`, as of `Run.sample`.
  """
  import tensorflow as tf

  from embedding_rnn.model import sampling
  from embedding_rnn.model.decoder import with_first_input

  original, remade = map(run.transforms.forward, (notes, made))
  one_hots = checks.conditions(pitches, velocities, run.hps)

  @tf.function(autograph=False)
  def predict(batch: Any, pitches: Any) -> Any:
    inputs, frames = batch[:, :-1], batch[:, 1:]
    z = run.model.encode(frames).z if run.model.conditional else None
    mix = run.model.predict_mixture(inputs, pitches, z)
    distribution = mix.distribution()
    nats = -distribution.log_prob(frames)
    return distribution.mean(), distribution.stddev(), nats

  mean, std, nats = sampling.in_batches(
    predict, [with_first_input(original), one_hots], _BATCH_SIZE
  )
  reverted = run.transforms.inverse(original)
  arrays = (original, remade, mean.numpy(), std.numpy(), nats.numpy(), reverted)
  return [ModelView(*parts) for parts in zip(*arrays, strict=True)]
