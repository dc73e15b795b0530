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

    A scene of x electrons, of variance V(x) = v0 + (x - sky), becomes f x with the variance
    f^2 V(x), too little: a detector would have given f (V(x) - r^2) + r^2, with r the read noise.
    The rest is added as Gaussian noise,

        x' = f x + sqrt(v) g,        v = (1 - f) (f V(x) + r^2),

    so that sky' = f sky and noise'^2 = f^2 noise^2 + (1 - f) (f v0 + r^2). v0 is noise^2 or, if
    that is less, sky + r^2: what a crowded field has beyond is stars, which scale as f. A sky of
    less than 3 noises may be what a subtraction has left: v0 is then noise^2, which is too much in
    a crowded field. As x is linear in v, the noise in it does not bias the variance; only pixels
    far below the sky, where v would be negative, do.
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
        scene = patch.scene
        missing = (1.0 - f) * (f * (patch.sky_variance + scene - patch.sky) + readout)
        added = np.sqrt(np.maximum(missing, 0.0)) * generator.normal(size=scene.shape)
        lacked = (1.0 - f) * (f * patch.sky_variance + readout)
        shorter = replace(
            patch,
            data=patch.data - (1.0 - f) * scene + added,
            sky=f * patch.sky,
            noise=float(np.sqrt(f**2 * patch.noise**2 + lacked)),
            share=f * patch.share,
        )
        variance = f * patch.variance + (1.0 - f) * readout
        return shorter.judged(before=patch, variance=variance)
