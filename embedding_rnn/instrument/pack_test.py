"""Packs, loaded and played by samplers."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from absl import flags

from embedding_rnn import instrument
from embedding_rnn.audio import levels, metrics
from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.instrument import __main__ as command
from embedding_rnn.instrument import choosing, pack
from embedding_rnn.instrument.conftest import OneNote
from embedding_rnn.instrument.midi_test import off, on, save

RATE = 16_000


def write(folder, keys, family='string'):
  samples = list(pack.make_samples(OneNote(family), HarmonicCodec(), keys))
  folder.mkdir()
  pack.write_pack(folder, 'sound', samples, RATE, {'seed': 0})
  return folder / 'sound.sfz'


@pytest.fixture(scope='module')
def bowed(tmp_path_factory):
  folder = tmp_path_factory.mktemp('packs') / 'bowed'
  return write(folder, [36, 48, 60, 72, 90])


def test_samples_are_at_one_gain_and_end_softly(bowed):
  files = sorted((bowed.parent / 'samples').iterdir())
  assert len(files) == 15
  peaks = [levels.true_peak_dbfs(soundfile.read(path)[0]) for path in files]
  assert max(peaks) == pytest.approx(levels.MAX_PEAK_DBFS, abs=0.01)
  assert json.loads((bowed.parent / 'preset.json').read_text())['seed'] == 0
  struck = pack.make_samples(OneNote('mallet'), HarmonicCodec(), [60])
  for sample in struck:
    assert sample.loop is None
    assert abs(sample.audio[-1]) < 1e-4


def test_regions_cover_every_key_and_velocity_once(bowed):
  sfzen = pytest.importorskip('sfzen')
  regions = list(sfzen.SFZ(str(bowed)).regions())
  assert len(regions) == 15
  count = np.zeros((128, 128), int)
  for region in regions:
    names = 'lokey', 'hikey', 'lovel', 'hivel', 'pitch_keycenter'
    low, high, soft, loud, centre = (
      int(region.opcode(name).value) for name in names
    )
    count[low : high + 1, soft : loud + 1] += 1
    assert low <= centre <= high
    path = bowed.parent / 'samples' / region.opcode('sample').value
    length = soundfile.info(path).frames
    start, end = (
      int(region.opcode(f'loop_{name}').value) for name in ('start', 'end')
    )
    assert 0 < start < end < length
  assert (count == 1).all()


@pytest.mark.slow
def test_samplers_play_it_in_tune_and_without_clicks(bowed, tmp_path):
  for program in ('polyphone', 'fluidsynth'):
    if shutil.which(program) is None:
      pytest.skip(f'{program} is not installed')
  subprocess.run(
    ['polyphone', '-1', '-i', bowed, '-d', tmp_path, '-o', 'sound'],
    env=os.environ | {'QT_QPA_PLATFORM': 'offscreen'},
    check=True,
    timeout=60,
  )
  keys = (36, 47, 60, 73, 90)
  # Each key is held for 9 s, then there are 3 s of silence.
  track = [
    message for key in keys for message in (on(key, 600), off(key, 1800))
  ]
  song = save(tmp_path / 'song.mid', track)
  audio_path = tmp_path / 'song.wav'
  effects = '-C0', '-R0', '-g0.5', '-r44100'
  font = tmp_path / 'sound.sf2'
  subprocess.run(
    ['fluidsynth', '-niq', *effects, '-F', audio_path, font, song],
    check=True,
    timeout=60,
  )
  stereo, rate = soundfile.read(audio_path, dtype='float32')
  audio = stereo.mean(axis=1)
  for i, key in enumerate(keys):
    note = audio[(12 * i + 3) * rate :][: 9 * rate]
    held = note[5 * rate : 8 * rate]  # the loop has been closed by then
    assert abs(metrics.pitch_error_cents(held, key, rate)) < 5
    bend = np.abs(np.diff(note[rate:], 2))
    assert bend.max() < 12 * np.sqrt(np.mean(bend**2))
    after = audio[(12 * i + 13) * rate :][:rate]
    assert np.abs(after).max(initial=0) < 0.01 * np.abs(note).max()


def test_the_command(tmp_path, parse_flags, playable_run, monkeypatch):
  monkeypatch.setattr(
    'embedding_rnn.training.trained_run.load_run', lambda _: playable_run
  )
  monkeypatch.setattr('embedding_rnn.training.checkpoints.expect_run', str)
  folder = tmp_path / 'pack'
  arguments = ['--run_dir=x', '--keys=C4,F4', '--like=flute', '--seed=2']
  parse_flags(command.define_flags, [*arguments, f'--output_dir={folder}'])
  command.main(['instrument'])
  preset = json.loads((folder / 'preset.json').read_text())
  assert preset['keys'] == [61, 64]
  voice = instrument.choose_voice(playable_run, 'flute', 2)
  expected = voice.latents([64] * 3, preset['velocities'])
  np.testing.assert_allclose(preset['latents'][1], expected, atol=1e-6)
  assert (folder / 'flute_2.sfz').is_file()
  assert preset['families'] == ['flute'] * 4
  measured = choosing.measure_voices(playable_run, [voice])[0]
  assert preset['coherence'][0] == pytest.approx(measured._asdict())
  with pytest.raises(FileExistsError, match='is not empty'):
    command.main(['instrument'])
  flags.FLAGS.output_dir = str(folder / 'preset.json')
  with pytest.raises(NotADirectoryError, match='is a file'):
    command.main(['instrument'])


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'Set --output_dir'),
    (['--output_dir=x'], 'Set either --run_dir'),
    (['--output_dir=x', '--pretrained', '--keys=C4'], 'expected two'),
    (['--output_dir=x', '--pretrained', '--keys=C0,C4'], 'within 21'),
    (['--output_dir=x', '--pretrained', '--keys=C5,C4'], 'within 21'),
    (['--output_dir=x', '--pretrained', '--keys=C5,H4'], "pitch 'H4'"),
    (['--output_dir=x', '--pretrained', '--like=a,b,c,d,e'], 'at most 4'),
  ],
)
def test_bad_flags(parse_flags, arguments, message):
  parse_flags(command.define_flags, arguments)
  with pytest.raises(ValueError, match=message):
    command.main(['instrument'])
