"""Generation of audio files of notes, of which a stop loses little."""

from __future__ import annotations

import os
import pathlib
import time
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from tqdm import tqdm

from embedding_rnn.audio import checks
from embedding_rnn.audio.harmonics import SAMPLE_RATE
from embedding_rnn.data import arrays
from embedding_rnn.model import sampling
from embedding_rnn.nsynth.fastgen.choices import BATCH_SIZES, choose_runtime
from embedding_rnn.nsynth.fastgen.runtime import (
  make_generator,
  stream,
)
from embedding_rnn.nsynth.fastgen.tensorflow_loop import GeneratorState
from embedding_rnn.nsynth.generate.folder import GenerationFolder, Partial
from embedding_rnn.nsynth.wavenet import WaveNetAutoencoder
from embedding_rnn.utils import cli, files

# Between two looks at the clock about 512 samples are generated.
_SAVE_SECONDS = 30.0

_BYTES_PER_SAMPLE = 2  # of a file
_MAX_NAME_BYTES = 200  # file systems take 255, with what is added meanwhile


def load_frames(
  path: str | os.PathLike[str], num_channels: int = 16
) -> np.ndarray:
  """Loads the frames of one note or of many from a .npy file.

  Others may have made it, such as Magenta's nsynth_save. A frame stands for
  hop_length samples (512, at 16 kHz 32 ms): 62 frames are 2 seconds of audio.

  Args:
    path: a file of floats `[T, num_channels]` for a single note, or
      `[N, T, num_channels]`.
    num_channels: of a frame.

  Returns:
    float32 `[N, T, num_channels]`; N is 1 for a single note.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is damaged, or its numbers are of another shape or type or
      not finite.
  """
  path = os.fspath(path)
  array = arrays.open_array(path, 'name a .npy file of frames')
  expected = f'expected floats [frames, {num_channels}] or [notes, frames, '
  expected += f'{num_channels}]'
  if array.dtype.kind != 'f':
    raise ValueError(f'{path!r} holds {array.dtype}; {expected}.')
  if array.ndim not in (2, 3) or 0 in array.shape:
    raise ValueError(
      f'{path!r} has the shape {array.shape}; {expected}. Audio must be '
      'encoded first: `python -m embedding_rnn.nsynth.encode --help`.'
    )
  if array.shape[-1] != num_channels:
    hint = 'it is of another model'
    if array.shape[-2] == num_channels:
      hint = 'it is transposed: swap the last two axes'
    raise ValueError(
      f'{path!r} has the shape {array.shape}; {expected}: {hint}.'
    )
  with np.errstate(over='ignore'):
    frames = np.array(array, np.float32, ndmin=3)
  finite = np.isfinite(frames)
  if not finite.all():
    note, frame, channel = np.argwhere(~finite)[0].tolist()
    raise ValueError(
      f'{path!r} has {frames[note, frame, channel]} in note {note}, frame '
      f'{frame}, channel {channel}; expected finite numbers. Encode the note '
      'again, or leave it out.'
    )
  return frames


def load_notes(
  source: str | os.PathLike[str], num_channels: int
) -> dict[str, np.ndarray]:
  """As `load_frames`, from a file or a folder of such files.

  Returns:
    float32 `[frames, num_channels]` of each note. Its name is that of the file,
    with a number if there are several notes in it.

  Raises:
    FileNotFoundError: for no such file, or a folder with none.
    ValueError: for twice the same name; else as of `load_frames`.
  """
  source = pathlib.Path(source)
  paths = sorted(source.glob('*.npy')) if source.is_dir() else [source]
  if not paths:
    raise FileNotFoundError(f"'{source}' has no .npy files of frames.")
  notes = {}
  for path in paths:
    loaded = load_frames(path, num_channels)
    digits = len(str(len(loaded) - 1))
    for i, frames in enumerate(loaded):
      name = path.stem if len(loaded) == 1 else f'{path.stem}-{i:0{digits}}'
      if name in notes:
        raise ValueError(
          f"Two notes of '{source}' are called {name!r}; rename a file."
        )
      notes[name] = frames
  return notes


def generate_notes(
  model: WaveNetAutoencoder,
  notes: Mapping[str, np.ndarray],
  output_dir: str | os.PathLike[str],
  seed: int = 0,
  greedy: bool = False,
  weights: str = 'float32',
  batch_size: int | None = None,
  runtime: str | None = None,
) -> list[pathlib.Path]:
  """Generates notes as 16-bit .wav files, or goes on where that was stopped.

  Args:
    model: with weights.
    notes: float32 `[frames, bottleneck_width]` by name; not all of a length.
    output_dir: the folder to write to. What is finished or begun in it, from
      the same frames, weights and settings, is kept.
    seed: of all randomness. A note's depends on its name, not on other notes.
    greedy: take the likeliest class of each sample; the seed has no effect
      then.
    weights: 'float32' or 'int8'.
    batch_size: notes that are generated together; what is fast if None.
    runtime: what generates; see `choose_runtime`.

  Returns:
    The paths of the files, in the order of the notes.

  Raises:
    OSError: if the folder cannot be written to, or the disk is full.
    ValueError: for frames of another width or not finite, for options that
      there are not, or for a folder with audio of other settings or in use.
  """
  runtime = choose_runtime(runtime, weights)
  sampling.check_seed(seed)
  for name, frames in notes.items():
    try:
      checks.check_encodings(frames[None], model.bottleneck_width)
    except ValueError as error:
      raise ValueError(f'Note {name!r}: {error}') from error
    if len(os.fsencode(name)) > _MAX_NAME_BYTES:
      raise ValueError(
        f'Note {name!r}: expected a name of at most {_MAX_NAME_BYTES} bytes, '
        'for files are called by it.'
      )
  folder = GenerationFolder(files.make_output_dir(output_dir))
  with folder.in_use():
    model.build()
    settings = {
      'seed': seed,
      'greedy': greedy,
      'weights': weights,
      'runtime': runtime,
      'decoder_sha256': model.decoder.sha256(),
    }
    folder.begin(settings, notes)
    pending = {
      name: frames
      for name, frames in notes.items()
      if not folder.note_path(name).exists()
    }
    if pending:
      num_samples = model.hop_length * sum(map(len, pending.values()))
      needed = _BYTES_PER_SAMPLE * num_samples
      files.expect_space(
        folder.path, needed, f'The notes take {needed / 1e6:,.1f} MB'
      )
      batch_size = batch_size or BATCH_SIZES[runtime]
      _Generation(model, folder, settings, pending).run(batch_size)
  return [folder.note_path(name) for name in notes]


class _Generation:
  """The work on notes that are not finished."""

  def __init__(self, model, folder, settings, notes):
    self._model, self._folder = model, folder
    self._settings, self._notes = settings, notes
    self._partial = folder.read_partial(notes)
    self._generator, self._size = None, 0

  def run(self, batch_size: int) -> None:
    """Generates the notes, with an estimate and a progress bar."""
    batches = self._divide(batch_size)
    done = sum(len(partial.codes) for partial in self._partial.values())
    # With what fills up the shorter notes of a batch: it takes time as well.
    total = sum(len(names) * self._num_samples(names) for names in batches)
    rate = len(batches[0]) / self._make_generator(batches[0]).measure_step()
    logging.info(
      '%d notes, %.1f s of audio, up to %d at a time: about %s, at %.0f '
      'samples a second.',
      len(self._notes),
      (total - done) / SAMPLE_RATE,
      max(map(len, batches)),
      tqdm.format_interval((total - done) / rate),
      rate,
    )
    with cli.progress_bar(
      total=total, initial=done, desc='audio', unit='sample', unit_scale=True
    ) as bar:
      for names in batches:
        self._run_batch(names, bar)

  def _divide(self, batch_size):
    """Names in batches: those begun, then the rest from long to short."""
    rest = [name for name in self._notes if name not in self._partial]
    rest.sort(key=lambda name: len(self._notes[name]), reverse=True)
    batches = [list(self._partial)] if self._partial else []
    for start in range(0, len(rest), batch_size):
      batches.append(rest[start : start + batch_size])
    return batches

  def _num_samples(self, names):
    longest = max(len(self._notes[name]) for name in names)
    return longest * self._model.hop_length

  def _make_generator(self, names):
    if len(names) != self._size:
      self._generator = None  # before the next one takes more memory
      self._size = len(names)
      self._generator = make_generator(
        self._model.decoder,
        self._size,
        self._settings['weights'],
        self._settings['runtime'],
      )
    return self._generator

  def _run_batch(self, names, bar):
    codes, state = self._resume(names)
    saved = time.monotonic()
    for chunk, state in stream(  # noqa: B020
      self._make_generator(names),
      _pad([self._notes[name] for name in names]),
      self._settings['seed'],
      self._settings['greedy'],
      [zlib.crc32(os.fsencode(name)) for name in names],
      state,
    ):
      codes = np.concatenate([codes, chunk], axis=1)
      bar.update(chunk.size)
      if time.monotonic() - saved >= _SAVE_SECONDS:
        self._save(names, codes, state)
        saved = time.monotonic()
    rows = zip(names, codes, strict=True)
    self._folder.finish({n: row[: self._num_samples([n])] for n, row in rows})

  def _resume(self, names):
    """Codes so far, and the state after them or None."""
    if names[0] not in self._partial:
      return np.empty([len(names), 0], np.int32), None
    first = self._partial[names[0]]
    codes = np.empty([len(names), len(first.codes)], np.int32)
    signal = np.empty([len(names), 3], np.float32)
    shape = len(first.rings), len(names), first.rings.shape[1]
    rings = np.empty(shape, np.float32)
    for i, name in enumerate(names):
      # At full size the rings of 16 notes take 0.2 GB: they move one by one.
      codes[i], signal[i], rings[:, i] = self._partial.pop(name)
    return codes, GeneratorState(np.int32(codes.shape[1]), signal, rings)

  def _save(self, names, codes, state):
    signal, rings = np.asarray(state.signal), np.asarray(state.rings)
    partials = map(Partial, codes, signal, rings.swapaxes(0, 1))
    self._folder.write_partial(dict(zip(names, partials, strict=True)))


def _pad(notes: Sequence[np.ndarray]) -> np.ndarray:
  """Notes `[B, most frames, Z]`, with zeros at the end."""
  longest = max(map(len, notes))
  return np.stack(
    [np.pad(note, ((0, longest - len(note)), (0, 0))) for note in notes]
  )
