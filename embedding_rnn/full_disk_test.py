"""Every command on a disk that gets full: what it says, and that it helps.

The disks are real ones of some kilobytes, in memory, which only the processes
of the test see.
"""

import ctypes
import errno
import gc
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import traceback

import mido
import numpy as np
import pytest
import soundfile

from embedding_rnn.conftest import CHILDREN, TINY
from embedding_rnn.data.notes import make_notes
from embedding_rnn.data.preparation.sources import open_source
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.nsynth.conftest import TINY_RUN, tiny_hps
from embedding_rnn.nsynth.train import training as wavenet_training
from embedding_rnn.training import training
from embedding_rnn.utils import files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('children')]

SEED, NUM_MOMENTS = 0, 2
WHOLE_KB = 100_000
TIMEOUT = 120  # seconds, after which a command hangs
# DISK is where it writes, IN what it reads.
COMMANDS = {
  'train': f'train --experiment=short_test --exp_name=x --hparam={TINY} '
  '--data_dir=IN/data --log_root=DISK/logs',
  'data_dir': 'train --experiment=short_test --exp_name=x '
  f'--hparam={TINY.replace("size=4,num_steps=4", "size=256,num_steps=1")} '
  '--data_dir=DISK/notes --log_root=DISK/logs',
  'synthesize': 'synthesize --run_dir=IN/run --output_dir=DISK/out '
  '--num_notes=1 --pitches=60',
  'evaluate': 'evaluate --run_dir=IN/run --output_dir=DISK/out '
  '--num_importance_samples=1 --num_decoded_notes=0',
  'encode': 'encode --source=IN/wavs --output_dir=DISK/out',
  'encode, by two': 'encode --source=IN/wavs --output_dir=DISK/out '
  '--processes=2',
  'instrument': 'instrument --run_dir=IN/run --output_dir=DISK/out '
  '--keys=60,64',
  'play': 'play --run_dir=IN/run --midi=IN/song.mid --output=DISK/song.wav',
  'export': 'export --run_dir=IN/run --output_dir=DISK/out/1',
  'nsynth.train': f'nsynth.train --hparam={TINY_RUN} '
  '--source=IN/wavs --log_root=DISK/logs --exp_name=x',
  'nsynth.generate': 'nsynth.generate --source=IN/frames.npy '
  '--output_dir=DISK/out --nsynth_checkpoint_path=IN/wavenet',
  'make_notes': 'data.notes.make_notes --limit=3 --output_dir=DISK/out',
  'make_notes --dense': 'data.notes.make_notes --limit=3 --dense '
  f'--soundfont={make_notes.DEFAULT_SOUNDFONT} --output_dir=DISK/out',
}
AGAIN = 'the first command, with --resume if it said so'
_NEW_MOUNTS = 0x00020000  # for unshare


@pytest.fixture(scope='module')
def inputs(tmp_path_factory, tiny_data_dir, fabricated_notes):
  """What the commands read."""
  folder = tmp_path_factory.mktemp('inputs')
  shutil.copytree(tiny_data_dir, folder / 'data')
  hps = default_hps().parse(TINY)
  training.train(hps, folder / 'data', folder / 'run')
  (folder / 'wavs').mkdir()
  for note in fabricated_notes:
    soundfile.write(folder / 'wavs' / f'{note.name}.wav', note.audio, 16_000)
  frames = np.random.default_rng(0).normal(size=(2, 6, 4))
  np.save(folder / 'frames.npy', frames.astype(np.float32))
  track = mido.MidiTrack()
  for kind, time in (('note_on', 0), ('note_off', 240)):
    track.append(mido.Message(kind, note=60, velocity=90, time=time))
  song = mido.MidiFile()
  song.tracks.append(track)
  song.save(folder / 'song.mid')
  hps = tiny_hps('num_steps=1')
  wavenet_training.train(hps, open_source(folder / 'wavs'), folder / 'wavenet')
  return folder


def _on_a_disk(disk, num_kb, result_path, steps):
  """Takes steps (a command line, or a new size of the disk) on a new disk.

  Writes for each command its status and what it said, what files there are, and
  how many kB they take.
  """
  libc = ctypes.CDLL(None, use_errno=True)
  if libc.unshare(_NEW_MOUNTS):
    if ctypes.get_errno() != errno.EPERM:
      raise OSError(ctypes.get_errno(), 'unshare')
    pathlib.Path(result_path).write_text('null')
    return
  subprocess.run(['mount', '--make-rprivate', '/'], check=True)
  size = ['mount', '-t', 'tmpfs', '-o', f'size={num_kb}k', 'none', disk]
  subprocess.run(size, check=True)
  gc.freeze()  # The commands need not look at what was imported.
  results: list = []
  for step in steps:
    if isinstance(step, int):
      size = ['mount', '-o', f'remount,size={step}k', disk]
      subprocess.run(size, check=True)
      continue
    said = f'{result_path}.said'
    line = step
    if step == AGAIN:
      line = steps[0] + ' --resume' * ('--resume' in results[-1][1])
    child = os.fork()
    if not child:
      os._exit(_run(line, said))
    _, status = os.waitpid(child, 0)
    names = sorted(
      str(path.relative_to(disk))
      for path in pathlib.Path(disk).rglob('*')
      if path.is_file()
    )
    text = pathlib.Path(said).read_text(errors='replace')
    used = shutil.disk_usage(disk).used // 1024
    results.append((os.waitstatus_to_exitcode(status), text, names, used))
  pathlib.Path(result_path).write_text(json.dumps(results))


def _run(line, said):
  """Runs a command in this process, which is to end then; -> its status."""
  file = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
  for stream in (1, 2):
    os.dup2(file, stream)
  # Most know before they begin; but then the disk gets full in between.
  files.expect_space = lambda *_: None
  name, *arguments = line.split()
  module = 'embedding_rnn'
  if '.' in name:
    module = f'embedding_rnn.{name}'
  else:
    arguments = [name, *arguments]
  sys.argv = [module, *arguments]
  status = 0
  try:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
  except SystemExit as stop:
    status = stop.code or 0
  except BaseException:
    traceback.print_exc()
    status = 99
  sys.stdout.flush()
  sys.stderr.flush()
  return status


@pytest.fixture
def on_a_disk(tmp_path):
  """Runs steps of `_on_a_disk`; -> its results."""
  disk = tmp_path / 'disk'
  disk.mkdir()

  def run(num_kb, *steps):
    path = tmp_path / 'result.json'
    path.unlink(missing_ok=True)
    steps = [
      s if isinstance(s, int) else s.replace('DISK', str(disk)) for s in steps
    ]
    child = CHILDREN.Process(
      target=_on_a_disk, args=(str(disk), num_kb, str(path), steps)
    )
    child.start()
    child.join(TIMEOUT)
    assert child.exitcode is not None, 'it hangs'
    assert child.exitcode == 0
    results = json.loads(path.read_text())
    if results is None:
      pytest.skip('needs a disk of its own, which only root can have')
    return results

  run.path = disk
  return run


def _lasting(names):
  """What must be the same after any number of attempts."""
  return {name for name in names if 'tfevents' not in name}


@pytest.mark.parametrize('name', COMMANDS)
def test_a_full_disk(name, inputs, on_a_disk):
  if 'make_notes' in name and not (
    pathlib.Path(make_notes.DEFAULT_SOUNDFONT).exists()
  ):
    pytest.skip('needs a soundfont')
  line = COMMANDS[name].replace('IN', str(inputs))
  ((status, said, whole, used),) = on_a_disk(WHOLE_KB, line)
  assert status == 0, said
  rng = np.random.default_rng(SEED)
  for num_kb in rng.integers(1, max(2, int(0.9 * used)), NUM_MOMENTS).tolist():
    first, again = on_a_disk(num_kb, line, WHOLE_KB, AGAIN)
    status, said, names, _ = first
    errors = re.findall('^Error: .*', said, re.MULTILINE)
    assert status == 1 and len(errors) == 1, (num_kb, said)
    assert 'Traceback' not in said and 'make room' in errors[0], said
    assert f"'{on_a_disk.path}/" in errors[0], said
    assert not [n for n in names if n.endswith('.tmp') or '.tmp/' in n], said
    # What is said to do is done.
    status, said, names, _ = again
    assert status == 0, (num_kb, errors, said)
    assert _lasting(names) == _lasting(whole)
