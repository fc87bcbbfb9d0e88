"""The documents say what is there."""

import importlib.util
import pathlib
import re

import pytest

import embedding_rnn

ROOT = pathlib.Path(__file__).parents[1]
PAPERS = [
  *('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'CITATION.cff'),
  *(f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('*.md'))),
]


@pytest.fixture(params=PAPERS)
def paper(request):
  return ROOT / request.param


def test_links_lead_to_files(paper):
  links = re.findall(r'\]\((?!https?:)([^)#]+)', paper.read_text())
  missing = [link for link in links if not (paper.parent / link).exists()]
  assert not missing


def test_named_files_exist(paper):
  named = re.findall(
    r'`((?:embedding_rnn|docs|tools|notebooks)/[\w./]+)`', paper.read_text()
  )
  assert not [name for name in named if not (ROOT / name).exists()]


def test_python_imports_what_is_there(paper):
  text = paper.read_text()
  imports = re.findall(r'^from embedding_rnn.* import .*$', text, re.M)
  exec('\n'.join(imports), {})
  for module in re.findall(r'python -m (embedding_rnn[\w.]+)', text):
    assert importlib.util.find_spec(module)


def test_the_readme_is_short():
  assert len((ROOT / 'README.md').read_text().splitlines()) <= 200


def test_one_version():
  cited = re.search(
    r'^version: (.*)$', (ROOT / 'CITATION.cff').read_text(), re.M
  )
  assert cited[1] == embedding_rnn.__version__
