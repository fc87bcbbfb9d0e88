import base64
import io
import json
import pathlib
import re

import nbclient
import nbformat
import numpy as np
import pytest
import soundfile

import embedding_rnn

_PATH = pathlib.Path(__file__).with_name('tour.ipynb')
_AUDIO = re.compile(
  r'<audio.*?data:audio/(?:flac|wav);base64,([^"]+)"', re.DOTALL
)
# Players under the cells, by what is in these.
_PLAYERS = {
  "note = run.sample('C4'": 1,
  'wishes = [': 4,
  'made = run.reconstruct(': 6,
  'instrument.render(': 1,
  'latents.interpolate(': 5,
  'outline = ': 1,
}
_PROBE = """
import json
print(json.dumps({
  'step': small.step,
  'costs': small.costs['test'],
  'latents': test_z.shape,
  'lengths': np.linalg.norm(path, axis=1).tolist(),
  'ends': np.abs(path[[0, -1]] - z[:2]).max().item(),
  'error': np.square(originals - made).mean().item(),
  'error_of_others': np.square(
    originals - np.roll(made, 1, axis=0)
  ).mean().item(),
}))
"""


@pytest.fixture(scope='module')
def kept():
  """The notebook as it is kept."""
  return nbformat.read(_PATH, as_version=4)


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  """The notebook, run from top to bottom, and a cell more that looks at it."""
  folder = tmp_path_factory.mktemp('tour')
  notebook = nbformat.read(_PATH, as_version=4)
  notebook.cells.append(nbformat.v4.new_code_cell(_PROBE))
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('TMPDIR', str(folder))  # where the notebook trains
    package = pathlib.Path(embedding_rnn.__file__).parent
    patch.setenv('PYTHONPATH', str(package.parent))
    resources = {'metadata': {'path': folder}}
    client = nbclient.NotebookClient(notebook, resources=resources, timeout=900)
    return client.execute()


def outputs(cell, mime):
  return [
    output.data[mime]
    for output in cell.outputs
    if mime in output.get('data', {})
  ]


def sounds(cell):
  """Audio `[samples]` and sample rate of each player under a cell."""
  encoded = [_AUDIO.findall(html) for html in outputs(cell, 'text/html')]
  return [
    soundfile.read(io.BytesIO(base64.b64decode(text)))
    for texts in encoded
    for text in texts
  ]


def code_cells(notebook, word):
  cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
  return [cell for cell in cells if word in cell.source]


def expect_sounds_and_figures(notebook):
  for source, number in _PLAYERS.items():
    (cell,) = code_cells(notebook, source)
    players = sounds(cell)
    assert len(players) == number, source
    for audio, sample_rate in players:
      assert sample_rate == 16000 and 40000 < len(audio) <= 80000
      assert 0.05 < np.abs(audio).max() <= 1
      assert np.sqrt(np.mean(audio**2)) > 0.01
  cells = code_cells(notebook, 'run.plot(') + code_cells(notebook, 'figure, ax')
  assert [len(outputs(cell, 'image/png')) for cell in cells] == [1, 1, 1]


def test_can_be_looked_at_without_being_run(kept):
  nbformat.validate(kept)
  assert _PATH.stat().st_size < 3e6
  expect_sounds_and_figures(kept)
  for cell in code_cells(kept, ''):
    kinds = {output.output_type for output in cell.outputs}
    assert kinds <= {'display_data', 'execute_result'}, cell.source
  assert '/home' not in _PATH.read_text() and '/work' not in _PATH.read_text()


@pytest.mark.slow
def test_sounds_and_shows_its_figures(executed):
  expect_sounds_and_figures(executed)


@pytest.mark.slow
def test_reconstructs_interpolates_and_trains(executed):
  found = json.loads(executed.cells[-1].outputs[0].text)
  # A reconstruction is nearer to its own note than to another.
  assert found['error'] < 0.5 * found['error_of_others']
  assert found['latents'][1] == 32
  assert found['ends'] < 1e-5
  # A turn: the length changes evenly.
  steps = np.diff(found['lengths'])
  np.testing.assert_allclose(steps, steps.mean(), atol=1e-4)
  assert found['step'] == 200
  assert np.isfinite(list(found['costs'].values())).all()
