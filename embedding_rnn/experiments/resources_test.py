import shlex
import subprocess
import sys

import pytest

from embedding_rnn.experiments import resources
from embedding_rnn.experiments.resources import Resources


@pytest.mark.parametrize(
  ('text', 'minutes'),
  [
    ('12', 720),
    ('0.5', 30),
    ('1:30:00', 90),
    ('0:10:01', 11),
    ('2-01:00:00', 49 * 60),
  ],
)
def test_time_flag(text, minutes, parse_flags):
  parse_flags(resources.define_flags, [f'--time={text}'])
  assert resources.resources_from_flags().time_minutes == minutes


@pytest.mark.parametrize('text', ['', '0', '-1', 'nan', 'inf', '1:2', 'soon'])
def test_bad_times(text, parse_flags):
  parse_flags(resources.define_flags, [f'--time={text}'])
  with pytest.raises(ValueError, match=f'--time={text}: expected hours'):
    resources.resources_from_flags()


def test_defaults_of_the_flags_are_those_of_the_class(parse_flags):
  parse_flags(resources.define_flags, [])
  assert resources.resources_from_flags() == Resources()


def test_flags(parse_flags):
  parse_flags(
    resources.define_flags,
    [
      '--gpus=2',
      '--memory_gb=1.5',
      '--array_parallelism=3',
      '--setup=module load cuda',
      '--setup=source env',
      '--python=apptainer exec --nv image.sif python',
      '--slurm=account=me',
    ],
  )
  assert resources.resources_from_flags() == Resources(
    gpus=2,
    memory_gb=1.5,
    array_parallelism=3,
    setup=('module load cuda', 'source env'),
    python='apptainer exec --nv image.sif python',
    slurm=('account=me',),
  )


def test_what_only_a_job_would_get():
  resources.expect_defaults(Resources())
  with pytest.raises(ValueError, match='--time goes with --local=false'):
    resources.expect_defaults(Resources(time_minutes=60))


def test_setup_lets_python_find_the_package_but_not_what_lies_around(tmp_path):
  if sys.version_info >= (3, 11):  # before, there is no PYTHONSAFEPATH
    (tmp_path / 'embedding_rnn.py').write_text('raise RuntimeError("not me")')
  lines = [
    *Resources(setup=('export MINE=1',)).setup_lines(),
    f'{shlex.quote(sys.executable)} -m embedding_rnn.experiments.resources '
    '&& echo $MINE',
  ]
  output = subprocess.check_output(
    ['bash', '-c', '\n'.join(lines)], cwd=tmp_path, text=True, env={}
  )
  assert output == '1\n'
