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
_AUDIO = re.compile(r'<audio.*?data:audio/wav;base64,([^"]+)"', re.DOTALL)
_PROBE = """
import json
print(json.dumps({
  'sizes': [int(hps.rnn_size), int(run.model.hps.rnn_size)],
  'step': run.step,
  'costs': run.costs['test'],
  'latents': z.shape,
  'lengths': np.linalg.norm(path, axis=1).tolist(),
  'ends': np.abs(path[[0, -1]] - ends).max().item(),
  'error': errors.mean().item(),
  'error_of_others': np.square(
    originals - np.roll(reconstructions, 1, axis=0)
  ).mean().item(),
}))
"""


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


def test_is_kept_without_outputs():
  notebook = nbformat.read(_PATH, as_version=4)
  nbformat.validate(notebook)
  assert all(
    not cell.outputs and cell.execution_count is None
    for cell in code_cells(notebook, '')
  )


@pytest.mark.slow
def test_sounds_as_it_says(executed):
  expected = {
    "for family in ('string', 'mallet')": 2,
    'run.reconstruct(': 6,
    'run.sample(new_pitches': 3,
    'run.sample(scale': 1,
    'latents.interpolate(': 5,
  }
  for source, number in expected.items():
    (cell,) = code_cells(executed, source)
    players = sounds(cell)
    assert len(players) == number
    for audio, sample_rate in players:
      assert (len(audio), sample_rate) == (64000, 16000)
      assert np.abs(audio).max() == pytest.approx(1, abs=0.01)
      assert np.sqrt(np.mean(audio**2)) > 0.01


@pytest.mark.slow
def test_shows_its_figures(executed):
  cells = code_cells(executed, 'figures.') + code_cells(executed, 'plt.sub')
  pictures = [outputs(cell, 'image/png') for cell in cells]
  assert [len(some) for some in pictures] == [1, 1, 1, 1]


@pytest.mark.slow
def test_trains_encodes_and_interpolates(executed):
  found = json.loads(executed.cells[-1].outputs[0].text)
  assert found['sizes'] == [64, 64]
  assert found['step'] == 300
  assert np.isfinite(list(found['costs'].values())).all()
  # A reconstruction is nearer to its own note than to another.
  assert found['error'] < 0.9 * found['error_of_others']
  assert found['latents'][1] == 32
  assert found['ends'] < 1e-5
  # A turn: the length changes evenly.
  steps = np.diff(found['lengths'])
  np.testing.assert_allclose(steps, steps.mean(), atol=1e-4)
