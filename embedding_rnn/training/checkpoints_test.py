"""Tests of checkpoints.py: the folder of a run."""

import shutil

import keras
import numpy as np
import pytest
from absl import logging

from embedding_rnn import embedding_rnn
from embedding_rnn.data.transforms import Transforms
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import checkpoints
from embedding_rnn.training.checkpoints import BEST, LAST
from embedding_rnn.utils import files
from embedding_rnn.utils.files import DamagedFileError

TINY = (
  'rnn_size=4,enc_rnn_size=3,z_size=2,num_mixture=2,seq_width=4,max_seq_len=6,'
  'num_layers=2,hyper_lstm_size=3,hyper_embedding_size=2,model=hyper,'
  'pca_dim_reduce=1,n_pca_components=3'
)


@pytest.fixture(scope='module')
def original(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'original'
  hps = default_hps().parse(TINY)
  hps.add_hparam('mine', 0.1)
  frames = np.random.default_rng(0).normal(size=(9, 6, 4))
  transforms = Transforms.fit(hps, [frames])
  run = checkpoints.RunFiles(hps, transforms, {'seed': 3, 'codec': 'x'})
  checkpoints.create_run(folder, run)
  return folder, run


@pytest.fixture
def folder(original, tmp_path):
  return shutil.copytree(original[0], tmp_path / 'run')


@pytest.fixture
def warnings(monkeypatch):
  messages = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *args: messages.append(text % args)
  )
  return messages


def write(folder, kind, step):
  return checkpoints.write_save(
    folder,
    kind,
    step,
    {
      'weights.npz': {'w': np.full(3, step)},
      'state.json': {'step': step},
      'log': b'x',
    },
  )


def read(folder, kind):
  def contents(checked):
    checked.read('log')
    state = checked.read_json('state.json')
    return state['step'], checked.read_arrays('weights.npz')['w'][0]

  return checkpoints.read_save(folder, kind, contents)


def steps(folder, kind):
  return [save.step for save in checkpoints.list_saves(folder, kind)]


def test_files_of_a_run(folder, original):
  _, written = original
  run = checkpoints.read_run(folder)
  assert run.hps == written.hps and run.info == written.info
  assert type(run.hps.kl_weight) is float and type(run.hps.rnn_size) is int
  for name, array in written.transforms.pca.to_arrays().items():
    np.testing.assert_array_equal(run.transforms.pca.to_arrays()[name], array)


@pytest.mark.parametrize(
  'name', ['hparams.json', 'transforms.npz', 'run.json', 'manifest.json']
)
def test_damaged_files_of_a_run(folder, name):
  path = folder / name
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  with pytest.raises(DamagedFileError, match=name):
    checkpoints.read_run(folder)
  path.write_bytes(content[:-2] + bytes([content[-2] ^ 4]) + content[-1:])
  with pytest.raises(DamagedFileError, match=name):
    checkpoints.read_run(folder)
  write(folder, LAST, 1)  # Or without a manifest it is no run.
  path.unlink()
  with pytest.raises(DamagedFileError, match=rf"{name}' is missing.*restore"):
    checkpoints.read_run(folder)


def test_missing_run(folder, tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no run at.*are: run\.'):
    checkpoints.read_run(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match=r'no run at.*are: run\.'):
    checkpoints.read_run(tmp_path)
  with pytest.raises(FileNotFoundError, match='best-'):
    read(folder, BEST)
  assert checkpoints.is_run(folder) and not checkpoints.is_run(tmp_path)


def test_one_earlier_save_is_kept(folder):
  for step in (4, 8, 12):
    save = write(folder, LAST, step)
    assert save == (step, folder / f'last-{step:08d}')
  write(folder, BEST, 4)
  assert steps(folder, LAST) == [8, 12]
  assert steps(folder, BEST) == [4]
  write(folder, LAST, 12)
  assert steps(folder, LAST) == [8, 12]
  # Training that went back behind a damaged save leaves it behind.
  write(folder, LAST, 10)
  assert steps(folder, LAST) == [8, 10]
  assert read(folder, LAST)[1] == (10, 10)
  (folder / '.last-00000016.7.tmp').mkdir()
  assert steps(folder, LAST) == [8, 10]


@pytest.mark.parametrize(
  'name', ['weights.npz', 'state.json', 'log', 'manifest.json']
)
@pytest.mark.parametrize('damage', ['flip', 'truncate', 'remove'])
def test_the_previous_save_stands_in(folder, warnings, name, damage):
  for step in (4, 8):
    write(folder, LAST, step)
  for step, other in ((8, 4), (4, None)):
    path = folder / f'last-{step:08d}' / name
    content = bytearray(path.read_bytes())
    if damage == 'remove':
      path.unlink()
    else:
      content[len(content) // 2] ^= 1
      path.write_bytes(content if damage == 'flip' else content[:-3])
    if other:
      save, values = read(folder, LAST)
      assert save.step == 4 and values == (4, 4)
      (message,) = warnings
      assert 'last-00000004' in message
      assert 'last-00000008/' in message
  with pytest.raises(DamagedFileError) as info:
    read(folder, LAST)
  assert 'last-00000008/' in str(info.value)
  assert 'last-00000004/' in str(info.value)
  if damage != 'flip':  # Or a damaged manifest accuses a file.
    assert name in str(info.value)


def test_damage_elsewhere_is_reported(folder, warnings):
  for step in (4, 8):
    write(folder, BEST, step)
    used = write(folder, LAST, step)
  checkpoints.warn_of_damage(folder, used)
  assert not warnings
  damaged = [
    f'{save}/{name}'
    for save in ('last-00000004', 'best-00000004', 'best-00000008')
    for name in ('log', files.MANIFEST)
  ]
  for name in damaged:
    (folder / name).write_bytes(b'other')
    checkpoints.warn_of_damage(folder, used)
    assert name in warnings[-1]
  assert len({message.split("'")[1] for message in warnings}) == len(damaged)


def test_model_and_optimizer_round_trip(original):
  hps = original[1].hps
  # Names must not depend on how many models there were before.
  models = [embedding_rnn.Model(hps) for _ in range(2)]
  optimizers = [embedding_rnn.make_optimizer(hps) for _ in range(2)]
  rng = np.random.default_rng(0)
  for model, optimizer in zip(models, optimizers, strict=True):
    optimizer.build(model.trainable_variables)
  for variable in models[0].weights + optimizers[0].variables[1:]:
    variable.assign(rng.normal(size=variable.shape))
  optimizers[0].iterations.assign(7)
  weights = checkpoints.weights_of(models[0])
  state = checkpoints.optimizer_state_of(optimizers[0])
  assert len(weights) == len(models[0].weights)
  assert len(state) == 2 * len(weights) + 1
  checkpoints.assign_weights(models[1], weights, 'x')
  checkpoints.assign_optimizer_state(optimizers[1], state, 'x')
  for a, b in zip(
    models[0].weights + optimizers[0].variables,
    models[1].weights + optimizers[1].variables,
    strict=True,
  ):
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_arrays_that_do_not_fit():
  model = keras.Sequential([keras.layers.Dense(2, name='d')])
  model.build((None, 3))
  good = checkpoints.weights_of(model)
  kernel, bias = good
  for arrays, message in (
    ({kernel: good[kernel]}, f'missing {bias}'),
    (good | {'extra': np.zeros(2)}, 'left over extra'),
    (good | {bias: np.ones(3)}, rf'{bias} is \(3,\), expected \(2,\)'),
    (good | {bias: np.array([0, np.nan])}, f'{bias} holds what is not a fin'),
    (good | {bias: np.array(['a', 'b'])}, f'{bias} holds what is not a fin'),
  ):
    with pytest.raises(DamagedFileError, match=message):
      checkpoints.assign_weights(model, arrays, 'file')
    for name, array in checkpoints.weights_of(model).items():
      np.testing.assert_array_equal(array, good[name])


def test_lock(tmp_path):
  with checkpoints.locked(tmp_path):
    with (
      pytest.raises(BlockingIOError, match=r'another process \(process \d+ on'),
      checkpoints.locked(tmp_path),
    ):
      pass
    (tmp_path / '.lock').write_bytes(b'\xff damaged')
    with (
      pytest.raises(BlockingIOError, match='another process'),
      checkpoints.locked(tmp_path),
    ):
      pass
  with checkpoints.locked(tmp_path):
    pass


def test_a_lost_best_save_is_noticed(tmp_path, caplog):
  def read(save):
    return save.read_json(checkpoints.COSTS)

  for step in (1, 2):
    costs = {checkpoints.COSTS: {'valid': {}}}
    checkpoints.write_save(tmp_path, checkpoints.BEST, step, costs)
    state = {checkpoints.STATE: {'best_step': step}}
    last = checkpoints.write_save(tmp_path, checkpoints.LAST, step, state)
  save, _ = checkpoints.read_save(tmp_path, checkpoints.BEST, read)
  checkpoints.warn_of_damage(tmp_path, last)
  assert save.step == 2 and not caplog.messages
  files.remove_folder(save.path)
  save, _ = checkpoints.read_save(tmp_path, checkpoints.BEST, read)
  assert save.step == 1 and 'best of this run was of step 2' in caplog.text
  caplog.clear()
  checkpoints.warn_of_damage(tmp_path, last)
  assert 'lost: the best save, of step 2' in caplog.text
  files.remove_folder(save.path)
  # To go on would not bring it back.
  with pytest.raises(files.DamagedFileError, match=r'step 2; restore it'):
    checkpoints.read_save(tmp_path, checkpoints.BEST, read)
