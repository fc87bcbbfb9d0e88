"""A note that was made, and all that is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


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
class Piece:
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
    facts: what else there is to say of it; goes to summary.json.
    view: for reconstructions.
  """

  section: str
  name: str
  title: str
  midi_pitch: int
  frames: np.ndarray
  original: np.ndarray | None = None
  family: str | None = None
  facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  view: ModelView | None = None
