import ctypes.util
import pathlib

import numpy as np
import pytest

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.data import notes
from embedding_rnn.data.notes import make_notes


@pytest.fixture(scope='module')
def soundfont():
  pytest.importorskip('fluidsynth', reason='pyfluidsynth is not installed')
  if ctypes.util.find_library('fluidsynth') is None:
    pytest.skip('libfluidsynth is not installed')
  if not pathlib.Path(make_notes.DEFAULT_SOUNDFONT).is_file():
    pytest.skip('FluidR3 GM (fluid-soundfont-gm) is not installed')
  return make_notes.DEFAULT_SOUNDFONT


def test_programs_of_the_same_samples_share_a_split():
  splits = make_notes.split_programs()
  assert set(splits) == {note.program for note in make_notes.plan_notes()}
  for group in make_notes._SHARED_SAMPLES:
    assert len({splits[program] for program in group}) == 1


def test_dense_notes_are_every_second_key_at_all_velocities():
  plan = make_notes.plan_notes(dense=True)
  keys = {}
  for note in plan:
    keys.setdefault(note.program, set()).add(note.midi_pitch)
    assert note.velocity in make_notes.VELOCITIES
  assert len(plan) == len(set(plan)) == 5 * sum(map(len, keys.values()))
  for program in keys:
    assert set(np.diff(sorted(keys[program]))) == {2}
  assert {note[:3] for note in make_notes.plan_notes()} & {n[:3] for n in plan}


def test_programs_stay_on_one_side_in_all_soundfonts(soundfont, tmp_path):
  plan = make_notes.plan_notes(dense=True)[::900]
  copy = tmp_path / 'Another Font.sf2'
  copy.symlink_to(soundfont)
  made = make_notes.make_collection([soundfont, str(copy)], plan)
  alone = make_notes.make_collection([soundfont], plan)
  half = len(alone.frames)  # some keys are silent
  np.testing.assert_array_equal(made.frames[:half], alone.frames)
  np.testing.assert_array_equal(made.frames[half:], alone.frames)
  np.testing.assert_array_equal(made.split, np.tile(alone.split, 2))
  names = [made.instrument_names[i] for i in made.instrument_ids]
  assert [f'{x}_another_font' for x in names[:half]] == names[half:]
  assert {alone.instrument_names[i] for i in alone.instrument_ids} == set(
    names[:half]
  )


def test_notes_are_remade_as_shipped(soundfont):
  collection = notes.load()
  codec = HarmonicCodec()
  rows = np.linspace(0, len(collection.frames) - 1, 8).astype(int).tolist()
  for row in rows:
    name = collection.instrument_names[collection.instrument_ids[row]]
    note = make_notes.Note(
      program=int(name.removeprefix(_family(collection, row) + '_')[:3]),
      family=_family(collection, row),
      midi_pitch=int(collection.midi_pitch[row]),
      velocity=int(collection.velocity[row]),
    )
    audio = make_notes.render_note(soundfont, note)
    frames = codec.encode(audio, note.midi_pitch)
    # Half precision keeps 11 bits of a value.
    np.testing.assert_allclose(
      frames, collection.frames[row], atol=0.02, rtol=1e-3
    )


def _family(collection, row):
  return collection.family_names[collection.family_ids[row]]


def test_a_note_does_not_depend_on_those_before_it(soundfont):
  note = make_notes.Note(19, 'organ', 60, 100)
  first = make_notes.render_note(soundfont, note)
  make_notes.render_note(soundfont, make_notes.Note(0, 'keyboard', 40, 127))
  again = make_notes.render_note(soundfont, note)
  assert first.shape == (64000,)
  assert first.tobytes() == again.tobytes()


def test_a_small_collection_survives_its_file(soundfont, tmp_path):
  plan = make_notes.plan_notes()[::400]
  made = make_notes.make_collection([soundfont], plan)
  make_notes.write_collection(made, soundfont, tmp_path)
  read = notes.load(tmp_path)
  assert len(read.frames) == len(plan)
  np.testing.assert_array_equal(read.frames, made.frames)
  np.testing.assert_array_equal(read.instrument_ids, made.instrument_ids)
  assert read.instrument_names == made.instrument_names
  for _, row, audio in notes.originals(tmp_path):
    assert read.split[row] == 2
    assert np.abs(audio).max() > 1e-3


def test_bad_soundfonts_are_named(soundfont, tmp_path):
  (tmp_path / 'no.sf2').write_bytes(b'RIFF')
  note = make_notes.Note(0, 'keyboard', 60, 100)
  with pytest.raises(ValueError, match=r'no\.sf2 is not a soundfont'):
    make_notes.render_note(str(tmp_path / 'no.sf2'), note)
  with pytest.raises(FileNotFoundError, match=r"'.*/\\x1b\.sf2'"):
    make_notes.render_note(f'{tmp_path}/\x1b.sf2', note)
