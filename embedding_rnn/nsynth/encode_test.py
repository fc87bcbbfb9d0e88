"""From NSynth's formats to a run that trains on them."""

import csv
import functools
import json
import subprocess
import sys

import numpy as np
import pytest

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.conftest import TINY
from embedding_rnn.data.dataset import open_dataset
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.nsynth import encode
from embedding_rnn.nsynth.codec import WaveNetCodec
from embedding_rnn.nsynth.conftest import CHECKPOINT, TINY_SIZES
from embedding_rnn.training import training

SIZES = TINY_SIZES | {'ae_hop_length': 512}


def read_frames(data_dir):
  """Frames by the name of the note, without folder and suffix."""
  with (data_dir / 'notes.csv').open(newline='') as file:
    names = [row['note'] for row in csv.DictReader(file)]
  names = [name.rpartition('/')[2].removesuffix('.wav') for name in names]
  frames = np.load(data_dir / 'train_z.npy')
  return dict(zip(names, frames, strict=True))


def expect_frames(data_dir, codec, notes):
  frames = read_frames(data_dir)
  assert set(frames) == {note.name for note in notes}
  for note in notes[::4]:
    np.testing.assert_allclose(
      frames[note.name],
      codec.encode(note.audio, note.labels.midi_pitch),
      atol=1e-5,
    )


@pytest.mark.parametrize('kind', ['wavs', 'json', 'tfrecords'])
def test_harmonic(note_folders, fabricated_notes, tmp_path, kind, parse_flags):
  output_dir = tmp_path / 'data'
  arguments = [f'--source={note_folders / kind}', f'--output_dir={output_dir}']
  parse_flags(encode.define_flags, arguments)
  encode.main(['encode'])
  expect_frames(output_dir, HarmonicCodec(), fabricated_notes)
  dataset = open_dataset(output_dir, default_hps().parse('batch_size=8'))
  assert [len(rows) for rows in dataset.rows.values()] == [10, 3, 3]
  assert dataset.codec == 'harmonic'


def test_wavenet(
  note_folders, fabricated_notes, tmp_path, parse_flags, monkeypatch
):
  small = functools.partial(WaveNetCodec, **SIZES)
  small.name = 'wavenet'
  monkeypatch.setattr('embedding_rnn.nsynth.codec.WaveNetCodec', small)
  output_dir = tmp_path / 'data'
  parse_flags(
    encode.define_flags,
    [
      f'--source={note_folders / "tfrecords"}',
      f'--output_dir={output_dir}',
      '--codec=wavenet',
      f'--nsynth_checkpoint_path={CHECKPOINT}',
      '--averaged',
    ],
  )
  encode.main(['encode'])
  codec = WaveNetCodec(CHECKPOINT, averaged=True, **SIZES)
  expect_frames(output_dir, codec, fabricated_notes)
  info = json.loads((output_dir / 'dataset.json').read_text())
  assert info['codec'] == 'wavenet'
  assert info['checkpoint'] == codec.checkpoint
  hps = default_hps().parse(TINY).parse('seq_width=5,pca_dim_reduce=0')
  run = training.train(hps, output_dir, tmp_path / 'run')
  assert run.info['codec'] == 'wavenet'
  assert np.isfinite(run.costs['valid']['cost'])


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'Set --source'),
    (['--source=x'], 'Set --source to the notes, and --output_dir'),
    (['--output_dir=y'], 'Set --source'),
    (['--source=missing', '--output_dir=y'], "There is no 'missing'"),
  ],
)
def test_bad_flags(parse_flags, arguments, message):
  parse_flags(encode.define_flags, arguments)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    encode.main(['encode'])


def test_as_a_command(tmp_path):
  command = [sys.executable, '-m', 'embedding_rnn.nsynth.encode']

  def run(*arguments):
    return subprocess.run(
      [*command, *arguments], capture_output=True, text=True, check=False
    )

  shown = run('--help')
  assert 'python -m embedding_rnn.nsynth.encode --source=' in shown.stdout
  assert '--nsynth_checkpoint_path' in shown.stdout
  failed = run(f'--source={tmp_path}', f'--output_dir={tmp_path / "data"}')
  assert failed.returncode == 1
  assert 'Error: There is no audio' in failed.stderr
  assert 'Traceback' not in failed.stderr


def test_only_what_needs_tensorflow_imports_it():
  code = (
    'import sys; from embedding_rnn.nsynth import codec, encode, fetch; '
    'from embedding_rnn.nsynth.train import __main__; '
    "codec.choose_codec('harmonic'); "
    "sys.exit('tensorflow' in sys.modules)"
  )
  assert (
    subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
  )
