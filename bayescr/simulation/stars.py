"""Fields of stars: a globular cluster, an open cluster, the disk of the Galaxy.

References:
    King, "The structure of star clusters I", AJ 67, 471 (1962).
    Bahcall & Soneira, "The universe at faint magnitudes", ApJS 44, 73 (1980): counts of stars.
    Kalirai et al., "The CFHT Open Star Cluster Survey II", AJ 122, 266 (2001): NGC 6819.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.canvas import Canvas
from bayescr.simulation.draws import magnitudes, tabulated
from bayescr.simulation.psf import RADIUS

__all__ = ["globular_cluster", "open_cluster", "star_field"]

Array = np.ndarray[Any, Any]


def globular_cluster(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a crowded star cluster, from saturated giants to the faint main sequence.

    The surface density is King's core, 1 / (1 + (r / core)^2), with a core of 15 to 40 arcsec and a
    pointing within two cores of the centre. Magnitudes: a main sequence 10^(0.13 m) below the
    turn-off (18.2 to 20.2), a giant branch 10^(0.35 m) above it, and a horizontal branch.
    """
    core = rng.uniform(15, 40) / canvas.pixel_scale
    x, y = _king(canvas, 14_400 * rng.lognormal(0, 0.5), core, rng)
    turn_off = rng.uniform(18.2, 20.2)
    grid = np.arange(turn_off - 6.0, turn_off + 9.0, 0.02)
    main_sequence = 10 ** (0.13 * (grid - turn_off)) / (1 + np.exp(-(grid - turn_off) / 0.15))
    giants = 0.25 * 10 ** (0.35 * (grid - turn_off)) * (grid < turn_off + 0.2)
    horizontal = 0.04 * np.exp(-0.5 * ((grid - turn_off + 3.4) / 0.12) ** 2)
    _add(canvas, x, y, tabulated(grid, main_sequence + giants + horizontal, len(x), rng))


def open_cluster(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a nearby open cluster on the field of the Galaxy.

    Main sequence 10^(0.10 m) over eight magnitudes below a turn-off at 12 to 15.5, a red clump
    2 magnitudes above it; core of 1 to 4 arcmin, 6 to 60 members per square arcminute in it.
    """
    star_field(canvas, rng)
    core = rng.uniform(60, 240) / canvas.pixel_scale
    x, y = _king(canvas, 10 ** rng.uniform(0.8, 1.8), core, rng)
    turn_off = rng.uniform(12.0, 15.5)
    grid = np.arange(turn_off - 3.5, turn_off + 8.0, 0.02)
    main_sequence = 10 ** (0.10 * (grid - turn_off)) / (1 + np.exp(-(grid - turn_off) / 0.2))
    giants = 0.06 * 10 ** (0.2 * (grid - turn_off)) * (grid < turn_off)
    clump = 0.15 * np.exp(-0.5 * ((grid - turn_off + 2.0) / 0.15) ** 2)
    _add(canvas, x, y, tabulated(grid, main_sequence + giants + clump, len(x), rng))


def star_field(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint stars of the Galaxy: 3 to 300 per square arcminute to magnitude 22, from pole to plane.

    N(m) ~ 10^(0.24 m) from magnitude 9 on.
    """
    number = 10 ** rng.uniform(0.5, 2.5) * canvas.area(margin=RADIUS)
    magnitude = magnitudes(canvas, rng, number=number, slope=0.24, bright=9.0, faint=22.0)
    x, y = canvas.positions(len(magnitude), rng, margin=RADIUS)
    canvas.add_stars(x, y, canvas.electrons(magnitude))


def _king(
    canvas: Canvas, density: float, core: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Positions of a cluster, ``density`` [1 / arcmin^2] in its middle, ``core`` in pixels."""
    centre = np.array(canvas.shape[::-1]) / 2 + rng.uniform(-1.4, 1.4, 2) * core
    number = rng.poisson(density * canvas.area(margin=RADIUS))
    x, y = canvas.positions(number, rng, margin=RADIUS)
    squared = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / core**2
    here = rng.random(number) < 1 / (1 + squared)
    return x[here], y[here]


def _add(canvas: Canvas, x: Array, y: Array, magnitude: Array) -> None:
    """Stars, without those that drown in the noise."""
    seen = magnitude < canvas.faintest
    canvas.add_stars(x[seen], y[seen], canvas.electrons(magnitude[seen]))
