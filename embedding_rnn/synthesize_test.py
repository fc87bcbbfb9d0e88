import dataclasses
import json
import shutil

import matplotlib.image
import numpy as np
import pytest
import soundfile

from embedding_rnn import codec as codecs
from embedding_rnn import outputs, synthesize

_SETTINGS = {'num_notes': 2, 'pitches': (48, 60), 'seed': 3}


def _contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope='module')
def made(run, tmp_path_factory):
  folder = tmp_path_factory.mktemp('synthesis') / 'new' / 'folder'
  summary = synthesize.synthesize(
    run, run.open_dataset(), folder, temperature_2=0.5, **_SETTINGS
  )
  return folder, summary


def test_writes_what_the_summary_lists_and_nothing_else(made):
  folder, summary = made
  names = {'summary.json', 'reconstructions.png'}
  for note in summary['reconstructions']:
    parts = [note['original']['file'], note['reconstruction']['file']]
    assert [part.rpartition('_')[2] for part in parts] == [
      'original.wav',
      'reconstruction.wav',
    ]
    assert note['figure'] == f'{note["name"]}.png'
    assert f'_p{note["pitch"]:03d}' in note['name']
    names |= {note['figure'], *parts}
  assert [note['name'] for note in summary['samples']] == [
    'sample_000_p048',
    'sample_001_p060',
  ]
  for note in summary['samples']:
    names |= {note['figure'], note['sample']['file']}
  assert set(_contents(folder)) == names
  assert json.loads((folder / 'summary.json').read_text()) == summary


def test_audio_is_what_the_codec_makes_of_the_run(run, made):
  folder, summary = made
  codec = codecs.get_codec(run.info['codec'])
  dataset = run.open_dataset()
  settings = {'temperature_2': 0.5, 'seed': 3}
  rows = [note['row'] for note in summary['reconstructions']]
  notes, one_hots = dataset.notes(rows)
  expected = [
    *codec.decode(notes, one_hots.argmax(1)),
    *codec.decode(
      run.reconstruct(notes, one_hots, **settings), one_hots.argmax(1)
    ),
    *codec.decode(run.sample([48, 60], **settings), np.array([48, 60])),
  ]
  audios = [note['original'] for note in summary['reconstructions']]
  audios += [note['reconstruction'] for note in summary['reconstructions']]
  audios += [note['sample'] for note in summary['samples']]
  for audio, samples in zip(audios, expected, strict=True):
    about = soundfile.info(folder / audio['file'])
    assert (about.samplerate, about.channels) == (16000, 1)
    assert about.subtype == 'PCM_16'
    written, _ = soundfile.read(folder / audio['file'])
    assert np.abs(written).max() < 1
    gain = 10 ** (audio['gain_db'] / 20)
    np.testing.assert_allclose(written, samples * gain, atol=2 / 32768)


def test_says_how_far_a_reconstruction_is_from_its_note(run, made):
  _, summary = made
  dataset = run.open_dataset()
  rows = [note['row'] for note in summary['reconstructions']]
  assert set(rows) <= set(dataset.rows['test'].tolist())
  notes, pitches = dataset.notes(rows)
  again = run.reconstruct(notes, pitches, temperature_2=0.5, seed=3)
  for i, note in enumerate(summary['reconstructions']):
    expected = np.mean((notes[i] - again[i]) ** 2)
    assert note['mse'] == pytest.approx(expected, rel=1e-5)
    assert note['loudness_error_db'] > 0
    assert abs(note['original']['pitch_error_cents']) < 50


def test_figures_are_whole_pictures(made):
  folder, _ = made
  for path in folder.glob('*.png'):
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] >= 500
    assert len(np.unique(picture)) > 50


def test_same_seed_same_bytes_and_another_seed_others(run, made, tmp_path):
  folder, _ = made
  dataset = run.open_dataset()
  again, other = tmp_path / 'again', tmp_path / 'other'
  synthesize.synthesize(run, dataset, again, temperature_2=0.5, **_SETTINGS)
  assert _contents(again) == _contents(folder)
  synthesize.synthesize(run, dataset, other, num_notes=0, pitches=[48], seed=4)
  sample = 'sample_000_p048.wav'
  assert _contents(other)[sample] != _contents(folder)[sample]


def test_greedy_without_noise_does_not_depend_on_the_seed(run, tmp_path):
  dataset = run.open_dataset()
  row = int(dataset.rows['test'][0])
  notes, pitches = dataset.notes([row])
  first, second = (
    run.reconstruct(notes, pitches, greedy=True, temperature_2=0, seed=seed)
    for seed in (1, 2)
  )
  np.testing.assert_array_equal(first, second)


def test_without_a_codec_there_are_figures_alone(run, tmp_path, tiny_data_dir):
  data_dir = tmp_path / 'data'
  shutil.copytree(tiny_data_dir, data_dir)
  (data_dir / 'dataset.json').unlink()
  dataset = run.open_dataset(data_dir)
  with pytest.raises(ValueError, match=r"codec 'harmonic'.*those of None"):
    synthesize.synthesize(run, dataset, tmp_path / 'out')
  info = {k: v for k, v in run.info.items() if k != 'codec'}
  silent = dataclasses.replace(run, info=info)
  summary = synthesize.synthesize(
    silent, dataset, tmp_path / 'out', num_notes=1, pitches=[50]
  )
  assert summary['codec'] is None
  assert summary['samples'][0]['sample'] is None
  names = {path.name for path in (tmp_path / 'out').iterdir()}
  assert {name.rpartition('.')[2] for name in names} == {'png', 'json'}
  assert len(names) == 4
  assert 'sample_000_p050' in synthesize.format_summary(summary)


def test_an_unconditional_run_only_samples(unconditional_run, tmp_path):
  dataset = unconditional_run.open_dataset()
  with pytest.raises(ValueError, match='cannot reconstruct; set num_notes=0'):
    synthesize.synthesize(unconditional_run, dataset, tmp_path / 'out')
  summary = synthesize.synthesize(
    unconditional_run, dataset, tmp_path / 'out', num_notes=0, pitches=[60]
  )
  assert not summary['reconstructions']
  assert (tmp_path / 'out' / 'sample_000_p060.wav').is_file()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'pitches': [60, 128]}, 'pitch 128: expected a MIDI pitch from 0 to 127'),
    ({'pitches': [-1]}, 'pitch -1'),
    ({'pitches': [60.5]}, r'pitch 60\.5'),
    ({'temperature': 0.0}, r'temperature=0\.0: expected more than 0'),
    ({'temperature': float('nan')}, 'temperature=nan'),
    ({'temperature_2': -1.0}, r'temperature_2=-1\.0: expected at least 0'),
    ({'seed': -1}, 'seed=-1'),
    ({'num_notes': 0, 'pitches': []}, 'at least one note'),
    ({'num_notes': 13}, 'num_notes=13, but the test split has 12 notes'),
  ],
)
def test_refuses_bad_settings_before_it_makes_a_folder(
  run, tmp_path, change, message
):
  with pytest.raises(ValueError, match=message):
    synthesize.synthesize(
      run, run.open_dataset(), tmp_path / 'out', **{**_SETTINGS, **change}
    )
  assert not (tmp_path / 'out').exists()


def test_refuses_a_folder_that_cannot_be_written(run, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match='Cannot write to the folder'):
    synthesize.synthesize(run, run.open_dataset(), tmp_path / 'file' / 'out')


def test_chooses_evenly_over_families(run):
  dataset = run.open_dataset()
  test_rows = dataset.rows['test']
  families = dataset.instrument_family_ids
  num_families = len(np.unique(families[test_rows]))
  rows = synthesize.choose_rows(dataset, num_families, seed=0)
  assert len(np.unique(families[rows])) == num_families
  everything = synthesize.choose_rows(dataset, len(test_rows), seed=1)
  np.testing.assert_array_equal(np.sort(everything), np.sort(test_rows))
  some = [tuple(synthesize.choose_rows(dataset, 3, seed)) for seed in range(9)]
  assert len(set(some)) > 1
  assert some[0] == tuple(synthesize.choose_rows(dataset, 3, 0))


def test_audio_that_is_too_loud_is_scaled_and_says_so(tmp_path):
  codec = codecs.get_codec('harmonic')
  writer = outputs.Writer(tmp_path, codec)
  time = np.arange(16000) / 16000
  sine = np.sin(2 * np.pi * 440 * time).astype(np.float32)
  quiet = writer.write_audio('quiet.wav', 0.5 * sine, 69)
  loud = writer.write_audio('loud.wav', 1.5 * sine, 69)
  assert quiet['gain_db'] == 0
  assert loud['gain_db'] == pytest.approx(20 * np.log10(0.99 / 1.5), abs=1e-3)
  assert np.abs(soundfile.read(tmp_path / 'quiet.wav')[0]).max() < 0.501
  assert 0.98 < np.abs(soundfile.read(tmp_path / 'loud.wav')[0]).max() < 1
  assert abs(quiet['pitch_error_cents']) < 5


def test_a_file_that_fails_leaves_nothing(tmp_path):
  class BadFigure:
    def savefig(self, path, **kwargs):
      path.write_bytes(b'half of it')
      raise OSError('the disk is full')

  with pytest.raises(OSError, match='disk is full'):
    outputs.Writer(tmp_path, None).write_figure('figure.png', BadFigure())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('command', 'error', 'message'),
  [
    ('', ValueError, 'Set --run_dir'),
    ('--run_dir=x --pitches=60,C4', ValueError, "'C4' is not a whole number"),
    ('--run_dir=x --pitches=300', ValueError, 'pitch 300'),
    ('--run_dir=x --temperature=0', ValueError, 'temperature=0'),
    ('--run_dir=no_such_run', FileNotFoundError, 'no_such_run'),
  ],
)
def test_command_refuses_bad_flags(parse_flags, command, error, message):
  parse_flags(synthesize.define_flags, command.split())
  with pytest.raises(error, match=message):
    synthesize.main(['synthesize'])
