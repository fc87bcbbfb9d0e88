import json
import os

import pytest

from embedding_rnn.experiments.job import (
  Settings,
  create_job,
  find_job,
  read_job,
)
from embedding_rnn.experiments.resources import Resources
from embedding_rnn.model.hparams import default_hps
from embedding_rnn.utils.files import DamagedFileError


@pytest.fixture
def job(tmp_path):
  runs = {'a': default_hps().parse('z_size=3'), 'b': default_hps()}
  settings = Settings('data', str(tmp_path), seed=3)
  return create_job(
    'sweep', runs, settings, Resources(setup=('x', 'y'), max_restarts=1)
  )


def test_a_job_is_read_as_it_was_created(job):
  assert read_job(job.folder) == job
  assert job.runs['a'].z_size == 3
  assert job.resources.setup == ('x', 'y')


def test_find_job(job, tmp_path):
  second = create_job('sweep', job.runs, job.settings, job.resources)
  third = create_job('alone', job.runs, job.settings, job.resources)
  assert len({job.name, second.name, third.name}) == 3
  for age, each in enumerate((third, second, job)):
    os.utime(each.folder / 'job.json', (10**9 - age, 10**9 - age))
  assert find_job(tmp_path, None) == third
  assert find_job(tmp_path, second.name) == second
  assert find_job('elsewhere', str(job.folder)) == job
  with pytest.raises(FileNotFoundError, match=f"no job 'none' .*{job.name}"):
    find_job(tmp_path, 'none')
  # As of a variable of a shell that is not set; it must not mean the newest.
  with pytest.raises(FileNotFoundError, match="no job ''"):
    find_job(tmp_path, '')
  with pytest.raises(FileNotFoundError, match='log_root'):
    find_job(tmp_path / 'elsewhere', None)


@pytest.mark.parametrize(
  'damage',
  [
    lambda values: values.pop('runs'),
    lambda values: values['settings'].update(colour='blue'),
    lambda values: values['runs']['a'].update(rnn_size='large'),
    lambda values: values.update(resources=3),
    lambda values: values['settings'].update(seed='0'),
    lambda values: values['resources'].update(nodes=1.5),
    lambda values: values.update(experiment=json.loads('[' * 90 + ']' * 90)),
  ],
)
def test_damage_is_named(job, damage):
  path = job.folder / 'job.json'
  values = json.loads(path.read_text())
  damage(values)
  path.write_text(json.dumps(values))
  with pytest.raises(DamagedFileError, match=r'job\.json.*damaged'):
    read_job(job.folder)


def test_a_job_of_the_version_before(job):
  path = job.folder / 'job.json'
  values = json.loads(path.read_text())
  values['resources']['cluster'] = 'slurm'
  path.write_text(json.dumps(values))
  assert read_job(job.folder) == job
  values['resources']['cluster'] = 'local'
  path.write_text(json.dumps(values))
  with pytest.raises(DamagedFileError, match=r"no job of Slurm, but 'local'"):
    read_job(job.folder)


def test_deaths_are_counted(job):
  job.record('a', 'start', host='h')
  job.record_death('a')
  assert job.history('a').num_deaths == 1
  job.record_death('a')  # the same one
  assert job.history('a').num_deaths == 1
  job.record('a', 'start', host='h')
  job.record('a', 'stop')
  job.record_death('a')  # it was asked to
  assert job.history('a').num_deaths == 1
  job.record('a', 'start', host='h')
  job.record_death('a')
  assert job.history('a').num_deaths == 2


def test_what_was_cancelled_or_would_fail_again_is_no_death(job):
  job.record('a', 'cancel')
  job.record('b', 'error', message='ValueError: no', final=True)
  for name in job.runs:
    job.record_death(name)
    assert job.history(name).num_deaths == 0
