"""A long-slit spectrum: objects along one axis, sky lines across the slit, now and then a lamp.

    image(u, v) = slit(v) [sky(u - bend(v)) + sum_objects continuum(u) profile(v - trace(u))]

``u`` runs along the dispersion, ``v`` along the slit; which of them are columns is drawn. Lines and
profiles have the width of the PSF. Numbers of lines and their strengths are those of a red
spectrum: the hydroxyl forest in the sky, absorption lines and bands in what is observed.

References:
    Osterbrock et al., "Night-sky high-resolution spectral atlas of OH and O2 emission lines",
    PASP 108, 277 (1996): the forest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.canvas import Canvas
from bayescr.simulation.psf import OVERSAMPLING

__all__ = ["spectrum"]

Array = np.ndarray[Any, Any]

LAMP = 0.1  # share of exposures of a lamp, for the wavelengths
FINE = OVERSAMPLING  # samples per pixel of tabulated spectra
REACH = 16  # pixels to either side of a line


def spectrum(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint the spectrum of one to three objects and the sky, or that of a lamp."""
    along_rows = rng.random() < 0.5
    length, height = canvas.shape[::-1] if along_rows else canvas.shape
    u, v = np.arange(length, dtype=float), np.arange(height, dtype=float)
    spread = canvas.psf.image.sum(axis=0) / OVERSAMPLING

    grid = np.arange(-REACH, length + REACH, 1 / FINE)
    bend = _bend(v, rng)
    is_lamp = rng.random() < LAMP
    lines = _lamp(grid, rng) if is_lamp else _sky(grid, canvas, rng)
    middle = len(spread) // 2
    width = spread[middle - REACH * FINE : middle + REACH * FINE + 1]
    lines = np.convolve(lines, width, mode="same") / FINE
    image = np.stack([np.interp(u - shift, grid, lines) for shift in bend])  # (v, u)
    for _ in range(0 if is_lamp else 1 + rng.binomial(2, 0.3)):
        image += _object(u, v, spread, canvas, rng)
    image *= _slit(v, rng)[:, None]
    canvas.image += image if along_rows else image.T


def _sky(grid: Array, canvas: Canvas, rng: np.random.Generator) -> Array:
    """Electrons per pixel: a faint continuum and the forest, which comes in bands."""
    level = canvas.exposure_time * 10 ** rng.uniform(-2.5, -0.5)
    return level * (1 + _lines(grid, rng, density=0.05, strength=8.0, scatter=1.6))


def _lamp(grid: Array, rng: np.random.Generator) -> Array:
    """Electrons per pixel of an arc lamp: strong lines on nearly nothing."""
    return 5.0 + _lines(grid, rng, density=0.03, strength=2000.0, scatter=1.5)


def _lines(
    grid: Array, rng: np.random.Generator, *, density: float, strength: float, scatter: float
) -> Array:
    """Lines of lognormal strength [pixel of the continuum], ``density`` per pixel."""
    number = rng.poisson(density * rng.lognormal(0, 0.5) * (grid[-1] - grid[0]))
    where = rng.integers(0, len(grid), number)
    found = np.zeros(len(grid))
    np.add.at(found, where, FINE * strength * rng.lognormal(0, scatter, number))
    return found


def _object(u: Array, v: Array, spread: Array, canvas: Canvas, rng: np.random.Generator) -> Array:
    """(v, u) electrons of one object, a star or a galaxy, with its lines."""
    total = 10 ** rng.uniform(1.0, 4.0)  # electrons per pixel of the dispersion
    slow = 1 + 0.3 * np.sin(2 * np.pi * (u / len(u) * rng.uniform(0.2, 1.0) + rng.random()))
    light = total * slow
    for centre in rng.uniform(0, len(u), rng.poisson(0.02 * len(u))):
        depth, width = rng.beta(1, 4), rng.uniform(1.0, 5.0)
        light *= 1 - depth * np.exp(-0.5 * ((u - centre) / width) ** 2)
    for centre in rng.uniform(0, len(u), rng.poisson(0.005 * len(u))):
        strength, width = rng.lognormal(0, 1.0), rng.uniform(1.0, 2.5)
        light += total * strength * np.exp(-0.5 * ((u - centre) / width) ** 2)

    x = 2 * u / len(u) - 1
    trace = rng.uniform(0, len(v)) + rng.normal(0, 3) * x + rng.normal(0, 1) * x**2
    half = len(spread) // 2 / OVERSAMPLING
    across = np.arange(len(spread)) / OVERSAMPLING - half
    extent = 1 + (rng.random() < 0.3) * rng.exponential(4.0)  # galaxies are wider than the PSF
    profile = np.interp((v[:, None] - trace) / extent, across, spread, left=0.0, right=0.0)
    return light * profile / extent


def _bend(v: Array, rng: np.random.Generator) -> Array:
    """Shift of a sky line along the slit [pixel]: tilt and curvature."""
    x = 2 * v / len(v) - 1
    return rng.normal(0, 1.5) * x + rng.normal(0, 1.0) * x**2


def _slit(v: Array, rng: np.random.Generator) -> Array:
    """Light let through along the slit: jaws that are not quite straight, maybe an end."""
    through = rng.normal(1.0, 0.01, len(v))
    if rng.random() < 0.3:
        end = rng.uniform(0, len(v))
        sign = rng.choice([-1.0, 1.0])
        through *= 1 / (1 + np.exp(np.clip(sign * (v - end) / 0.7, -50, 50)))
    return np.maximum(through, 0.0)
