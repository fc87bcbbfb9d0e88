"""How much memory there is, and a refusal of what could never fit in it."""

from __future__ import annotations

import os
import pathlib
import resource

_CGROUP = pathlib.Path('/sys/fs/cgroup/memory.max')  # of a container or a job


def available_bytes() -> int:
  """All the memory that this process could ever have."""
  limits = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
  for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    soft, _ = resource.getrlimit(kind)
    if soft != resource.RLIM_INFINITY:
      limits.append(soft)
  try:
    limits.append(int(_CGROUP.read_text()))
  except (OSError, ValueError):  # there is none, or it is 'max'
    pass
  return min(limits)


def expect_memory(num_bytes: float, what: str, fix: str) -> None:
  """Raises ValueError for what takes more memory than there can be.

  Args:
    num_bytes: an estimate, rather too low than too high.
    what: how the error is to begin, such as 'Training'.
    fix: what a user can do; the end of the message.
  """
  available = available_bytes()
  if num_bytes > available:
    raise ValueError(
      f'{what} would take about {num_bytes / 1e9:,.1f} GB of memory, and there '
      f'are {available / 1e9:,.1f} GB; {fix}.'
    )
