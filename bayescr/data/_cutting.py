"""Covering a frame with patches that count no pixel twice, and turning them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Window", "random_symmetry", "windows"]


class Window(NamedTuple):
    """Where a patch lies, and how many of its leading rows and columns its neighbours hold."""

    rows: slice
    columns: slice
    shared_rows: int
    shared_columns: int


def windows(height: int, width: int, patch: int | None) -> Iterator[Window]:
    """Yield windows on a frame no smaller than the patch; ``None`` is one window on all of it."""
    for rows, shared_rows in _spans(height, patch or height):
        for columns, shared_columns in _spans(width, patch or width):
            yield Window(rows, columns, shared_rows, shared_columns)


def random_symmetry(*planes: Tensor) -> list[Tensor]:
    """Flip and turn all planes (C, H, W) alike: one of the 8 symmetries of the square.

    Planes that are not square only get the 4 that keep their shape. Draws one number from
    torch's global generator.
    """
    height, width = planes[0].shape[-2:]
    symmetry = int(torch.randint(8 if height == width else 4, ()))
    flips = [axis for axis, chosen in ((-2, symmetry & 1), (-1, symmetry & 2)) if chosen]
    flipped = [plane.flip(flips) for plane in planes]
    return [plane.mT for plane in flipped] if symmetry & 4 else flipped


def _spans(length: int, patch: int) -> Iterator[tuple[slice, int]]:
    """Consecutive spans; the last is shifted back to fit, and shares its start with the former."""
    for start in range(0, length, patch):
        shifted = min(start, length - patch)
        yield slice(shifted, shifted + patch), start - shifted
