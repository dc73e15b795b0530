"""Flipping and turning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayescr.data.augmentation.patch import RawPatch

__all__ = ["Symmetry", "turned"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """One of the 8 symmetries of the square; of the 4 that keep its shape, for other patches."""

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Turn all planes alike."""
        height, width = patch.data.shape
        which = int(generator.integers(8 if height == width else 4))
        return replace(
            patch,
            data=turned(patch.data, which),
            target=turned(patch.target, which),
            valid=turned(patch.valid, which),
            usable=turned(patch.usable, which),
            charge=None if patch.charge is None else turned(patch.charge, which),
        )


def turned(plane: Array, which: int) -> Array:
    """One of the 8 symmetries, 0 to 7, of the last two axes; those below 4 keep the shape."""
    flipped = plane[..., :: -1 if which & 1 else 1, :: -1 if which & 2 else 1]
    return np.swapaxes(flipped, -1, -2) if which & 4 else flipped
