r"""Renders collections of notes from General MIDI soundfonts.

Every note is made the way NSynth's were (arXiv 1704.01279): one instrument, one
pitch, one velocity, held for 3 s and released for 1 s, 16 kHz, one channel. It
is encoded with the harmonic codec; the frames, and one held-out note of each
family as audio, are what the package carries.

Example, with FluidSynth and soundfonts from Debian; the second command makes
the data directory of the experiment `pretrained`:

  apt-get install libfluidsynth3 fluid-soundfont-gm musescore-general-soundfont
  pip install embedding-rnn[notes]
  python -m embedding_rnn.data.notes.make_notes --output_dir=my_notes \
    --soundfont=/usr/share/sounds/sf2/FluidR3_GM.sf2
  python -m embedding_rnn.data.notes.make_notes --output_dir=data/dense --dense
"""

import contextlib
import ctypes
import io
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import joblib
import librosa
import numpy as np
import soundfile
from absl import flags

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data import notes
from embedding_rnn.utils import cli, files

DEFAULT_SOUNDFONT = '/usr/share/sounds/sf2/FluidR3_GM.sf2'
DENSE_SOUNDFONTS = (
  DEFAULT_SOUNDFONT,
  '/usr/share/sounds/sf3/MuseScore_General.sf3',
)

# FluidSynth does not filter what it transposes, so it renders at a rate whose
# aliases fall where resampling removes them.
_RENDER_RATE = 48000
# The loudest note of FluidR3 GM stays a little below full scale.
_GAIN = 1.0
_HELD, _RELEASED = 3, 1  # seconds
_SILENCE_DB = -60.0  # peak level under which a key counts as silent

VELOCITIES = (25, 50, 75, 100, 127)  # NSynth's
_PITCH_STEP = 4
_DENSE_PITCH_STEP = 2


class _Family(NamedTuple):
  """General MIDI programs (from 0) of an NSynth family, and their keys."""

  programs: tuple[int, ...]
  low: int
  high: int


_FAMILIES = {
  'bass': _Family((*range(32, 40),), 24, 67),
  'brass': _Family((*range(56, 64),), 34, 91),
  'flute': _Family((*range(72, 80),), 48, 108),
  'guitar': _Family((15, *range(24, 32), *range(104, 108)), 36, 91),
  'keyboard': _Family((*range(8),), 21, 108),
  'mallet': _Family((*range(8, 15), 108, 112, 114), 36, 103),
  'organ': _Family((*range(16, 22), 23), 24, 103),
  'reed': _Family((22, *range(64, 72), 109, 111), 34, 96),
  'string': _Family((*range(40, 47), *range(48, 52)), 28, 100),
  'synth_lead': _Family(
    (*range(80, 85), *range(86, 91), *range(92, 104)), 24, 103
  ),
  'vocal': _Family((52, 53, 54, 85, 91), 36, 91),
}
# Left out: drums and sound effects, which have no pitch, and the fiddle (110),
# which is FluidR3's violin once more. The programs of a group differ by filter
# or tuning alone, so they stay on one side of the split.
_SHARED_SAMPLES = ((0, 1, 3), (44, 48, 49), (62, 63))
_HELD_OUT = 0.15  # of a family's instruments, for validation and for testing
# Where the family's note that is kept as audio is looked for.
_DEMO_PITCH = {'bass': 40, 'flute': 72, 'mallet': 67, 'vocal': 64}


class Note(NamedTuple):
  """One note to render."""

  program: int
  family: str
  midi_pitch: int
  velocity: int


def plan_notes(dense: bool = False) -> list[Note]:
  """All notes of a collection, by program, pitch and velocity.

  Every fourth key of an instrument is played, from another key on in each, so
  that together they cover every pitch; two keys in three at a second velocity.

  Args:
    dense: every second key, at all five velocities.
  """
  key_step = _DENSE_PITCH_STEP if dense else _PITCH_STEP
  plan = []
  for family, (programs, low, high) in _FAMILIES.items():
    for rank, program in enumerate(programs):
      keys = range(low + rank % key_step, high + 1, key_step)
      for index, key in enumerate(keys):
        steps = (0, 2) if (index + rank) % 3 else (0,)
        for step in range(len(VELOCITIES)) if dense else steps:
          velocity = VELOCITIES[(index + rank + step) % len(VELOCITIES)]
          plan.append(Note(program, family, key, velocity))
  return sorted(plan)


def split_programs() -> dict[int, int]:
  """The split of each program: 0 train, 1 valid, 2 test.

  Of every family some instruments are held out, so that every split has every
  family, and no instrument is in two.
  """
  random = np.random.RandomState(0)  # its stream is frozen for good
  splits = {}
  for family in sorted(_FAMILIES):
    programs = _FAMILIES[family].programs
    shared = {p: group for group in _SHARED_SAMPLES for p in group}
    units = sorted({shared.get(p, (p,)) for p in programs})
    units = [units[place] for place in random.permutation(len(units))]
    quota = max(1, round(_HELD_OUT * len(programs)))
    room = {2: quota, 1: quota}
    for unit in units:
      # The first split that still has room for the whole unit.
      split = next((s for s in room if room[s] >= len(unit)), 0)
      if split:
        room[split] -= len(unit)
      splits.update(dict.fromkeys(unit, split))
  return splits


@contextlib.contextmanager
def _open_synth(soundfont: str) -> Iterator:
  """A fresh FluidSynth without effects, and the number of its soundfont."""
  import fluidsynth  # only rendering needs the library

  if not pathlib.Path(soundfont).is_file():  # FluidSynth would say more
    raise FileNotFoundError(
      f'There is no soundfont {soundfont!r}; give another --soundfont.'
    )

  # The first synth of a process fills its table of dither with C's rand().
  ctypes.CDLL(None).srand(1)
  synth = fluidsynth.Synth(
    gain=_GAIN,
    samplerate=_RENDER_RATE,
    **{
      'synth.chorus.active': 0,
      'synth.reverb.active': 0,
      'synth.dynamic-sample-loading': 1,  # reads one program's samples only
    },
  )
  try:
    font = synth.sfload(soundfont)
    if font < 0:
      raise ValueError(f'{soundfont} is not a soundfont FluidSynth can load.')
    yield synth, font
  finally:
    synth.delete()


def render_note(soundfont: str, note: Note) -> np.ndarray:
  """Renders one note: float32 [64000] in -1..1 at 16 kHz.

  Each note has a synthesiser of its own, so none depends on those before it.

  Raises:
    ValueError: the soundfont cannot be loaded, lacks the program, or clips.
  """
  with _open_synth(soundfont) as (synth, font):
    if synth.program_select(0, font, 0, note.program) != 0:
      raise ValueError(f'{soundfont} has no program {note.program} in bank 0.')
    synth.noteon(0, note.midi_pitch, note.velocity)
    held = synth.get_samples(_HELD * _RENDER_RATE)
    synth.noteoff(0, note.midi_pitch)
    released = synth.get_samples(_RELEASED * _RENDER_RATE)
  stereo = np.concatenate([held, released]).reshape(-1, 2)
  if np.abs(stereo.astype(np.int32)).max() >= 32767:
    raise ValueError(f'{note} clips at gain {_GAIN}; lower the gain.')
  audio = stereo.mean(axis=1, dtype=np.float64) / 32768.0
  audio = librosa.resample(
    audio, orig_sr=_RENDER_RATE, target_sr=SAMPLE_RATE, res_type='soxr_hq'
  )
  return audio[: (_HELD + _RELEASED) * SAMPLE_RATE].astype(np.float32)


def program_names(soundfont: str) -> dict[int, str]:
  """The soundfont's own names of the programs that are played."""
  with _open_synth(soundfont) as (synth, font):
    return {
      program: synth.sfpreset_name(font, 0, program)
      for family in _FAMILIES.values()
      for program in family.programs
    }


def is_silent(audio: np.ndarray) -> bool:
  """Whether a program lacks the key it was asked for."""
  return bool(np.abs(audio).max() < 10.0 ** (_SILENCE_DB / 20.0))


def make_collection(
  soundfonts: Sequence[str], plan: Sequence[Note]
) -> notes.NoteCollection:
  """Renders and encodes the notes of a plan; silent ones are left out.

  Args:
    soundfonts: each plays all of the plan. A program is on the same side of the
      split in all of them, since they may share recordings.
    plan: the notes.

  Raises:
    ValueError: as `render_note`, or if nothing is heard.
  """
  shares = [
    (font, [note for note in plan if note.program == program])
    for font in range(len(soundfonts))
    for program in sorted({note.program for note in plan})
  ]
  results = joblib.Parallel(n_jobs=-1, return_as='generator')(
    joblib.delayed(_render_program)(soundfonts[font], share)
    for font, share in shares
  )
  kept: list[tuple[int, Note]] = []
  frames = []
  with cli.progress_bar(
    desc='Rendering', unit='note', total=len(plan) * len(soundfonts)
  ) as bar:
    for (font, share), rendered in zip(shares, results, strict=True):
      kept += [(font, note) for note, _ in rendered]
      frames += [encoded for _, encoded in rendered]
      bar.update(len(share))
  if not kept:
    fonts = ', '.join(soundfonts)
    raise ValueError(f'All {len(plan)} notes of {fonts} are silent.')

  instruments = _instruments(soundfonts)
  ids = {instrument: place for place, instrument in enumerate(instruments)}
  splits = split_programs()
  families = notes.FAMILY_NAMES
  names = [pathlib.Path(soundfont).name for soundfont in soundfonts]
  return notes.NoteCollection(
    frames=np.stack(frames).astype(np.float32),
    midi_pitch=np.array([n.midi_pitch for _, n in kept]),
    velocity=np.array([n.velocity for _, n in kept]),
    instrument_ids=np.array([ids[n.program, font] for font, n in kept]),
    family_ids=np.array([families.index(n.family) for _, n in kept]),
    split=np.array([splits[n.program] for _, n in kept], np.int8),
    original_rows=_choose_originals([note for _, note in kept], splits),
    instrument_names=list(instruments.values()),
    family_names=list(families),
    source=f'{" and ".join(names)}, rendered with FluidSynth',
  )


def _render_program(
  soundfont: str, share: Sequence[Note]
) -> list[tuple[Note, np.ndarray]]:
  """The notes of one program that are heard, with their frames, `[T, W]`."""
  codec, rendered = HarmonicCodec(), []
  # While one synth has its samples, others need not unpack them again.
  with _open_synth(soundfont) as (synth, font):
    synth.program_select(0, font, 0, share[0].program)
    for note in share:
      audio = render_note(soundfont, note)
      if not is_silent(audio):
        frames = codec.encode(audio, note.midi_pitch)
        # Rounded here, so that the collection is what its file will give back.
        rendered.append((note, frames.astype(np.float16)))
  return rendered


def _instruments(soundfonts: Sequence[str]) -> dict[tuple[int, int], str]:
  """Names of the instruments, in their order, by program and soundfont."""
  names = [program_names(soundfont) for soundfont in soundfonts]
  return {
    (program, font): '_'.join(
      [family, f'{program:03d}', _slug(names[font][program])]
      # Soundfonts name theirs alike.
      + [_slug(pathlib.Path(soundfonts[font]).stem)] * (font > 0)
    )
    for program, family in sorted({(n.program, n.family) for n in plan_notes()})
    for font in range(len(soundfonts))
  }


def _slug(name: str) -> str:
  return re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')


def _choose_originals(kept: list[Note], splits: dict[int, int]) -> np.ndarray:
  """Of each family, the firmly played test note nearest to its demo pitch."""
  rows: list[int] = []
  for family in sorted(_FAMILIES):
    candidates = [
      (abs(note.midi_pitch - _DEMO_PITCH.get(family, 60)), row)
      for row, note in enumerate(kept)
      if note.family == family
      and splits[note.program] == 2
      and note.velocity >= 75
    ]
    rows.extend(row for _, row in sorted(candidates)[:1])
  return np.array(rows, np.int64)


def write_collection(
  collection: notes.NoteCollection, soundfont: str, folder: pathlib.Path
) -> None:
  """Writes the frames, and the chosen originals as FLAC files."""
  folder.mkdir(parents=True, exist_ok=True)
  for row in cli.progress_bar(
    collection.original_rows.tolist(), desc='Originals'
  ):
    name = collection.note_name(row)
    family, program, _ = re.split(r'_(\d{3})_', name, maxsplit=1)
    pitch = int(collection.midi_pitch[row])
    note = Note(int(program), family, pitch, int(collection.velocity[row]))
    audio, content = render_note(soundfont, note), io.BytesIO()
    soundfile.write(content, audio, SAMPLE_RATE, 'PCM_16', format='FLAC')
    files.write_bytes(folder / f'{name}.flac', content.getvalue())
  names = 'instrument_names', 'family_names', 'source'
  about = {name: getattr(collection, name) for name in names}
  small = 'midi_pitch', 'velocity', 'instrument_ids', 'family_ids'
  arrays: dict[str, Any] = {
    'frames': collection.frames.astype(np.float16),
    **{name: getattr(collection, name).astype(np.uint8) for name in small},
    'split': collection.split,
    'original_rows': collection.original_rows.astype(np.uint16),
    'about': np.frombuffer(json.dumps(about).encode(), np.uint8),
  }
  with (
    files.replacing(folder / notes.FILE_NAME) as temporary,
    temporary.open('wb') as file,
  ):
    np.savez_compressed(file, **arrays)


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_list(
    'soundfont',
    None,
    'General MIDI soundfont to render, with --dense any number of them; '
    f'default: {DEFAULT_SOUNDFONT}, with --dense MuseScore General, too.',
  )
  flags.DEFINE_string(
    'output_dir', None, 'Folder to write the collection to.', required=True
  )
  flags.DEFINE_bool(
    'dense',
    False,
    'Write a data directory to train on, of every second key of an instrument '
    'at all five velocities.',
  )
  flags.DEFINE_integer(
    'limit', None, 'Render only this many notes, evenly chosen.', lower_bound=1
  )


def main(argv: list[str]) -> None:
  """Renders, encodes and writes a collection."""
  del argv
  args = flags.FLAGS
  defaults = DENSE_SOUNDFONTS if args.dense else (DEFAULT_SOUNDFONT,)
  soundfonts = args.soundfont or defaults
  for soundfont in soundfonts:
    if not pathlib.Path(soundfont).is_file():
      raise ValueError(
        f'No soundfont at {soundfont}; give one with --soundfont, or install '
        'fluid-soundfont-gm and musescore-general-soundfont.'
      )
  folder = pathlib.Path(args.output_dir)
  if args.dense and folder.exists():
    raise ValueError(f'{folder} exists; set --output_dir to a new folder.')
  if len(soundfonts) > 1 and not args.dense:
    raise ValueError(
      f'{len(soundfonts)} soundfonts: several go with --dense only.'
    )
  plan = plan_notes(args.dense)
  if args.limit is not None:
    chosen = np.linspace(0, len(plan) - 1, min(args.limit, len(plan)))
    plan = [plan[place] for place in chosen.astype(int)]
  collection = make_collection(soundfonts, plan)
  if args.dense:
    with files.replacing_folder(folder) as temporary:
      notes.write_data_dir(temporary, collection)
  else:
    write_collection(collection, soundfonts[0], folder)
  cli.write_result(f'Wrote {len(collection.frames)} notes to {folder}')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
