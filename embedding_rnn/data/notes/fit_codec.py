r"""Fits the linear map of the harmonic codec to the training notes.

The weights in the package come from the same method and an earlier rendering of
1,500 FluidR3 notes. A fit to the training notes alone is no better (16 NSynth
notes: 2.01 dB of log-spectral distance instead of 1.98), so they stay: frames
made with other weights are another format. Refit for another soundfont.

Example:
  python -m embedding_rnn.data.notes.fit_codec --output=codec_weights.npz \
    --soundfont=/usr/share/sounds/sf2/FluidR3_GM.sf2
"""

import pathlib

import numpy as np
from absl import app, flags

from embedding_rnn.audio import harmonic_analysis, harmonics
from embedding_rnn.audio.codec import (
  HarmonicCodec,
  LinearMap,
  pitch_basis,
  scale_features,
)
from embedding_rnn.data.notes import make_notes
from embedding_rnn.utils import cli, files


def analyse_training_notes(soundfont: str) -> tuple[np.ndarray, np.ndarray]:
  """Features [N, T, features] in dB and pitches [N] of the training split."""
  splits = make_notes.split_programs()
  plan = [n for n in make_notes.plan_notes() if splits[n.program] == 0]
  features, pitches = [], []
  for note in cli.progress_bar(plan, desc='Analysing', unit='note'):
    audio = make_notes.render_note(soundfont, note)
    if not make_notes.is_silent(audio):
      levels = harmonic_analysis.analyse(audio, note.midi_pitch)
      features.append(levels.astype(np.float32))
      pitches.append(note.midi_pitch)
  return np.stack(features), np.array(pitches)


def fit(features_db: np.ndarray, midi_pitch: np.ndarray) -> LinearMap:
  """The map that loses least of the features, in the mean square.

  Args:
    features_db: [N, T, features] as from `harmonic_analysis.analyse`.
    midi_pitch: [N].

  Returns:
    The map. Its pitch weights are a ridge regression of each feature on the
    pitches that have it, its components the principal ones of what is left, a
    feature counting as zero where the pitch has no room for it.
  """
  basis = np.stack([pitch_basis(pitch) for pitch in midi_pitch])
  exists = np.stack([harmonics.feature_mask(pitch) for pitch in midi_pitch])
  means = np.stack([scale_features(note).mean(axis=0) for note in features_db])
  pitch_weights = np.zeros((basis.shape[1], means.shape[1]))
  for feature in range(means.shape[1]):
    rows = basis[exists[:, feature]]
    gram = rows.T @ rows + 0.1 * np.eye(rows.shape[1])
    target = means[exists[:, feature], feature]
    pitch_weights[:, feature] = np.linalg.solve(gram, rows.T @ target)

  covariance = np.zeros((means.shape[1],) * 2)
  for note, mean, mask in zip(
    features_db, basis @ pitch_weights, exists, strict=True
  ):
    residual = (scale_features(note.astype(np.float64)) - mean) * mask
    covariance += residual.T @ residual
  _, vectors = np.linalg.eigh(covariance)  # the largest eigenvalue last
  components = vectors[:, ::-1].T[: HarmonicCodec.num_channels]
  # The sign is free: a louder note has more of each channel.
  signs = np.where(components.sum(axis=1) < 0, -1.0, 1.0)
  return LinearMap(pitch_weights, components * signs[:, None])


def main(argv: list[str]) -> None:
  """Renders and analyses the training notes, fits the map, writes it."""
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  soundfont = flags.FLAGS.soundfont
  linear_map = fit(*analyse_training_notes(soundfont))
  path = pathlib.Path(flags.FLAGS.output)
  arrays = {k: a.astype(np.float32) for k, a in linear_map._asdict().items()}
  with files.replacing(path) as temporary, temporary.open('wb') as file:
    np.savez_compressed(file, **arrays)
  cli.write_result(f'Wrote {path}')


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string(
    'soundfont',
    make_notes.DEFAULT_SOUNDFONT,
    'General MIDI soundfont (.sf2) to render.',
  )
  flags.DEFINE_string('output', None, 'File to write, .npz.', required=True)


if __name__ == '__main__':
  define_flags()
  app.run(cli.report_errors(main))
