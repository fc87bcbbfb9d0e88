"""A trained run, ready to use: notes in, notes out."""

from __future__ import annotations

import dataclasses
import functools
import html
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile
import tensorflow as tf

from embedding_rnn.audio.codec import Codec, HarmonicCodec
from embedding_rnn.audio.pitches import pitch_name
from embedding_rnn.data import checks, lookup, metadata, notes, provenance
from embedding_rnn.data.dataset import NoteDataset
from embedding_rnn.data.lookup import FoundNotes
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.embedding_rnn import Latent, Model
from embedding_rnn.model import distribution, infilling, latents, sampling
from embedding_rnn.model.hparams import HParams, names_that_shape
from embedding_rnn.training import checkpoints
from embedding_rnn.training.checkpoints import PRIORS
from embedding_rnn.training.prior import LatentPrior, compiled_encode
from embedding_rnn.utils import cli, settings
from embedding_rnn.utils.files import CheckedFolder

if TYPE_CHECKING:  # for notebooks
  from IPython.display import Audio
  from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
  """A trained model with all that belongs to it; see `load_run`.

  Its methods take and give notes in the original format, `[N, T, seq_width]`,
  in batches of `batch_size`; pitches are names as 'C4', MIDI numbers `[N]` or
  one-hots `[N, 128]`. To make a note and hear it, in a notebook:

    note = run.sample('C4', family='flute')[0]
    run.play(note, 'C4')

  Attributes:
    folder: where it was loaded from.
    hps: its hyperparameters, as training started with them.
    model: the model, with the weights of the best validation cost.
    transforms: between the original and the model's format.
    info: metadata of the run: "data_dir", "codec" and its "checkpoint", "seed",
      "split_seed", "version", "num_notes" of each split, "instruments" and so
      on.
    step: number of training steps behind the weights.
    costs: for 'valid' and 'test' their "cost", "r_cost", "kl_cost" and
      "raw_kl"; see `embedding_rnn.Costs`.
    prior: where the latents of its training notes lie; None if unconditional,
      or of a version that did not fit it yet.
  """

  folder: str
  hps: HParams
  model: Model
  transforms: Transforms
  info: dict[str, Any]
  step: int
  costs: dict[str, dict[str, float]]
  prior: LatentPrior | None = None

  def encode(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike | None = None,
    *,
    velocity: npt.ArrayLike | None = None,
    batch_size: int = 64,
  ) -> Latent:
    """The latents of notes.

    Args:
      notes: `[N, T, seq_width]`.
      pitches: as of `sample`. With them, the z of a model that hears no frames
        is refined: brought nearer to the note, see `latents.refine`.
      velocity: as of `sample`, of the notes; only looked at with pitches.
      batch_size: notes at a time.

    Returns:
      A Latent of arrays `[N, Z]`; z is the mean, or with no_sample_vae the
      projection, or what is refined from it.

    Raises:
      ValueError: for notes of another shape, or that are not finite, or an
        unconditional model.
    """
    notes = checks.check_notes(notes, self.transforms.seq_width)
    frames = self.transforms.forward(notes)
    if not self.model.conditional:
      self.model.encode(frames[:1])  # Raises.
    latent = sampling.in_batches(self._encode, [frames], batch_size)
    if pitches is not None and not self.model.hears_frames:
      conditions = self._conditions(pitches, velocity, len(notes))
      arrays = [frames, conditions, latent.z]
      z = sampling.in_batches(self._refine, arrays, batch_size)
      latent = latent._replace(z=z)
    return Latent(*(part.numpy() for part in latent))

  def draw_latents(self, num_notes: int, *, seed: int | None = 0) -> np.ndarray:
    """Latents `[num_notes, Z]` from N(0, I); see `sampling.draw_latents`."""
    return sampling.draw_latents(self.model, num_notes, seed).numpy()

  def sample(
    self,
    pitches: npt.ArrayLike,
    z: npt.ArrayLike | None = None,
    *,
    family: str | Sequence[str | None] | None = None,
    velocity: npt.ArrayLike | None = None,
    prior: str = 'fitted',
    num_frames: int | None = None,
    seed: int | None = 0,
    batch_size: int = 128,
    **controls: Any,
  ) -> np.ndarray:
    """New notes.

    One latent over many pitches is an instrument over the keyboard, and one
    pitch with many latents (see `latents.interpolate`) a way from note to note:

      run.sample(range(36, 85), run.encode(notes).z[0])
      run.sample(60, latents.interpolate(z[0], z[1], np.linspace(0, 1, 9)))
      run.sample(['C4', 'E4', 'G4'], family='flute', velocity=100)

    Args:
      pitches: names or MIDI numbers `[N]`, one-hots `[N, 128]`, or one name or
        number for all; an unconditional model only takes how many there are.
      z: latents `[N, Z]`, or one `[Z]` for all; drawn from a prior if None. Not
        for unconditional models.
      family: names of instrument families `[N]`, or one for all, of the notes
        to draw. For None, one is drawn: of those of the training notes whose
        pitches are near.
      velocity: MIDI numbers `[N]`, one-hots `[N, 128]`, or one number for all;
        100 if None. Pitches may have them behind, one-hots `[N, 256]`, as
        those of `NoteDataset.notes`. Heard by models with hps.velocity_context,
        and heeded where latents are drawn.
      prior: 'fitted' draws latents from `Run.prior` if the run has one, and
        else, as 'standard' does, from N(0, I), where there are no families.
      num_frames: T; hps.max_seq_len if None.
      seed: of all randomness; fresh randomness if None. A note's depends on its
        place among the notes, not on their number.
      batch_size: notes at a time; the result does not depend on it, beyond
        rounding.
      **controls: temperature, temperature_2, greedy and top_p of
        `sampling.sample`; temperatures are `sampling.default_controls` if they
        are not given.

    Returns:
      float32 `[N, T, seq_width]`.

    Raises:
      TypeError: for a control that there is not.
      ValueError: for arguments out of range or of the wrong shape.
    """
    sampling.check_controls(**controls)
    controls = sampling.default_controls(self.hps) | controls
    z = None if z is None else np.asarray(z)
    pitches, velocity = checks.split_conditions(pitches, velocity, self.hps)
    number = _number_of_notes(z, family, velocity)
    conditions = self._conditions(pitches, velocity, number)
    if z is None:
      z = self._draw(conditions, family, velocity, prior, seed)
    elif family is not None:
      raise ValueError(
        f'family={family!r} and z: the latents say the family already; give '
        'one of the two.'
      )
    elif z.ndim == 1:
      z = np.tile(z, (len(conditions), 1))
    frames = sampling.sample(
      self.model,
      conditions,
      z,
      num_frames=num_frames,
      seed=seed,
      batch_size=batch_size,
      **controls,
    )
    return self.transforms.inverse(frames.numpy())

  def reconstruct(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike,
    *,
    velocity: npt.ArrayLike | None = None,
    seed: int | None = 0,
    batch_size: int = 128,
    **controls: Any,
  ) -> np.ndarray:
    """Notes, encoded and then sampled anew from their latents.

    An unconditional model knows nothing of the notes: it gives samples.

    Args:
      notes: `[N, T, seq_width]`.
      pitches: as of `sample`, also for the others and for the errors.
      velocity: as above.
      seed: as above.
      batch_size: as above.
      **controls: as above.

    Returns:
      float32 `[N, T, seq_width]`.
    """
    sampling.check_controls(**controls)
    notes = checks.check_notes(notes, self.transforms.seq_width)
    conditions = self._conditions(pitches, velocity, len(notes))
    return self.sample(
      conditions,
      self._encode_z(notes, batch_size, conditions),
      num_frames=notes.shape[1],
      seed=seed,
      batch_size=batch_size,
      **controls,
    )

  def fill(
    self,
    notes: npt.ArrayLike,
    is_known: npt.ArrayLike,
    pitches: npt.ArrayLike,
    z: npt.ArrayLike | None = None,
    *,
    velocity: npt.ArrayLike | None = None,
    num_candidates: int = 1,
    seed: int | None = 0,
    batch_size: int = 128,
    **controls: Any,
  ) -> np.ndarray:
    """Notes with frames made up where they are not known.

    The decoder is led through the known frames, goes on from them by itself,
    and is drawn towards those that come next. It runs in the model's order:
    with hps.difference_input from the last frame to the first.

    Args:
      notes: `[N, T, seq_width]`; where not known, anything, NaN too.
      is_known: bool `[N, T]`, or `[T]` for all, at least one frame of each.
      pitches: as of `sample`, also for the others and for the errors.
      z: `[N, Z]`; if None, those of the notes with each gap bridged by a
        straight line, and the ends by the nearest known frame.
      velocity: as above.
      num_candidates: see `sampling.sample`.
      seed: as above.
      batch_size: as above; each candidate counts.
      **controls: as above.

    Returns:
      float32 `[N, T, seq_width]`, where known exactly as in `notes`.
    """
    sampling.check_controls(**controls)
    controls = sampling.default_controls(self.hps) | controls
    notes, known = infilling.check_known(notes, is_known)
    notes = checks.check_notes(notes, self.transforms.seq_width)
    conditions = self._conditions(pitches, velocity, len(notes))
    bridged = infilling.bridge(notes, known)
    if z is None:
      z = self._encode_z(bridged, batch_size)
    given = self.transforms.forward(bridged)
    is_reversed = self.transforms.difference is not None
    frames = sampling.sample(
      self.model,
      conditions,
      z,
      given=given,
      is_given=known[:, ::-1] if is_reversed else known,
      num_candidates=num_candidates,
      seed=seed,
      batch_size=batch_size,
      **controls,
    )
    made = self.transforms.inverse(frames.numpy())
    # What the model cannot see, since PCA leaves it out, is bridged.
    made += bridged - self.transforms.inverse(given)
    return np.where(known[..., None], notes, made).astype(np.float32)

  def continue_notes(
    self,
    notes: npt.ArrayLike,
    num_given: int,
    pitches: npt.ArrayLike,
    z: npt.ArrayLike | None = None,
    *,
    num_frames: int | None = None,
    **options: Any,
  ) -> np.ndarray:
    """The first frames of notes, and then what the model makes of them.

    Args:
      notes: `[N, T', seq_width]`.
      num_given: how many of their frames to keep; the others have no effect.
      pitches: as of `sample`.
      z: as of `fill`.
      num_frames: T, of the result; hps.max_seq_len if None.
      **options: all others of `fill`.

    Returns:
      float32 `[N, T, seq_width]`.

    Raises:
      ValueError: as `sample`, or if num_given is not from 1 to T' and to T.
    """
    notes = checks.check_shape(notes, self.transforms.seq_width)
    if num_frames is None:
      num_frames = self.hps.max_seq_len
    if num_given not in range(1, min(notes.shape[1], num_frames) + 1):
      raise ValueError(
        f'num_given={num_given}: expected from 1 to the {notes.shape[1]} '
        f'frames of the notes and the {num_frames} of the result.'
      )
    given = np.zeros((len(notes), num_frames, notes.shape[2]), notes.dtype)
    given[:, :num_given] = notes[:, :num_given]
    is_known = np.arange(num_frames) < num_given
    return self.fill(given, is_known, pitches, z, **options)

  def audio(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike,
    *,
    codec: Codec | None = None,
  ) -> np.ndarray:
    """What notes sound like.

    Args:
      notes: `[N, T, seq_width]`, or one, `[T, seq_width]`.
      pitches: as of `sample`.
      codec: to decode with; None for the run's own, if it needs no checkpoint.

    Returns:
      float32 `[N, samples]` in -1..1, or `[samples]`, at the codec's sample
      rate, the "sample_rate" in `info`.

    Raises:
      ValueError: for notes or pitches of the wrong shape, or if the codec is
        not known, or another than the run's.
    """
    notes, is_one = self._several(notes)
    numbers = checks.pitch_numbers(pitches, self.hps, len(notes))
    audio = self._codec(codec).decode(notes, numbers)
    return audio[0] if is_one else audio

  def play(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike,
    *,
    codec: Codec | None = None,
  ) -> Audio:
    """A player for notebooks: notes, one after another.

    They are as loud together as any other sound to listen to, see
    `audio.levels`; `audio` gives them as they are. Arguments and errors are
    those of `audio`.

    Raises:
      ImportError: without IPython.
    """
    from IPython.display import Audio

    from embedding_rnn.audio import levels

    audio = np.ravel(self.audio(notes, pitches, codec=codec))
    # A third of the size of a .wav, which counts in a notebook's file.
    content = io.BytesIO()
    rate = self._codec(codec).sample_rate
    gain_db = levels.listening_gain_db(audio, [audio], rate)
    audio *= 10 ** (gain_db / 20)
    soundfile.write(content, audio, rate, 'PCM_16', format='FLAC')
    player = Audio(content.getvalue())
    player.mimetype = 'audio/flac'
    return player

  def plot(
    self,
    notes: npt.ArrayLike,
    pitches: npt.ArrayLike | None = None,
    *,
    title: str = '',
    codec: Codec | None = None,
  ) -> Figure:
    """A figure of notes: their frames, and with pitches their spectrograms.

    One note is also drawn with its pitch and its loudness.

    Args:
      notes: as of `audio`, as for the codec and the errors.
      pitches: as above; None for the frames alone.
      title: above all.
      codec: as above.
    """
    from embedding_rnn import figures

    notes, _ = self._several(notes)
    if pitches is None:
      names = [''] * len(notes)
      return figures.notes_figure(list(notes), names=names, title=title)
    numbers = checks.pitch_numbers(pitches, self.hps, len(notes))
    codec = self._codec(codec)
    audio = codec.decode(notes, numbers)
    timing = {'sample_rate': codec.sample_rate, 'hop_length': codec.hop_length}
    if len(notes) == 1:
      return figures.sample_figure(
        notes[0], audio[0], midi_pitch=numbers[0], title=title, **timing
      )
    names = [pitch_name(pitch) for pitch in numbers]
    return figures.notes_figure(
      list(notes), list(audio), names=names, title=title, **timing
    )

  def find(
    self, text: str = '', data_dir: str | os.PathLike[str] | None = None
  ) -> FoundNotes:
    """Notes of the data set by name: 'koto', 'koto C4'; all of them for ''.

      found = run.find('koto C4')
      notes, pitches = run.open_dataset().notes(found.rows)

    Args:
      text: see `lookup.find_notes`.
      data_dir: as of `open_dataset`, as for the errors.
    """
    return lookup.find_notes(self.open_dataset(data_dir), text)

  def open_dataset(
    self, data_dir: str | os.PathLike[str] | None = None
  ) -> NoteDataset:
    """Opens the data set of the run, split as for its training.

    That of the run in the package is not in the package: any other notes do
    instead, and the embedded ones if None; what is held out of those was held
    out of its training, too.

    Args:
      data_dir: where it is now; where it was then if None.

    Returns:
      The data set.

    Raises:
      FileNotFoundError: if it is not there.
      ValueError: for bad data, or other data than the run's.
    """
    if 'data_dir' in self.info:
      return provenance.open_same_dataset(
        data_dir or self.info['data_dir'], self.hps, self.info
      )
    if data_dir is None:
      return notes.open_in_memory(self.hps)
    return provenance.open_notes(data_dir, self.hps, self.info)

  def expect_hparams(self, hps: HParams | str) -> None:
    """Raises ValueError if the run has other hyperparameters than expected.

    Args:
      hps: as 'name=value,name=value', or an HParams of which all that shapes
        the model and the format of its data is compared.
    """
    expected = self.hps.copy()
    if isinstance(hps, str):
      expected.parse(hps)
    else:
      for name in names_that_shape('model'):
        expected.set_hparam(name, hps.get(name))
    differing = settings.differences(
      self.hps.values(),
      expected.values(),
      wording='{name} is {before!r}, not {now!r}',
    )
    if differing:
      raise ValueError(
        f'The run at {self.folder!r} has other hyperparameters: '
        f'{"; ".join(differing)}. Leave them out, for a run knows its own, or '
        'name the run that was meant.'
      )

  @functools.cached_property
  def _encode(self):
    return compiled_encode(self.model)

  @functools.cached_property
  def _refine(self):
    return tf.function(
      functools.partial(latents.refine, self.model),
      autograph=False,
      jit_compile=distribution.prefers_xla(),
    )

  def _draw(self, conditions, family, velocity, prior, seed):
    """Latents from a prior; None for N(0, I)."""
    if prior not in PRIORS:
      raise ValueError(f'prior={prior!r}: expected one of {", ".join(PRIORS)}.')
    if self.prior is None or prior == 'standard':
      if family is not None:
        raise ValueError(
          f'family={family!r}, but latents are drawn from N(0, I), which knows '
          "no families: ask a run that has a prior, and for prior='fitted'."
        )
      return None
    number = len(conditions)
    normal = sampling.draw_latents(self.model, number, seed).numpy()
    # The noise of a note depends on its place alone, and so must this.
    key = np.random.SeedSequence().generate_state(2, np.uint64)
    if seed is not None:
      key = np.array([seed % 2**64, 0], np.uint64)
    random = np.random.RandomState(np.random.Philox(key=key))
    uniform = random.random_sample((number, 2))
    pitches = conditions[:, : self.hps.context_vec_size].argmax(axis=1)
    if np.ndim(velocity) == 2:
      velocity = np.argmax(velocity, axis=1)
    return self.prior.sample(normal, uniform, pitches, family, velocity)

  def _several(self, notes: npt.ArrayLike) -> tuple[np.ndarray, bool]:
    """Notes `[N, T, seq_width]`, and whether they were one without the N."""
    notes = np.asarray(notes)
    is_one = notes.ndim == 2
    notes = notes[None] if is_one else notes
    return checks.check_notes(notes, self.transforms.seq_width), is_one

  def _codec(self, codec: Codec | None) -> Codec:
    """The codec of the run; ValueError if that is not known, or is another."""
    known = self.info.get(metadata.CODEC)
    if codec is None and known == HarmonicCodec.name:
      return HarmonicCodec()
    if codec is None:
      what = (
        f'of the codec {known!r}' if known else 'of a codec it does not say'
      )
      raise ValueError(
        f'The frames of the run are {what}: give the codec that decodes them, '
        'such as codec=embedding_rnn.nsynth.codec.WaveNetCodec(checkpoint).'
      )
    if known not in (None, codec.name):
      raise ValueError(
        f'The frames of the run are of the codec {known!r}; {codec.name!r} '
        f'would decode them to noise. Use {known!r}.'
      )
    return codec

  def _facts(self) -> dict[str, Any]:
    """What there is to say of it in few words."""
    valid = self.costs.get('valid', {})
    return {
      'run': os.path.basename(os.path.abspath(self.folder)),
      'step': self.step,
      'valid cost': valid.get('cost'),
      'weights': f'{self.model.count_params():,}',
      'codec': self.info.get(metadata.CODEC),
      'training notes': self.info.get('num_notes', {}).get('train'),
    }

  def __repr__(self) -> str:
    _, *facts = self._facts().items()
    text = ', '.join(f'{k} {cli.format_cell(v)}' for k, v in facts)
    return f'<Run {self.folder!r}: {text}>'

  def _repr_html_(self) -> str:
    hps = html.escape(repr(self.hps))
    return f'{cli.html_table([self._facts()])}<p><code>{hps}</code></p>'

  def _encode_z(self, notes, batch_size, conditions=None):
    if not self.model.conditional:
      return None
    return self.encode(notes, conditions, batch_size=batch_size).z

  def _conditions(self, pitches, velocity, num_notes):
    return checks.conditions(pitches, velocity, self.hps, num_notes)


def _number_of_notes(z, family, velocity):
  """How many notes are asked for; None if nothing but pitches says so."""
  if z is not None and z.ndim > 1:
    return len(z)
  for given in (family, velocity):
    if given is not None and np.ndim(given):
      return len(given)
  return None


def load_run(
  folder: str | os.PathLike[str], hps: HParams | str | None = None
) -> Run:
  """Loads a run: everything that is needed to use its trained model.

  Args:
    folder: the run's folder, `log_root/exp_name`.
    hps: what the run's hyperparameters should be, if they are known, see
      `Run.expect_hparams`.

  Returns:
    The run, with the weights of the best validation cost. If the newest of them
    are damaged, those before, with a warning in the log.

  Raises:
    FileNotFoundError: if there is no run, or it has not saved weights yet.
    DamagedFileError: for a file that is missing, damaged, or does not fit.
    ValueError: if the run has other hyperparameters.
  """
  files = checkpoints.read_run(folder)
  save, (weights, costs, prior) = checkpoints.read_save(
    folder,
    checkpoints.BEST,
    lambda save: (
      save.read_arrays(checkpoints.WEIGHTS),
      checkpoints.read_costs(save),
      _read_prior(save),
    ),
  )
  model = Model(files.hps, checkpoints.precision_of(files))
  source = os.path.join(save.path, checkpoints.WEIGHTS)
  checkpoints.assign_weights(model, weights, source)
  run = Run(
    folder=os.fspath(folder),
    hps=files.hps,
    model=model,
    transforms=files.transforms,
    info=files.info,
    step=save.step,
    costs=costs,
    prior=prior,
  )
  if hps is not None:
    run.expect_hparams(hps)
  return run


def load_pretrained() -> Run:
  """Loads the run in the package: a model of notes of all 11 families.

  It was trained by the experiment `pretrained` on the notes of `make_notes
  --dense`, and knows the harmonic codec's frames. Its weights are kept in half
  precision. `run.json` in its folder says what it was trained on.

  Raises:
    DamagedFileError: if its files are damaged.
  """
  return load_run(checkpoints.PRETRAINED_FOLDER)


def _read_prior(save: CheckedFolder) -> LatentPrior | None:
  """The prior in a save, if it has one."""
  if checkpoints.PRIOR not in save:
    return None
  try:
    return LatentPrior.from_arrays(save.read_arrays(checkpoints.PRIOR))
  except KeyError as error:
    raise save.error(checkpoints.PRIOR, f'has no {error}') from error
