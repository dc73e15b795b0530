"""Cosmic rays in dark exposures: all that is not the detector's own.

    dark = step of each row + bias + rate * time + cosmic rays + noise

The step (an amplifier's level may jump while it reads) is the median of the row, in each
amplifier's section by itself. Rate and bias are those of a pixel, from robust lines: the rate is
the median of the slopes between exposures at least half the longest difference in time apart
(Theil-Sen), and the bias of an exposure the `consensus` of the five others nearest in time and of
those as near, so that its own cosmic rays are not in it and a pixel may saturate slowly. Where all
times are equal there is no rate, and the bias holds it all.

The dark current doubles every few kelvin: what the rate of an exposure must be multiplied by is
measured on the pixels that have most of it.

Not valid: saturated pixels, hot ones (noise above twice the typical one, or not known: what is a
cosmic ray elsewhere may be shot noise there), unstable ones (off the model by 2.5 sigma in three
exposures and a fifth of all: they flicker between two levels, or saturate; three exposures cannot
tell), and columns of which a quarter of the pixels are such.

References:
    Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63 (1968), 1379.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.labels._frames import check_frames, exposure_time, planes_of, saturated
from bayescr.labels.consensus import consensus
from bayescr.labels.labels import Labels, make_labels
from bayescr.labels.noise import MAD_TO_STD, robust_std
from bayescr.labels.noise_curve import fit_noise

__all__ = ["DarkModel", "dark_model", "label_darks"]

Array = np.ndarray[Any, Any]

_ROWS = 64  # fitted at a time, to bound the memory of all pairs of exposures
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
    times = np.array([exposure_time(frame) for frame in frames])
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
        BayescrError: If there are fewer than three frames or they do not belong together.
    """
    check_frames(frames)
    times = np.array([exposure_time(frame) for frame in frames])
    planes = _levelled(frames, splits)
    model = _fit(planes, times)
    dark = np.stack([model.rate * seconds for seconds in times])
    dark *= _scales(planes - model.bias, dark)[:, None, None]
    planes -= dark  # what is left is the bias
    typical = float(np.nanmedian(np.abs(np.diff(planes, axis=0)))) * MAD_TO_STD / 2**0.5
    residuals, noises = [], []
    level = model.at(times.max())
    for index, plane in enumerate(planes):
        if progress is not None:
            progress(index)
        residuals.append(plane - consensus(planes[_peers(times, index)], typical))
        curve = fit_noise(residuals[-1], level, np.isfinite(residuals[-1]))
        noises.append(np.where(curve.is_known(level), curve.at(level), np.inf))
    stable = ~_unstable(residuals, noises)
    labels = []
    for frame, residual, noise in zip(frames, residuals, noises, strict=True):
        decidable = np.isfinite(residual) & stable & (noise < _HOT * np.median(noise))
        decidable &= ~saturated(np.asarray(frame.data))
        decidable &= decidable.mean(axis=0) > 1.0 - _BAD_SHARE
        labels.append(
            make_labels(
                frame,
                residual,
                noise,
                decidable=decidable,
                seed_sigma=seed_sigma,
                grow_sigma=grow_sigma,
            )
        )
    return labels


def _levelled(frames: Sequence[CCDData], splits: Sequence[int]) -> Array:
    """(N, H, W) float32 without the median of each row in each amplifier's section."""
    width = frames[0].shape[1]
    if any(not 0 < split < width for split in splits) or list(splits) != sorted(set(splits)):
        raise BayescrError(
            f"splits are {tuple(splits)}: expected rising columns between 0 and {width}, where "
            "another amplifier's section begins"
        )
    planes = planes_of(frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows that are masked altogether
        for section in np.split(planes, list(splits), axis=2):  # views
            section -= np.nanmedian(section, axis=2, keepdims=True)
    return planes


def _fit(planes: Array, times: Array) -> DarkModel:
    """Theil-Sen over the pairs with a long arm, then the median of what the rate leaves."""
    baseline = np.ptp(times)
    pairs = [
        (first, second)
        for first, second in itertools.permutations(range(len(times)), 2)
        if baseline > 0 and times[second] - times[first] >= baseline / 2
    ]
    bias, rate = np.zeros(planes.shape[1:], np.float32), np.zeros(planes.shape[1:], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pixels that are masked in every frame
        for start in range(0, planes.shape[1], _ROWS):
            rows = slice(start, start + _ROWS)
            part = planes[:, rows]
            if pairs:
                slopes = [(part[b] - part[a]) / (times[b] - times[a]) for a, b in pairs]
                rate[rows] = np.nanmedian(slopes, axis=0)
            bias[rows] = np.nanmedian(part - rate[rows] * times[:, None, None], axis=0)
    return DarkModel(bias=bias, rate=rate)


def _scales(planes: Array, dark: Array) -> Array:
    """(N,), the dark current of each exposure in units of the model's, by the warmest pixels."""
    scales = np.ones(len(planes))
    for index, (plane, expected) in enumerate(zip(planes, dark, strict=True)):
        scatter = robust_std(plane[np.isfinite(plane)])
        warm = (expected > _WARM * scatter) & np.isfinite(plane)
        if np.count_nonzero(warm) >= _MIN_WARM:
            scales[index] = np.median(plane[warm] / expected[warm])
    return scales


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
