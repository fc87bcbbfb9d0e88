import json

import pytest

from embedding_rnn.experiments import events
from embedding_rnn.experiments.events import History


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'run.jsonl'


def test_nothing_happened_yet(path):
  assert events.read_history(path) == History()


def test_a_run_that_died_and_was_stopped(path):
  events.record(path, 'submit', id='7_0')
  events.record(path, 'start', id='7_0', host='a')
  events.record(path, 'died', status=137)
  died = events.read_history(path)
  assert died.num_deaths == 1 and '137' in died.error
  events.record(path, 'start', id='8', host='b')
  events.record(path, 'stop')
  history = events.read_history(path)
  assert history.ids == ('7_0', '8') and history.host == 'b'
  assert (history.num_starts, history.num_deaths) == (2, 1)
  assert history.last_event == 'stop' and history.error == ''


def test_an_error_ends_with_the_next_start_and_a_cancel_with_a_submit(path):
  events.record(path, 'error', message='ValueError: no', final=True)
  events.record(path, 'cancel')
  history = events.read_history(path)
  assert history.is_final and history.is_cancelled
  events.record(path, 'submit')
  history = events.read_history(path)
  assert not history.is_final and not history.is_cancelled


def test_torn_and_foreign_lines_are_left_out(path):
  events.record(path, 'start', host='a')
  with path.open('ab') as file:
    file.write(b'{"event": "di\n\xff\xfe\n[]\n{"event": "start"}\n')
    file.write(b'{"event": "start", "host": [7]}\n' + b'[' * 200_000 + b'\n')
  events.record(path, 'stop')
  history = events.read_history(path)
  assert history.num_starts == 1 and history.last_event == 'stop'


def test_lines_are_as_the_batch_script_greps_them(path):
  events.record(path, 'error', message='"final": true', final=False)
  line = path.read_text()
  assert json.loads(line)['message'] == '"final": true'
  assert line.startswith('{"event": "error"') and '"final": false' in line
  assert '"final": true' not in line
