import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / 'build' / 'peers'


@pytest.mark.slow
@pytest.mark.skipif(
  not (ENVIRONMENT / 'complete').exists(),
  reason='no PyTorch: python benchmarks/peers.py --check installs it',
)
def test_the_peers_compute_our_costs_from_our_weights():
  command = [sys.executable, HERE / 'peers.py', '--check']
  done = subprocess.run(command, check=False, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  rows = [line for line in done.stdout.splitlines() if ' PyTorch ' in line]
  assert len(rows) == 5
