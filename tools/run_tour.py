"""Runs notebooks/tour.ipynb and keeps what it shows, to be looked at unrun.

Progress bars, and texts of what is shown as HTML or a picture, are left out.

Example:
  python tools/run_tour.py
"""

import pathlib

import nbclient
import nbformat
from absl import app

_PATH = pathlib.Path(__file__).resolve().parents[1] / 'notebooks' / 'tour.ipynb'
_RICH = ('text/html', 'image/png')
_KEPT = ('display_data', 'execute_result')


def main(argv: list[str]) -> None:
  """Runs the notebook where it is."""
  del argv
  notebook = nbformat.read(_PATH, as_version=4)
  client = nbclient.NotebookClient(notebook, timeout=900)
  client.execute()
  for cell in notebook.cells:
    cell.metadata.clear()
    if cell.cell_type == 'code':
      cell.outputs = [
        output
        for output in map(_small, cell.outputs)
        if output.output_type in _KEPT and output.data
      ]
  nbformat.write(notebook, _PATH)


def _small(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
  """An output without what only other programs show."""
  if 'data' in output:
    rich = {kind: x for kind, x in output.data.items() if kind in _RICH}
    is_widget = any('widget' in kind for kind in output.data)
    plain = {
      kind: x
      for kind, x in output.data.items()
      if kind in ('text/plain', 'text/markdown') and not is_widget
    }
    if 'text/markdown' in plain:
      plain.pop('text/plain', None)
    output.data = nbformat.from_dict(rich or plain)
  return output


if __name__ == '__main__':
  app.run(main)
