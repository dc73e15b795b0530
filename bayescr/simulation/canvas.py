"""The noiseless sky of one exposure: expected electrons, painted source by source.

Positions are in pixels, (x, y) with the centre of the first pixel at (0, 0); brightnesses are AB
magnitudes in the exposure's band.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from bayescr.simulation.psf import OVERSAMPLING, RADIUS, Band, Psf, import_galsim

__all__ = ["Canvas"]

Array = np.ndarray[Any, Any]

EDGE = 0.3  # electrons
STAMP_RADII = (10, 32, RADIUS)


class Canvas:
    """An image of expected electrons and what is needed to paint on it.

    Attributes:
        image: (H, W) float64, expected electrons of all sources so far.
        exposure_time: [s].
        band: The filter.
        psf: The exposure's point-spread function.
        pixel_scale: [arcsec].
        faintest: Magnitude from which on sources drown in the noise; fields may leave them out.
        limit: Brightest smooth light [electrons]: who meets more exposes for less.
        edge: A source may end where less than this is left in a pixel [electrons].
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        exposure_time: float,
        band: Band,
        psf: Psf,
        pixel_scale: float,
        faintest: float = np.inf,
        limit: float = np.inf,
        edge: float = EDGE,
    ) -> None:
        self.shape = shape
        self.exposure_time = exposure_time
        self.band = band
        self.psf = psf
        self.pixel_scale = pixel_scale
        self.faintest = faintest
        self.limit = limit
        self.edge = edge
        self.image = np.zeros(shape)

    def electrons(self, magnitude: Array | float) -> Any:
        """Electrons that a source of this magnitude leaves during the exposure."""
        return self.exposure_time * 10 ** (0.4 * (self.band.zero_point - np.asarray(magnitude)))

    @property
    def sky(self) -> float:
        """Mean electrons per pixel that the sky leaves during the exposure."""
        return self.band.sky * (self.pixel_scale / 0.05) ** 2 * self.exposure_time

    def positions(self, number: int, rng: np.random.Generator, *, margin: float = 0.0) -> Array:
        """Uniform random x and y, (2, number), in the frame and ``margin`` pixels around it."""
        high = np.array([self.shape[1], self.shape[0]])[:, None] - 0.5 + margin
        return rng.uniform(-0.5 - margin, high, size=(2, number))

    def area(self, *, margin: float = 0.0) -> float:
        """Sky area of the frame and ``margin`` pixels around it [arcmin^2]."""
        height, width = (side + 2 * margin for side in self.shape)
        return height * width * (self.pixel_scale / 60) ** 2

    def add_stars(self, x: Array, y: Array, electrons: Array) -> None:
        """Stamp point sources, each on the nearest quarter of a pixel.

        A star's stamp is the smallest of ``STAMP_RADII`` at whose edge the star has faded below
        ``edge`` electrons per pixel. Stars off the frame still shine onto it.

        Args:
            x: (N,) column of the centre.
            y: (N,) row of the centre.
            electrons: (N,) total, out to the last diffraction spike.
        """
        stamps = self._stamps
        limits = np.array([self.edge / brightest for _, brightest in stamps[:-1]])
        column, phase_x = _quarters(x)
        row, phase_y = _quarters(y)
        size = np.searchsorted(limits, electrons)
        reach = np.array(STAMP_RADII)[size]
        height, width = self.shape
        seen = (column > -reach) & (column < width + reach)
        seen &= (row > -reach) & (row < height + reach)
        for n in np.flatnonzero(seen):
            stamp = stamps[size[n]][0][phase_y[n]][phase_x[n]]
            self._paste(electrons[n] * stamp, row[n] - reach[n], column[n] - reach[n])

    def add_profile(self, profile: Any, x: float, y: float, *, radius: int) -> None:
        """Draw a GalSim profile [arcsec, electrons] through the PSF on a stamp around (x, y).

        Args:
            profile: The profile, without PSF; its flux is in electrons.
            x: Column of the centre.
            y: Row of the centre.
            radius: Half a side of the stamp [pixel].
        """
        galsim = import_galsim()
        column, row = int(np.rint(x)), int(np.rint(y))
        height, width = self.shape
        if not (-radius <= column < width + radius and -radius <= row < height + radius):
            return
        stamp = galsim.Convolve(profile, self.psf.core, gsparams=self.psf.core.gsparams).drawImage(
            nx=2 * radius + 1,
            ny=2 * radius + 1,
            scale=self.pixel_scale,
            offset=(x - column, y - row),
            method="no_pixel",  # the PSF has the pixel in it
        )
        self._paste(stamp.array, row - radius, column - radius)

    def _paste(self, stamp: Array, top: int, left: int) -> None:
        """Add a stamp whose first pixel is (top, left); what is off the frame is cut."""
        window = self.image[max(top, 0) : max(top + stamp.shape[0], 0)]
        window = window[:, max(left, 0) : max(left + stamp.shape[1], 0)]
        cut = stamp[max(-top, 0) :, max(-left, 0) :]
        window += cut[: window.shape[0], : window.shape[1]]

    @cached_property
    def _stamps(self) -> list[tuple[list[list[Array]], float]]:
        return [self._cut_stamps(radius) for radius in STAMP_RADII]

    def _cut_stamps(self, radius: int) -> tuple[list[list[Array]], float]:
        """The PSF at every phase, (4, 4) stamps of 2 radius + 1 pixels, and its largest edge."""
        centre, k = RADIUS * OVERSAMPLING, OVERSAMPLING
        padded = np.pad(self.psf.image, k)
        start = centre + k - radius * k
        stop = centre + k + radius * k + 1
        stamps = [
            [padded[start - i : stop - i : k, start - j : stop - j : k] for j in range(k)]
            for i in range(k)
        ]
        whole = stamps[0][0]
        edge = max(whole[0].max(), whole[-1].max(), whole[:, 0].max(), whole[:, -1].max())
        return [[np.ascontiguousarray(stamp) for stamp in line] for line in stamps], float(edge)


def _quarters(position: Array) -> tuple[Array, Array]:
    """Whole pixel and the number of quarters (1 / OVERSAMPLING) to the right of its centre."""
    fine = np.rint(np.asarray(position) * OVERSAMPLING).astype(int)
    return fine // OVERSAMPLING, fine % OVERSAMPLING
