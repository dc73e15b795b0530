"""From expected electrons to a raw frame: shot noise, full well, read noise, defects.

    electrons = bleed(Poisson(scene + sky + dark + defects) + cosmic rays) + Normal(0, read_noise)

Charge above the full well runs along its column, half each way, into the pixels that have room.
Most hot pixels and all dead ones are flagged; the few that are not, and the warm pixels, look like
the smallest cosmic rays and are there to be told apart from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["DQ_BAD", "DQ_HOT", "DQ_SATURATED", "Defects", "Detector", "bleed", "draw_defects"]

Array = np.ndarray[Any, Any]

DQ_BAD, DQ_HOT, DQ_SATURATED = 4, 16, 256  # Hubble's data-quality bits


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A CCD; the defaults are ACS/WFC.

    Attributes:
        pixel_scale: [arcsec].
        read_noise: Standard deviation [electrons].
        dark_current: [electron / s / pixel].
        full_well: [electrons].
        hot_fraction: Share of hot pixels, dark current 0.1 to 20 e-/s, uniform in the logarithm.
        hot_flagged: Share of the hot pixels that DQ knows of, of those above 0.4 e-/s.
        dead_fraction: Share of dead pixels, which collect a tenth of their light; all flagged.

    References:
        ACS Instrument Handbook: 84700 e- full well, 4 to 5 e- read noise; about 1% hot pixels.
    """

    pixel_scale: float = 0.05
    read_noise: float = 5.0
    dark_current: float = 0.01
    full_well: float = 84_700.0
    hot_fraction: float = 0.002
    hot_flagged: float = 0.9
    dead_fraction: float = 0.0003

    def __post_init__(self) -> None:
        for name in ("read_noise", "dark_current"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise BayescrError(f"{name} is {value}: expected a finite number not below 0")
        for name in ("pixel_scale", "full_well"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise BayescrError(f"{name} is {value}: expected a finite number above 0")
        for name in ("hot_fraction", "hot_flagged", "dead_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise BayescrError(f"{name} is {getattr(self, name)}: expected a share from 0 to 1")


class Defects(NamedTuple):
    """The pixels that do not behave.

    Attributes:
        dark_current: (H, W) of every pixel [electron / s].
        sensitivity: (H, W), 1 for a good pixel.
        dq: (H, W) int16, 16 for the known hot pixels and 4 for dead ones.
    """

    dark_current: Array
    sensitivity: Array
    dq: Array


def draw_defects(shape: tuple[int, int], detector: Detector, rng: np.random.Generator) -> Defects:
    """Draw the hot and dead pixels of a detector."""
    hot = rng.random(shape) < detector.hot_fraction
    dead = rng.random(shape) < detector.dead_fraction
    current = np.where(hot, 10 ** rng.uniform(-1.0, 1.3, size=shape), 0.0)
    known = (current > 0.4) & (rng.random(shape) < detector.hot_flagged)
    return Defects(
        dark_current=detector.dark_current + current,
        sensitivity=np.where(dead, 0.1, 1.0),
        dq=(DQ_HOT * known + DQ_BAD * dead).astype(np.int16),
    )


def bleed(electrons: Array, full_well: float) -> Array:
    """Move charge above the full well along its column; a copy, at most ``full_well`` anywhere.

    Charge is conserved, but for what runs over the end of a column.

    Example:
        >>> bleed(np.array([[0.0], [30.0], [0.0]]), 15.0).ravel()
        array([ 7.5, 15. ,  7.5])
    """
    image = electrons.copy()
    for number in np.flatnonzero((image > full_well).any(axis=0)):
        column = image[:, number].copy()
        for row in np.flatnonzero(column > full_well):
            half = (column[row] - full_well) / 2
            column[row] = full_well
            for side in (column[row + 1 :], column[:row][::-1]):
                room = np.cumsum(np.maximum(full_well - side, 0))
                side += np.diff(np.minimum(room, half), prepend=0.0)
        image[:, number] = column
    return image
