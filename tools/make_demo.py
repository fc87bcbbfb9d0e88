"""Makes docs/demo, a page of twelve sounds of the run in the package.

Three notes of instruments that it was not trained on, what it makes of these,
and six notes that it makes up.

Example:
  python tools/make_demo.py
"""

import pathlib

from absl import flags, logging

import embedding_rnn
from embedding_rnn.synthesize import page, synthesis
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.utils import cli, files

_FOLDER = pathlib.Path(__file__).resolve().parents[1] / 'docs' / 'demo'
_WISHES = {
  'flute': 72,
  'string': 55,
  'mallet': 67,
  'bass': 40,
  'vocal': 60,
  'keyboard': 64,
}
_ORIGINALS = 3


def main(argv: list[str]) -> None:
  """Writes the page to --output_dir."""
  del argv
  run = embedding_rnn.load_pretrained()
  config = SynthesisConfig(
    num_notes=_ORIGINALS,
    pitches=tuple(_WISHES.values()),
    families=tuple(_WISHES),
    alphas=(),
  )
  folder = pathlib.Path(flags.FLAGS.output_dir)
  command = 'python tools/make_demo.py'
  summary = synthesis.synthesize(
    run, run.open_dataset(), folder, config, overwrite=True, command=command
  )
  # A page of sounds, and small.
  for path in folder.glob('*.png'):
    path.unlink()
  notes = [note | {'figures': {}} for note in summary['notes']]
  summary |= {'notes': notes, 'overviews': {}}
  files.write_json(folder / 'summary.json', summary)
  page.write(folder, summary, command)
  logging.info('Listen to it: %s', folder / page.FILE_NAME)


if __name__ == '__main__':
  flags.DEFINE_string('output_dir', str(_FOLDER), 'Folder to write to.')
  cli.run(main)
