"""From a trained run to notes that one can hear and see, on one page.

In a notebook:

  run = embedding_rnn.load_run('logs/default_local')
  dataset = run.open_dataset()
  plan = Plan(num_notes=4, pitches=(48, 60, 72), greedy='mean')
  summary = synthesize(run, dataset, 'notes_to_hear', plan)
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags, logging

from embedding_rnn.audio.codec import Codec
from embedding_rnn.data import dataset as data
from embedding_rnn.evaluate import tables
from embedding_rnn.nsynth import codec as codec_choice
from embedding_rnn.synthesize import config as plans
from embedding_rnn.synthesize import generation, note_page, outputs
from embedding_rnn.synthesize.config import Plan
from embedding_rnn.synthesize.generation import Originals
from embedding_rnn.synthesize.piece import Piece
from embedding_rnn.training.trained_run import Run, expect_same_codec, load_run
from embedding_rnn.utils import cli, files

PAGE = note_page.FILE_NAME


flags.disclaim_key_flags()  # they belong to the command that defines them


def synthesize(
  run: Run,
  dataset: data.NoteDataset,
  output_dir: str | os.PathLike[str],
  plan: Plan | None = None,
  *,
  codec: Codec | None = None,
  just_figures: bool = False,
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
    output_dir: made if it is not there; files of the same names are replaced.
    plan: what to make; `Plan()` if None.
    codec: to decode with; None for that of the run, if it is known and needs no
      checkpoint. Without one there are figures alone.
    just_figures: write no audio, and draw none.
    metrics: of `measures.evaluate`, for the page.
    command: that does the same again, for the page.

  Returns:
    What summary.json holds: the name of the 'run', the 'step' of its weights,
    'codec', the plan's values, and under 'notes' what there is to say of each
    note: its 'section', 'name', 'title', 'pitch', 'family', 'figures' and
    'audio' (by what it is, such as 'original'), the 'mse' against its original,
    and so on. Of an audio that is the 'file', its
    'pitch_error_cents' (None where no pitch is heard) and the 'gain_db', below
    0 only where 16 bits could not have held the peak.

  Raises:
    ValueError: for a plan that the run or the data cannot fulfil, or data of
      another codec.
    OSError: if `output_dir` cannot be written to.
  """
  plan = plan or Plan()
  plan.check(run, dataset.frames.shape[1])
  codec = _check_codec(run, dataset, codec)
  sources = _Sources(dataset, plan)
  folder = files.make_output_dir(output_dir)
  made = list(_make(run, sources, plan))
  style = outputs.choose_style(made, codec, run.transforms.pca)
  decoded = outputs.decode(made, None if just_figures else codec, plan.alphas)
  first = list(itertools.islice(decoded, outputs.NUM_SHOWN))
  records = outputs.write_pieces(
    itertools.chain(first, decoded), len(made), folder, style
  )
  summary = {
    'run': pathlib.Path(run.folder).resolve().name if run.folder else None,
    'step': run.step,
    'codec': codec.name if codec else None,
    **dataclasses.asdict(plan),
    'overviews': outputs.write_overviews(first, folder, style),
    'notes': records,
  }
  files.write_json(folder / 'summary.json', summary)
  note_page.write_page(folder, summary, metrics, command)
  return summary


def _check_codec(run, dataset, codec) -> Codec | None:
  """The codec to decode with; an error if it is not that of run and data."""
  expect_same_codec(dataset, run.info)
  if codec is None:
    return codec_choice.codec_of_data(run.info, run.hps.seq_width)
  codec_choice.expect_codec(run.info, run.hps.seq_width, codec)
  return codec


class _Sources:
  """The notes that a plan is about, read and checked before work begins."""

  def __init__(self, dataset: data.NoteDataset, plan: Plan):
    rows = choose_rows(dataset, plan.num_notes, plan.seed)

    def read(rows):
      return Originals(dataset, rows, plan.pitch)

    self.held_out = read(rows)
    self.ends = read(plan.interpolate or ())
    self.terms = read(plan.combine or ())
    self.swept = read(() if plan.sweep is None else (plan.sweep,))


def _make(run: Run, sources: _Sources, plan: Plan) -> Iterator[Piece]:
  """All that is planned, in the order of the page."""
  settings = {'seed': plan.seed, **plan.controls}
  of_length = {'num_frames': plan.num_frames, **settings}
  held_out = sources.held_out
  if len(held_out):
    yield from generation.reconstructions(run, held_out, **settings)
  if len(held_out) and plan.num_given:
    yield from generation.continuations(
      run, held_out, plan.num_given, **of_length
    )
  if len(held_out) and plan.gap:
    number = plan.num_candidates
    yield from generation.fillings(
      run, held_out, plan.gap, num_candidates=number, **settings
    )
  if plan.pitches:
    yield from generation.samples(run, plan.pitches, **of_length)
  if plan.interpolate:
    yield from generation.interpolation(
      run, sources.ends, plan.num_steps, plan.interpolation, **of_length
    )
  if plan.combine:
    yield from generation.combination(run, sources.terms, **of_length)
  if plan.sweep is not None:
    yield from generation.sweep(
      run, sources.swept, plan.sweep_pitches, **of_length
    )


def choose_rows(
  dataset: data.NoteDataset, num_notes: int, seed: int
) -> np.ndarray:
  """Chooses notes of the test split, evenly over instrument families.

  Args:
    dataset: the notes; without families, all are of one.
    num_notes: how many.
    seed: of the choice.

  Returns:
    `[num_notes]` different rows, family after family.

  Raises:
    ValueError: if there are not so many notes.
  """
  rows = dataset.rows['test']
  if num_notes > len(rows):
    raise ValueError(
      f'num_notes={num_notes}, but the test split has {len(rows)} notes.'
    )
  rng = np.random.default_rng(seed)
  rows = rows[rng.permutation(len(rows))]
  if dataset.instrument_family_ids is None:
    return rows[:num_notes]
  families = dataset.instrument_family_ids[rows]
  # Deal the notes out in rounds, one of each family, in an order of chance.
  rounds = np.zeros(len(rows), int)
  for family in np.unique(families):
    members = np.flatnonzero(families == family)
    rounds[members] = np.arange(len(members))
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


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('run_dir', None, 'Folder of the trained run.')
  flags.DEFINE_string(
    'data_dir', None, 'Folder of its data; default: as in training.'
  )
  flags.DEFINE_string(
    'output_dir', None, 'Folder to write to; default: run_dir/synthesis.'
  )
  flags.DEFINE_string(
    'hparam',
    '',
    'Hyperparameters as name=value,name=value that the run must have.',
  )
  flags.DEFINE_bool(
    'just_figures', False, 'Write no audio, and draw none: faster.'
  )
  codec_choice.define_flags()
  plans.define_flags()


def main(argv: list[str]) -> None:
  """The command: writes notes of --run_dir and shows what was measured."""
  del argv
  args = flags.FLAGS
  if args.run_dir is None:
    raise ValueError('Set --run_dir to the folder of a trained run.')
  plan = plans.from_flags()
  run = load_run(args.run_dir, args.hparam)
  dataset = run.open_dataset(args.data_dir)
  output_dir = args.output_dir or os.path.join(args.run_dir, 'synthesis')
  summary = synthesize(
    run,
    dataset,
    output_dir,
    plan,
    codec=codec_choice.codec_from_flags(run.info, run.hps.seq_width),
    just_figures=args.just_figures,
    metrics=_read_metrics(run),
    command=cli.command_line(),
  )
  logging.info('%s', format_summary(summary))
  logging.info('Listen to it: %s', os.path.join(output_dir, PAGE))


def _read_metrics(run: Run) -> dict[str, Any] | None:
  """What was measured of the run, if it was."""
  path = pathlib.Path(run.folder) / tables.METRICS
  if not path.exists():
    return None
  again = 'measure the run again with python -m embedding_rnn.evaluate'
  try:
    metrics = json.loads(path.read_text('utf-8'))
    tables.tabulate(metrics)
    step = metrics['step']
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
      f"'{path}' is damaged, or not the metrics of one run ({error!r}); "
      f'{again}, or remove the file.'
    ) from error
  if step != run.step:
    logging.warning(
      "'%s' is of step %s, and the run's weights are of step %d: the page is "
      'without; %s.',
      path,
      step,
      run.step,
      again,
    )
    return None
  return metrics
