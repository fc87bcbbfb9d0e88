import csv
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

from embedding_rnn.data.transforms import Transforms
from embedding_rnn.experiments import report
from embedding_rnn.experiments.job import Settings, create_job, find_runs
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.training import checkpoints
from embedding_rnn.utils import files


def write_run(
  folder, text='', valid=None, test=None, step=20, seed=0, widths=(1, 2)
):
  """A run of 20 steps as training leaves it; costs are (r_cost, raw_kl)."""
  hps = default_hps().parse('num_steps=20,save_every=10').parse(text)
  hps.add_hparam('widths', list(widths))
  frames = np.random.default_rng(0).normal(size=(9, 6, hps.seq_width))
  checkpoints.create_run(
    folder,
    checkpoints.RunFiles(
      hps,
      Transforms.fit(hps, [frames]),
      {'seed': seed, 'num_params': 7000 + hps.z_size},
    ),
  )
  for number in (10, 20)[: step // 10]:
    state = {
      'step': number,
      'evaluated_step': number,
      'best_step': 10,
      'best_cost': None,
      'seconds': 1234.5 * number,
      'totals': [0.0] * 4,
      'num_totals': 0,
      'num_steps': hps.num_steps,
      'save_every': hps.save_every,
    }
    checkpoints.write_save(folder, 'last', number, {'state.json': state})
  if valid:
    costs = {'valid': _costs(hps, *valid), 'test': _costs(hps, *test)}
    checkpoints.write_save(folder, 'best', 10, {'costs.json': costs})


def _costs(hps, r_cost, raw_kl):
  kl_cost = max(raw_kl, hps.kl_tolerance)
  cost = r_cost + hps.kl_weight * kl_cost
  return dict(cost=cost, r_cost=r_cost, kl_cost=kl_cost, raw_kl=raw_kl)


def read_csv(folder):
  with (folder / 'report.csv').open(newline='') as file:
    return list(csv.DictReader(file))


@pytest.fixture
def sweep(tmp_path):
  """A folder with a sweep of z_size in all states, and a folder of jobs."""
  root = tmp_path / 'my sweep'
  third = 1 / 3
  write_run(root / 'z8', 'z_size=8', (third, 0.1), (0.4, 0.1))
  write_run(root / 'z9', 'z_size=9', (0.2, 0.7), (0.3, 0.8), step=10)
  write_run(root / 'z10', 'z_size=10', (0.1, third), (0.25, 0.3))
  write_run(root / 'z11', 'z_size=11', step=0)
  write_run(root / 'z12', 'z_size=12', (math.nan, 1.0), (0.0, 1.0))
  write_run(root / 'z13', 'z_size=13', (0.0, 0.0), (0.0, 0.0))
  path = root / 'z13' / 'hparams.json'
  path.write_text(path.read_text().replace('13', '14'))
  (root / 'jobs').mkdir()
  return root


def test_csv_has_every_run_in_full_precision_best_first(sweep):
  report.write_report(sweep)
  rows = read_csv(sweep)
  assert [row['run'] for row in rows] == 'z10 z8 z9 z11 z12 z13'.split()
  best, second, unfinished, begun, no_number, damaged = rows
  assert {row['state'] for row in (best, second, no_number)} == {'finished'}
  assert (unfinished['state'], unfinished['step']) == ('unfinished', '10')
  assert (begun['state'], begun['step']) == ('unfinished', '0')
  assert damaged['state'] == 'damaged' and 'hparams.json' in damaged['problem']
  assert float(best['valid_cost']) == 0.1 + 1 / 3
  assert float(best['valid_raw_kl']) == float(best['valid_kl_cost']) == 1 / 3
  assert float(second['valid_r_cost']) == 1 / 3
  assert (second['valid_raw_kl'], second['valid_kl_cost']) == ('0.1', '0.2')
  assert float(second['test_cost']) == 0.4 + 0.2
  assert float(second['hours']) == 1234.5 * 20 / 3600
  assert (second['num_steps'], second['best_step']) == ('20', '10')
  assert second['num_params'] == '7008'
  assert [row['z_size'] for row in rows] == ['10', '8', '9', '11', '12', '']
  assert 'kl_weight' not in best
  for row, key in (
    (begun, 'valid_cost'),
    (no_number, 'valid_cost'),
    (damaged, 'step'),
  ):
    assert row[key] == ''


def test_text_has_every_run_best_first(sweep):
  lines = report.write_report(sweep).splitlines()
  assert lines[0] == '6 runs: 3 finished, 2 unfinished, 1 damaged'
  table = [line.split() for line in lines[4:9]]
  assert table[0][:7] == 'z10 finished 0.433 0.550 0.100 0.333 0.333'.split()
  assert table[1][:7] == 'z8 finished 0.533 0.600 0.333 0.200 0.100'.split()
  assert table[2][:6] == 'z9 10 of 20 0.900 1.100'.split()
  assert table[3][:6] == 'z11 0 of 20 - -'.split()
  assert table[1][-5:] == ['10', '20', '6.858', '7008', '8']
  assert 'group' not in '\n'.join(lines)
  (problem,) = [line for line in lines if line.startswith('Damaged: z13')]
  assert 'hparams.json' in problem and 'SHA-256' in problem
  assert (sweep / 'report.png').read_bytes().startswith(b'\x89PNG')


def test_costs_on_different_scales_are_grouped(tmp_path):
  for name, text, r_cost in (
    ('raw0', 'n_pca_components=3', 1.0),
    ('pca', 'pca_dim_reduce=1', -1.0),
    ('pca_d0', 'pca_dim_reduce=1,difference_input=0', -2.0),
    ('raw1', 'difference_input=0,n_pca_components=5', 0.5),
    ('kl', 'kl_weight=0.0625', 0.2),
    ('unc', 'unconditional=1,min_learning_rate=0.0001', 0.7),
  ):
    write_run(tmp_path / name, text, (r_cost, 0.5), (0.0, 0.5))
  text = report.write_report(tmp_path)
  rows = read_csv(tmp_path)
  assert [(row['group'], row['run']) for row in rows] == [
    ('1', 'pca_d0'),
    ('2', 'pca'),
    ('3', 'kl'),
    ('4', 'raw1'),
    ('4', 'unc'),
    ('4', 'raw0'),
  ]
  pca = 'pca_dim_reduce=1, n_pca_components=6, kl_weight=1.0'
  assert f'1: difference_input=0, {pca}\n' in text
  assert f'2: difference_input=1, {pca}\n' in text
  assert '3: pca_dim_reduce=0, kl_weight=0.0625\n' in text
  assert '4: pca_dim_reduce=0, kl_weight=1.0\n' in text
  assert "unconditional run's cost has no KL term" in text
  assert ' 0.0001' in text and ' 0.0625' in text


def test_a_job_has_the_runs_of_its_record_also_after_a_move(tmp_path):
  root = tmp_path / 'logs'
  plan = {f'z{z}': default_hps().parse(f'z_size={z}') for z in (1, 2)}
  settings = Settings('data', str(root))
  job = create_job('z_size_sweep', plan, settings, Resources())
  write_run(root / 'z2', 'z_size=2', (0.2, 0.3), (0.3, 0.3))
  write_run(root / 'other', 'z_size=3', (0.1, 0.3), (0.3, 0.3))
  moved = root.rename(tmp_path / 'elsewhere')
  folder = moved / job.folder.relative_to(root)
  text = report.write_report(folder)
  assert text.startswith('2 runs: 1 finished, 1 not started\n')
  assert 'Not started: z1\n' in text
  rows = [(row['run'], row['state']) for row in read_csv(folder)]
  assert rows == [('z2', 'finished'), ('z1', 'not started')]


def test_one_run(sweep, monkeypatch):
  monkeypatch.chdir(sweep / 'z8')
  assert report.write_report('.').startswith('1 run: 1 finished\n')
  (row,) = read_csv(sweep / 'z8')
  assert row['run'] == 'z8' and float(row['valid_cost']) == 1 / 3 + 0.2


def test_seeds_and_settings_of_users_are_told(tmp_path):
  for seed in (3, 4, 5):
    write_run(
      tmp_path / str(seed),
      valid=(seed, 1.0),
      test=(0.0, 1.0),
      seed=seed,
      widths=[seed],
    )
  report.write_report(tmp_path)
  rows = [(row['seed'], row['widths']) for row in read_csv(tmp_path)]
  assert rows == [('3', '[3]'), ('4', '[4]'), ('5', '[5]')]


def test_a_lost_best_save_is_told(tmp_path):
  for name in ('older', 'none'):
    write_run(tmp_path / name, valid=(0.5, 0.1), test=(0.5, 0.1))
  best = tmp_path / 'older' / 'best-00000010'
  best.rename(best.with_name('best-00000005'))
  shutil.rmtree(tmp_path / 'none' / 'best-00000010')
  text = report.write_report(tmp_path)
  assert 'older: its best save, of step 10, is lost' in text
  assert 'none: The run at' in text and 'has lost its best-* saves' in text
  rows = {row['run']: row for row in read_csv(tmp_path)}
  assert rows['older']['best_step'] == '5'
  assert rows['none']['state'] == 'damaged'


def test_without_costs_there_is_no_figure(tmp_path):
  write_run(tmp_path / 'z', step=10)
  assert 'a figure needs' in report.write_report(tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == {'z', 'report.csv'}


def test_where_nothing_can_be_written_the_table_is_shown(tmp_path):
  write_run(tmp_path / 'a', valid=(0.5, 0.25), test=(0.5, 0.25))
  (tmp_path / 'report.csv').mkdir()  # so that none can be written
  text = report.write_report(tmp_path)
  assert '0.750' in text
  assert f"Nothing is written: '{tmp_path / 'report.csv'}' is a" in text


def test_nothing_to_report(tmp_path):
  (tmp_path / 'file').write_text('')
  for path in (tmp_path, tmp_path / 'nowhere', tmp_path / 'file'):
    with pytest.raises(FileNotFoundError, match=r'no runs in .*--log_root'):
      report.write_report(path)


def test_a_flipped_bit_in_any_file_is_told(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    'absl.logging.warning', lambda text, *args: warnings.append(text % args)
  )
  run = tmp_path / 'run'
  write_run(run, '', (0.2, 0.3), (0.3, 0.3))
  paths = [path for path in sorted(run.rglob('*')) if path.is_file()]
  assert len(paths) == 4 + 2 * 2 + 2
  before = report.collect({'run': run}).rows[0]
  for path in paths:
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 1])
    path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    warnings.clear()
    (row,) = report.collect({'run': run}).rows
    if row['state'] == 'damaged':
      assert path.name in row['problem'] or files.MANIFEST in row['problem']
    elif path.parent.name == 'last-00000020':
      assert row['step'] == 10 and str(path.parent) in warnings[0]
    else:  # an older save, which nobody needed
      assert path.parent.name == 'last-00000010' and row == before
    path.write_bytes(content)
    lost = shutil.move(path, tmp_path / 'lost')
    (row,) = report.collect(find_runs(run)).rows
    assert row != before or path.parent.name == 'last-00000010'
    shutil.move(lost, path)


def test_tensorflow_is_not_needed():
  code = (
    'import sys; from embedding_rnn.experiments import report; '
    "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
  )
  subprocess.run([sys.executable, '-c', code], check=True)
