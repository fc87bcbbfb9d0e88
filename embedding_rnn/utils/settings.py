"""How settings differ from those that something was begun with."""

from collections.abc import Collection, Mapping
from typing import Any


def differences(
  before: Mapping[str, Any],
  now: Mapping[str, Any],
  ignored: Collection[str] = (),
  wording: str = '{name} was {before!r}, is {now!r}',
) -> list[str]:
  """Says of each setting that is another now what it was and what it is.

  Args:
    before: values by name; what is missing was None.
    now: the same; only what is named here is compared.
    ignored: names that may differ.
    wording: of a difference, with fields for name, before and now.

  Returns:
    A text for each difference, to be joined by semicolons.
  """
  return [
    wording.format(name=name, before=before.get(name), now=value)
    for name, value in now.items()
    if name not in ignored and before.get(name) != value
  ]
