r"""Encodes notes as a data directory, ready for run.py --data_dir.

Examples:
  python -m embedding_rnn.nsynth.encode --source=my_wavs --output_dir=data/mine
  python -m embedding_rnn.nsynth.encode --output_dir=data/nsynth \
    --source=nsynth-train.tfrecord,nsynth-valid.tfrecord,nsynth-test.tfrecord \
    --codec=wavenet --nsynth_checkpoint_path=wavenet-ckpt/model.ckpt-200000

A source is a folder of audio files, NSynth's json and wav folder, a file or
folder of its TFRecords, or tfds:nsynth. The pitch and velocity of an audio file
are in its name, such as keyboard_acoustic_004-060-025.wav, or in a table
notes.csv in the folder, with the columns file, pitch and velocity (and as you
like instrument, family and split); else the pitch is heard. Audio of any rate
is resampled, several channels are mixed down, and what is longer than 4 s is
cut; report.csv names all notes that were cut, padded or skipped.

The command may be stopped at any time; given again, it goes on. Given several
times at once, on any machines that see the folder, it shares the work.
"""

from __future__ import annotations

import os
from typing import Any

from absl import flags, logging

from embedding_rnn.data.preparation import encoding, recordings
from embedding_rnn.data.preparation.sources import open_source
from embedding_rnn.nsynth import codec
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_list(
    'source', None, 'Files or folders of notes, or tfds:nsynth.'
  )
  flags.DEFINE_string('output_dir', None, 'The data directory to write.')
  codec.define_flags(default='harmonic')
  for name, what in (
    ('short', 'Notes of less than 4 s.'),
    ('silent', 'Notes that never reach -80 dB.'),
    ('damaged', 'Notes that cannot be read, or are not finite.'),
  ):
    choices = recordings.POLICY_CHOICES[name]
    flags.DEFINE_enum(name, choices[0], choices, what)
  flags.DEFINE_integer(
    'processes', 1, 'On this machine; each takes one GPU, if there are any.', 1
  )


def main(argv: list[str]) -> None:
  """The command: encodes --source to --output_dir.

  Raises:
    ValueError: for flags that do not fit; else as of `encoding.encode_notes`.
  """
  del argv
  args = flags.FLAGS
  if not args.source or not args.output_dir:
    raise ValueError(
      'Set --source to the notes, and --output_dir to the folder to write.'
    )
  result = encoding.encode_notes(
    open_source(*args.source),
    codec.choose_codec(args.codec, args.nsynth_checkpoint_path, args.averaged),
    args.output_dir,
    recordings.Policy(args.short, args.silent, args.damaged),
    num_processes=args.processes,
  )
  cli.write_result(_format_counts(result['counts']))
  folder = os.path.abspath(args.output_dir)
  command = (
    f'{cli.PROGRAM} train --data_dir={folder} '
    f'--exp_name={os.path.basename(folder)}'
  )
  logging.info('Train with: %s', command)
  if args.codec == 'harmonic':
    logging.info(
      'or start from the run in the package, better with few notes: '
      '%s --checkpoint_path=%s',
      command,
      checkpoints.PRETRAINED,
    )


def _format_counts(counts: dict[str, Any]) -> str:
  rows = [{'notes': key, 'number': value} for key, value in counts.items()]
  return cli.format_table([row for row in rows if row['number']])


if __name__ == '__main__':
  # TensorFlow reads it when it starts: several processes may share a GPU.
  os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
  define_flags()
  cli.run(main)
