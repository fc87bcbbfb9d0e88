r"""Writes an instrument that a run has made up: a page to play, and a pack.

Examples:
  python -m embedding_rnn.instrument --pretrained --like=flute \\
    --output_dir=my_flute
  python -m embedding_rnn.instrument --run_dir=logs/default_local --seed=7 \\
    --like=flute,string,mallet,vocal --keys=C2,C7 --output_dir=my_sounds

index.html is a keyboard with a pad that blends four sounds: of the families in
--like, begun again if there are fewer, each another one. It needs no network.
The .sfz file has the first of the four for samplers, with the .wav files that
it names: every third key at three velocities. Notes that are steady are held by
loops. preset.json says how the same instrument is made again, and how well its
notes belong together: of many draws, the one is taken of which levels and
brightness rise with velocity most often.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from embedding_rnn.audio import pitches
from embedding_rnn.instrument import options
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import cli, files

# TensorFlow takes seconds to import; bad flags should not wait for it.
if TYPE_CHECKING:
  from embedding_rnn.instrument.voice import Voice

_PAGE_STEP = 4  # keys between samples of the page


def define_flags() -> None:
  """Defines the flags of `main`."""
  options.define_flags()
  flags.DEFINE_list(
    'like', [], 'Families of the four sounds, such as flute; default: any.'
  )
  flags.DEFINE_list(
    'keys', ['A1', 'C7'], 'The lowest and the highest key, by name or number.'
  )
  flags.DEFINE_bool('loop', True, 'Hold steady notes by loops.')
  flags.DEFINE_string('output_dir', None, 'Folder to write, a new one.')


def main(argv: list[str]) -> None:
  """The command: writes the instrument to --output_dir.

  Raises:
    FileExistsError: if there is something in that folder.
    NotADirectoryError: if it is a file.
    ValueError: for flags that do not fit, or a run that has no instruments.
    OSError: if it cannot be written.
  """
  del argv
  args = flags.FLAGS
  if not args.output_dir:
    raise ValueError('Set --output_dir to the folder to write.')
  checkpoints.choose_folder(args.run_dir, args.pretrained)
  if len(args.keys) != 2:
    raise ValueError(f'--keys={",".join(args.keys)}: expected two, as A1,C7.')
  low, high = map(pitches.parse_pitch, args.keys)
  folder = pathlib.Path(args.output_dir)
  if folder.exists() and not folder.is_dir():
    raise NotADirectoryError(
      f"'{folder}' is a file; choose another --output_dir."
    )
  if folder.exists() and any(folder.iterdir()):
    raise FileExistsError(
      f"'{folder}' is not empty; choose another --output_dir."
    )
  files.make_output_dir(folder.parent)
  from embedding_rnn.instrument import choosing, pack, page

  keys = pack.choose_keys(low, high)
  page_keys = pack.choose_keys(low, high, _PAGE_STEP)
  if len(args.like) > page.NUM_CORNERS:
    raise ValueError(
      f'--like={",".join(args.like)}: expected at most {page.NUM_CORNERS}.'
    )
  run, codec = options.open_run(args)
  families = list(
    itertools.islice(itertools.cycle(args.like or [None]), page.NUM_CORNERS)
  )
  voices = [
    choosing.choose_voice(run, family, args.seed + i)
    for i, family in enumerate(families)
  ]
  samples = list(
    pack.make_samples(voices[0], codec, keys, with_loops=args.loop)
  )
  corners = {}
  for i, (family, voice) in enumerate(zip(families, voices, strict=True)):
    name = f'{(family or "sound").replace("_", " ")} {args.seed + i}'
    velocities = [page.VELOCITY]
    corners[name] = list(
      pack.make_samples(voice, codec, page_keys, velocities, args.loop)
    )
  name = f'{families[0] or "instrument"}_{args.seed}'
  preset = {
    'run': pathlib.Path(run.folder).name,
    'step': run.step,
    'families': [voice.family for voice in voices],
    'seed': args.seed,
    'coherence': [
      choosing.measure_voices(run, [voice])[0]._asdict() for voice in voices
    ],
    'keys': keys,
    'velocities': list(pack.LAYERS),
    'latents': _latents(voices[0], keys, pack.LAYERS),
  }
  with files.replacing_folder(folder) as temporary:
    pack.write_pack(temporary, name, samples, codec.sample_rate, preset)
    page.write_page(
      temporary,
      corners,
      codec.sample_rate,
      'An instrument that there is not',
      f'Four sounds made up by the run {preset["run"]}.',
    )
  looped = sum(sample.loop is not None for sample in samples)
  cli.write_result(
    f'{folder / name}.sfz: {len(samples)} samples, {looped} of them with a '
    f'loop\nPlay it: {folder / page.FILE_NAME}'
  )


def _latents(
  voice: Voice, keys: list[int], velocities: tuple[int, ...]
) -> list[Any]:
  """Those of an instrument, by key and velocity."""
  number = len(velocities)
  return [voice.latents([key] * number, velocities).tolist() for key in keys]


if __name__ == '__main__':
  define_flags()
  cli.run(main)
