"""The command synthesize.py: notes of a run, to hear and see."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from absl import flags, logging

from embedding_rnn.data import notes
from embedding_rnn.data.dataset import NoteDataset, open_dataset
from embedding_rnn.evaluate import tables
from embedding_rnn.model.hparams import HParams
from embedding_rnn.nsynth import codec
from embedding_rnn.synthesize import page, synthesis
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.training import checkpoints
from embedding_rnn.training.trained_run import Run, load_pretrained, load_run
from embedding_rnn.utils import cli, dataclass_flags

_NOTES_DIR = './data/notes'  # as of run.py

flags.disclaim_key_flags()  # they belong to the command that defines them


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('run_dir', None, 'Folder of the trained run.')
  flags.DEFINE_bool(
    'pretrained', False, 'Take the run in the package instead of --run_dir.'
  )
  flags.DEFINE_string(
    'data_dir',
    None,
    'Folder of its data; default: as in training, and with --pretrained '
    f'{_NOTES_DIR}, where the embedded notes are written to if there are none.',
  )
  flags.DEFINE_string(
    'output_dir',
    None,
    'Folder to write to; default: run_dir/synthesis, and with --pretrained '
    f'./{checkpoints.PRETRAINED}.',
  )
  flags.DEFINE_string(
    'hparam',
    '',
    'Hyperparameters as name=value,name=value that the run must have.',
  )
  flags.DEFINE_bool(
    'just_figures', False, 'Write no audio, and draw none: faster.'
  )
  codec.define_flags()
  dataclass_flags.define(SynthesisConfig)


def main(argv: list[str]) -> None:
  """The command: writes notes of --run_dir and shows what was measured."""
  del argv
  args = flags.FLAGS
  if args.pretrained == (args.run_dir is not None):
    raise ValueError(
      'Set either --run_dir to the folder of a trained run, or --pretrained.'
    )
  config = dataclass_flags.read(SynthesisConfig)
  if args.pretrained:
    run = load_pretrained()
    run.expect_hparams(args.hparam)
    dataset = _open_notes(run.hps, args.data_dir or _NOTES_DIR)
    output_dir = args.output_dir or checkpoints.PRETRAINED
  else:
    run = load_run(args.run_dir, args.hparam)
    dataset = run.open_dataset(args.data_dir)
    output_dir = args.output_dir or os.path.join(args.run_dir, 'synthesis')
  summary = synthesis.synthesize(
    run,
    dataset,
    output_dir,
    config,
    codec=codec.codec_from_flags(run.info, run.hps.seq_width),
    just_figures=args.just_figures,
    metrics=_read_metrics(run),
    command=cli.command_line(),
  )
  logging.info('%s', synthesis.format_summary(summary))
  logging.info('Listen to it: %s', os.path.join(output_dir, page.FILE_NAME))


def _open_notes(hps: HParams, data_dir: str) -> NoteDataset:
  """Notes that a run was not trained on; the embedded ones if there are none.

  The instruments that those are split by are held out of its training, too.
  """
  names = hps.data_set, hps.pitch_set, hps.velocity_set
  notes.prepare_data_dir(data_dir, names)
  # A split may be smaller than a batch of the training.
  return open_dataset(
    data_dir, hps.copy().override_from_dict({'batch_size': 1})
  )


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
