"""A shorter exposure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bayescr.data.augmentation.patch import RawPatch, check_range, draw

__all__ = ["ExposureTime"]


@dataclass(frozen=True, kw_only=True)
class ExposureTime:
    """Shorten the exposure to a share f of its time; cosmic rays keep their charge.

    A scene of x electrons, of variance V(x) = noise^2 + (x - sky), becomes f x with the variance
    f^2 V(x), too little: a detector would have given f (V(x) - r^2) + r^2, with r the read noise.
    The rest is added as Gaussian noise,

        x' = f x + sqrt(v) g,        v = (1 - f) (f V(x) + r^2),

    so that sky' = f sky and noise'^2 = f noise^2 + (1 - f) r^2. As x is linear in v, the noise in
    it does not bias the variance; only pixels far below the sky, where v would be negative, do.
    All hits stay: per second there are more of them, the better to learn from.

    Attributes:
        share: Range of f, above 0 and up to 1.
    """

    needs: ClassVar = ("electrons", "read_noise", "charge")
    share: tuple[float, float] = (0.3, 1.0)

    def __post_init__(self) -> None:
        check_range(self, "share", least=1e-3, most=1.0)

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Shorten the exposure."""
        f, readout = draw(generator, self.share), (patch.read_noise or 0.0) ** 2
        noise2 = patch.noise**2
        scene = patch.scene
        charge = patch.data - scene
        missing = (1.0 - f) * (f * (noise2 + scene - patch.sky) + readout)
        added = np.sqrt(np.maximum(missing, 0.0)) * generator.normal(size=scene.shape)
        shorter = replace(
            patch,
            data=f * scene + added + charge,
            sky=f * patch.sky,
            noise=float(np.sqrt(f * noise2 + (1.0 - f) * readout)),
        )
        return shorter.judged(charge)
