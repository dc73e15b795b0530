"""The consensus is the median of clean planes and needs no majority of them."""

import numpy as np
import pytest

from bayescr.labels import consensus

rng = np.random.default_rng(0)


@pytest.mark.parametrize("number", [2, 3, 4, 7])
def test_clean_planes_give_the_median(number):
    planes = rng.uniform(-1.0, 1.0, (number, 20, 30))  # all within five sigma of a difference
    assert consensus(planes, 1.0) == pytest.approx(np.median(planes, axis=0))


@pytest.mark.parametrize(("number", "hit"), [(2, 1), (3, 2), (4, 3), (12, 8)])
def test_hits_do_not_move_it(number, hit):
    planes = rng.normal(100.0, 1.0, (number, 40, 40))
    clean = np.median(planes[hit:], axis=0)
    planes[:hit] += 500.0
    assert consensus(planes, 1.0) == pytest.approx(clean)


def test_two_planes_are_not_biased_low():
    """Their mean has no bias, their minimum one of 0.56 sigma; 5 sigma of the mean's own error."""
    planes = rng.normal(0.0, 1.0, (2, 500, 500))
    error = 5 / np.sqrt(2 * 500**2)
    assert abs(consensus(planes, 1.0).mean()) < error
    assert planes.min(axis=0).mean() == pytest.approx(-1 / np.sqrt(np.pi), abs=error)


def test_planes_that_say_nothing():
    planes = np.array([[[np.nan, np.nan, 1.0]], [[2.0, np.nan, 3.0]], [[4.0, np.nan, 90.0]]])
    assert consensus(planes, 1.0).tolist()[0] == pytest.approx([3.0, np.nan, 2.0], nan_ok=True)
