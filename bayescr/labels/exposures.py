"""Cosmic rays in images of one field: what the other exposures, brought onto it, do not allow.

Seeing, transparency and sampling differ between exposures, so that a star's core may stand far
above what the others show at that pixel. Nothing that shines through the telescope can stand above
the largest of its 3 x 3 neighbours in all others, though, nor below the smallest. With f the
exposure, o the others on its pixels, scaled to its transparency and sky,

    low <= f <= high,      high = max over o and 3 x 3 pixels,      low likewise

but for noise. An event's seeds stand above ``high``; it grows over pixels that stand above

    max(centre, high - 2 sigma),      centre = `consensus` of o

which is ``centre`` on the sky, where the largest of many noisy pixels is about 2 sigma. The same
below ``low`` is the control. Defects stay where they are on the detector while the sky moves: what
the same pixel shows in every other exposure, unshifted, is allowed too.

The noise is that of f - centre, as it grows with the level (`fit_noise`).

Not valid: pixels that fewer than two others cover, saturated ones, and those where the others
allow more than ``seed_sigma`` above ``centre``, or seeing makes more than half of the noise, as
under the cores of stars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from astropy.wcs import WCS
from scipy import ndimage

from bayescr.data import sky_and_noise
from bayescr.errors import BayescrError
from bayescr.labels._frames import check_frames, planes_of, rounding, saturated
from bayescr.labels.alignment import measure_shift, pixel_map, resample
from bayescr.labels.consensus import consensus
from bayescr.labels.labels import Labels, make_labels
from bayescr.labels.noise_curve import fit_noise

__all__ = ["label_exposures"]

Array = np.ndarray[Any, Any]

_NOISE_OF_MAXIMUM = 2.0  # sigma, about what the largest of 18 to 27 pixels exceeds the mean by
_SMOOTHING = 4.0  # pixels, wider than the seeing, for fluxes that do not depend on it
_BRIGHT = 10.0  # sigma of the smoothed sky
_MIN_BRIGHT = 50  # pixels


def label_exposures(
    frames: Sequence[CCDData],
    *,
    use_wcs: bool = True,
    seed_sigma: float = 6.0,
    grow_sigma: float = 3.0,
    progress: Callable[[int], object] | None = None,
) -> list[Labels]:
    """Find the cosmic rays of each of three or more exposures of a field by the others.

    Args:
        frames: One detector, one shape and unit; better one filter: what the others lack because
            of a star's colour must not be taken for a hit.
        use_wcs: Whether to take the WCS of the headers as the first guess.
        seed_sigma: As in `find_events`.
        grow_sigma: As in `find_events`.
        progress: Called with the number of exposures finished, after each.

    Returns:
        Labels of each frame, in the frames' unit.

    Raises:
        BayescrError: If there are fewer than three frames, they differ in shape or unit, do not
            overlap, or there is nothing to align by.
    """
    check_frames(frames)
    planes = planes_of(frames)
    wcs = [frame.wcs if use_wcs else None for frame in frames]
    shifts = _shifts(planes, wcs)
    labels = []
    for index, frame in enumerate(frames):
        labels.append(_label_one(frame, index, planes, wcs, shifts, seed_sigma, grow_sigma))
        if progress is not None:
            progress(len(labels))
    return labels


def _label_one(
    frame: CCDData,
    index: int,
    planes: Array,
    wcs: Sequence[WCS | None],
    shifts: Array,
    seed_sigma: float,
    grow_sigma: float,
) -> Labels:
    plane, others = planes[index], [k for k in range(len(planes)) if k != index]
    sky, sky_noise = sky_and_noise(plane)
    on_first = pixel_map(wcs[index], wcs[0], _grid(plane.shape)) - shifts[index][:, None, None]
    aligned, fixed = [], []
    for other in others:
        where = pixel_map(wcs[0], wcs[other], on_first + shifts[other][:, None, None])
        aligned.append(_matched(plane, resample(planes[other], where)))
        fixed.append(planes[other] - sky_and_noise(planes[other])[0] + sky)
    centre = consensus(np.stack(aligned), sky_noise)
    low, high = _allowed(np.stack(aligned), np.stack(fixed))

    covered = np.isfinite(aligned).sum(axis=0) >= 2
    usable = covered & np.isfinite(plane)
    if not usable.any():
        raise BayescrError(
            f"exposure {index + 1} shares no field with two others: expected three exposures that "
            "overlap; if they do, leave their WCS out"
        )
    curve = fit_noise(plane - centre, centre, usable, step=rounding(planes[:2]))
    level = np.where(usable, centre, sky)
    noise = curve.at(level)
    slack = _NOISE_OF_MAXIMUM * noise
    soft_low, soft_high = np.minimum(centre, low + slack), np.maximum(centre, high - slack)
    calm = curve.is_known(level) & (high - centre < seed_sigma * noise)
    searched = curve.at(np.where(usable, soft_high, sky))
    certain = plane - high > seed_sigma * searched  # under a star or not
    return make_labels(
        frame,
        plane - np.clip(plane, soft_low, soft_high),
        searched,
        decidable=usable & ~saturated(plane) & (calm | certain),
        seed_sigma=seed_sigma,
        grow_sigma=grow_sigma,
        seed_residual=plane - np.clip(plane, low, high),
        shift=(float(shifts[index][0]), float(shifts[index][1])),
    )


def _shifts(planes: Array, wcs: Sequence[WCS | None]) -> Array:
    """(N, 2), what the WCS miss by, against the first; 0 where they are all there is to align by.

    Raises:
        BayescrError: If there are neither stars nor WCS.
    """
    shifts = np.zeros((len(planes), 2))
    for index, (plane, own) in enumerate(zip(planes, wcs, strict=True)):
        there = resample(plane, pixel_map(wcs[0], own, _grid(plane.shape)))
        try:
            shifts[index] = measure_shift(planes[0], there) if index else 0.0
        except BayescrError:
            if any(one is None for one in wcs):
                raise
    return shifts


def _grid(shape: tuple[int, ...]) -> Array:
    return np.indices(shape, dtype=np.float64)


def _matched(plane: Array, other: Array) -> Array:
    """Another exposure, scaled to the sky and the transparency of this one."""
    (sky, noise), (other_sky, other_noise) = sky_and_noise(plane), sky_and_noise(other)
    smooth, other_smooth = (
        ndimage.gaussian_filter(np.nan_to_num(p - level), _SMOOTHING)
        for p, level in ((plane, sky), (other, other_sky))
    )
    white = 2.0 * np.sqrt(np.pi) * _SMOOTHING  # by which the filter reduces white noise
    bright = (smooth > _BRIGHT * noise / white) & (other_smooth > _BRIGHT * other_noise / white)
    ratio = 1.0
    if np.count_nonzero(bright) >= _MIN_BRIGHT:
        ratio = float(np.median(smooth[bright] / other_smooth[bright]))
    return (other - other_sky) * ratio + sky


def _allowed(aligned: Array, fixed: Array) -> tuple[Array, Array]:
    """Lowest and highest that the sky (3 x 3 pixels, any exposure) and the detector can show."""
    above = [ndimage.maximum_filter(np.nan_to_num(p, nan=-np.inf), 3) for p in aligned]
    below = [ndimage.minimum_filter(np.nan_to_num(p, nan=np.inf), 3) for p in aligned]
    fixed_low, fixed_high = np.fmax.reduce(fixed), np.fmin.reduce(fixed)
    return np.fmin(np.min(below, axis=0), fixed_low), np.fmax(np.max(above, axis=0), fixed_high)
