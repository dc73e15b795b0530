"""Covering a frame with patches that count no pixel twice, and turning them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy.nddata import CCDData
from torch import Tensor

from bayescr.data._stamps import count_symmetries, turned
from bayescr.errors import BayescrError

__all__ = ["Window", "cut", "random_symmetry", "smallest_side", "windows"]

Array = np.ndarray[Any, Any]


class Window(NamedTuple):
    """Where a patch lies, and how many of its leading rows and columns its neighbours hold."""

    rows: slice
    columns: slice
    shared_rows: int
    shared_columns: int


def smallest_side(patch: int | None) -> int:
    """The least height and width of a frame that the patches fit in."""
    if patch is not None and (not isinstance(patch, int) or patch < 1):
        raise BayescrError(f"patch is {patch!r}: expected a side in pixels, or None")
    return patch or 1


def windows(height: int, width: int, patch: int | None) -> Iterator[Window]:
    """Yield windows on a frame no smaller than the patch; ``None`` is one window on all of it."""
    for rows, shared_rows in _spans(height, patch or height):
        for columns, shared_columns in _spans(width, patch or width):
            yield Window(rows, columns, shared_rows, shared_columns)


def cut(frame: CCDData, window: Window, *, mask: Array) -> CCDData:
    """The part of a frame in a window: a copy, with that part's WCS and the given mask.

    Where the window reaches beyond the frame, the outermost pixels are repeated, so that a filter
    finds no step there; the mask is to say that they are none.
    """
    view = window.rows, window.columns
    data = _extended(frame.data[view], mask.shape)
    error = frame.uncertainty
    if error is not None:
        array = np.broadcast_to(error.array, frame.data.shape)[view]
        error = type(error)(_extended(array, mask.shape), unit=error.unit)
    return CCDData(
        data,
        unit=frame.unit,
        mask=mask,
        uncertainty=error,
        meta=frame.header.copy(),
        wcs=None if frame.wcs is None else frame.wcs[view],
    )


def random_symmetry(*planes: Tensor) -> list[Tensor]:
    """Flip and turn all planes (C, H, W) alike: one of the 8 symmetries of the square.

    Planes that are not square only get the 4 that keep their shape. Draws one number from
    torch's global generator.
    """
    which = int(torch.randint(count_symmetries(*planes[0].shape[-2:]), ()))
    return [turned(plane, which) for plane in planes]


def _extended(plane: Array, shape: tuple[int, ...]) -> Array:
    """A copy, the last row and column repeated until it has the shape."""
    missing = [(0, wanted - side) for wanted, side in zip(shape, plane.shape, strict=True)]
    return np.pad(plane, missing, mode="edge")


def _spans(length: int, patch: int) -> Iterator[tuple[slice, int]]:
    """Consecutive spans; the last is shifted back to fit, and shares its start with the former."""
    for start in range(0, length, patch):
        shifted = min(start, length - patch)
        yield slice(shifted, shifted + patch), start - shifted
