"""The command synthesize.py: notes of a run, to hear and see."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from embedding_rnn.evaluate import tables
from embedding_rnn.nsynth import codec
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli, dataclass_flags

# What needs TensorFlow is imported when all flags are known to be good.
if TYPE_CHECKING:
  from embedding_rnn.training.trained_run import Run

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
    'Folder of its data; default: as in training, and with --pretrained the '
    'embedded notes.',
  )
  flags.DEFINE_string(
    'output_dir',
    None,
    'Folder to write to; default: run_dir/synthesis, or synthesis_2 and so on, '
    'one for each setting; with --pretrained in '
    f'./{checkpoints.PRETRAINED}.',
  )
  flags.DEFINE_bool(
    'overwrite', False, 'Replace a page of other settings in --output_dir.'
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
  run_dir = checkpoints.choose_folder(args.run_dir, args.pretrained)
  config = dataclass_flags.read(SynthesisConfig)
  checkpoints.expect_run(run_dir)
  from embedding_rnn.synthesize import page, synthesis
  from embedding_rnn.training.trained_run import load_run

  run = load_run(run_dir, args.hparam)
  dataset = run.open_dataset(args.data_dir)
  config = config.completed(run)
  output_dir = args.output_dir or synthesis.choose_output_dir(
    args.run_dir or checkpoints.PRETRAINED, config
  )
  summary = synthesis.synthesize(
    run,
    dataset,
    output_dir,
    config,
    codec=codec.codec_from_flags(run.info, run.hps.seq_width),
    just_figures=args.just_figures,
    overwrite=args.overwrite,
    metrics=_read_metrics(run),
    command=cli.command_line(),
  )
  cli.write_result(synthesis.format_summary(summary))
  cli.write_result(f'Listen to it: {os.path.join(output_dir, page.FILE_NAME)}')


def _read_metrics(run: Run) -> dict[str, Any] | None:
  """What was measured of the run, if it was."""
  path = pathlib.Path(run.folder) / tables.METRICS
  if not path.exists():
    return None
  metrics = tables.read_metrics(path)
  if (step := metrics['step']) != run.step:
    logging.warning(
      "'%s' is of step %s, and the run's weights are of step %d: the page is "
      'without; %s.',
      path,
      step,
      run.step,
      tables.MEASURE_AGAIN,
    )
    return None
  return metrics
