"""Sums over ties against exact arithmetic, from one pixel to an archive of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from bayescr.evaluation.metrics._harmonic import tied_sums


def test_small_groups_are_exact_fractions():
    for before in range(80):
        size = np.arange(1, 41)
        inverse, ratio = tied_sums(np.full(size.shape, before), size)
        d = e = Fraction(0)
        for j in range(1, 41):
            d += Fraction(1, before + j)
            e += Fraction(j, before + j)
            # A few roundings of 1e-16; where the table serves, 32 of them in the difference.
            assert inverse[j - 1] == pytest.approx(float(d), rel=2e-14)
            assert ratio[j - 1] == pytest.approx(float(e), rel=2e-14)


@pytest.mark.parametrize("before", [0, 31, 32, 1000, 10**6, 10**10])
@pytest.mark.parametrize("size", [1, 2, 3, 1000, 10**5])
def test_groups_summed_term_by_term(before, size):
    inverse, ratio = tied_sums(np.array([before]), np.array([size]))
    assert inverse[0] == pytest.approx(
        math.fsum(1 / (before + j) for j in range(1, size + 1)), rel=1e-13
    )
    assert ratio[0] == pytest.approx(
        math.fsum(j / (before + j) for j in range(1, size + 1)), rel=1e-13
    )


def test_groups_of_any_size_keep_thirteen_digits():
    mpmath = pytest.importorskip("mpmath")  # PyTorch's sympy brings it
    generator = np.random.default_rng(0)
    before, size = np.floor(10.0 ** generator.uniform(0.0, 10.5, (2, 1000))).astype(np.int64)
    inverse, ratio = tied_sums(before, size)
    with mpmath.workdps(60):  # m - A D cancels at most 21 digits of these
        for a, m, d, e in zip(before.tolist(), size.tolist(), inverse, ratio, strict=True):
            expected = mpmath.harmonic(a + m) - mpmath.harmonic(a)
            assert float(d / expected) == pytest.approx(1.0, abs=1e-13)
            assert float(e / (m - a * expected)) == pytest.approx(1.0, abs=1e-13)


def test_no_tie_is_no_sum():
    inverse, ratio = tied_sums(np.array([0, 5, 100]), np.zeros(3, np.int64))
    np.testing.assert_array_equal(inverse, 0.0)
    np.testing.assert_array_equal(ratio, 0.0)
