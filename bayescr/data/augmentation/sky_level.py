"""A brighter sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayescr.data.augmentation.patch import RawPatch, check_range, draw

__all__ = ["SkyLevel"]


@dataclass(frozen=True, kw_only=True)
class SkyLevel:
    """Add sky, and the noise of its photons:  x' = x + Poisson(k noise^2).

    The variance of the sky grows to (1 + k) noise^2, its level by k noise^2. Sky is never taken
    away: its noise would stay. A hit may sink into the new noise, so its charge must be known.

    Attributes:
        factor: Range of k.
    """

    needs: ClassVar = ("electrons", "charge")
    factor: tuple[float, float] = (0.0, 2.0)

    def __post_init__(self) -> None:
        check_range(self, "factor", least=0.0)

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Brighten the sky."""
        added = draw(generator, self.factor) * patch.noise**2  # [electron]
        brighter = replace(
            patch,
            data=patch.data + generator.poisson(added, patch.data.shape),
            sky=patch.sky + added,
            noise=float(np.sqrt(patch.noise**2 + added)),
        )
        return brighter.judged(before=patch, variance=patch.variance + added)
