import numpy as np

from embedding_rnn.audio import codec, harmonic_analysis, harmonics
from embedding_rnn.data import notes
from embedding_rnn.data.notes import fit_codec, make_notes


def test_fit_finds_the_components_that_features_were_made_of():
  random = np.random.RandomState(0)
  midi_pitch = np.full(60, 21)  # where all features exist
  basis, _ = np.linalg.qr(random.normal(size=[harmonics.NUM_FEATURES, 16]))
  frames = random.normal(size=[60, 25, 16]) * 0.3
  frames -= frames.mean(axis=(0, 1))
  levels = 10 * (frames @ basis.T) - 50
  fitted = fit_codec.fit(levels, midi_pitch)
  components = fitted.components
  np.testing.assert_allclose(components @ components.T, np.eye(16), atol=1e-9)
  # Nothing of the features is lost.
  residual = levels / 10 + 5
  residual -= residual.mean(axis=(0, 1))
  kept = residual @ components.T @ components
  np.testing.assert_allclose(kept, residual, atol=0.02)


def test_main_writes_weights(tmp_path, monkeypatch, parse_flags):
  collection = notes.load()
  harmonic = codec.HarmonicCodec()
  sounds = {}
  for row in np.flatnonzero(collection.split == 0)[::40].tolist():
    pitch = int(collection.midi_pitch[row])
    # Program 1 is for training; its rank tells one note from another.
    note = make_notes.Note(1, 'keyboard', pitch, len(sounds))
    sounds[note] = harmonic.decode(collection.frames[row], pitch)
  silent = make_notes.Note(1, 'keyboard', 60, len(sounds))
  sounds[silent] = np.zeros(64_000, np.float32)
  monkeypatch.setattr(make_notes, 'plan_notes', lambda: list(sounds))
  monkeypatch.setattr(make_notes, 'split_programs', lambda: {1: 0})
  monkeypatch.setattr(make_notes, 'render_note', lambda _, note: sounds[note])
  path = tmp_path / 'weights.npz'
  parse_flags(fit_codec.define_flags, [f'--output={path}', '--soundfont=x.sf2'])
  fit_codec.main(['fit_codec'])
  assert list(tmp_path.iterdir()) == [path]
  fitted, shipped = codec.load_linear_map(path), codec.load_linear_map()
  assert [a.shape for a in fitted] == [a.shape for a in shipped]
  np.testing.assert_allclose(
    fitted.components @ fitted.components.T, np.eye(16), atol=1e-6
  )
  # What the weights of the package made, the new ones describe well.
  note, *_ = sounds
  levels = harmonic_analysis.analyse(sounds[note], note.midi_pitch)
  frames = codec.features_to_frames(levels, note.midi_pitch, fitted)
  again = codec.frames_to_features(frames, note.midi_pitch, fitted)
  mask = harmonics.feature_mask(note.midi_pitch)
  limited = np.maximum(levels, harmonics.MIN_DB)
  assert np.abs(again - limited)[:, mask].mean() < 5.0
