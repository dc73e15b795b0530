"""The point-spread function: Hubble's pupil through GalSim, with the small drifts of an exposure.

The pupil is a 2.4 m aperture with a central obscuration of 0.33 and four struts, which make the
diffraction spikes. Two wavelengths of the filter are averaged, so that the rings wash out as they
do in a broad band; focus, coma, astigmatism and jitter vary from exposure to exposure. The PSF
includes the pixel. It is drawn once, oversampled, and stars are stamped from it
(``canvas.Canvas.add_stars``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["F606W", "F814W", "Band", "Psf", "draw_psf", "import_galsim"]

Array = np.ndarray[Any, Any]

OVERSAMPLING = 4  # stars land on quarters of a pixel
RADIUS = 128  # of the PSF image, pixels
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
        ACS Instrument Handbook: zero points, bandpasses and sky rates.
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
            but for the half percent of the light that falls beyond the edge.
        core: The middle of it as a GalSim profile [arcsec] of flux 1, for extended sources.
    """

    image: Array
    core: Any


def draw_psf(band: Band, rng: np.random.Generator, *, pixel_scale: float = 0.05) -> Psf:
    """Draw the PSF of one exposure.

    Args:
        band: The filter.
        rng: Source of the exposure's focus, aberrations and jitter.
        pixel_scale: [arcsec].

    References:
        Krist, Hook & Stoehr, "20 years of Hubble Space Telescope optical modeling using Tiny Tim",
        Proc. SPIE 8127 (2011): obscuration, struts, aberrations of some hundredths of a wave.
    """
    galsim = import_galsim()
    defocus, astig1, astig2, coma1, coma2 = rng.normal(0, [0.03, 0.015, 0.015, 0.015, 0.015])
    jitter = rng.uniform(0.005, 0.010)  # arcsec; guiding is good to some milliarcsec
    diffusion = 0.3 * pixel_scale  # charge of optical light, freed near the far side
    pupil = {
        "diam": 2.4,
        "obscuration": 0.33,
        "nstruts": 4,
        "strut_thick": 0.022,
        "strut_angle": 45 * galsim.degrees,
        "oversampling": 1.0,  # of the pupil: half the time of GalSim's default, same spikes
    }
    aberrations = {
        "defocus": defocus,
        "astig1": astig1,
        "astig2": astig2,
        "coma1": coma1,
        "coma2": coma2,
    }
    tones = [
        galsim.OpticalPSF(lam=band.wavelength * (1 + band.width * t), **pupil, **aberrations)
        for t in (-1 / 4, 1 / 4)
    ]
    blur = galsim.Gaussian(sigma=float(np.hypot(jitter, diffusion)))
    optics = galsim.Convolve(galsim.Add(tones) / len(tones), blur, galsim.Pixel(pixel_scale))
    side, fine = 2 * RADIUS * OVERSAMPLING + 1, pixel_scale / OVERSAMPLING
    drawn = optics.drawImage(nx=side, ny=side, scale=fine, method="no_pixel")
    image = drawn.array.astype(np.float64) * OVERSAMPLING**2
    inner = slice((RADIUS - CORE) * OVERSAMPLING, (RADIUS + CORE) * OVERSAMPLING + 1)
    core = galsim.InterpolatedImage(
        galsim.Image(image[inner, inner].copy()),
        scale=fine,
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
