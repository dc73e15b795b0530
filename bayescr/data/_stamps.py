"""Planes turned by the symmetries of the square, and stamps painted into planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["SYMMETRIES", "count_symmetries", "paint", "turned"]

Array = np.ndarray[Any, Any]

SYMMETRIES = 8  # of the square: two flips and a transposition, each done or not


def count_symmetries(height: int, width: int) -> int:
    """How many of the symmetries keep the shape: those before this number."""
    return SYMMETRIES if height == width else SYMMETRIES // 2


def turned(plane: Any, which: int) -> Any:
    """An array or tensor after one of the 8 symmetries, 0 to 7, of its last two axes.

    The bits of ``which`` say what is done: 1 rows reversed, 2 columns reversed, then 4 transposed.
    """
    flips = tuple(axis for axis, bit in ((-2, 1), (-1, 2)) if which & bit)
    flipped = plane.flip(flips) if isinstance(plane, Tensor) else np.flip(plane, flips)
    return flipped.swapaxes(-1, -2) if which & 4 else flipped


def paint(plane: Array, stamp: Array, corner: Sequence[int]) -> None:
    """Add a stamp to a plane in place, its first pixel at the corner; what is outside is lost."""
    inside, own = [], []
    for start, length, side in zip(corner, stamp.shape, plane.shape, strict=True):
        first, last = (min(max(edge, 0), side) for edge in (start, start + length))
        inside.append(slice(first, last))
        own.append(slice(first - start, last - start))
    plane[tuple(inside)] += stamp[tuple(own)]
