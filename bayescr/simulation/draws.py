"""Random magnitudes, positions and textures: what the fields are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.canvas import Canvas

__all__ = ["following", "log_uniform", "magnitudes", "power_law", "tabulated", "texture"]

Array = np.ndarray[Any, Any]


def log_uniform(
    limits: tuple[float, float], rng: np.random.Generator, size: int | None = None
) -> Any:
    """Numbers uniform in the logarithm between two limits above 0."""
    low, high = (float(limit) for limit in np.log(limits))
    return np.exp(rng.uniform(low, high, size))


def power_law(
    number: int, rng: np.random.Generator, *, slope: float, bright: float, faint: float
) -> Array:
    """Magnitudes with density ~ 10^(slope m) between two limits."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(low + rng.random(number) * (high - low)) / slope


def magnitudes(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    number: float,
    slope: float,
    bright: float,
    faint: float,
    most: float = np.inf,
) -> Array:
    """Magnitudes with density ~ 10^(slope m), without those that drown in the noise.

    Args:
        canvas: Says how faint a source may be.
        rng: Source of randomness.
        number: Expected between ``bright`` and ``faint``.
        slope: Of the counts [1 / mag].
        bright: Limit [mag].
        faint: Limit [mag].
        most: Expected at most, the brightest ones.
    """
    limit = min(faint, canvas.faintest)
    if limit <= bright:
        return np.empty(0)
    everything = np.expm1(np.log(10) * slope * (faint - bright))
    share = np.expm1(np.log(10) * slope * (limit - bright)) / everything
    if number * share > most:
        share = most / number
        limit = bright + np.log1p(share * everything) / (np.log(10) * slope)
    return power_law(rng.poisson(number * share), rng, slope=slope, bright=bright, faint=limit)


def tabulated(grid: Array, density: Array, number: int, rng: np.random.Generator) -> Array:
    """Values with a tabulated density."""
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(rng.random(number) * cumulative[-1], cumulative, grid)


def following(weight: Array, number: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random x and y with the density of an image, uniform inside a pixel."""
    cumulative = np.cumsum(weight.ravel())
    pixel = np.searchsorted(cumulative, rng.random(number) * cumulative[-1], side="right")
    row, column = np.divmod(np.minimum(pixel, weight.size - 1), weight.shape[1])
    jitter = rng.uniform(-0.5, 0.5, size=(2, number))
    return column + jitter[0], row + jitter[1]


def texture(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Gaussian random field of unit variance and power spectrum k^-3.4, as seen through a PSF."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    wavenumber = np.hypot(fy, fx)
    amplitude = np.hypot(wavenumber, 1 / 300) ** -1.7  # flat on scales above 300 pixels
    amplitude *= np.exp(-0.5 * (2 * np.pi * 1.5 * wavenumber) ** 2)  # blurred by 1.5 pixels
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * amplitude, s=shape)
    return (field - field.mean()) / max(field.std(), 1e-12)
