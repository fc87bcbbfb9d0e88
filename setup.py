"""The wheel: the package and its data, without tests and what they share."""

import setuptools
from setuptools.command.build_py import build_py


class BuildWithoutTests(build_py):
  """Leaves the modules out that only tests use."""

  def find_package_modules(self, package, package_dir):
    """Of `[(package, module, file)]`, those that are the product."""
    return [
      found
      for found in super().find_package_modules(package, package_dir)
      if not (found[1].endswith('_test') or found[1] == 'conftest')
    ]


setuptools.setup(cmdclass={'build_py': BuildWithoutTests})
