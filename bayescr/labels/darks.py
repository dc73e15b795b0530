"""Cosmic rays in dark exposures: all that is not the detector's own.

    dark = step of each row + bias + rate * time + cosmic rays + noise

The step (an amplifier's level may jump while it reads) is the median of the row, in each
amplifier's section by itself. Rate and bias are those of a pixel, from robust lines: the rate is
the median of the slopes between exposures at least half the longest difference in time apart
(Theil-Sen), and the bias of an exposure the `consensus` of the five others nearest in time and of
those as near, so that a pixel may saturate slowly. Where all times are equal there is no rate, and
the bias holds it all. Neither is taken from the exposure that is judged: of few exposures one with
a hit would pull the line to itself.

The dark current doubles every few kelvin: what the rate of an exposure must be multiplied by is
measured on the pixels that have most of it.

Not valid: saturated pixels, hot ones (noise above twice the typical one, or not known: what is a
cosmic ray elsewhere may be shot noise there), unstable ones (off the model by 2.5 sigma in three
exposures and a fifth of all, or in events that share half of their pixels or more with those of
other exposures: they flicker between two levels, or saturate; three exposures cannot tell), and
columns of which a quarter of the pixels are such. Two tracks that cross share fewer: both are kept.
Where half of the slopes hang on one of the others, its hits are in the rate: then pixels are not
valid where the others miss a straight line, or, if one alone says how steep it is, a constant, by
3 sigma.

References:
    Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63 (1968), 1379.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage

from bayescr.errors import BayescrError
from bayescr.labels._frames import check_frames, exposure_time, planes_of, rounding, saturated
from bayescr.labels.consensus import consensus
from bayescr.labels.events import TOUCHING, find_events
from bayescr.labels.labels import Labels, make_labels
from bayescr.labels.noise import robust_std
from bayescr.labels.noise_curve import fit_noise

__all__ = ["DarkModel", "dark_model", "label_darks"]

Array = np.ndarray[Any, Any]

_ROWS = 64  # fitted at a time, to bound the memory of all pairs of exposures
_STRAY = 3.0  # sigma
_ALONE = 0.75  # leverage, beyond which less than half of a hit is left by the line
_HOT = 2.0  # in units of the typical noise
_MISFIT = 2.5  # sigma
_BAD_SHARE = 0.25  # of a column
_PEERS = 5
_WARM = 10.0  # sigma of dark charge, for a pixel to measure its scale
_MIN_WARM = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class DarkModel:
    """What a pixel reads in the dark, rows' steps taken off.

    Attributes:
        bias: (H, W) float32, at no time.
        rate: (H, W) float32, more for each second; 0 where all exposures were of one time.
    """

    bias: Array
    rate: Array

    def at(self, exposure_time: float) -> Array:
        """(H, W), expected after a number of seconds."""
        return self.bias + self.rate * exposure_time


def dark_model(frames: Sequence[CCDData], *, splits: Sequence[int] = ()) -> DarkModel:
    """Fit bias and rate of every pixel to dark exposures, robustly.

    Args:
        frames: Three or more of one shape; EXPTIME or EXPOSURE in the header [s].
        splits: Columns at which the section of another amplifier begins.

    Raises:
        BayescrError: If the frames do not belong together, or a time is missing.
    """
    check_frames(frames)
    times = _times(frames)
    return _fit(_levelled(frames, splits), times)


def label_darks(
    frames: Sequence[CCDData],
    *,
    splits: Sequence[int] = (),
    seed_sigma: float = 6.0,
    grow_sigma: float = 3.0,
    progress: Callable[[int], object] | None = None,
) -> list[Labels]:
    """Find the cosmic rays of each of three or more dark exposures by the others.

    Args:
        frames: Of one detector and temperature, as `dark_model` takes them.
        splits: As in `dark_model`.
        seed_sigma: As in `find_events`.
        grow_sigma: As in `find_events`.
        progress: Called with the number of exposures finished, after each.

    Returns:
        Labels of each frame, in the frames' unit.

    Raises:
        BayescrError: If there are fewer than three frames, they do not belong together, one has
            no usable pixel, or one is of another time than all others, which are of one.
    """
    check_frames(frames)
    times = _times(frames)
    _check_times(times)
    planes = _levelled(frames, splits)
    rates, scales = _rates_by_others(planes, times)
    collected = (scales * times).astype(np.float32)
    step = rounding(planes_of(frames[:2]))
    typical = _typical_noise(planes, step)
    residuals, noises = [], []
    for index, rate in enumerate(rates):
        if progress is not None:
            progress(index)
        biases = planes - rate * collected[:, None, None]
        residuals.append(biases[index] - consensus(biases[_peers(times, index)], typical))
        level = _lower_median(biases) + rate * np.float32(times.max())
        level = _brightness(level, np.delete(times, index), typical)
        curve = fit_noise(residuals[-1], level, np.isfinite(residuals[-1]), step=step)
        noises.append(np.where(curve.is_known(level), curve.at(level), np.inf))
    find = partial(find_events, seed_sigma=seed_sigma, grow_sigma=grow_sigma)
    hit = [find(r, noise).truth for r, noise in zip(residuals, noises, strict=True)]
    stable = ~(_unstable(residuals, noises) | _repeated(np.stack(hit)))
    labels = []
    for frame, residual, noise in zip(frames, residuals, noises, strict=True):
        quiet = float(np.median(noise[np.isfinite(noise)]))
        decidable = np.isfinite(residual) & stable & (noise < _HOT * quiet)
        decidable &= ~saturated(np.asarray(frame.data))
        decidable &= decidable.mean(axis=0) > 1.0 - _BAD_SHARE
        labels.append(
            make_labels(
                frame,
                residual,
                np.where(np.isfinite(noise), noise, quiet),  # none of these is decidable
                decidable=decidable,
                seed_sigma=seed_sigma,
                grow_sigma=grow_sigma,
            )
        )
    return labels


def _times(frames: Sequence[CCDData]) -> Array:
    """(N,) exposure times [s]."""
    return np.array([exposure_time(f, f"exposure {k}") for k, f in enumerate(frames, start=1)])


def _levelled(frames: Sequence[CCDData], splits: Sequence[int]) -> Array:
    """(N, H, W) float32 without the median of each row in each amplifier's section."""
    width = frames[0].shape[1]
    if any(not 0 < split < width for split in splits) or list(splits) != sorted(set(splits)):
        raise BayescrError(
            f"splits are {tuple(splits)}: expected rising columns between 0 and {width}, where "
            "another amplifier's section begins"
        )
    planes = planes_of(frames)
    shared = np.isfinite(planes).sum(axis=0) >= 2
    for index, plane in enumerate(planes):
        if not np.isfinite(plane[shared]).any():
            raise BayescrError(
                f"exposure {index + 1} has no usable pixel that another has, too: expected some "
                "that are finite and not masked; is the mask inverted?"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows that are masked altogether
        for section in np.split(planes, list(splits), axis=2):  # views
            section -= np.nanmedian(section, axis=2, keepdims=True)
    return planes


def _check_times(times: Array) -> None:
    for index, seconds in enumerate(times):
        others = np.delete(times, index)
        if np.ptp(others) == 0 and others[0] != seconds:
            raise BayescrError(
                f"exposure {index + 1} is of {seconds:g} s and all others of {others[0]:g} s: what "
                "collects in between cannot be known without it; expected another of that time or "
                "of a third, or leave it out"
            )


def _fit(planes: Array, times: Array) -> DarkModel:
    """The rate, then the median of what it leaves."""
    bias, rate = np.empty(planes.shape[1:], np.float32), _rate(planes, times)
    for start in range(0, planes.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        bias[rows] = _median(planes[:, rows] - rate[rows] * times.astype(np.float32)[:, None, None])
    return DarkModel(bias=bias, rate=rate)


def _rate(planes: Array, times: Array) -> Array:
    """(H, W) float32, Theil-Sen over the pairs with a long arm; 0 where there is none."""
    rate = np.zeros(planes.shape[1:], np.float32)
    pairs = _pairs(times)
    for start in range(0, planes.shape[1] if pairs else 0, _ROWS):
        rows = slice(start, start + _ROWS)
        part = planes[:, rows]
        slopes = [(part[b] - part[a]) / np.float32(times[b] - times[a]) for a, b in pairs]
        rate[rows] = _median(np.stack(slopes))
    return rate


def _pairs(times: Array) -> list[tuple[int, int]]:
    """Earlier and later of the exposures at least half the longest difference in time apart."""
    baseline = np.ptp(times)
    return [
        (first, second)
        for first, second in itertools.permutations(range(len(times)), 2)
        if baseline > 0 and times[second] - times[first] >= baseline / 2
    ]


def _median(values: Array) -> Array:
    """Of those along the first axis that are finite; `np.nanmedian`, many times faster."""
    ordered = np.sort(np.ascontiguousarray(np.moveaxis(values, 0, -1)), axis=-1)  # NaN last
    number = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low, high = (
        np.take_along_axis(ordered, np.maximum(index, 0), axis=-1)[..., 0]
        for index in ((number - 1) // 2, number // 2)
    )
    return np.asarray((low + high) / 2)


def _lower_median(values: Array) -> Array:
    """The lower of two in the middle: of four planes two may be hit."""
    ordered = np.sort(values, axis=0)  # NaN last
    middle = np.maximum(np.isfinite(ordered).sum(axis=0) - 1, 0) // 2
    return np.asarray(np.take_along_axis(ordered, middle[None], axis=0)[0])


def _typical_noise(planes: Array, step: float) -> float:
    """Of one plane, by the differences between those that follow each other."""
    differences = (one - two for one, two in itertools.pairwise(planes))
    spreads = [
        robust_std(d[np.isfinite(d)], step=step) for d in differences if np.isfinite(d).any()
    ]
    return float(np.median(spreads)) / 2**0.5 if spreads else np.nan


def _rates_by_others(planes: Array, times: Array) -> tuple[Array, Array]:
    """(N, H, W) rates that all but one exposure give, and (N,) dark currents in units of them.

    NaN where a hit in one of the others may have made the rate.
    """
    rates, scales = np.empty_like(planes), np.ones(len(planes))
    for index, plane in enumerate(planes):
        kept = np.arange(len(planes)) != index
        others, other_times = planes[kept], times[kept]
        model = _fit(others, other_times)
        rates[index] = model.rate
        if _is_fragile(other_times):
            rates[index][_strays(others, other_times)] = np.nan
        scales[index] = _scale(plane - model.bias, rates[index] * times[index])
    return rates, scales


def _is_fragile(times: Array) -> bool:
    """Whether half of the slopes or more hang on one exposure."""
    pairs = _pairs(times)
    return bool(pairs) and 2 * max(np.bincount(np.ravel(pairs))) >= len(pairs)


def _strays(planes: Array, times: Array) -> Array:
    """(H, W) bool, off a straight line (least squares), or off a constant if one sets the slope."""
    design = np.stack([np.ones_like(times), times / times.max()], axis=1)
    hat = design @ np.linalg.pinv(design)
    if hat.diagonal().max() > _ALONE:  # the line meets that one, hit or not
        hat = np.full_like(hat, 1.0 / len(times))
    seen = np.sqrt(1.0 - hat.diagonal())  # what of an exposure's own scatter the fit leaves
    left = np.tensordot((np.eye(len(times)) - hat) / seen[:, None], planes, axes=1)
    return np.asarray(~(np.abs(left).max(axis=0) <= _STRAY * robust_std(left[np.isfinite(left)])))


def _scale(plane: Array, expected: Array) -> float:
    """Dark current of an exposure in units of what is expected, by the warmest pixels."""
    warm = (expected > _WARM * robust_std(plane[np.isfinite(plane)])) & np.isfinite(plane)
    if np.count_nonzero(warm) < _MIN_WARM:
        return 1.0
    return float(np.median(plane[warm] / expected[warm]))


def _brightness(level: Array, times: Array, noise: float) -> Array:
    """A level without what is only its own noise, which the residual has with the other sign.

    The variance of a line's end is that of a plane times 1/N + t^2 / sum (t - mean)^2, of which the
    second term is of the rate; exposures of one time have none.
    """
    spread = np.sum((times - times.mean()) ** 2)
    sky = np.float32(np.nanmedian(level))
    of_rate = times.max() ** 2 / spread if spread > 0 else 0.0
    least = _STRAY * noise * np.sqrt(1.0 / len(times) + of_rate)
    return np.where(np.abs(level - sky) < least, sky, level)


def _peers(times: Array, index: int) -> Array:
    """(N,) bool, the others that are nearest in time: a pixel is linear over short spans only."""
    distance = np.abs(times - times[index])
    distance[index] = np.inf
    return distance <= np.sort(distance)[min(_PEERS, len(times) - 1) - 1]


def _unstable(residuals: Sequence[Array], noises: Sequence[Array]) -> Array:
    """(H, W) bool, pixels that miss the model more often than noise and coincidences would.

    The largest residual is not counted: it may be a hit, which makes the model of the others a
    little wrong, too.
    """
    significance = [r / noise for r, noise in zip(residuals, noises, strict=True)]
    count = sum(np.abs(z) > _MISFIT for z in significance)
    count = count - (np.fmax.reduce(significance) > _MISFIT)
    return np.asarray(count >= max(3, len(residuals) // 5 - 1)) & (len(residuals) > 3)


def _repeated(hit: Array) -> Array:
    """(H, W) bool, the events of (N, H, W) that share half of their pixels or more with others."""
    shared, found = hit.sum(axis=0) > 1, np.zeros(hit.shape[1:], bool)
    for plane in hit:
        regions, number = ndimage.label(plane, TOUCHING)
        share = np.bincount(regions.ravel(), shared.ravel(), number + 1)
        found |= plane & (2 * share >= np.bincount(regions.ravel(), minlength=number + 1))[regions]
    return found
