"""Flipping and turning."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayescr.data._stamps import count_symmetries, turned
from bayescr.data.augmentation.patch import RawPatch

__all__ = ["Symmetry"]


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """One of the 8 symmetries of the square; of the 4 that keep its shape, for other patches."""

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Turn all planes alike."""
        which = int(generator.integers(count_symmetries(*patch.data.shape)))
        return replace(
            patch,
            data=turned(patch.data, which),
            target=turned(patch.target, which),
            valid=turned(patch.valid, which),
            usable=turned(patch.usable, which),
            charge=None if patch.charge is None else turned(patch.charge, which),
        )
