"""From a trained run to notes that one can hear and see, on one page.

In a notebook:

  run = embedding_rnn.load_run('logs/default_local')
  dataset = run.open_dataset()
  config = SynthesisConfig(num_notes=4, pitches=(48, 60, 72), greedy='mean')
  summary = synthesize(run, dataset, 'notes_to_hear', config)
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from embedding_rnn.audio.codec import Codec
from embedding_rnn.audio.harmonics import NUM_MIDI
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.provenance import expect_same_codec
from embedding_rnn.evaluate import tables
from embedding_rnn.nsynth.codec import codec_of_data, expect_codec
from embedding_rnn.synthesize import generation, outputs, page
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.synthesize.generation import GeneratedNote, Originals
from embedding_rnn.training.trained_run import Run
from embedding_rnn.utils import cli, files

_MIDDLE_C, _VELOCITY = 60, 75  # of the first note of each family, at least
_NUM_WITHOUT_FAMILIES = 8
_SUMMARY = 'summary.json'


def synthesize(
  run: Run,
  dataset: NoteDataset,
  output_dir: str | os.PathLike[str],
  config: SynthesisConfig | None = None,
  *,
  codec: Codec | None = None,
  just_figures: bool = False,
  overwrite: bool = False,
  metrics: dict[str, Any] | None = None,
  command: str = '',
) -> dict[str, Any]:
  """Makes notes, and writes them as audio, figures and a page.

  For each note there is audio (.wav, 16-bit) and figures (.png). index.html
  shows all of them; summary.json lists what belongs together and what was
  measured. The same arguments give the same bytes.

  Args:
    run: a trained run.
    dataset: its data, see `Run.open_dataset`.
    output_dir: made if it is not there. A page of the same settings is
      replaced.
    config: what to make; `SynthesisConfig()` if None.
    codec: to decode with; None for that of the run, if it is known and needs no
      checkpoint. Without one there are figures alone.
    just_figures: write no audio, and draw none.
    overwrite: replace a page of other settings, too.
    metrics: of `measures.evaluate`, for the page.
    command: that does the same again, for the page.

  Returns:
    What summary.json holds: the name of the 'run', the 'step' of its weights,
    'codec', the values of `config`, and under 'notes' a record of each note:
    its 'section', 'name', 'title', 'pitch', 'family', 'figures' and 'audio' (by
    what it is, such as 'original'), the 'mse' against its original, and so on.
    Of an audio that is the 'file', its 'pitch_error_cents' (None where no pitch
    is heard) and the 'gain_db' that brought it to the loudness of all others,
    see `audio.levels`: it is one for all sounds of a note. With keep_levels it
    is below 0 only where 16 bits could not have held the peak.

  Raises:
    ValueError: for a wish that the run or the data cannot fulfil, or data of
      another codec.
    FileExistsError: there is a page of other settings.
    OSError: if `output_dir` cannot be written to.
  """
  config = (config or SynthesisConfig()).completed(run)
  config.check(run, dataset.frames.shape[1])
  settings = _settings(run.folder, config)
  if not overwrite and (change := _change_of_page(output_dir, settings)):
    raise FileExistsError(
      f"'{output_dir}' has a page of other settings already ({change}); "
      'choose another --output_dir, or replace it with --overwrite.'
    )
  codec = _check_codec(run, dataset, codec)
  sources = _Sources(dataset, config)
  folder = files.make_output_dir(output_dir)
  made = list(_make(run, sources, config))
  style = outputs.choose_style(made, codec, run.transforms.pca)
  decoded = outputs.decode(made, None if just_figures else codec, config.alphas)
  first = list(itertools.islice(decoded, outputs.NUM_SHOWN))
  # The page that was there stays until there is a whole one.
  with files.replacing_files(folder, (_SUMMARY, page.FILE_NAME)) as temporary:
    records = outputs.write_notes(
      itertools.chain(first, decoded),
      len(made),
      temporary,
      style,
      config.keep_levels,
    )
    summary = {
      'run': settings.pop('run'),
      'step': run.step,
      'codec': codec.name if codec else None,
      **settings,
      'overviews': outputs.write_overviews(first, temporary, style),
      'notes': records,
    }
    files.write_json(temporary / _SUMMARY, summary)
    table = tables.tabulate(metrics) if metrics else ()
    page.write(temporary, summary, command, *table)
  return summary


def choose_output_dir(
  run_dir: str | os.PathLike[str], config: SynthesisConfig
) -> pathlib.Path:
  """The folder of a run for the page of these settings.

  It is called synthesis, or synthesis_2 and so on, where there is a page of
  other settings already.
  """
  settings = _settings(run_dir, config)
  names = (f'synthesis_{i}' for i in itertools.count(2))
  for name in itertools.chain(['synthesis'], names):
    folder = pathlib.Path(run_dir, name)
    if not _change_of_page(folder, settings):
      break
  return folder


def _settings(
  run_dir: str | os.PathLike[str], config: SynthesisConfig
) -> dict[str, Any]:
  """What two pages must share for one to replace the other."""
  name = pathlib.Path(run_dir).resolve().name if run_dir else None
  return {'run': name, **dataclasses.asdict(config)}


def _change_of_page(
  folder: str | os.PathLike[str], settings: dict[str, Any]
) -> str:
  """How the settings of the page in a folder differ; '' for no page, too."""
  path = pathlib.Path(folder, _SUMMARY)
  if not path.is_file():
    return ''
  try:
    before = dict(json.loads(path.read_text('utf-8')))
  except (ValueError, TypeError):
    return f"'{path}' is damaged"
  # As they are once they were written: tuples are lists.
  for name, value in json.loads(json.dumps(settings)).items():
    if name not in before or before[name] != value:
      return f'{name}={before.get(name)}, not {value}'
  return ''


def _check_codec(
  run: Run, dataset: NoteDataset, codec: Codec | None
) -> Codec | None:
  """The codec to decode with; an error if it is not that of run and data."""
  expect_same_codec(dataset, run.info)
  if codec is None:
    return codec_of_data(run.info, run.hps.seq_width)
  expect_codec(run.info, run.hps.seq_width, codec)
  return codec


class _Sources:
  """Notes of the data that are asked for, read before work begins."""

  def __init__(self, dataset: NoteDataset, config: SynthesisConfig):
    rows = choose_rows(dataset, config.num_notes, config.seed)

    def read(rows: Iterable[int | str]) -> Originals:
      return Originals(dataset, rows, config.pitch)

    self.held_out = read(rows)
    self.ends = read(config.interpolate or ())
    self.terms = read(config.combine or ())
    self.swept = read(() if config.sweep is None else (config.sweep,))


def _make(
  run: Run, sources: _Sources, config: SynthesisConfig
) -> Iterator[GeneratedNote]:
  """All that is asked for, in the order of the page."""
  settings = {'seed': config.seed, **config.controls}
  of_length = {'num_frames': config.num_frames, **settings}
  held_out = sources.held_out
  if len(held_out):
    yield from generation.reconstructions(run, held_out, **settings)
  if len(held_out) and config.num_given:
    yield from generation.continuations(
      run, held_out, config.num_given, **of_length
    )
  if len(held_out) and config.gap:
    number = config.num_candidates
    yield from generation.infills(
      run, held_out, config.gap, num_candidates=number, **settings
    )
  if config.pitches:
    yield from generation.samples(
      run,
      config.pitches,
      config.family_of_each,
      prior=config.prior,
      **of_length,
    )
  if config.interpolate:
    yield from generation.interpolation(
      run, sources.ends, config.num_steps, config.interpolation, **of_length
    )
  if config.combine:
    yield from generation.combination(run, sources.terms, **of_length)
  if config.sweep is not None:
    yield from generation.sweep(
      run, sources.swept, config.sweep_pitches, **of_length
    )


def choose_rows(
  dataset: NoteDataset, num_notes: int | None, seed: int
) -> np.ndarray:
  """Chooses notes of the test split, evenly over instrument families.

  The first of each family is one that a listener can well compare with the
  others: of its notes of velocity 75 or more, if there are such, one nearest to
  C4. Which of several, and the further ones, are chosen by chance.

  Args:
    dataset: the notes; without families, all are of one.
    num_notes: how many; None for one of each family that has test notes, or
      for up to 8 without families.
    seed: of the choice.

  Returns:
    `[num_notes]` different rows, family after family.

  Raises:
    ValueError: if there are not so many notes.
  """
  rows = dataset.rows['test']
  if num_notes is not None and num_notes > len(rows):
    raise ValueError(
      f'num_notes={num_notes}, but the test split has {len(rows)} notes.'
    )
  rng = np.random.default_rng(seed)
  rows = rows[rng.permutation(len(rows))]
  families, default = np.zeros(len(rows), int), _NUM_WITHOUT_FAMILIES
  if dataset.instrument_family_ids is not None:
    families = dataset.instrument_family_ids[rows]
    default = len(np.unique(families))
  pitches, velocities = dataset.midi_numbers(rows)
  distances = np.abs(pitches - _MIDDLE_C) + NUM_MIDI * (velocities < _VELOCITY)
  # Deal the notes out in rounds, one of each family, in an order of chance.
  rounds = np.zeros(len(rows), int)
  for family in np.unique(families):
    members = np.flatnonzero(families == family)
    rounds[members] = 1 + np.arange(len(members))
    rounds[members[np.argmin(distances[members])]] = 0
  num_notes = default if num_notes is None else num_notes
  chosen = np.argsort(rounds, kind='stable')[:num_notes]
  return rows[chosen[np.argsort(families[chosen], kind='stable')]]


def format_summary(summary: dict[str, Any]) -> str:
  """What `synthesize` gives as a table for people."""
  rows = []
  for note in summary['notes']:
    audio = note['audio']
    made = audio.get('made', {})
    rows.append(
      {
        'note': note['name'],
        'MSE': note.get('mse'),
        'pitch error (cents)': made.get('pitch_error_cents'),
        'of the original': audio.get('original', {}).get('pitch_error_cents'),
        'loudness error (dB)': note.get('loudness_error_db'),
        'gain (dB)': made.get('gain_db'),
      }
    )
  return cli.format_table(rows)
