"""What commands of a campaign work on: small data, runs, sounds, a song."""

from __future__ import annotations

import json
import pathlib
import shutil

import children
import numpy as np

TINY = (
  'rnn_size=8,enc_rnn_size=4,z_size=3,num_mixture=2,batch_size=4,'
  'frames_per_step=25,difference_input=0,trial=0'
)
TRAIN = (
  'embedding-rnn',
  'train',
  '--experiment=short_test',
  '--data_dir=data',
)
WAVENET = (
  'width=8,skip_width=8,num_layers=3,num_stages=2,ae_width=8,ae_num_layers=2,'
  'ae_num_stages=2,ae_bottleneck_width=4,ae_hop_length=256,crop_length=512,'
  'batch_size=1'
)
NUM_SOUNDS = 3


def train(steps: int, every: int, name: str = 'run', extra: str = '') -> list:
  """The command that trains a small run."""
  hparam = f'{TINY},num_steps={steps},save_every={every}{extra}'
  return [*TRAIN, '--log_root=logs', f'--exp_name={name}', f'--hparam={hparam}']


def train_wavenet(steps: int, every: int, name: str = 'wavenet') -> list:
  """The command that trains a small WaveNet autoencoder."""
  hparam = f'{WAVENET},num_steps={steps},save_every={every}'
  return [
    '-m',
    'embedding_rnn.nsynth.train',
    '--source=sounds',
    '--log_root=logs',
    f'--exp_name={name}',
    f'--hparam={hparam}',
  ]


def build(folder: pathlib.Path) -> pathlib.Path:
  """Writes all of it to a new folder.

  Of data: `data/`, 36 notes to train on; `others.npz`, notes to measure on.
  Of recordings: `sounds/`, wav files with notes.csv; `nsynth/` and
  `notes.tfrecord`, NSynth's formats. `song.mid`; `frames.npy`, of a small
  WaveNet. In `logs`: `run`, with two saves of each kind; `wavenet`; and
  `jobs/sweep-1`, of which nothing has begun. `text` and `folder/` are no input.
  """
  folder.mkdir(parents=True)
  (folder / 'text').write_text('no input\n')
  (folder / 'folder').mkdir()
  for body in (_write_data, _write_sounds, _write_others, _write_job):
    _expect_success(children.call(body, folder))
  for command in (train(4, 1, extra=',overfit=1'), train_wavenet(4, 2)):
    _expect_success(children.run(command, folder))
  return folder


def copy(stage: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  """A copy of all of it, for a command to do with as it likes."""
  shutil.copytree(stage, folder)
  return folder


def _expect_success(outcome: children.Outcome) -> None:
  if outcome.status:
    raise RuntimeError(f'The stage could not be built:\n{outcome.text}')


def _write_data() -> None:
  from embedding_rnn.conftest import tiny_collection
  from embedding_rnn.data import notes

  notes.write_data_dir(pathlib.Path('data'), tiny_collection())


def _write_sounds() -> None:
  import soundfile

  from embedding_rnn.audio.harmonics import SAMPLE_RATE
  from embedding_rnn.data.conftest import write_records

  testdata = children.ROOT / 'embedding_rnn' / 'testdata' / 'nsynth'
  records, examples, rows = [], {}, ['file,pitch,velocity,instrument']
  audio_folder = pathlib.Path('nsynth', 'nsynth-train', 'audio')
  for made in (pathlib.Path('sounds'), audio_folder):
    made.mkdir(parents=True)
  for i, path in enumerate(sorted(testdata.glob('*.flac'))[:NUM_SOUNDS]):
    audio, _ = soundfile.read(path, dtype='float32')
    pitch = int(path.stem[-3:])
    name = f'bass_acoustic_{i:03d}-{pitch:03d}-100'
    soundfile.write(f'sounds/{name}.wav', audio, SAMPLE_RATE, 'PCM_16')
    rows.append(f'{name}.wav,{pitch},100,bass {i}')
    features = {
      'note': i,
      'note_str': name,
      'instrument': i,
      'instrument_str': name.partition('-')[0],
      'pitch': pitch,
      'velocity': 100,
      'sample_rate': SAMPLE_RATE,
      'instrument_family': 0,
      'instrument_family_str': 'bass',
      'instrument_source': 0,
      'instrument_source_str': 'acoustic',
    }
    if i < 2:
      soundfile.write(audio_folder / f'{name}.wav', audio, SAMPLE_RATE)
      examples[name] = features
      records.append({**features, 'audio': audio})
  pathlib.Path('sounds', 'notes.csv').write_text('\n'.join(rows) + '\n')
  text = json.dumps(examples)
  (audio_folder.parent / 'examples.json').write_text(text)
  write_records('notes.tfrecord', *records)


def _write_others() -> None:
  import mido

  frames = np.load('data/train_z.npy')[:4]
  np.savez('others.npz', frames=frames, midi_pitch=np.array([48, 50, 60, 62]))
  rng = np.random.default_rng(0)
  np.save('frames.npy', rng.normal(size=(2, 3, 4)).astype(np.float32))
  song = mido.MidiFile(ticks_per_beat=100)
  track = mido.MidiTrack()
  for pitch in (60, 64, 67):
    track.append(mido.Message('note_on', note=pitch, velocity=80, time=0))
    track.append(mido.Message('note_off', note=pitch, velocity=0, time=100))
  song.tracks.append(track)
  song.save('song.mid')


def _write_job() -> None:
  from embedding_rnn.experiments.job import Settings, create_job
  from embedding_rnn.experiments.resources import Resources
  from embedding_rnn.model.hparams import default_hps

  pathlib.Path('logs').mkdir()
  runs = {name: default_hps().parse('num_steps=3') for name in ('a', 'b')}
  settings = Settings('data', str(pathlib.Path('logs').absolute()))
  job = create_job('sweep', runs, settings, Resources())
  job.folder.rename(job.folder.with_name('sweep-1'))
