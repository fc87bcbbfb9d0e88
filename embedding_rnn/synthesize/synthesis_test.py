import collections
import dataclasses
import json
import shutil

import matplotlib.image
import numpy as np
import pytest
import soundfile

from embedding_rnn.audio import levels
from embedding_rnn.audio.codec import get_codec
from embedding_rnn.figures import drawing
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.synthesize import synthesis
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.training.prior import fit_prior

_CONFIG = SynthesisConfig(
  num_notes=2, pitches=(48, 60), alphas=(0.2, 0.95), temperature_2=0.5, seed=3
)
_CODEC = get_codec('harmonic')


def _contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def _of_section(summary, section):
  return [note for note in summary['notes'] if note['section'] == section]


@pytest.fixture(scope='module')
def made(run, dataset, tmp_path_factory):
  folder = tmp_path_factory.mktemp('synthesis') / 'new' / 'folder'
  summary = synthesis.synthesize(run, dataset, folder, _CONFIG, codec=_CODEC)
  return folder, summary


def test_writes_what_the_summary_lists_and_nothing_else(made):
  folder, summary = made
  names = {'summary.json', 'index.html', *summary['overviews'].values()}
  for note in summary['notes']:
    names |= {audio['file'] for audio in note['audio'].values()}
    names |= set(note['figures'].values())
    assert f'p{note["pitch"]:03d}' in note['name'] or '-' in note['name']
  assert set(_contents(folder)) == names
  written = json.loads((folder / 'summary.json').read_text())
  assert written == json.loads(json.dumps(summary))
  for note in _of_section(summary, 'reconstruction'):
    assert [audio['file'] for audio in note['audio'].values()] == [
      f'{note["name"]}_{what}.wav'
      for what in ('original', 'reconstruction', 'mix_0.20', 'mix_0.95')
    ]
    labels = 'rainbowgrams residual stages mixes components likelihood'
    assert set(note['figures']) == set(labels.split())
  samples = [note['name'] for note in _of_section(summary, 'sample')]
  assert samples == ['sample_000_p048', 'sample_001_p060']


def test_audio_is_what_the_codec_makes_of_the_run(run, dataset, made):
  folder, summary = made
  settings = {'temperature_2': 0.5, 'seed': 3}
  reconstructions = _of_section(summary, 'reconstruction')
  rows = [note['row'] for note in reconstructions]
  notes, one_hots = dataset.notes(rows)
  again = run.reconstruct(notes, one_hots, **settings)
  mix = 0.2 * again + 0.8 * notes
  expected = {
    (note['name'], key): _CODEC.decode(frames[i], note['pitch'])
    for i, note in enumerate(reconstructions)
    for key, frames in (('original', notes), ('made', again), ('mix_0.20', mix))
  }
  sampled = run.sample([48, 60], **settings)
  for note, frames in zip(_of_section(summary, 'sample'), sampled, strict=True):
    expected[note['name'], 'made'] = _CODEC.decode(frames, note['pitch'])
  by_name = {note['name']: note for note in summary['notes']}
  for (name, key), samples in expected.items():
    audio = by_name[name]['audio'][key]
    header = soundfile.info(folder / audio['file'])
    assert (header.samplerate, header.channels) == (16000, 1)
    assert header.subtype == 'PCM_16'
    written, _ = soundfile.read(folder / audio['file'])
    gain = 10 ** (audio['gain_db'] / 20)
    heard = levels.fade_edges(samples, 16000) * gain
    np.testing.assert_allclose(written, heard, atol=2 / 32768)


def test_sounds_are_of_one_loudness_or_at_the_peak(made):
  folder, summary = made
  for note in summary['notes']:
    sounds = [
      soundfile.read(folder / audio['file'])[0]
      for audio in note['audio'].values()
    ]
    peak = max(map(levels.true_peak_dbfs, sounds))
    loudness = levels.loudness_lufs(sounds[0], 16000)
    assert peak < levels.MAX_PEAK_DBFS + 0.05
    assert loudness < levels.LOUDNESS_LUFS + 0.05
    assert (
      loudness > levels.LOUDNESS_LUFS - 0.05
      or peak > levels.MAX_PEAK_DBFS - 0.05
    )
    # Reconstructions keep their errors of level.
    assert len({audio['gain_db'] for audio in note['audio'].values()}) == 1


def test_levels_can_be_kept(run, dataset, tmp_path):
  config = SynthesisConfig(
    num_notes=0, pitches=(60,), keep_levels=True, greedy='mean'
  )
  summary = synthesis.synthesize(run, dataset, tmp_path, config, codec=_CODEC)
  (note,) = summary['notes']
  assert note['audio']['made']['gain_db'] == 0
  frames = run.sample([60], greedy='mean', seed=0)
  expected = levels.fade_edges(_CODEC.decode(frames[0], 60), 16000)
  written, _ = soundfile.read(tmp_path / note['audio']['made']['file'])
  np.testing.assert_allclose(written, expected, atol=1 / 32768)


def test_says_how_far_a_reconstruction_is_from_its_note(run, dataset, made):
  reconstructions = _of_section(made[1], 'reconstruction')
  rows = [note['row'] for note in reconstructions]
  assert set(rows) <= set(dataset.rows['test'].tolist())
  notes, pitches = dataset.notes(rows)
  again = run.reconstruct(notes, pitches, temperature_2=0.5, seed=3)
  for i, note in enumerate(reconstructions):
    expected = np.mean((notes[i] - again[i]) ** 2)
    assert note['mse'] == pytest.approx(expected, rel=1e-5)
    assert note['loudness_error_db'] > 0
    assert abs(note['audio']['original']['pitch_error_cents']) < 50


def test_figures_are_whole_pictures(made):
  folder, _ = made
  for path in folder.glob('*.png'):
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] >= 300
    assert len(np.unique(picture)) > 50


def test_same_seed_same_bytes_and_another_seed_others(
  run, dataset, made, tmp_path
):
  folder, _ = made
  again, other = tmp_path / 'again', tmp_path / 'other'
  synthesis.synthesize(run, dataset, again, _CONFIG, codec=_CODEC)
  assert _contents(again) == _contents(folder)
  config = SynthesisConfig(num_notes=0, pitches=(48,), seed=4)
  synthesis.synthesize(run, dataset, other, config, codec=_CODEC)
  sample = 'sample_000_p048.wav'
  assert _contents(other)[sample] != _contents(folder)[sample]


def test_all_kinds_of_notes(run, dataset, tmp_path):
  config = SynthesisConfig(
    num_notes=1,
    pitches=(),
    pitch=55,
    alphas=(),
    num_given=40,
    gap=(10, 30),
    num_candidates=2,
    interpolate=(3, 5),
    num_steps=2,
    combine=(1, 2, 3),
    sweep=7,
    sweep_pitches=(50, 62),
    num_frames=150,
    greedy='mean',
  )
  summary = synthesis.synthesize(
    run, dataset, tmp_path, config, just_figures=True
  )
  assert {note['pitch'] for note in summary['notes']} == {50, 55, 62}
  assert collections.Counter(note['section'] for note in summary['notes']) == {
    'reconstruction': 1,
    'continuation': 1,
    'filling': 1,
    'interpolation': 2,
    'combination': 1,
    'sweep': 2,
  }


def test_a_page_of_other_settings_is_not_replaced_silently(
  run, dataset, tmp_path
):
  common = {'num_notes': 0, 'pitches': (60,), 'greedy': 'mean'}
  configs = [
    SynthesisConfig(seed=seed, **common).completed(run) for seed in range(3)
  ]

  def make(seed, **options):
    synthesis.synthesize(
      run, dataset, folder, configs[seed], just_figures=True, **options
    )
    return json.loads((folder / 'summary.json').read_text())['seed']

  folder = synthesis.choose_output_dir(tmp_path, configs[0])
  assert folder == tmp_path / 'synthesis'
  assert make(0) == make(0) == 0
  before = _contents(folder)
  with pytest.raises(FileExistsError, match=r'\(seed=0, not 1\).*--overwrite'):
    make(1)
  assert _contents(folder) == before
  assert make(1, overwrite=True) == 1
  (tmp_path / 'synthesis_2').mkdir()
  (tmp_path / 'synthesis_2' / 'summary.json').write_text('{')
  named = dataclasses.replace(run, folder=str(tmp_path))
  folder = tmp_path / 'synthesis_3'
  synthesis.synthesize(named, dataset, folder, configs[0], just_figures=True)
  for seed, number in ((0, 3), (2, 4)):
    expected = tmp_path / f'synthesis_{number}'
    assert synthesis.choose_output_dir(tmp_path, configs[seed]) == expected


@pytest.fixture
def silent_data_dir(tiny_data_dir, tmp_path):
  """The data of `run`, but it does not say its codec."""
  data_dir = shutil.copytree(tiny_data_dir, tmp_path / 'data')
  (data_dir / 'dataset.json').unlink()
  return data_dir


def test_without_a_codec_or_with_just_figures_there_is_no_audio(
  run, silent_data_dir, tmp_path
):
  info = {key: value for key, value in run.info.items() if key != 'codec'}
  silent_run = dataclasses.replace(run, info=info)
  config = SynthesisConfig(num_notes=1, pitches=(50,))
  for some_run, data_dir, codec in (
    (silent_run, silent_data_dir, None),
    (run, None, _CODEC),
  ):
    folder = tmp_path / f'out_{codec}'
    data = some_run.open_dataset(data_dir)
    options = {'codec': codec, 'just_figures': codec is not None}
    summary = synthesis.synthesize(some_run, data, folder, config, **options)
    assert not any(note['audio'] for note in summary['notes'])
    kinds = {path.suffix for path in folder.iterdir()}
    assert kinds == {'.png', '.json', '.html'}
    assert 'sample_000_p050' in synthesis.format_summary(summary)


def test_refuses_data_of_another_codec(run, silent_data_dir):
  with pytest.raises(ValueError, match=r"codec 'harmonic'.*those of None"):
    run.open_dataset(silent_data_dir)


def test_samples_are_of_the_families_that_are_asked_for(run, tmp_path):
  dataset = run.open_dataset()
  fitted = fit_prior(run.model, dataset, run.transforms)
  asked = dataclasses.replace(run, prior=fitted)
  first, second, *_ = fitted.families
  for i, (families, each) in enumerate(
    [((first,), [first, first]), ((first, second), [first, second])]
  ):
    config = SynthesisConfig(
      num_notes=0, pitches=(50, 62), families=families, greedy='mean'
    )
    summary = synthesis.synthesize(
      asked, dataset, tmp_path / str(i), config, just_figures=True
    )
    assert [note['family'] for note in summary['notes']] == each
    name = first.replace('_', ' ')
    assert summary['notes'][0]['title'] == f'New {name} · D3'
  for other, change, message in (
    (run, {}, 'which knows none'),
    (asked, {'prior': 'standard'}, 'knows none'),
    (asked, {'families': ('x',)}, "no family 'x'"),
  ):
    with pytest.raises(ValueError, match=message):
      synthesis.synthesize(
        other, dataset, tmp_path / 'out', dataclasses.replace(config, **change)
      )
  assert not (tmp_path / 'out').exists()


def test_an_unconditional_run_only_samples(unconditional_run, tmp_path):
  dataset = unconditional_run.open_dataset()
  with pytest.raises(ValueError, match='cannot reconstruct; set num_notes=0'):
    synthesis.synthesize(unconditional_run, dataset, tmp_path / 'out')
  config = SynthesisConfig(num_notes=0, pitches=(60,))
  summary = synthesis.synthesize(
    unconditional_run, dataset, tmp_path / 'out', config, codec=_CODEC
  )
  assert not _of_section(summary, 'reconstruction')
  assert (tmp_path / 'out' / 'sample_000_p060.wav').is_file()


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    ({'num_notes': 13}, 'num_notes=13, but the test split has 12 notes'),
    ({'interpolate': (0, 36)}, 'There is no note 36'),
    ({'num_given': 125}, r'num_given=125.*125 frames'),
    ({'gap': (100, 126)}, r'gap=\(100, 126\)'),
    ({'gap': (30, 30)}, r'gap=\(30, 30\)'),
    ({'gap': (0, 125)}, r'gap=\(0, 125\).* less than all'),
  ],
)
def test_refuses_bad_wishes_before_it_makes_a_folder(
  run, dataset, tmp_path, config, message
):
  config = SynthesisConfig(**config)
  with pytest.raises(ValueError, match=message):
    synthesis.synthesize(run, dataset, tmp_path / 'out', config)
  assert not (tmp_path / 'out').exists()


def test_refuses_a_note_that_is_not_finite(run, tiny_data_dir, tmp_path):
  data_dir = shutil.copytree(tiny_data_dir, tmp_path / 'data')
  frames = np.load(data_dir / 'train_z.npy')
  frames[4, 70, 2] = np.nan
  np.save(data_dir / 'train_z.npy', frames)
  with pytest.raises(ValueError, match='nan in row 4, frame 70, channel 2'):
    run.open_dataset(data_dir)


def test_refuses_a_folder_that_cannot_be_written(run, dataset, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match='Cannot write to the folder'):
    synthesis.synthesize(run, dataset, tmp_path / 'file' / 'out')


def test_chooses_evenly_over_families(dataset):
  test_rows = dataset.rows['test']
  families = dataset.instrument_family_ids
  num_families = len(np.unique(families[test_rows]))
  rows = synthesis.choose_rows(dataset, num_families, seed=0)
  assert len(np.unique(families[rows])) == num_families
  everything = synthesis.choose_rows(dataset, len(test_rows), seed=1)
  np.testing.assert_array_equal(np.sort(everything), np.sort(test_rows))
  some = [tuple(synthesis.choose_rows(dataset, 3, seed)) for seed in range(9)]
  assert len(set(some)) > 1
  assert some[0] == tuple(synthesis.choose_rows(dataset, 3, 0))


def test_by_default_one_note_of_each_family_near_middle_c(dataset):
  test_rows = dataset.rows['test']
  families = dataset.instrument_family_ids
  pitches, velocities = dataset.midi_numbers(test_rows)
  for seed in range(3):
    rows = synthesis.choose_rows(dataset, None, seed)
    np.testing.assert_array_equal(
      families[rows], np.unique(families[test_rows])
    )
    for row, pitch, velocity in zip(
      rows, *dataset.midi_numbers(rows), strict=True
    ):
      rivals = families[test_rows] == families[row]
      if (velocities[rivals] >= 75).any():
        rivals &= velocities >= 75
        assert velocity >= 75
      assert abs(pitch - 60) == np.abs(pitches[rivals] - 60).min()
  unknown = dataclasses.replace(dataset, instrument_family_ids=None)
  rows = synthesis.choose_rows(unknown, None, 0)
  assert len(set(rows)) == 8


def test_a_file_that_fails_leaves_nothing(tmp_path):
  class BadFigure:
    def savefig(self, path, **kwargs):
      path.write_bytes(b'half of it')
      raise OSError('the disk is full')

  with pytest.raises(OSError, match='disk is full'):
    drawing.write_figure(tmp_path / 'figure.png', BadFigure())
  assert not list(tmp_path.iterdir())


def test_hyperparameters_named_by_hand_must_be_those_of_the_run(run):
  run.expect_hparams('rnn_size=16,model=lstm,pca_dim_reduce=1')
  hps = default_hps().parse('rnn_size=16,enc_rnn_size=8,z_size=4,num_mixture=2')
  hps.parse('difference_input=0,pca_dim_reduce=1,n_pca_components=8')
  run.expect_hparams(hps)  # batch_size, num_steps and so on do not count
  with pytest.raises(ValueError, match="is 'lstm', not 'hyper'"):
    run.expect_hparams('model=hyper,rnn_size=16')
  with pytest.raises(ValueError, match='z_size is 4, not 64'):
    run.expect_hparams(default_hps())
  with pytest.raises(ValueError, match='Unknown hyperparameter'):
    run.expect_hparams('rnnsize=16')
