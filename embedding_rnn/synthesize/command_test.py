import json

import pytest

from embedding_rnn.conftest import save_run
from embedding_rnn.evaluate import measures, tables
from embedding_rnn.synthesize import command, page


@pytest.mark.parametrize('content', ['{', '[1]', 'null', '{"models": {}}'])
def test_metrics_that_are_none_are_refused_before_work(
  run, tmp_path, parse_flags, content
):
  folder = tmp_path / 'run'
  save_run(folder, run)
  (folder / tables.METRICS).write_text(content)
  parse_flags(command.define_flags, [f'--run_dir={folder}'])
  with pytest.raises(ValueError, match=r'metrics\.json.*measure the run again'):
    command.main(['synthesize'])
  assert not (folder / 'synthesis').exists()


def test_metrics_of_other_weights_are_left_out(
  run, tmp_path, parse_flags, caplog
):
  folder = tmp_path / 'run'
  save_run(folder, run)
  result = measures.evaluate(
    run, run.open_dataset(), num_importance_samples=1, num_decoded_notes=0
  )
  arguments = f'--run_dir={folder} --num_notes=0 --pitches=60 --just_figures'
  parse_flags(command.define_flags, arguments.split())
  for step, is_shown in ((7, True), (8, False)):
    tables.write_metrics(folder, result | {'step': step})
    with caplog.at_level('WARNING', logger='absl'):
      command.main(['synthesize'])
    html = (folder / 'synthesis' / page.FILE_NAME).read_text()
    assert ('negative log likelihood' in html) == is_shown
    assert (f'is of step {step}' in caplog.text) != is_shown
  summary = json.loads((folder / 'synthesis' / 'summary.json').read_text())
  assert summary['step'] == 7 and summary['run'] == 'run'


@pytest.mark.parametrize(
  ('arguments', 'error', 'message'),
  [
    ('', ValueError, 'Set either --run_dir'),
    ('--run_dir=x --pitches=60,H4', ValueError, "pitch 'H4': expected"),
    ('--run_dir=x --gap=1,b', ValueError, '--gap=1,b: expected whole'),
    ('--run_dir=x --alphas=0.5,half', ValueError, 'half: expected numbers'),
    ('--run_dir=x --temperature=0', ValueError, 'temperature=0'),
    ('--run_dir=no_such_run', FileNotFoundError, 'no_such_run'),
  ],
)
def test_command_refuses_bad_flags(parse_flags, arguments, error, message):
  parse_flags(command.define_flags, arguments.split())
  with pytest.raises(error, match=message):
    command.main(['synthesize'])
