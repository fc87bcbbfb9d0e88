import json
import shutil

import numpy as np
import pytest
from absl import flags

from embedding_rnn.evaluate import __main__ as evaluate
from embedding_rnn.evaluate import baselines, sweep, tables
from embedding_rnn.training import checkpoints

_QUICK = ['--num_importance_samples=1', '--num_decoded_notes=1']


@pytest.fixture
def command(parse_flags, capsys):
  """A function that calls the command and returns its results."""

  def call(*arguments):
    parse_flags(evaluate.define_flags, [*_QUICK, *arguments])
    evaluate.main(['evaluate'])
    return capsys.readouterr().out

  return call


def _read(folder):
  result = json.loads((folder / 'metrics.json').read_text())
  result.pop('sha256', None)  # of the rest
  return result


def test_one_run_with_the_baseline_beside_it(logs, command):
  before = {p for p in logs.rglob('*') if p.is_file()}
  said = command(f'--run_dir={logs / "small"}')
  result = _read(logs / 'small')
  assert result['name'] == 'small'
  assert result['step'] == 7
  assert result['num_decoded_notes'] == 1
  assert result['models']['unconditional']['code_size'] == 0
  table = (logs / 'small' / 'metrics.txt').read_text()
  assert table.strip() == tables.format_metrics(result)
  assert table.strip() in said
  new = {p for p in logs.rglob('*') if p.is_file()} - before
  names = ('metrics.json', 'metrics.txt')
  assert new == {logs / 'small' / name for name in names}


def test_a_sweep_goes_on_after_a_run_that_fails(logs, command, monkeypatch):
  fits = []

  def fit(notes, code_size, fit=baselines.NotePCA.fit):
    fits.append(code_size)
    return fit(notes, code_size)

  monkeypatch.setattr(baselines.NotePCA, 'fit', fit)
  shutil.copytree(logs / 'small', logs / 'again')
  weights = next((logs / 'again').glob('best-*')) / checkpoints.WEIGHTS
  weights.write_bytes(weights.read_bytes()[:-9])
  shutil.copytree(logs / 'small', logs / 'copy')
  with pytest.raises(ValueError, match=r'(?s)2 of 5 runs.*again: .*begun: '):
    command(f'--run_dir={logs}')
  whole = _read(logs)
  assert set(whole['failed']) == {'again', 'begun'}
  assert 'damaged or truncated' in whole['failed']['again']
  assert 'no save named best-*' in whole['failed']['begun']
  names = ['copy', 'small', 'small_unconditional']
  assert list(whole['runs']) == names
  for name in names:
    assert _read(logs / name) == whole['runs'][name]
  assert fits == [4]  # the same data and the same code size
  runs = [whole['runs'][name]['models']['run'] for name in ('copy', 'small')]
  assert runs[0] == runs[1]
  text = (logs / 'metrics.txt').read_text()
  assert text.strip() == sweep.format_runs(whole)
  first = [line.split('  ')[0] for line in text.splitlines()]
  assert first[0].startswith("12 test notes of '")
  assert set(names) < set(first)
  for baseline in ('AR(1)', 'PCA of 4', 'mean frame', 'real notes'):
    assert first.count(baseline) == 1
  assert 'Failed: begun: ' in text


def test_other_notes_have_a_folder_of_their_own(
  logs, command, dataset, tmp_path
):
  rows = dataset.rows['valid'][:5]
  notes, _ = dataset.notes(rows)
  pitches, _ = dataset.midi_numbers(rows)
  path = tmp_path / 'mine.npz'
  np.savez(path, frames=notes, midi_pitch=pitches)
  run_dir = logs / 'small'
  arguments = [f'--run_dir={run_dir}', f'--notes={path}']
  said = command(*arguments, '--temperature_2=0.5')
  assert not (run_dir / 'metrics.json').exists()
  result = _read(run_dir / 'metrics_mine')
  assert (result['notes'], result['split']) == ('mine', None)
  assert result['num_notes'] == 5
  assert '\n5 notes of mine ' in '\n' + said
  models = result['models']
  assert models['run']['controls'] == {'temperature': 1.0, 'temperature_2': 0.5}
  assert models['pca']['mse'] > 0


def test_a_baseline_that_does_not_fit_is_left_out(logs, command, caplog):
  damaged = logs / 'small_unconditional' / checkpoints.HPARAMS
  damaged.write_text('{}')
  command(f'--run_dir={logs / "small"}', f'--output_dir={logs.parent / "out"}')
  assert 'unconditional' not in _read(logs.parent / 'out')['models']
  assert 'Without the unconditional baseline' in caplog.text


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'Set --run_dir'),
    (['--run_dir=no_such_run'], "no runs in 'no_such_run'"),
    (['--run_dir={logs}', '--num_importance_samples=0'], 'samples=0'),
    (['--run_dir={logs}', '--num_decoded_notes=-1'], 'notes=-1'),
    (['--run_dir={logs}', '--seed=-1'], 'seed=-1'),
    (['--run_dir={logs}', '--temperature=0'], 'temperature=0'),
    (['--run_dir={logs}', '--output_dir={logs}/file/out'], 'Cannot write to'),
  ],
)
def test_refuses_bad_flags_before_any_work(
  logs, command, monkeypatch, arguments, message
):
  (logs / 'file').write_text('')
  monkeypatch.setattr(sweep, 'load_run', None)
  errors = (ValueError, OSError, flags.Error)
  with pytest.raises(errors, match=message):
    command(*(argument.format(logs=logs) for argument in arguments))
