"""From a trained run to notes: reconstructions and samples, to hear and to see.

In a notebook:

  run = embedding_rnn.load_run('logs/default_local')
  dataset = run.open_dataset()
  summary = synthesize(run, dataset, 'notes_to_hear', pitches=[48, 60, 72])
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags, logging
from tqdm import tqdm

from embedding_rnn import codec as codecs
from embedding_rnn import (
  codec_choice,
  commands,
  data,
  figures,
  files,
  metrics,
  outputs,
)
from embedding_rnn.trained_run import Run, expect_same_codec, load_run

_NUM_PITCHES = 128  # MIDI
_GREEDY = {'no': False, 'component': True, 'mean': 'mean'}
_MAX_OVERVIEW = 6  # notes side by side that one can still see

flags.disclaim_key_flags()  # they belong to the command that defines them


def synthesize(
  run: Run,
  dataset: data.NoteDataset,
  output_dir: str | os.PathLike[str],
  *,
  num_notes: int = 8,
  pitches: Sequence[int] = (48, 60, 72),
  temperature: float = 1.0,
  temperature_2: float = 1.0,
  greedy: bool | str = False,
  seed: int = 0,
  codec: codecs.Codec | None = None,
) -> dict[str, Any]:
  """Writes reconstructions of held-out notes, and new notes.

  For each note there is audio (.wav, 16-bit) and a figure (.png);
  `summary.json` lists all that belongs together and what was measured. The same
  arguments give the same bytes. Data that names no codec give figures alone.

  Args:
    run: a trained run.
    dataset: its data, see `Run.open_dataset`.
    output_dir: made if it is not there; files of the same names are replaced.
    num_notes: how many notes of the test split to reconstruct, spread evenly
      over the instrument families. For an unconditional run, which cannot
      reconstruct, it must be 0.
    pitches: the MIDI pitch of each new note.
    temperature: of the choice of a mixture component, above 0.
    temperature_2: of a component's noise, at least 0.
    greedy: True takes the likeliest component, 'mean' the mixture's mean.
    seed: of the choice of notes and of all randomness, at least 0.
    codec: to decode with; None for that of the run, if that is known and needs
      no checkpoint. Without one there are figures alone.

  Returns:
    What `summary.json` holds: the settings, and under 'reconstructions' and
    'samples' what there is to say of each note. That is its 'figure'; for a
    reconstruction the 'mse' over its frames and the 'loudness_error_db'; and
    for each audio ('original', 'reconstruction', 'sample') the file, its
    'pitch_error_cents' (None where no pitch is heard), and the 'gain_db', below
    0 only where 16 bits could not have held the peak.

  Raises:
    ValueError: for an argument out of range, or data of another codec.
    OSError: if `output_dir` cannot be written to.
  """
  check_settings(num_notes, pitches, temperature, temperature_2, seed)
  codec = _check_codec(run, dataset, codec)
  if num_notes and not run.model.conditional:
    raise ValueError(
      f'num_notes={num_notes}, but an unconditional run has no encoder and '
      'cannot reconstruct; set num_notes=0.'
    )
  rows = choose_rows(dataset, num_notes, seed)
  folder = outputs.make_output_dir(output_dir)
  settings = {
    'temperature': float(temperature),
    'temperature_2': float(temperature_2),
    'greedy': greedy,
    'seed': int(seed),
  }
  writer = outputs.Writer(folder, codec)
  reconstructions = _reconstruct(run, dataset, rows, settings, writer)
  samples = _sample(run, pitches, settings, writer)
  summary = {
    'codec': codec.name if codec else None,
    **settings,
    'reconstructions': _listed(reconstructions, 'Reconstructing', num_notes),
    'samples': _listed(samples, 'Sampling', len(pitches)),
  }
  files.write_json(folder / 'summary.json', summary)
  return summary


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


def check_settings(
  num_notes: int,
  pitches: Sequence[int],
  temperature: float,
  temperature_2: float,
  seed: int,
) -> None:
  """Raises ValueError for arguments of `synthesize` that are out of range."""
  if num_notes < 0 or num_notes + len(pitches) == 0:
    raise ValueError(
      f'num_notes={num_notes} and pitches={list(pitches)}: expected at least '
      'one note to reconstruct or to sample.'
    )
  for pitch in pitches:
    if not 0 <= pitch < _NUM_PITCHES or pitch != int(pitch):
      raise ValueError(
        f'pitch {pitch}: expected a MIDI pitch from 0 to {_NUM_PITCHES - 1} '
        '(60 is middle C).'
      )
  if not 0 < temperature < np.inf:
    raise ValueError(f'temperature={temperature}: expected more than 0.')
  if not 0 <= temperature_2 < np.inf:
    raise ValueError(f'temperature_2={temperature_2}: expected at least 0.')
  if seed < 0:
    raise ValueError(f'seed={seed}: expected at least 0.')


def _check_codec(run, dataset, codec) -> codecs.Codec | None:
  """The codec to decode with; an error if it is not that of run and data."""
  expect_same_codec(dataset, run.info)
  if codec is None:
    return codec_choice.codec_of_data(run.info, run.hps.seq_width)
  codec_choice.expect_codec(run.info, run.hps.seq_width, codec)
  return codec


def _listed(notes: Iterator[dict], description: str, total: int) -> list[dict]:
  if not total:
    return []
  return list(tqdm(notes, desc=description, total=total, unit='note'))


def _reconstruct(run, dataset, rows, settings, writer) -> Iterator[dict]:
  """Reconstructs and writes notes; yields what is said of each."""
  notes, one_hots = dataset.notes(rows)
  pitches = one_hots.argmax(axis=1)
  made = run.reconstruct(notes, one_hots, **settings)
  audios = writer.decode(notes, pitches)
  made_audios = writer.decode(made, pitches)
  names = []
  for i, row in enumerate(rows.tolist()):
    pitch = int(pitches[i])
    family, title = _describe(dataset, row, pitch)
    names.append(f'{family}, MIDI {pitch}')
    stem = f'reconstruction_{i:03d}_{_file_name(family)}_p{pitch:03d}'
    figure = figures.note_figure(
      notes[i],
      made[i],
      audios[i],
      made_audios[i],
      title=title,
      midi_pitch=pitch,
      **writer.timing,
    )
    yield {
      'name': stem,
      'row': row,
      'pitch': pitch,
      'mse': float(np.mean(np.square(notes[i] - made[i]))),
      'figure': writer.write_figure(f'{stem}.png', figure),
      'original': writer.write_audio(f'{stem}_original.wav', audios[i], pitch),
      'reconstruction': writer.write_audio(
        f'{stem}_reconstruction.wav', made_audios[i], pitch
      ),
      'loudness_error_db': metrics.loudness_error_db(audios[i], made_audios[i])
      if writer.codec
      else None,
    }
  some = slice(_MAX_OVERVIEW)
  figure = figures.overview_figure(
    notes[some],
    made[some],
    audios[some],
    made_audios[some],
    names=names[some],
    title='Held-out notes and their reconstructions',
    **writer.timing,
  )
  writer.write_figure('reconstructions.png', figure)


def _sample(run, pitches, settings, writer) -> Iterator[dict]:
  """Samples and writes notes; yields what is said of each."""
  pitches = np.asarray(pitches, int)
  made = run.sample(pitches, **settings)
  audios = writer.decode(made, pitches)
  for i, pitch in enumerate(pitches.tolist()):
    stem = f'sample_{i:03d}_p{pitch:03d}'
    figure = figures.sample_figure(
      made[i],
      audios[i],
      midi_pitch=pitch,
      title=f'New note, MIDI pitch {pitch}',
      **writer.timing,
    )
    yield {
      'name': stem,
      'pitch': pitch,
      'figure': writer.write_figure(f'{stem}.png', figure),
      'sample': writer.write_audio(f'{stem}.wav', audios[i], pitch),
    }


def _describe(dataset, row, pitch) -> tuple[str, str]:
  """A note's family and its title."""
  family = name = None
  if dataset.instrument_family_ids is not None:
    family_id = int(dataset.instrument_family_ids[row])
    names = dataset.info.get('instrument_families')
    family = names[family_id] if names else f'family{family_id}'
  if dataset.instrument_ids is not None:
    instrument_id = int(dataset.instrument_ids[row])
    names = dataset.info.get('instruments')
    name = names[instrument_id] if names else f'instrument {instrument_id}'
  title = name or family or f'note {row}'
  velocity = int(np.argmax(dataset.velocities[row]))
  title = f'{title}, MIDI pitch {pitch}, velocity {velocity}'
  return family or 'note', title


def _file_name(text: str) -> str:
  return re.sub(r'[^A-Za-z0-9]+', '_', text).strip('_') or 'note'


def format_summary(summary: dict[str, Any]) -> str:
  """What `synthesize` gives as a table for people."""
  rows = []
  for note in summary['reconstructions'] + summary['samples']:
    made = note.get('reconstruction') or note.get('sample') or {}
    original = note.get('original') or {}
    rows.append(
      {
        'note': note['name'],
        'MSE': note.get('mse'),
        'pitch error (cents)': made.get('pitch_error_cents'),
        'of the original': original.get('pitch_error_cents'),
        'loudness error (dB)': note.get('loudness_error_db'),
        'gain (dB)': made.get('gain_db'),
      }
    )
  return commands.format_table(rows)


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('run_dir', None, 'Folder of the trained run.')
  flags.DEFINE_string(
    'data_dir', None, 'Folder of its data; default: as in training.'
  )
  flags.DEFINE_string(
    'output_dir', None, 'Folder to write to; default: run_dir/synthesis.'
  )
  flags.DEFINE_integer(
    'num_notes', 8, 'Held-out notes to reconstruct, over all families.'
  )
  flags.DEFINE_list(
    'pitches', ['48', '60', '72'], 'MIDI pitches of the notes to sample.'
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
  flags.DEFINE_integer('seed', 0, 'The same seed gives the same files.')
  codec_choice.define_flags()


def main(argv: list[str]) -> None:
  """The command: writes notes of --run_dir and shows what was measured."""
  del argv
  args = flags.FLAGS
  if args.run_dir is None:
    raise ValueError('Set --run_dir to the folder of a trained run.')
  pitches = []
  for text in args.pitches:
    try:
      pitches.append(int(text))
    except ValueError:
      raise ValueError(
        f'--pitches: {text!r} is not a whole number; expected MIDI pitches '
        'with commas between them, such as 48,60,72.'
      ) from None
  settings = {
    'num_notes': args.num_notes,
    'pitches': pitches,
    'temperature': args.temperature,
    'temperature_2': args.temperature_2,
    'seed': args.seed,
  }
  check_settings(**settings)
  run = load_run(args.run_dir)
  dataset = run.open_dataset(args.data_dir)
  output_dir = args.output_dir or os.path.join(args.run_dir, 'synthesis')
  summary = synthesize(
    run,
    dataset,
    output_dir,
    greedy=_GREEDY[args.greedy],
    codec=codec_choice.codec_from_flags(run.info, run.hps.seq_width),
    **settings,
  )
  logging.info('%s', format_summary(summary))
  logging.info('Audio and figures are in %s', output_dir)
