"""Worse seeing: sources get wider, cosmic rays stay sharp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bayescr.data.augmentation.patch import RawPatch, check_range, draw

__all__ = ["Broadening"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Broadening:
    """Convolve the scene, not the cosmic rays, with a Gaussian of a fraction of a pixel.

    A kernel k takes the noise down with it, from V(x) = v0 + (x - sky) to (k^2 * V)(x). What
    is missing to V of the wider scene x' = k * x is added as Gaussian noise of variance

        v = (1 - sum k^2) v0 + (k - k^2) * (x - sky),        v0: see `ExposureTime`,

    so that each pixel has the mean and the variance that it would have had. Neighbours stay
    somewhat correlated: only part of the noise is new. Beyond the edge the patch is mirrored.
    A hit beside a star may sink into the light that comes its way, one in the core rise from it:
    the truth is told again, with V(x') as the noise. Unusable pixels have the light of the sky: the
    wings of a star whose core is masked do not grow.

    Attributes:
        sigma: Range of the kernel's standard deviation [pixel].
    """

    needs: ClassVar = ("electrons", "charge")
    sigma: tuple[float, float] = (0.0, 0.8)

    def __post_init__(self) -> None:
        check_range(self, "sigma", least=0.0, most=5.0)

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Widen the sources."""
        from scipy.ndimage import convolve

        kernel = gaussian_kernel(draw(generator, self.sigma))
        above = patch.scene - patch.sky
        charge = patch.data - patch.scene
        wider = convolve(above, kernel, mode="mirror")
        missing = (1 - np.sum(kernel**2)) * patch.sky_variance
        missing = missing + wider - convolve(above, kernel**2, mode="mirror")
        added = np.sqrt(np.maximum(missing, 0.0)) * generator.normal(size=above.shape)
        broader = replace(patch, data=patch.sky + wider + added + charge)
        variance = patch.sky_variance + np.maximum(wider, 0.0)
        return broader.judged(before=patch, variance=variance)


def gaussian_kernel(sigma: float) -> Array:
    """A Gaussian integrated over pixels, out to four sigma; its sum is 1.

    Integrated, it keeps its meaning where sigma is a small part of a pixel.
    """
    from scipy.special import erf

    reach = int(np.ceil(4 * sigma))
    if not reach:
        return np.ones((1, 1))
    edges = np.arange(-reach, reach + 2) - 0.5
    profile = np.diff(erf(edges / (np.sqrt(2) * sigma)))
    profile /= profile.sum()
    return np.outer(profile, profile)
