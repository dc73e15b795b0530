"""A coarser digitisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayescr.data.augmentation.patch import RawPatch, check_range, draw

__all__ = ["Gain"]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Round to counts of g electrons:  x' = g round(x / g).

    That is all that a gain does: the network's input does not feel a factor. Rounding adds
    the variance g^2 / 12 where g is not much larger than the noise, and hits whose
    charge is known may sink into it.

    Attributes:
        gain: Range of g [electron / count].
    """

    needs: ClassVar = ("electrons",)
    gain: tuple[float, float] = (0.5, 4.0)

    def __post_init__(self) -> None:
        check_range(self, "gain", least=1e-6)

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Round the pixels."""
        gain = draw(generator, self.gain)
        coarser = replace(
            patch,
            data=gain * np.round(patch.data / gain),
            noise=float(np.sqrt(patch.noise**2 + gain**2 / 12)),
        )
        return coarser.judged(before=patch, variance=patch.variance + gain**2 / 12)
