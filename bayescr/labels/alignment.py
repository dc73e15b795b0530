"""Bringing one exposure of a field onto the pixels of another.

The WCS says where to look, if both have one; what it misses by is a shift, measured by cross
correlation. Pointing errors, proper guiding and dithers are shifts, and a telescope's header often
knows them to some pixels only. Rotation and scale are the WCS's.

The correlation is of the stars alone: above 3 sigma of the sky, compressed by asinh so that no
single one decides, cosmic rays and hot pixels taken out by a median over 3 x 3 pixels, bad columns
by the medians of rows and columns. Its peak is found to a hundredth of a pixel on the Fourier
series of the correlation itself.

References:
    Guizar-Sicairos, Thurman & Fienup, "Efficient subpixel image registration algorithms", Optics
    Letters 33 (2008), 156.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.wcs import NoConvergence
from scipy import fft, ndimage
from scipy.signal import windows

from bayescr.data import sky_and_noise
from bayescr.errors import BayescrError

__all__ = ["measure_shift", "pixel_map", "resample"]

Array = np.ndarray[Any, Any]

_STAR_SIGMA = 3.0
_MAX_SHIFT = 0.25  # of a side
_TAPER = 0.2  # of a side, at both ends together
_SPLINE = 3  # order: a bilinear one blurs stars by an amount that depends on the shift


def pixel_map(source: WCS | None, target: WCS | None, pixels: Array) -> Array:
    """(2, H, W) rows and columns in one image, as those of another image have them, by their WCS.

    Args:
        source: Of the image that ``pixels`` are in.
        target: Of the image they are wanted in.
        pixels: (2, H, W) rows and columns.

    Returns:
        The same places in the other image; ``pixels`` where one of the two has no celestial WCS.

    Raises:
        BayescrError: If the target's WCS cannot be inverted there.
    """
    if source is None or target is None or not (source.has_celestial and target.has_celestial):
        return pixels
    sky = source.celestial.all_pix2world(pixels[1].ravel(), pixels[0].ravel(), 0)
    try:
        column, row = target.celestial.all_world2pix(*sky, 0)
    except (ValueError, NoConvergence) as error:
        raise BayescrError(
            "the WCS of one exposure cannot be inverted on the field of another: leave the WCS out"
        ) from error
    return np.stack([row, column]).reshape(pixels.shape)


def measure_shift(reference: Array, other: Array) -> tuple[float, float]:
    """Rows and columns by which ``other`` shows things further on than ``reference``.

    Args:
        reference: (H, W), NaN where unusable.
        other: (H, W) likewise.

    Returns:
        The shift; ``other[y + dy, x + dx]`` is what ``reference[y, x]`` is.

    Raises:
        BayescrError: If one of them shows no stars.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> sky = ndimage.gaussian_filter(np.where(rng.random((64, 64)) > 0.99, 1e3, 0.0), 1.5)
        >>> frames = [ndimage.shift(sky, (0, dx)) + rng.normal(size=(64, 64)) for dx in (0, 3)]
        >>> dy, dx = measure_shift(*frames)
        >>> round(dy), round(dx)
        (0, 3)
    """
    first, second = _stars(reference), _stars(other)
    size = tuple(fft.next_fast_len(length + int(length * _MAX_SHIFT) + 1) for length in first.shape)
    correlation = fft.irfft2(_product(first, second, size), size)
    for axis, (length, side) in enumerate(zip(size, first.shape, strict=True)):
        far = np.abs(fft.fftfreq(length) * length) > _MAX_SHIFT * side
        np.moveaxis(correlation, axis, 0)[far] = 0.0
    peak = np.unravel_index(np.argmax(correlation), size)
    whole = [int((p + s // 2) % s - s // 2) for p, s in zip(peak, size, strict=True)]
    # What both show of the field, so that the stars that an edge cuts are cut alike in both.
    first, second = (
        plane[tuple(slice(max(k, 0), n + min(k, 0)) for k, n in zip(by, plane.shape, strict=True))]
        for plane, by in ((first, [-k for k in whole]), (second, whole))
    )
    taper = np.outer(*(windows.tukey(length, _TAPER) for length in first.shape))
    product = _product(first * taper, second * taper, first.shape)
    rest = np.zeros(2)
    for step in (0.1, 0.01):
        rest = _finer(product, first.shape, rest, step)
    return float(whole[0] + rest[0]), float(whole[1] + rest[1])


def resample(plane: Array, where: Array) -> Array:
    """The values of a plane at (2, H, W) rows and columns, by a cubic spline.

    NaN off the plane, and wherever an unusable pixel has a part in a value.
    """
    usable = np.isfinite(plane)
    filled = np.where(usable, plane, np.nanmedian(plane))
    values = ndimage.map_coordinates(filled, where, order=_SPLINE, mode="mirror")
    missing = ndimage.map_coordinates((~usable).astype(np.float32), where, order=1, cval=1.0)
    return np.where(missing > 1e-3, np.nan, values).astype(np.float32)


def _stars(plane: Array) -> Array:
    """What a correlation should see, 0 on the sky."""
    usable = np.isfinite(plane)
    sky, noise = sky_and_noise(plane, valid=usable)
    flat = np.where(usable, plane - sky, 0.0)
    for axis in (0, 1):
        flat -= np.median(flat, axis=axis, keepdims=True)
    flat = ndimage.median_filter(flat, 3)
    stars = np.arcsinh(np.maximum(flat / max(noise, 1e-12) - _STAR_SIGMA, 0.0))
    if not stars.any():
        raise BayescrError(
            "an exposure shows nothing above its noise to align by: expected a field of stars or "
            "galaxies, or a WCS to rely on"
        )
    return stars


def _product(first: Array, second: Array, size: tuple[int, ...]) -> Array:
    """The spectrum of the correlation, highest where ``second`` is further on."""
    return np.asarray(np.conj(fft.rfft2(first, size)) * fft.rfft2(second, size))


def _finer(product: Array, shape: tuple[int, ...], centre: Array, step: float) -> Array:
    """The highest point of the correlation on a grid of ``step`` pixels around ``centre``."""
    offsets = step * np.arange(-12, 13)
    rows = np.exp(2j * np.pi * np.outer(centre[0] + offsets, fft.fftfreq(shape[0])))
    columns = np.exp(2j * np.pi * np.outer(fft.rfftfreq(shape[1]), centre[1] + offsets))
    columns[1 : (shape[1] + 1) // 2] *= 2.0  # the half of the spectrum that is left out
    values = (rows @ product @ columns).real
    best = np.unravel_index(np.argmax(values), values.shape)
    return centre + [offsets[best[0]], offsets[best[1]]]
