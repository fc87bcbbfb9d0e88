import re
import subprocess
import sys

import librosa
import numpy as np
import pytest

from embedding_rnn.synthesize import generation
from embedding_rnn.synthesize.generation import Originals

_SETTINGS = {'seed': 5, 'greedy': 'mean'}


@pytest.fixture(scope='module')
def originals(dataset):
  return Originals(dataset, [4, 20])


def frames_of(made):
  return np.stack([note.frames for note in made])


def test_originals_say_what_the_data_says(dataset, originals):
  notes, one_hots = dataset.notes([4, 20])
  np.testing.assert_array_equal(originals.notes, notes)
  np.testing.assert_array_equal(originals.pitches, one_hots.argmax(axis=1))
  instrument = dataset.metadata['instruments'][dataset.instrument_ids[20]]
  velocity = dataset.velocities[20].argmax()
  pitch = originals.pitches[1]
  assert originals.name(1) == f'{instrument}-{pitch:03d}-{velocity:03d}_row20'
  name = librosa.midi_to_note(int(pitch))
  title = f'{originals.instrument(1)} · {name} · velocity {velocity}'
  assert originals.title(1) == title
  assert originals.instrument(1).lower() in instrument.replace('_', ' ')
  families = dataset.metadata['instrument_families']
  family = families[dataset.instrument_family_ids[20]]
  assert originals.family(1) == family
  assert instrument.startswith(family)


def test_any_instrument_gives_a_file_name(run, originals):
  dataset = run.open_dataset()
  number = dataset.instrument_ids[20]
  for hostile in ('../../a/b "<é>&', '..', 'x' * 300, 'a\\b\0c'):
    dataset.metadata['instruments'][number] = hostile
    name = Originals(dataset, [20]).name(0)
    assert re.fullmatch(r'[\w-]{1,100}', name)
    assert name.endswith(originals.name(1).rpartition('-')[2])


def test_a_row_that_is_not_there(dataset):
  for row in (-1, 36):
    with pytest.raises(ValueError, match=f'no note {row}: .* rows 0 to 35'):
      Originals(dataset, [0, row])


def test_reconstructions(run, originals):
  made = generation.reconstructions(run, originals, **_SETTINGS)
  notes, pitches = originals.notes, originals.pitches
  expected = run.reconstruct(notes, pitches, **_SETTINGS)
  np.testing.assert_array_equal(frames_of(made), expected)
  for note, original in zip(made, notes, strict=True):
    np.testing.assert_array_equal(note.original, original)
    error = np.mean((original - note.frames) ** 2)
    assert note.metadata['mse'] == pytest.approx(error, rel=1e-6)


def test_another_pitch_than_their_own(run, dataset):
  originals = Originals(dataset, [4, 20], midi_pitch=33)
  made = generation.reconstructions(run, originals, **_SETTINGS)
  expected = run.reconstruct(originals.notes, [33, 33], **_SETTINGS)
  np.testing.assert_array_equal(frames_of(made), expected)
  assert [note.midi_pitch for note in made] == [33, 33]


def test_what_the_model_sees(run, originals):
  made = generation.reconstructions(run, originals, **_SETTINGS)
  for i, note in enumerate(made):
    view = note.view
    frames = run.transforms.forward(originals.notes[i : i + 1])
    np.testing.assert_allclose(view.original, frames[0], atol=1e-6)
    reverted = run.transforms.inverse(frames)[0]
    np.testing.assert_allclose(view.reverted, reverted, atol=1e-5)
    remade = run.transforms.inverse(view.made[None])[0]
    np.testing.assert_allclose(remade, note.frames, atol=1e-4)
    # The mean of the surprise is the model's own cost of the note.
    one_hot = np.eye(128, dtype=np.float32)[originals.pitches[i : i + 1]]
    batch = np.pad(frames, ((0, 0), (1, 0), (0, 0)))
    cost = run.model.note_costs(batch, one_hot).r_cost[0]
    assert view.nats.mean() == pytest.approx(float(cost), rel=1e-4)
    mix = run.model.predict_mixture(
      batch[:, :-1], one_hot, run.model.encode(frames).z
    )
    weights = np.exp(mix.logmix[0])
    mean = np.sum(weights * mix.mean[0], axis=-1)
    square = np.exp(2 * mix.logstd[0]) + np.square(mix.mean[0])
    std = np.sqrt(np.sum(weights * square, axis=-1) - mean**2)
    np.testing.assert_allclose(view.mean, mean, atol=1e-4)
    np.testing.assert_allclose(view.std, std, atol=1e-4)


def test_infills_keep_all_but_the_gap(run, originals):
  made = generation.infills(run, originals, (30, 50), **_SETTINGS)
  changed = (frames_of(made) != originals.notes).any(axis=2)
  assert changed[:, 30:50].all()
  assert not changed[:, :30].any()
  assert not changed[:, 50:].any()
  assert made[0].metadata['gap_frames'] == [30, 50]
  assert made[0].title.endswith(', frames 30 to 49 made anew')


def test_continuations_of_any_length(run, originals):
  same = generation.continuations(run, originals, 40, **_SETTINGS)
  longer = generation.continuations(
    run, originals, 40, num_frames=140, **_SETTINGS
  )
  for made, length in ((same, 125), (longer, 140)):
    frames = frames_of(made)
    assert frames.shape == (2, length, 16)
    np.testing.assert_array_equal(frames[:, :40], originals.notes[:, :40])
  assert same[0].original is not None
  assert longer[0].original is None
  assert longer[0].title.endswith(', continued after 40 frames')


def test_new_notes(run):
  made = generation.samples(run, [50, 70], **_SETTINGS)
  expected = run.sample([50, 70], **_SETTINGS)
  np.testing.assert_array_equal(frames_of(made), expected)
  assert len({note.name for note in made}) == 2


@pytest.mark.parametrize(
  ('instrument', 'family', 'name'),
  [
    ('guitar_107_koto', 'guitar', 'Koto'),
    ('synth_lead_082_calliope_lead', 'synth_lead', 'Calliope lead'),
    ('bass_synthetic_033', 'bass', 'Bass synthetic 033'),
    ('My_Bell', None, 'My Bell'),
    (None, 'synth_lead', 'Synth lead'),
    (None, None, 'Note 4'),
  ],
)
def test_instruments_have_names_for_people(
  dataset, monkeypatch, instrument, family, name
):
  names = {'instruments': instrument, 'instrument_families': family}
  monkeypatch.setattr(
    type(dataset), 'names', lambda _, key, __: names[key] and [names[key]]
  )
  assert Originals(dataset, [4]).instrument(0) == name


def test_interpolation_goes_from_note_to_note(run, originals):
  made = generation.interpolation(run, originals, 4, **_SETTINGS)
  pitch = originals.pitches[:1].repeat(2)
  ends = run.reconstruct(originals.notes, pitch, **_SETTINGS)
  frames = frames_of(made)
  np.testing.assert_allclose(frames[[0, -1]], ends, atol=1e-4)
  fractions = [note.metadata['fraction'] for note in made]
  np.testing.assert_allclose(fractions, [0, 1 / 3, 2 / 3, 1])
  first, last = map(originals.instrument, range(2))
  assert [note.title.split(' · ')[0] for note in made] == [
    f'{first} to {last}, {share}%' for share in (0, 33, 67, 100)
  ]


def test_adding_what_was_subtracted_changes_nothing(run, dataset):
  terms = Originals(dataset, [3, 9, 9])
  (note,) = generation.combination(run, terms, **_SETTINGS)
  expected = run.reconstruct(terms.notes[:1], terms.pitches[:1], **_SETTINGS)
  np.testing.assert_allclose(note.frames, expected[0], atol=1e-4)


def test_a_sweep_holds_the_latent(run, dataset):
  original = Originals(dataset, [7])
  made = generation.sweep(run, original, [40, 90], **_SETTINGS)
  notes = original.notes.repeat(2, axis=0)
  expected = run.reconstruct(notes, [40, 90], **_SETTINGS)
  np.testing.assert_allclose(frames_of(made), expected, atol=1e-4)


def test_processes_that_draw_figures_import_no_tensorflow():
  program = (
    'import sys; import embedding_rnn.synthesize.outputs; '
    'sys.exit("tensorflow" in sys.modules)'
  )
  subprocess.run([sys.executable, '-c', program], check=True)
