"""Gain and read noise from flats and biases.

Photon transfer. The difference of two flats of the same light holds shot noise and read noise of
both, and of their structure nothing; with F and B the means of a flat and a bias, in counts,

    gain = [(F1 + F2) - (B1 + B2)] / [var(F1 - F2) - var(B1 - B2)]        [electron / count]
    read noise = gain * std(B1 - B2) / sqrt(2)                            [electron]

References:
    Janesick, "Photon Transfer", SPIE Press Monograph PM170 (2007), chapter 5.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from bayescr._checks import check_positive
from bayescr.errors import BayescrError

__all__ = ["MAD_TO_STD", "Noise", "measure_noise", "robust_std"]

Array = np.ndarray[Any, Any]

_BLOCK = 64  # side in pixels of the squares in which flats are compared
_LEAST = 0.25  # of a square's pixels, that must be usable
MAD_TO_STD = 1.482602  # of a Gaussian's median absolute deviation


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What turns counts into electrons, and what reading them adds.

    Attributes:
        gain: Electrons per count, or None where it is not known.
        read_noise: Electrons (counts where the gain is not known), or None.

    Raises:
        BayescrError: If one is not positive.
    """

    gain: float | None = None
    read_noise: float | None = None

    def __post_init__(self) -> None:
        known = {name: value for name, value in vars(self).items() if value is not None}
        check_positive(self, *known)


def measure_noise(flats: Sequence[CCDData], biases: Sequence[CCDData]) -> Noise:
    """Measure gain and read noise by photon transfer, the median over squares of 64 pixels.

    Pixels that are masked or not finite do not count, nor squares of which they leave too little.

    Args:
        flats: Two or more of the same lamp, filter and exposure time, in counts, the imaged
            section only. A change of the lamp between two is scaled out.
        biases: Two or more, of the same section.

    Raises:
        BayescrError: If there are fewer than two of one, shapes differ, no square is left to
            measure, or the flats hold no more noise than the biases.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> flats = [CCDData(rng.poisson(8e3, (256, 256)) / 2.0, unit="adu") for _ in range(2)]
        >>> biases = [CCDData(rng.normal(0, 3.0, (256, 256)), unit="adu") for _ in range(2)]
        >>> round(measure_noise(flats, biases).gain, 1)
        2.0
    """
    for name, frames in (("flats", flats), ("biases", biases)):
        if len(frames) < 2:
            raise BayescrError(
                f"{len(frames)} {name} given: expected two or more, their differences are measured"
            )
    shapes = {frame.shape for frame in (*flats, *biases)}
    if len(shapes) > 1:
        raise BayescrError(
            f"flats and biases have shapes {', '.join(map(str, sorted(shapes)))}: expected one, "
            "the imaged section of each"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # squares that are masked altogether
        gains, read_variance = _photon_transfer(list(map(_plane, flats)), list(map(_plane, biases)))
    if not gains.size:
        raise BayescrError(
            "two flats and two biases share no usable square: expected a quarter of its pixels or "
            "more to be finite and not masked in all; are the masks inverted?"
        )
    if np.isfinite(gains).sum() < gains.size / 2 or not np.nanmedian(gains) > 0:
        raise BayescrError(
            "the flats hold no more noise than the biases: expected flats well above the bias, in "
            "counts as they were read; are they given in each other's place?"
        )
    gain = float(np.nanmedian(gains))
    return Noise(gain=gain, read_noise=gain * math.sqrt(read_variance / 2))


def robust_std(values: Array, *, step: float = 0.0, centre: float | None = None) -> float:
    """Standard deviation by the median absolute deviation.

    That of whole counts is a whole count, or a half: off by a fifth where the noise is of two. So
    equal values are spread evenly over the step that they were rounded to, as in the median of
    grouped data, and the variance that this adds is taken off again (Sheppard's correction).

    Args:
        values: Finite ones.
        step: What they were rounded to; values that occur once are left as they are.
        centre: Deviations are from it; from the median if None.
    """
    values = np.sort(values, axis=None)
    added = 0.0
    if step > 0:
        first, last = (np.searchsorted(values, values, side=side) for side in ("left", "right"))
        offset = step * ((np.arange(values.size) - first + 0.5) / (last - first) - 0.5)
        added = float(np.mean(offset**2))
        values = values + offset
        if first[-1] == 0:  # all are equal
            return 0.0
    spread = float(np.median(np.abs(values - (np.median(values) if centre is None else centre))))
    return math.sqrt(max((MAD_TO_STD * spread) ** 2 - added, 0.0))


def _photon_transfer(flats: list[Array], biases: list[Array]) -> tuple[Array, float]:
    """Gain in each square to be measured, NaN where it has no shot noise; and var(B1 - B2)."""
    bias = np.nanmedian(biases, axis=0)
    read_variance = float(
        np.nanmedian([_variances(one - two) for one, two in itertools.pairwise(biases)])
    )
    gains = []
    for first, second in itertools.pairwise(flats):
        one, two = first - bias, second - bias
        both = np.isfinite(one) & np.isfinite(two)
        lamp = np.nanmedian(one[both]) / np.nanmedian(two[both])
        light = np.nanmean(_blocks(one), axis=1)
        # var(one - lamp * two) = shot noise of one (1 + lamp) and read noise (1 + lamp^2) / 2
        shot = _variances(one - lamp * two) - read_variance * (1 + lamp**2) / 2
        gain = (1 + lamp) * light / np.where(shot > 0, shot, np.nan)
        gains.append(gain[np.isfinite(shot)])
    return np.concatenate(gains), read_variance


def _plane(frame: CCDData) -> Array:
    """(H, W) float64, NaN where the frame is masked or not finite."""
    usable = np.isfinite(frame.data)
    if frame.mask is not None:
        usable &= ~np.broadcast_to(frame.mask, usable.shape)
    return np.where(usable, np.asarray(frame.data, np.float64), np.nan)


def _variances(difference: Array) -> Array:
    """Variance in each block, without cosmic rays and bad pixels; NaN if they leave too little."""
    blocks = _blocks(difference)
    centre = np.nanmedian(blocks, axis=1, keepdims=True)
    spread = MAD_TO_STD * np.nanmedian(np.abs(blocks - centre), axis=1, keepdims=True)
    kept = np.where(np.abs(blocks - centre) <= 4.0 * spread, blocks, np.nan)
    enough = np.isfinite(blocks).mean(axis=1) >= _LEAST
    return np.where(enough, np.nanvar(kept, axis=1), np.nan)


def _blocks(plane: Array) -> Array:
    """(N, pixels) squares; what is left at the edges is left out."""
    side = min(_BLOCK, *plane.shape)
    height, width = (length // side * side for length in plane.shape)
    cut = plane[:height, :width].reshape(height // side, side, width // side, side)
    return cut.swapaxes(1, 2).reshape(-1, side * side)
