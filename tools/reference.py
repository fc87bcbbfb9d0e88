"""Makes the reference of the API, a folder of HTML; any warning is an error.

Example:
  python tools/reference.py build/reference
"""

import importlib
import os
import pathlib
import sys
import warnings

import pdoc

ROOT = pathlib.Path(__file__).resolve().parents[1]


def module_names() -> list[str]:
  """All modules but tests and commands; pdoc leaves some out by itself."""
  files = sorted((ROOT / 'embedding_rnn').rglob('*.py'))
  names = ['.'.join(f.relative_to(ROOT).with_suffix('').parts) for f in files]
  skipped = ('_test', 'conftest', '__main__')
  names = [name for name in names if not name.endswith(skipped)]
  return [name.removesuffix('.__init__') for name in names]


def main(folder: str) -> None:
  """Writes the pages."""
  sys.path.insert(0, str(ROOT))
  found: list[str] = []
  for name in module_names():
    for value in vars(importlib.import_module(name)).values():
      if hasattr(value, '_fields') and value.__module__ == name:
        # A NamedTuple's own says 'namedtuple_...', where no type can be found.
        value.__new__.__module__ = name
    # What follows a package's name takes back what pdoc finds in it.
    found += [name, f'!{name}\\..+']
  pdoc.render.configure(docformat='google')
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', UserWarning)
    pdoc.pdoc(*found, output_directory=pathlib.Path(folder))
  if problems := [str(warning.message) for warning in caught]:
    sys.exit('\n'.join(problems))


if __name__ == '__main__':
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  if len(sys.argv) != 2:
    sys.exit(__doc__)
  main(sys.argv[1])
