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

    Args:
        flats: Two or more of the same lamp, filter and exposure time, in counts, the imaged
            section only. A change of the lamp between two is scaled out.
        biases: Two or more, of the same section.

    Raises:
        BayescrError: If there are fewer than two of one, shapes differ, or the flats hold no
            more noise than the biases.

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
    bias = np.median([_plane(frame) for frame in biases], axis=0)
    read_variance = np.median(
        [_variances(_plane(a) - _plane(b)) for a, b in itertools.pairwise(biases)]
    )
    gains: list[Array] = []
    for first, second in itertools.pairwise(flats):
        one, two = _plane(first) - bias, _plane(second) - bias
        lamp = np.median(one) / np.median(two)
        light = _blocks(one).mean(axis=1)
        # var(one - lamp * two) = shot noise of one (1 + lamp) and read noise (1 + lamp^2) / 2
        shot = _variances(one - lamp * two) - read_variance * (1 + lamp**2) / 2
        gains.append((1 + lamp) * light / np.where(shot > 0, shot, np.nan))
    values = np.concatenate(gains)
    if np.isfinite(values).sum() < values.size / 2 or not np.nanmedian(values) > 0:
        raise BayescrError(
            "the flats hold no more noise than the biases: expected flats well above the bias, in "
            "counts as they were read; are they given in each other's place?"
        )
    gain = float(np.nanmedian(values))
    return Noise(gain=gain, read_noise=gain * math.sqrt(read_variance / 2))


def robust_std(values: Array) -> float:
    """Standard deviation by the median absolute deviation from the median."""
    return MAD_TO_STD * float(np.median(np.abs(values - np.median(values))))


def _plane(frame: CCDData) -> Array:
    return np.asarray(frame.data, np.float64)


def _variances(difference: Array) -> Array:
    """Variance in each block, without cosmic rays and bad pixels."""
    blocks = _blocks(difference)
    centre = np.median(blocks, axis=1, keepdims=True)
    spread = MAD_TO_STD * np.median(np.abs(blocks - centre), axis=1, keepdims=True)
    kept = np.where(np.abs(blocks - centre) <= 4.0 * spread, blocks, np.nan)
    return np.nanvar(kept, axis=1)


def _blocks(plane: Array) -> Array:
    """(N, pixels) squares; what is left at the edges is left out."""
    side = min(_BLOCK, *plane.shape)
    height, width = (length // side * side for length in plane.shape)
    cut = plane[:height, :width].reshape(height // side, side, width // side, side)
    return cut.swapaxes(1, 2).reshape(-1, side * side)
