"""The noise of a residual, measured on the residual itself: it needs no gain and no read noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from bayescr.errors import BayescrError
from bayescr.labels.noise import robust_std

__all__ = ["NoiseCurve", "fit_noise"]

Array = np.ndarray[Any, Any]

_BINS = 24  # of level, by powers of two
_LEAST = 100  # pixels of a bin whose scatter counts
_REACH = 2.0  # times the mean level of the highest bin
_QUIET = 8.0  # sigma of the sky, below which a curve is always known
_ENOUGH = 10_000  # pixels beyond which a bin counts no more


@dataclass(frozen=True, kw_only=True)
class NoiseCurve:
    """How noise grows with the level that a pixel is expected to have.

        variance = constant + linear d + square d^2,      d = level - sky where that is above 0

    The constant holds read noise and sky, the linear term the shot noise of sources, the square
    one what is proportional to a source: seeing, transparency and sampling that differ between
    exposures.

    Attributes:
        sky: In the unit of the frames, as all that follows.
        constant: Variance at the sky.
        linear: Variance for each unit of level.
        square: Variance for each unit of level squared.
        reach: The largest d that the curve is known for.
    """

    sky: float
    constant: float
    linear: float
    square: float
    reach: float

    def at(self, level: Array) -> Array:
        """(H, W) float32, standard deviation at a level of that shape."""
        d = np.maximum(level - self.sky, 0.0)
        variance = self.constant + self.linear * d + self.square * d**2
        return np.asarray(np.sqrt(variance), np.float32)

    def is_known(self, level: Array) -> Array:
        """(H, W) bool, where levels were measured and half of the noise at most is a source's."""
        d = np.maximum(level - self.sky, 0.0)
        is_random = self.square * d**2 <= self.at(level) ** 2 / 4
        return np.asarray(is_random & (d <= self.reach))


def fit_noise(residual: Array, level: Array, valid: Array, *, step: float = 0.0) -> NoiseCurve:
    """Measure the noise of a residual on itself.

    The curve's terms, none below 0, are fitted to the median absolute deviation in bins of d,
    each twice as wide as the one before; so neither events nor stars that vary count much. No bin
    counts with less than the first, which holds the sky: where the level itself is noisy, those
    just above hold pixels that it chose, and scatter less.

    Args:
        residual: (H, W).
        level: (H, W), expected without cosmic rays, same unit.
        valid: (H, W) bool, which pixels to measure on.
        step: What the exposures were rounded to, 0 if to nothing.

    Raises:
        BayescrError: If the residual does not vary, or no pixel is valid.
    """
    residual, level = residual[valid], level[valid]
    if not residual.size:
        raise BayescrError(
            "no pixel of an exposure can be compared with the others: expected pixels that are "
            "finite and not masked in it and in two others; are the masks inverted?"
        )
    floor = robust_std(residual, step=step)
    if not floor > 0:
        raise BayescrError(
            "the exposures do not differ in most of their pixels: expected different ones, with "
            "noise; was one given twice?"
        )
    sky = float(np.median(level))
    which = np.digitize(level, sky + floor * 2.0 ** np.arange(_BINS))
    bins = [chosen for k in range(_BINS + 1) if np.count_nonzero(chosen := which == k) >= _LEAST]
    scatter = [robust_std(residual[b], step=step, centre=0.0) for b in bins]
    variance = np.maximum(np.square(scatter), scatter[0] ** 2)
    excess = np.array([max(float(level[b].mean(dtype=np.float64)) - sky, 0.0) for b in bins])
    numbers = np.sqrt(np.array([min(np.count_nonzero(b), _ENOUGH) for b in bins]))
    design = np.stack([np.ones_like(excess), excess, excess**2], axis=1)
    scale = np.maximum(design.max(axis=0), 1e-30)
    weight = numbers / np.maximum(variance, 1e-3 * floor**2)  # integers may repeat exactly
    terms, _ = nnls(weight[:, None] * design / scale, weight * variance)
    constant, linear, square = (float(term) for term in terms / scale)
    return NoiseCurve(
        sky=sky,
        constant=max(constant, floor**2 / 4),
        linear=linear,
        square=square,
        reach=max(_REACH * float(excess.max()), _QUIET * floor),
    )
