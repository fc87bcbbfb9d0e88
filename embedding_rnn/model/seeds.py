"""What a seed may be."""

import numbers


def check_seed(seed: int) -> None:
  """Raises ValueError for a seed that is not a whole number of 64 bits."""
  if not isinstance(seed, numbers.Integral) or not -(2**63) <= seed < 2**63:
    raise ValueError(f'seed={seed!r}: expected a whole number of 64 bits.')
