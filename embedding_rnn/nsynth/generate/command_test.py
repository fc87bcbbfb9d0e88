"""The command; what it calls is tested in notes_test.py."""

import functools

import numpy as np
import pytest

from embedding_rnn.nsynth import runs
from embedding_rnn.nsynth.conftest import CHECKPOINT, TINY_SIZES
from embedding_rnn.nsynth.generate import __main__ as generate
from embedding_rnn.nsynth.generate import notes


def test_command(tiny, tmp_path, parse_flags, monkeypatch, capsys):
  monkeypatch.setattr(
    runs,
    'WaveNetAutoencoder',
    functools.partial(runs.WaveNetAutoencoder, **TINY_SIZES),
  )
  frames = tiny['encoding'][0, :4]
  np.save(tmp_path / 'note.npy', frames)
  parse_flags(
    generate.define_flags,
    [
      f'--source={tmp_path / "note.npy"}',
      f'--output_dir={tmp_path / "audio"}',
      f'--nsynth_checkpoint_path={CHECKPOINT}',
      '--averaged',
      '--seed=3',
      '--weights=int8',
    ],
  )
  generate.main([])
  tiny.set_weights('ema')
  [path] = notes.generate_notes(
    tiny.model, {'note': frames}, tmp_path / 'other', 3, weights='int8'
  )
  content = (tmp_path / 'audio' / 'note.wav').read_bytes()
  assert content == path.read_bytes()
  assert "1 notes are in '" in capsys.readouterr().out


@pytest.mark.parametrize('is_folder', [False, True])
def test_frames_of_another_codec_are_refused(tmp_path, parse_flags, is_folder):
  path = tmp_path / 'train_z.npy'
  np.save(path, np.zeros([2, 3, 16], np.float32))
  (tmp_path / 'dataset.json').write_text('{"codec": "harmonic"}')
  arguments = [f'--source={tmp_path if is_folder else path}']
  arguments += [f'--output_dir={tmp_path / "audio"}']
  arguments += [f'--nsynth_checkpoint_path={CHECKPOINT}']
  parse_flags(generate.define_flags, arguments)
  with pytest.raises(ValueError, match="of the codec 'harmonic'"):
    generate.main([])
  assert not (tmp_path / 'audio').exists()


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'Set --source: A .npy file'),
    (['--source=x'], 'Set --output_dir: The folder'),
    (['--source=x', '--output_dir=y'], 'Set --nsynth_checkpoint_path: Folder'),
  ],
)
def test_missing_flags(parse_flags, arguments, message):
  parse_flags(generate.define_flags, arguments)
  with pytest.raises(ValueError, match=message):
    generate.main([])
