"""Tests of growth.py: slopes of known powers, and sizes that models take."""

import growth
import numpy as np
import pytest


@pytest.mark.parametrize('power', [0, 0.5, 1, 2])
def test_slopes_are_the_powers(power):
  sizes = (3, 6, 30)
  first, *slopes = growth.slope(sizes, [7 * n**power for n in sizes])
  assert first is None
  np.testing.assert_allclose(slopes, power, atol=1e-12)


def test_every_size_is_one_that_the_model_takes():
  recipe, *_ = growth.grids.plan_runs('default_run').values()
  for name, sizes in growth.SIZES.values():
    for size in sizes if name else ():
      assert recipe.copy().parse(f'{name}={size}').get(name) == size
