"""The whole path at tiny size: wav, frames, a model of them, and wav again."""

import json

import numpy as np
import pytest
import soundfile

import embedding_rnn
from embedding_rnn import nsynth
from embedding_rnn.audio import levels
from embedding_rnn.data.preparation import encoding
from embedding_rnn.data.preparation.sources import open_source
from embedding_rnn.experiments import report
from embedding_rnn.nsynth.codec import WaveNetCodec, choose_codec, codec_of_data
from embedding_rnn.nsynth.conftest import eagerly, tiny_hps
from embedding_rnn.nsynth.train.training import train as train_wavenet
from embedding_rnn.synthesize import synthesis
from embedding_rnn.synthesize.config import SynthesisConfig
from embedding_rnn.training import checkpoints, training

NUM_FRAMES = 16  # of 4000 samples, in a note of 4 s
TINY = (
  'rnn_size=4,enc_rnn_size=4,z_size=2,num_mixture=2,batch_size=4,num_steps=2,'
  f'save_every=1,seq_width=4,max_seq_len={NUM_FRAMES}'
)


@pytest.fixture(scope='module')
def folder(note_folders, tmp_path_factory):
  """A WaveNet that learnt wavs a little, `wavenet`, and another, `other`."""
  folder = tmp_path_factory.mktemp('whole')
  source = open_source(note_folders / 'wavs')
  hps = tiny_hps('ae_hop_length=4000,crop_length=4000,num_steps=1')
  with eagerly():
    for seed, name in enumerate(('wavenet', 'other')):
      train_wavenet(hps, source, folder / name, seed=seed)
  return folder


@pytest.fixture(scope='module')
def run(folder, note_folders):
  """Wavs, encoded, and a run on them."""
  codec = choose_codec('wavenet', folder / 'wavenet', True)
  source = open_source(note_folders / 'wavs')
  encoding.encode_notes(source, codec, folder / 'data')
  hps = embedding_rnn.default_hps().parse(TINY)
  with eagerly():
    return training.train(hps, folder / 'data', folder / 'run')


def test_wav_to_frames_to_model_to_frames_to_wav(folder, run, note_folders):
  frames = np.load(folder / 'data' / 'train_z.npy')
  assert frames.shape == (16, NUM_FRAMES, 4)
  codec = WaveNetCodec(folder / 'wavenet', averaged=True)
  path = sorted((note_folders / 'wavs').rglob('*.wav'))[0]
  audio, _ = soundfile.read(path, dtype='float32')
  distances = np.abs(frames - codec.encode(audio, 60)).max(axis=(1, 2))
  assert distances.min() < 1e-5
  made = run.sample([60, 72], num_frames=1, seed=0)
  decoder = codec_of_data(run.info, 4, checkpoint_path=str(folder / 'wavenet'))
  config = SynthesisConfig(
    num_notes=0, pitches=(60, 72), num_frames=1, keep_levels=True
  )
  for name in ('once', 'again'):
    summary = synthesis.synthesize(
      run, run.open_dataset(), folder / name, config, codec=decoder
    )
  audios = decoder.decode(made, np.array([60, 72]))
  for note, audio in zip(summary['notes'], audios, strict=True):
    file = note['audio']['made']['file']
    written, rate = soundfile.read(folder / 'once' / file)
    assert rate == 16_000 and len(written) == 4000
    heard = levels.fade_edges(audio.clip(-0.99, 0.99), rate)
    np.testing.assert_allclose(written, heard, atol=0.011)
    again = (folder / 'again' / file).read_bytes()
    assert again == (folder / 'once' / file).read_bytes()


def test_the_report_knows_runs_of_both_models(folder, run):
  wavenet = nsynth.load_autoencoder(folder / 'wavenet')
  for name, trained in (('wavenet', wavenet), ('run', run)):
    (row,) = report.collect({name: folder / name}).rows
    assert row['state'] == 'finished'
    assert row['valid_cost'] == trained.costs['valid']['cost']


def test_a_run_remembers_its_checkpoint(folder, run):
  codec = WaveNetCodec(folder / 'wavenet', averaged=True)
  dataset = json.loads((folder / 'data' / 'dataset.json').read_text())
  saved = checkpoints.read_run(run.folder).info
  assert saved['codec'] == dataset['codec'] == 'wavenet'
  assert saved['checkpoint'] == dataset['checkpoint'] == codec.checkpoint


def test_other_codecs_are_refused_by_synthesis(folder, run):
  dataset = run.open_dataset()
  output_dir = folder / 'synthesis'
  for codec, message in (
    (WaveNetCodec(folder / 'other', averaged=True), 'encoded by .*, but'),
    (WaveNetCodec(folder / 'wavenet'), r'\(averaged.*\(raw weights'),
    (choose_codec('harmonic'), "'harmonic' would decode"),
  ):
    with pytest.raises(ValueError, match=message):
      synthesis.synthesize(run, dataset, output_dir, codec=codec)
  dataset.metadata['checkpoint'] = {'step': 7}
  with pytest.raises(ValueError, match=r'has those of .*7'):
    synthesis.synthesize(run, dataset, output_dir)
  assert not output_dir.exists()


def test_data_of_another_checkpoint_is_refused(folder, run):
  path = folder / 'data' / 'dataset.json'
  before = path.read_text()
  info = json.loads(before)
  info['checkpoint']['encoder_sha256'] = 'of another'
  path.write_text(json.dumps(info))
  hps = embedding_rnn.default_hps().parse(TINY).parse('num_steps=3')
  try:
    with pytest.raises(ValueError, match=r'has those of .*of another'):
      run.open_dataset()
    with pytest.raises(ValueError, match=r'has those of .*of another'):
      training.train(hps, folder / 'data', folder / 'run', resume=True)
  finally:
    path.write_text(before)


def test_figures_alone_without_the_checkpoint(folder, run, caplog):
  config = SynthesisConfig(num_notes=1, pitches=(60,))
  summary = synthesis.synthesize(
    run, run.open_dataset(), folder / 'figures', config
  )
  assert 'set --nsynth_checkpoint_path' in caplog.text
  for note in summary['notes']:
    assert not note['audio']
    for name in note['figures'].values():
      assert (folder / 'figures' / name).exists()
