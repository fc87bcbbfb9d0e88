import dataclasses
import shutil

import numpy as np

from embedding_rnn.conftest import save_run, tiny_run
from embedding_rnn.evaluate import sweep, tables


def test_runs_of_other_data_have_a_table_of_their_own(
  logs, run, tmp_path, tiny_data_dir
):
  data_dir = tmp_path / 'data'
  shutil.copytree(tiny_data_dir, data_dir)
  splits = np.load(data_dir / 'splits.npy')
  np.save(data_dir / 'splits.npy', splits[::-1].copy())
  save_run(logs / 'other', tiny_run(data_dir, difference_input=1))
  names = 'other', 'small'
  results = sweep.evaluate_runs(
    {name: logs / name for name in names},
    output_dirs={name: tmp_path / 'out' / name for name in names},
    num_importance_samples=1,
    num_decoded_notes=0,
  )
  assert not results['failed']
  written = tables.read_metrics(tmp_path / 'out' / 'other' / 'metrics.json')
  assert written == results['runs']['other']
  assert not (logs / 'other' / 'metrics.json').exists()
  text = sweep.format_runs(results)
  assert text.count('12 test notes of') == 2
  assert 'components of steps between frames' in text
  assert 'in tune' not in text  # there was no audio


def test_without_its_data_a_run_is_measured_on_other_notes(
  logs, run, tmp_path, tiny_data_dir, caplog
):
  info = run.info | {'data_dir': str(tmp_path / 'gone')}
  save_run(logs / 'moved', dataclasses.replace(run, info=info))
  settings = {'num_importance_samples': 1, 'num_decoded_notes': 0}
  moved = {'moved': logs / 'moved'}
  results = sweep.evaluate_runs(moved, notes=tiny_data_dir, **settings)
  assert 'Without baselines' in caplog.text
  result = results['runs']['moved']
  assert list(result['models']) == ['run', 'real']
  assert result['num_notes'] == 36
  assert (logs / 'moved' / 'metrics_data' / 'metrics.txt').exists()
  text = sweep.format_runs(results)
  assert text.startswith(f"36 notes of '{tiny_data_dir}'")
  # Where the data is said to be, or is needed, that is an error.
  for asked in ({'data_dir': tmp_path, 'notes': tiny_data_dir}, {}):
    results = sweep.evaluate_runs(moved, **asked, **settings)
    assert 'moved' in results['failed']


def test_a_run_in_a_folder_that_cannot_be_written_is_not_evaluated(
  logs, monkeypatch
):
  def refuse(folder):
    raise OSError(f'Cannot write to {folder}.')

  monkeypatch.setattr(sweep.files, 'make_output_dir', refuse)
  monkeypatch.setattr(sweep, 'load_run', None)
  results = sweep.evaluate_runs({'small': logs / 'small'})
  assert results['failed']['small'].startswith('Cannot write to')


def test_the_table_of_no_runs_is_what_failed():
  text = sweep.format_runs({'runs': {}, 'failed': {'a': 'no luck'}})
  assert text == 'Failed: a: no luck'
