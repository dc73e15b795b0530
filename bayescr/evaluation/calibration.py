"""Calibration: of the pixels given probability p, does a fraction p turn out positive?

With bins B_k of n_k pixels, mean probability p_k and observed frequency f_k,

    ECE = sum_k n_k / N |p_k - f_k|

over 15 bins of equal width on [0, 1]. At a base rate of 1% nearly all pixels fall into the first
bin, and the constant forecast "base rate" has the best ECE of all; so ask also for the pixels with
p > 0.001, and look at the reliability curve on bins of equal width in the logit, where every
decade of probability is seen.

References:
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI (2015) (ECE).
    Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion", Stat. Sci. 16, 101
    (2001) (Jeffreys interval).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import beta

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels

__all__ = ["ReliabilityCurve", "ece", "reliability_curve"]


def ece(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    num_bins: int = 15,
    above: float | None = None,
) -> float:
    """Expected calibration error of the foreground probability, sum_k n_k / N |p_k - f_k|.

    Bin k holds k/K <= p < (k + 1)/K; the last one holds p = 1 too.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        num_bins: Number of bins of equal width.
        above: Only pixels with p > ``above`` count, also in N; default: all.

    Returns:
        A number from 0 to 1; NaN where no pixel counts.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, unequal shapes, or
            ``num_bins`` below 1.

    Example:
        >>> ece([0.0, 0.0, 0.0, 0.0], [0, 1, 1, 1])
        0.25
    """
    if num_bins < 1:
        raise BayescrError(f"num_bins is {num_bins}: expected at least 1 (15 is customary)")
    z, y = valid_pixels(logit, target, valid=valid)
    p = expit(z)
    if above is not None:
        p, y = p[p > above], y[p > above]
    if not p.size:
        return float("nan")
    bins = np.minimum((p * num_bins).astype(np.intp), num_bins - 1)
    gaps = np.bincount(bins, weights=p - y, minlength=num_bins)  # n_k (p_k - f_k)
    return float(np.abs(gaps).sum() / p.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """Observed frequency against predicted probability, one entry per bin that holds a pixel.

    Attributes:
        edges: (K, 2) lower and upper logit of the bins; the outermost may be infinite.
        count: (K,) pixels.
        probability: (K,) mean predicted probability.
        frequency: (K,) fraction of positive pixels.
        lower: (K,) lower end of the Jeffreys interval of the frequency.
        upper: (K,) upper end. Both take pixels as independent, which those of one exposure are
            not: real intervals are wider.
    """

    edges: Array
    count: Array
    probability: Array
    frequency: Array
    lower: Array
    upper: Array


def reliability_curve(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    edges: ArrayLike | None = None,
    level: float = 0.95,
) -> ReliabilityCurve:
    """Reliability curve on logit bins, with counts and binomial intervals.

    A bin holds lower <= z < upper; bins without a pixel are left out. The interval is Jeffreys':
    quantiles (1 -+ level)/2 of Beta(s + 1/2, n - s + 1/2) for s positives of n, with its lower end
    0 where s = 0 and its upper end 1 where s = n.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        edges: Ascending finite logits between bins; the two open bins outside are always there.
            Default: -12, -11, ..., 12, that is p from 6e-6 on.
        level: Probability content of the intervals.

    Raises:
        BayescrError: As :func:`ece`, or if the edges do not ascend.
    """
    inner = np.arange(-12.0, 13.0) if edges is None else np.asarray(edges, dtype=np.float64)
    if inner.ndim != 1 or not np.isfinite(inner).all() or (np.diff(inner) <= 0.0).any():
        raise BayescrError("edges of the reliability curve must be finite, ascending logits")
    z, y = valid_pixels(logit, target, valid=valid)
    bins = np.searchsorted(inner, z, side="right")
    size = inner.size + 1
    count = np.bincount(bins, minlength=size)
    filled = count > 0
    n = count[filled]
    s = np.bincount(bins, weights=y, minlength=size)[filled]
    p = np.bincount(bins, weights=expit(z), minlength=size)[filled]
    tail = (1.0 - level) / 2.0
    outer = np.concatenate([[-np.inf], inner, [np.inf]])
    return ReliabilityCurve(
        edges=np.stack([outer[:-1], outer[1:]], axis=1)[filled],
        count=n,
        probability=p / n,
        frequency=s / n,
        lower=np.where(s == 0, 0.0, beta.ppf(tail, s + 0.5, n - s + 0.5)),
        upper=np.where(s == n, 1.0, beta.ppf(1.0 - tail, s + 0.5, n - s + 0.5)),
    )
