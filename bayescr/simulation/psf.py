"""The point-spread function of one exposure, drawn once; stars are stamped from it.

It includes the pixel. Sources are painted with it by ``canvas.Canvas``; what draws it is in
``optics``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["F606W", "F814W", "OVERSAMPLING", "RADIUS", "Band", "Psf", "import_galsim", "sampled"]

Array = np.ndarray[Any, Any]

OVERSAMPLING = 4  # stars land on quarters of a pixel
RADIUS = 128  # of the PSF image, pixels
FADE = 0.7  # of the radius, from which on the image fades, so that no spike ends in a cliff
CORE = 32  # of the part that extended sources are convolved with, pixels: 98% of the light


@dataclass(frozen=True, kw_only=True)
class Band:
    """A filter as the sky and the optics see it.

    Attributes:
        name: As in the header keyword FILTER.
        wavelength: Pivot wavelength [nm].
        width: Full width of the band, relative to the wavelength.
        zero_point: AB magnitude of one electron per second.
        sky: Mean sky [electron / s / pixel of 0.05 arcsec].

    References:
        ACS Instrument Handbook: zero points, bandpasses and sky rates of the two that are here.
    """

    name: str
    wavelength: float
    width: float
    zero_point: float
    sky: float


F606W = Band(name="F606W", wavelength=592.0, width=0.30, zero_point=26.5, sky=0.127)
F814W = Band(name="F814W", wavelength=805.0, width=0.22, zero_point=25.95, sky=0.102)


@dataclass(frozen=True, kw_only=True, eq=False)
class Psf:
    """A drawn PSF.

    Attributes:
        image: PSF including the pixel, sampled ``OVERSAMPLING`` times per pixel; square, odd,
            centred. Every ``OVERSAMPLING``-th sample is what a star leaves in pixels; it sums to 1
            but for the little light that falls beyond the edge.
        core: The middle of it as a GalSim profile [arcsec] of flux 1, for extended sources.
    """

    image: Array
    core: Any

    @cached_property
    def noise_pixels(self) -> float:
        """Pixels whose noise a matched filter adds up, 1 / sum(PSF^2)."""
        return float(OVERSAMPLING**2 / (self.image**2).sum())

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian with as many `noise_pixels` [pixel]."""
        return float(np.sqrt(self.noise_pixels / (4 * np.pi)))


def sampled(image: Array, pixel_scale: float) -> Psf:
    """A `Psf` from its oversampled image, (2 RADIUS OVERSAMPLING + 1) squared.

    Args:
        image: As `Psf.image`, before it fades towards the edge.
        pixel_scale: Of the detector [arcsec].
    """
    galsim = import_galsim()
    side = np.linspace(-1, 1, image.shape[0])
    outside = np.clip((np.hypot(side, side[:, None]) - FADE) / (1 - FADE), 0, 1)
    image = image * np.cos(np.pi / 2 * outside) ** 2
    inner = slice((RADIUS - CORE) * OVERSAMPLING, (RADIUS + CORE) * OVERSAMPLING + 1)
    core = galsim.InterpolatedImage(
        galsim.Image(image[inner, inner].copy()),
        scale=pixel_scale / OVERSAMPLING,
        flux=1.0,
        x_interpolant="linear",
        gsparams=galsim.GSParams(folding_threshold=0.02, maxk_threshold=0.01, kvalue_accuracy=1e-3),
    )
    return Psf(image=image, core=core)


def import_galsim() -> Any:
    """GalSim, or one line on how to get it."""
    try:
        import galsim
    except ImportError as error:
        raise BayescrError(
            "simulation needs GalSim, which is not installed: pip install 'bayescr[simulation]'"
        ) from error
    return galsim
