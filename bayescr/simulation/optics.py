"""What turns a point into a spot: Hubble's pupil, or a telescope under the atmosphere.

Optics are settings with a method ``draw(band, rng, pixel_scale=...)``, which draws the PSF of one
exposure: focus, aberrations, seeing and guiding are those of that exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.ndimage import convolve1d

from bayescr.errors import BayescrError
from bayescr.simulation.draws import log_uniform
from bayescr.simulation.psf import OVERSAMPLING, RADIUS, Band, Psf, import_galsim, sampled

__all__ = ["GroundOptics", "HubbleOptics", "Optics"]

Array = np.ndarray[Any, Any]


class Optics(Protocol):
    """What an instrument needs of its optics."""

    def draw(self, band: Band, rng: np.random.Generator, *, pixel_scale: float) -> Psf:
        """The PSF of one exposure, pixels of ``pixel_scale`` [arcsec] included."""


@dataclass(frozen=True, kw_only=True)
class HubbleOptics:
    """Hubble: a 2.4 m aperture, obscuration 0.33, and four struts, which make the spikes.

    Two wavelengths of the filter are averaged, so that the rings wash out as they do in a broad
    band; focus, coma, astigmatism and jitter vary from exposure to exposure.

    Attributes:
        defocus: Standard deviation over exposures [wave].
        aberration: The same of each component of astigmatism and coma [wave].
        jitter: Range of the guiding error [arcsec], some milliarcseconds.
        diffusion: Standard deviation of the charge cloud of optical light, freed near the far
            side of the silicon [pixel].

    References:
        Krist, Hook & Stoehr, "20 years of Hubble Space Telescope optical modeling using Tiny Tim",
        Proc. SPIE 8127 (2011): obscuration, struts, aberrations of some hundredths of a wave.
    """

    defocus: float = 0.03
    aberration: float = 0.015
    jitter: tuple[float, float] = (0.005, 0.010)
    diffusion: float = 0.3

    def draw(self, band: Band, rng: np.random.Generator, *, pixel_scale: float) -> Psf:
        """The PSF of one exposure; see `Optics`."""
        galsim = import_galsim()
        names = ("defocus", "astig1", "astig2", "coma1", "coma2")
        waves = rng.normal(0, [self.defocus, *[self.aberration] * 4])
        aberrations = {name: float(wave) for name, wave in zip(names, waves, strict=True)}
        pupil = {
            "diam": 2.4,
            "obscuration": 0.33,
            "nstruts": 4,
            "strut_thick": 0.022,
            "strut_angle": 45 * galsim.degrees,
            "oversampling": 1.0,  # of the pupil: half the time of GalSim's default, same spikes
        }
        tones = [
            galsim.OpticalPSF(lam=band.wavelength * (1 + band.width * t), **pupil, **aberrations)
            for t in (-1 / 4, 1 / 4)
        ]
        sigma = float(np.hypot(rng.uniform(*self.jitter), self.diffusion * pixel_scale))
        blur = galsim.Gaussian(sigma=sigma)
        optics = galsim.Convolve(galsim.Add(tones) / len(tones), blur, galsim.Pixel(pixel_scale))
        side = 2 * RADIUS * OVERSAMPLING + 1
        drawn = optics.drawImage(
            nx=side, ny=side, scale=pixel_scale / OVERSAMPLING, method="no_pixel"
        )
        return sampled(drawn.array.astype(np.float64) * OVERSAMPLING**2, pixel_scale)


@dataclass(frozen=True, kw_only=True)
class GroundOptics:
    """A reflector under the atmosphere: Moffat seeing, guiding errors, the spikes of its spider.

    The light of a star falls off as (1 + (r / a)^2)^-beta, stretched along the guiding error; a
    share of it lies in a cross of spikes, whose brightness falls off as 1 / distance^2.

    Attributes:
        seeing: Range of the full width at half maximum [arcsec], uniform in the logarithm.
        beta: Range of Moffat's exponent; 4.765 is what turbulence alone makes, real telescopes
            have wider wings.
        elongation: Largest difference from 1 of the axis ratio.
        spikes: Share of the light in the four spikes; 0 for no spider.

    References:
        Moffat, A&A 3, 455 (1969). Trujillo et al., "The effects of seeing on Sersic profiles - II",
        arXiv:astro-ph/0109067 (beta). Racine, "The Telescope Point Spread Function",
        PASP 108, 699 (1996).
    """

    seeing: tuple[float, float]
    beta: tuple[float, float] = (2.2, 4.5)
    elongation: float = 0.15
    spikes: float = 0.005

    def __post_init__(self) -> None:
        if not 0 < self.seeing[0] <= self.seeing[1] < np.inf:
            raise BayescrError(f"seeing is {self.seeing}: expected (low, high) above 0, in arcsec")
        if not 1 < self.beta[0] <= self.beta[1] < np.inf:
            raise BayescrError(f"beta is {self.beta}: expected (low, high) above 1")
        for name in ("elongation", "spikes"):
            if not 0 <= getattr(self, name) < 1:
                raise BayescrError(f"{name} is {getattr(self, name)}: expected a share below 1")

    def draw(self, band: Band, rng: np.random.Generator, *, pixel_scale: float) -> Psf:
        """The PSF of one exposure; see `Optics`."""
        width = log_uniform(self.seeing, rng) / pixel_scale  # pixels
        beta = rng.uniform(*self.beta)
        stretch = np.sqrt(1 - rng.uniform(0, self.elongation))
        angle, spider = rng.uniform(0, np.pi, 2)
        scale = width / (2 * np.sqrt(2 ** (1 / beta) - 1))

        offset = np.arange(-RADIUS * OVERSAMPLING, RADIUS * OVERSAMPLING + 1) / OVERSAMPLING
        along = np.cos(angle) * offset + np.sin(angle) * offset[:, None]
        across = np.cos(angle) * offset[:, None] - np.sin(angle) * offset
        squared = (stretch * along) ** 2 + (across / stretch) ** 2
        image = (beta - 1) / (np.pi * scale**2) * (1 + squared / scale**2) ** -beta
        if self.spikes:
            image = (1 - self.spikes) * image + self.spikes * _cross(offset, spider, width)
        pixel = np.array([0.5, *[1.0] * (OVERSAMPLING - 1), 0.5]) / OVERSAMPLING
        image = convolve1d(convolve1d(image, pixel, axis=0), pixel, axis=1)
        return sampled(image, pixel_scale)


def _cross(offset: Array, angle: float, width: float) -> Array:
    """Two crossed lines of light, ``width`` pixels wide, that sum to 1 over pixels."""
    first = np.cos(angle) * offset + np.sin(angle) * offset[:, None]
    second = np.cos(angle) * offset[:, None] - np.sin(angle) * offset
    thin = 0.35 * width
    lines = sum(
        np.exp(-0.5 * (across / thin) ** 2) / (1 + (along / (2 * width)) ** 2)
        for along, across in ((first, second), (second, first))
    )
    return np.asarray(lines) * (OVERSAMPLING**2 / np.sum(lines))
