"""Generated files: the same whatever happens on the way, or an error."""

import errno
import os
import pathlib
import shutil
import types

import numpy as np
import pytest
import soundfile

from embedding_rnn import figures
from embedding_rnn.nsynth import mu_law
from embedding_rnn.nsynth.fastgen import runtime
from embedding_rnn.nsynth.generate.folder import GenerationFolder
from embedding_rnn.nsynth.generate.notes import (
  generate_notes,
  load_frames,
  load_notes,
)
from embedding_rnn.utils import files


@pytest.fixture
def notes(tiny):
  """Three notes of 8, 8 and 3 frames."""
  frames = tiny['encoding']
  return {'a': frames[0, :8], 'b': frames[1, :3], 'c': frames[1, 2:10]}


@pytest.fixture
def whole(tiny, notes, tmp_path):
  """Their audio, generated without a stop."""
  paths = generate_notes(tiny.model, notes, tmp_path / 'whole')
  return [path.read_bytes() for path in paths]


class StopError(Exception):
  """Stands for whatever ends a process."""


@pytest.fixture
def stop_after(monkeypatch):
  """Lets generation stop after some chunks of a frame, each of them saved."""
  module = 'embedding_rnn.nsynth.generate.notes'
  monkeypatch.setattr(f'{module}._SAVE_SECONDS', 0.0)
  monkeypatch.setattr(runtime, '_CHUNK_LENGTH', 32)

  def stop(num_chunks):
    def stopping(*args):
      for i, chunk in enumerate(runtime.stream(*args)):
        if i == num_chunks:
          raise StopError
        yield chunk

    monkeypatch.setattr(f'{module}.stream', stopping)

  return stop


def contents(folder):
  return sorted(
    str(path.relative_to(folder))
    for path in folder.rglob('*')
    if path.name != '.lock'
  )


def test_audio_is_what_the_generator_makes(tiny, notes, tmp_path):
  generate_notes(tiny.model, notes, tmp_path, greedy=True, batch_size=2)
  for name, frames in notes.items():
    audio, rate = soundfile.read(tmp_path / f'{name}.wav', dtype='float32')
    expected = tiny.model.generate(frames[None], greedy=True).numpy()[0]
    assert rate == 16_000
    assert soundfile.info(tmp_path / f'{name}.wav').subtype == 'PCM_16'
    # The codes survive 16 bits.
    np.testing.assert_array_equal(mu_law.encode(audio), mu_law.encode(expected))
  assert contents(tmp_path) == ['a.wav', 'b.wav', 'c.wav', 'generation.json']


def test_audio_depends_on_the_note_and_the_seed(tiny, notes, whole, tmp_path):
  paths = generate_notes(tiny.model, notes, tmp_path / 'ones', batch_size=1)
  assert [path.read_bytes() for path in paths] == whole
  paths = generate_notes(
    tiny.model, {'c': notes['c'], 'z': notes['c']}, tmp_path / 'fewer'
  )
  assert paths[0].read_bytes() == whole[2] != paths[1].read_bytes()
  paths = generate_notes(tiny.model, {'c': notes['c']}, tmp_path / 'other', 1)
  assert paths[0].read_bytes() != whole[2]


def test_goes_on_where_it_was_stopped(
  tiny, notes, whole, tmp_path, stop_after, caplog
):
  folder = tmp_path / 'stopped'
  for num_chunks, frames in ((2, 2), (3, 5), (0, 5)):
    stop_after(num_chunks)
    with pytest.raises(StopError):
      generate_notes(tiny.model, notes, folder, batch_size=2)
    # 'b' is short, and comes last.
    assert contents(folder / 'partial') == sorted(
      ['a.npz', 'a.wav', 'c.npz', 'c.wav', 'manifest.json']
    )
    audio = (folder / 'partial' / 'a.wav').read_bytes()
    assert len(audio) == 44 + 2 * 32 * frames
    assert whole[0][44:].startswith(audio[44:])
    stop_after(-1)
  caplog.set_level('INFO', logger='absl')
  # The other batch size is for what is not begun.
  paths = generate_notes(tiny.model, notes, folder, batch_size=1)
  assert [path.read_bytes() for path in paths] == whole
  assert not (folder / 'partial').exists()
  # Of 2 times 8 and of 3 frames, 2 times 5 are there.
  seconds = (2 * 3 + 3) * 32 / 16_000
  assert f'3 notes, {seconds:.1f} s of audio, up to 2 at' in caplog.text


def test_damage_is_noted_and_mended(
  tiny, notes, whole, tmp_path, stop_after, caplog
):
  folder = tmp_path / 'damaged'
  stop_after(2)
  with pytest.raises(StopError):
    generate_notes(tiny.model, notes, folder)
  path = folder / 'partial' / 'a.npz'
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  stop_after(-1)
  paths = generate_notes(tiny.model, notes, folder)
  assert 'is damaged or truncated' in caplog.text
  assert 'its notes are begun again' in caplog.text
  assert [path.read_bytes() for path in paths] == whole


def test_a_full_disk_leaves_nothing_half_written(
  tiny, notes, whole, tmp_path, stop_after, monkeypatch
):
  stop_after(-1)
  folder = tmp_path / 'full'
  savez, calls = np.savez, []

  def fill(file, **arrays):
    calls.append(file)
    if len(calls) == 6:
      file.write(b'half')
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    savez(file, **arrays)

  monkeypatch.setattr(np, 'savez', fill)
  with pytest.raises(
    OSError, match=r'The disk is full: No space left.*goes on'
  ):
    generate_notes(tiny.model, notes, folder)
  assert not any(name.endswith('.tmp') for name in contents(folder))
  assert not list(folder.glob('*.wav'))
  partial = files.CheckedFolder(folder / 'partial', 'mend it')
  assert partial.read_arrays('c.npz')['codes'].shape == (32,)
  paths = generate_notes(tiny.model, notes, folder)
  assert [path.read_bytes() for path in paths] == whole


def test_other_settings_and_files_are_refused(tiny, notes, tmp_path):
  some = {'a': notes['a'][:1]}
  generate_notes(tiny.model, some, tmp_path)
  before = (tmp_path / 'a.wav').stat().st_mtime_ns
  with pytest.raises(ValueError, match=r'seed was 0, is 2.*Give the same'):
    generate_notes(tiny.model, some, tmp_path, 2)
  with pytest.raises(ValueError, match=r"frames of 'a' were others"):
    generate_notes(tiny.model, {'a': notes['a'][:2]}, tmp_path)
  with pytest.raises(ValueError, match=r"weights was 'float32', is 'int8'"):
    generate_notes(tiny.model, some, tmp_path, weights='int8')
  tiny.set_weights('ema')
  with pytest.raises(ValueError, match=r'decoder_sha256 was'):
    generate_notes(tiny.model, some, tmp_path)
  tiny.set_weights('raw')
  (tmp_path / 'mine.wav').write_text('mine')
  with pytest.raises(FileExistsError, match=r'mine.wav.* not generated by'):
    generate_notes(tiny.model, {'mine': notes['a'][:1]}, tmp_path)
  generate_notes(tiny.model, some, tmp_path)
  assert (tmp_path / 'a.wav').stat().st_mtime_ns == before
  (tmp_path / 'generation.json').write_text('{')
  with pytest.raises(ValueError, match=r'generation.json.* is damaged'):
    generate_notes(tiny.model, some, tmp_path)


def test_a_folder_in_use_is_refused(tiny, notes, tmp_path):
  message = rf"process {os.getpid()} on .* is writing to '{tmp_path}'"
  with GenerationFolder(tmp_path).in_use():
    with pytest.raises(ValueError, match=message):
      generate_notes(tiny.model, notes, tmp_path)


def test_settings_bind_only_where_there_is_audio(
  tiny, notes, tmp_path, monkeypatch
):
  some = {'a': notes['a'][:1]}
  with monkeypatch.context() as patch:
    usage = types.SimpleNamespace(free=10)
    patch.setattr(shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(OSError, match=r'take 0\.0 MB, but .* make room'):
      generate_notes(tiny.model, some, tmp_path)
  assert contents(tmp_path) == ['generation.json']
  generate_notes(tiny.model, some, tmp_path, 5, weights='int8')
  assert contents(tmp_path) == ['a.wav', 'generation.json']


def test_bad_input_is_refused_before_anything_is_written(tiny, notes, tmp_path):
  folder = tmp_path / 'audio'
  broken = notes['a'].copy()
  broken[3, 2] = np.nan
  for bad, message in (
    (broken, "Note 'x': encodings has nan at row 0, frame 3, channel 2"),
    (notes['a'][:, :4], r"Note 'x': encodings of shape \(1, 8, 4\): expected"),
  ):
    with pytest.raises(ValueError, match=message):
      generate_notes(tiny.model, {'a': notes['a'], 'x': bad}, folder)
  with pytest.raises(ValueError, match=r"'int4': expected one of"):
    generate_notes(tiny.model, notes, folder, weights='int4')
  for seed in (2**63, 1.5):
    with pytest.raises(ValueError, match=r'seed=.*: expected a whole number'):
      generate_notes(tiny.model, notes, folder, seed)
  with pytest.raises(ValueError, match='at most 200 bytes'):
    generate_notes(tiny.model, {'é' * 101: notes['a']}, folder)
  assert not folder.exists()
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match=r'Cannot write to the folder'):
    generate_notes(tiny.model, notes, tmp_path / 'file')


def test_load_notes(tmp_path):
  rng = np.random.default_rng(0)
  one = rng.normal(size=[4, 16]).astype(np.float32)
  many = rng.normal(size=[11, 3, 16])
  np.save(tmp_path / 'one.npy', one)
  np.save(tmp_path / 'many.npy', many)
  notes = load_notes(tmp_path, 16)
  assert list(notes) == [*(f'many-{i:02}' for i in range(11)), 'one']
  np.testing.assert_array_equal(notes['one'], one)
  np.testing.assert_array_equal(notes['many-10'], many[10].astype(np.float32))
  assert list(load_notes(tmp_path / 'one.npy', 16)) == ['one']
  np.save(tmp_path / 'many-03.npy', one)
  with pytest.raises(ValueError, match=r"Two notes .* called 'many-03'"):
    load_notes(tmp_path, 16)
  with pytest.raises(ValueError, match=r'it is of another model'):
    load_notes(tmp_path / 'one.npy', 8)
  (tmp_path / 'empty').mkdir()
  with pytest.raises(FileNotFoundError, match=r'has no .npy files'):
    load_notes(tmp_path / 'empty', 16)
  with pytest.raises(FileNotFoundError):
    load_notes(pathlib.Path(tmp_path / 'none.npy'), 16)


def fabricated(*shape):
  values = np.random.default_rng(0).uniform(-9, 16, (*shape, 16))
  return values.astype(np.float32)


@pytest.mark.parametrize('shape', [(62,), (1, 62), (3, 45), (1, 1)])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_any_number_of_notes_and_frames(tmp_path, shape, dtype):
  path = tmp_path / 'x.npy'
  values = fabricated(*shape).astype(dtype)
  np.save(path, values)
  loaded = load_frames(path)
  assert loaded.dtype == np.float32
  np.testing.assert_array_equal(
    loaded, values.astype(np.float32).reshape(-1, shape[-1], 16)
  )


def test_figures_of_any_length(tmp_path):
  for num_frames in (1, 45, 62):
    np.save(tmp_path / 'x.npy', fabricated(num_frames))
    (frames,) = load_frames(tmp_path / 'x.npy')
    for figure in (
      figures.sample_figure(frames, midi_pitch=60),
      figures.note_figure(frames, frames),
    ):
      image = figure.axes[0].images[0]
      assert image.get_array().shape == (16, num_frames)
      assert image.get_extent()[1] == pytest.approx(num_frames * 0.032)
  figure.savefig(tmp_path / 'x.png')


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (np.zeros(16, 'f4'), r'\(16,\).* Audio must be encoded first'),
    (np.zeros([2, 3, 62, 16], 'f4'), r'\(2, 3, 62, 16\); expected'),
    (np.zeros([0, 16], 'f4'), 'holds no notes'),
    (np.zeros([1, 0, 16], 'f4'), r'\(1, 0, 16\)'),
    (np.zeros([62, 8], 'f4'), r'\(62, 8\); expected .*of another model'),
    (np.zeros([1, 16, 62], 'f4'), 'transposed'),
    (np.zeros([62, 16], 'i4'), 'holds int32; expected floats'),
    (np.full([62, 16], np.nan), 'nan in note 0, frame 0, channel 0'),
    (np.full([62, 16], 1e300), 'inf in note 0'),
    (np.array([{}]), 'not a whole .npy file'),
  ],
)
def test_bad_frames(tmp_path, values, message):
  path = tmp_path / 'x.npy'
  np.save(path, values, allow_pickle=True)
  with pytest.raises(ValueError, match=message):
    load_frames(path)


def test_bad_files(tmp_path):
  path = tmp_path / 'x.npy'
  with pytest.raises(FileNotFoundError, match='There is no file'):
    load_frames(path)
  np.save(path, fabricated(62))
  path.write_bytes(path.read_bytes()[:-5])
  with pytest.raises(ValueError, match=r'not a whole \.npy file'):
    load_frames(path)


def test_another_width(tmp_path):
  np.save(tmp_path / 'x.npy', np.zeros([7, 5], 'f4'))
  assert load_frames(tmp_path / 'x.npy', 5).shape == (1, 7, 5)
