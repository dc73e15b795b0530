"""Harmonic sums over a group of ties, to full precision for groups of any size.

A random order of m tied pixels behind A others asks for

    D(A, m) = sum_{j=1..m} 1 / (A + j) = H_{A+m} - H_A
    E(A, m) = sum_{j=1..m} j / (A + j) = m - A D

As they stand both are small differences of large numbers. With c = A + 1/2, x = m / c and
Euler and Maclaurin's expansion of H_n around n + 1/2, whose odd powers vanish,

    D = log(1 + x) + R,      R = sum_i b_i [(c + m)^(-2i) - c^(-2i)]
    E = c (x - log(1 + x)) + log(1 + x) / 2 - A R,      b = 1/24, -7/960, 31/8064, -127/30720

where every term of E counts the same way and x - log(1 + x) is summed as a series where x is
small. For A >= 32 what is left out is below 1e-15 of the sums; below that the first terms are
taken from a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["tied_sums"]

Array = np.ndarray[Any, Any]

_FAR = 32
_HARMONIC = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1.0, _FAR + 1.0))])
_TERMS = (1.0 / 24.0, -7.0 / 960.0, 31.0 / 8064.0, -127.0 / 30720.0)


def tied_sums(before: Array, size: Array) -> tuple[Array, Array]:
    """D and E of the module's text, elementwise, relative error below 1e-13.

    Args:
        before: A >= 0, integers.
        size: m >= 0, integers of the same shape.

    Example:
        >>> tied_sums(np.array([1]), np.array([2]))  # 1/2 + 1/3 and 1/2 + 2/3
        (array([0.83333333]), array([1.16666667]))
    """
    near = np.minimum(size, np.maximum(_FAR - before, 0))  # pixels that the table serves
    if not near.any():
        return _far_sums(before.astype(np.float64), size.astype(np.float64))
    start = np.minimum(before, _FAR)
    d_near = _HARMONIC[np.minimum(start + near, _FAR)] - _HARMONIC[start]
    e_near = near - start * d_near
    d, e = _far_sums(np.maximum(before, _FAR) + 0.0, size - near + 0.0)
    return d_near + d, e_near + near * d + e


def _far_sums(a: Array, m: Array) -> tuple[Array, Array]:
    c = a + 0.5
    x = m / c
    log = np.log1p(x)
    start, stop = c**-2, (c + m) ** -2
    rest = stop * _series(stop, _TERMS) - start * _series(start, _TERMS)
    return log + rest, c * _less_log(x, log) + 0.5 * log - a * rest


_ATANH = tuple(1.0 / k for k in range(3, 21, 2))


def _less_log(x: Array, log: Array) -> Array:
    """The difference x - log(1 + x) for x >= 0: with r = x / (2 + x), log(1 + x) = 2 atanh(r)."""
    r = x / (2.0 + x)
    series = 2.0 * r * r * (1.0 / (1.0 - r) - r * _series(r * r, _ATANH))
    return np.where(x < 0.25, series, x - log)


def _series(t: Array, terms: tuple[float, ...]) -> Array:
    total = np.full_like(t, terms[-1])
    for term in terms[-2::-1]:
        total = total * t + term
    return total
