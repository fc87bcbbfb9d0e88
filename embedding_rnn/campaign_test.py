"""A few attacks of each kind on all commands; tools/campaign makes many."""

import pathlib
import subprocess
import sys

import pytest

_CAMPAIGN = pathlib.Path(__file__).parents[1] / 'tools' / 'campaign'
_SEED = 0
_COUNTS = {'bad_inputs': 24, 'damages': 3, 'kills': 2}


@pytest.mark.slow
def test_attacks(tmp_path):
  options = [f'--{name}={count}' for name, count in _COUNTS.items()]
  folder = f'--work_dir={tmp_path / "campaign"}'
  child = subprocess.run(
    [sys.executable, _CAMPAIGN, f'--seed={_SEED}', folder, *options],
    capture_output=True,
    text=True,
    check=False,
  )
  assert child.returncode == 0, child.stdout + child.stderr
  for name, count in _COUNTS.items():
    assert f'{name} ' in child.stdout
    (row,) = (x for x in child.stdout.splitlines() if x.startswith(name))
    assert row.split()[1:3] == [str(count), '0']
