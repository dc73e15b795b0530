"""Proper scores: one number for calibration and sharpness together.

With the logit z, p = sigmoid(z) and the label y in {0, 1} of N valid pixels, let m = (2 y - 1) z
be the logit of what happened. Then

    Brier = 1/N sum (p - y)^2        = 1/N sum sigmoid(-m)^2
    NLL   = -1/N sum log p(y)        = 1/N sum softplus(-m)                  [nat per pixel]
    Brier skill = 1 - Brier / (b (1 - b)),      b = 1/N sum y the base rate

Both right-hand forms keep full precision where p rounds to 0 or 1. A certain mistake (p = 0 or 1
and wrong) has NLL = inf. No valid pixel gives NaN; so does the skill where b is 0 or 1, for there
the constant forecast b is perfect.

Murphy's decomposition says where the Brier score comes from. On bins of n_k pixels with mean
probability p_k and observed frequency f_k,

    Brier = reliability - resolution + uncertainty
    reliability = 1/N sum_k n_k (p_k - f_k)^2,      uncertainty = b (1 - b)
    resolution  = 1/N sum_k n_k (f_k - b)^2 - 1/N sum (p - p_k)^2 + 2/N sum (p - p_k) (y - f_k)

The last two sums, the variance and covariance inside the bins, make the identity exact for bins of
any width; the resolution is negative where what varies inside the bins is noise.

References:
    Gneiting & Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
    J. Am. Stat. Assoc. 102, 359 (2007).
    Murphy, "A New Vector Partition of the Probability Score", J. Appl. Meteorol. 12, 595 (1973).
    Stephenson, Coelho & Jolliffe, "Two Extra Components in the Brier Score Decomposition", Weather
    and Forecasting 23, 752 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics._bins import logit_edges

__all__ = ["MurphyDecomposition", "base_rate", "brier", "brier_skill", "murphy", "nll"]


def brier(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Brier score, the mean squared error of the probability: 1/N sum (p - y)^2.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        A number from 0 (perfect) to 1; NaN without a valid pixel.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.

    Example:
        >>> brier([0.0, 0.0], [0, 1])
        0.25
    """
    z, y = valid_pixels(logit, target, valid=valid)
    return _mean(expit(np.where(y, -z, z)) ** 2)


def nll(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Negative log-likelihood per pixel, -1/N sum log p(y) [nat]; arguments as in :func:`brier`.

    Returns:
        A number >= 0, inf for a certain mistake; NaN without a valid pixel.

    Example:
        >>> round(nll([0.0], [1]), 6)
        0.693147
    """
    z, y = valid_pixels(logit, target, valid=valid)
    return _mean(np.logaddexp(0.0, np.where(y, -z, z)))


def brier_skill(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Brier skill against the base rate, 1 - Brier / (b (1 - b)); arguments as in :func:`brier`.

    Returns:
        1 for a perfect forecast, 0 for the constant b, negative for worse; NaN without a valid
        pixel or where all labels are the same.

    Example:
        >>> brier_skill([-9.0, -9.0, -9.0, -9.0], [0, 0, 0, 1]) < 0
        True
    """
    z, y = valid_pixels(logit, target, valid=valid)
    rate = base_rate(y)
    reference = rate * (1.0 - rate)
    return 1.0 - brier(z, y) / reference if reference > 0.0 else float("nan")


def base_rate(target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Fraction of valid pixels whose label is 1; NaN without a valid pixel."""
    _, y = valid_pixels(np.zeros(np.shape(target)), target, valid=valid)
    return _mean(y)


@dataclass(frozen=True, kw_only=True)
class MurphyDecomposition:
    """Brier = reliability - resolution + uncertainty.

    Attributes:
        reliability: Squared miscalibration, 0 if calibrated; lower is better.
        resolution: How far the frequencies spread around the base rate, with what the bins hide;
            higher is better, ``uncertainty`` at most.
        uncertainty: b (1 - b), the Brier score of the constant forecast b.
    """

    reliability: float
    resolution: float
    uncertainty: float

    @classmethod
    def of_counts(cls, counts: Counts, *, edges: ArrayLike | None = None) -> MurphyDecomposition:
        """From counts of pixels by logit and label; arguments as in :func:`murphy`."""
        inner = logit_edges(edges)
        if not counts.size:
            return cls(reliability=np.nan, resolution=np.nan, uncertainty=np.nan)
        place, size = np.searchsorted(inner, counts.score, side="right"), inner.size + 1
        p = counts.probability
        n = np.bincount(place, weights=counts.total, minlength=size)
        filled = np.maximum(n, 1.0)  # an empty bin adds 0 to each sum
        mean = np.bincount(place, weights=counts.total * p, minlength=size) / filled
        rate = np.bincount(place, weights=counts.positive, minlength=size) / filled
        base = counts.num_positive / counts.size
        inside = p - mean[place]
        variance = counts.total @ inside**2
        covariance = counts.positive @ inside - (counts.total * rate[place]) @ inside
        between = n @ (rate - base) ** 2
        return cls(
            reliability=float(n @ (mean - rate) ** 2 / counts.size),
            resolution=float((between - variance + 2.0 * covariance) / counts.size),
            uncertainty=base * (1.0 - base),
        )


def murphy(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    edges: ArrayLike | None = None,
) -> MurphyDecomposition:
    """Murphy's decomposition of the Brier score on logit bins, exact; see the module's text.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        edges: Ascending finite logits between bins; the two open bins outside are always there.
            Default: -12, -11, ..., 12, as in the reliability curve.

    Returns:
        The three components; NaN without a valid pixel.

    Raises:
        BayescrError: As :func:`brier`, or if the edges do not ascend.

    Example:
        >>> murphy([0.0, 0.0], [0, 1])
        MurphyDecomposition(reliability=0.0, resolution=0.0, uncertainty=0.25)
    """
    return MurphyDecomposition.of_counts(
        Counts.of(*valid_pixels(logit, target, valid=valid)), edges=edges
    )


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
