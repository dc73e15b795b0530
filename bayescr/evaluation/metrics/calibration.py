"""Calibration: of the pixels given probability p, does a fraction p turn out positive?

With bins B_k of n_k pixels, mean probability p_k and observed frequency f_k,

    ECE = sum_k n_k / N |p_k - f_k|,      MCE = max_k |p_k - f_k|

over 15 bins, of equal width on [0, 1] or of equal mass, N / 15 pixels each. At a base rate of 1%
nearly all pixels fall into the first bin of equal width, and the constant forecast "base rate" has
the best ECE of all; so ask also for the pixels with p > 0.001, ask class by class, and look at the
reliability curve on bins of equal width in the logit, where every decade of probability is seen.

Class by class: the pixels that are flagged, p > 1/2, answer "hit" with confidence p, the others
answer "clean" with confidence 1 - p. The ECE of either set by itself says how far an answer of that
class can be trusted, however rare it is.

References:
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI (2015) (ECE, MCE).
    Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    Nixon et al., "Measuring Calibration in Deep Learning", arXiv:1904.01685 (equal mass).
    Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion", Stat. Sci. 16, 101
    (2001) (Jeffreys interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics._bins import jeffreys, logit_edges

__all__ = ["CalibrationBins", "ReliabilityCurve", "ece", "mce", "reliability_curve"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationBins:
    """Bins in the probability, and by how much each is miscalibrated.

    Attributes:
        count: (K,) pixels n_k; of equal-mass bins a fraction N / K.
        excess: (K,) n_k (p_k - f_k), how many positives too many are predicted.
    """

    count: Array
    excess: Array

    @classmethod
    def of_counts(
        cls,
        counts: Counts,
        *,
        num_bins: int = 15,
        bins: Literal["width", "mass"] = "width",
        above: float | None = None,
        up_to: float | None = None,
    ) -> CalibrationBins:
        """From counts of pixels by logit and label; arguments as in :func:`ece`."""
        if num_bins < 1:
            raise BayescrError(f"num_bins is {num_bins}: expected at least 1 (15 is customary)")
        p = counts.probability
        excess = counts.total * p - counts.positive
        total = counts.total
        if above is not None or up_to is not None:
            chosen = (p > (-1.0 if above is None else above)) & (
                p <= (1.0 if up_to is None else up_to)
            )
            p, excess, total = p[chosen], excess[chosen], total[chosen]
        if bins == "width":
            place = np.minimum((p * num_bins).astype(np.intp), num_bins - 1)
            return cls(
                count=np.bincount(place, weights=total, minlength=num_bins),
                excess=np.bincount(place, weights=excess, minlength=num_bins),
            )
        if bins == "mass":
            reached = np.append(0, total.cumsum())
            share = reached[-1] / num_bins
            # Along a group of ties pixels and excess grow together: its part in a bin is in
            # proportion, which is the expectation over a random order of the ties.
            at = np.interp(
                np.arange(num_bins + 1) * share, reached, np.append(0.0, excess.cumsum())
            )
            return cls(count=np.full(num_bins, share), excess=np.diff(at))
        raise BayescrError(f'bins is {bins!r}: expected "width" or "mass"')

    @property
    def ece(self) -> float:
        """Mean absolute gap, weighted by pixels; NaN without a pixel."""
        total = self.count.sum()
        return float(np.abs(self.excess).sum() / total) if total else float("nan")

    @property
    def mce(self) -> float:
        """Largest absolute gap of a bin that holds a pixel; NaN without one."""
        filled = self.count > 0
        gaps = np.abs(self.excess[filled]) / self.count[filled]
        return float(gaps.max()) if gaps.size else float("nan")


def ece(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    num_bins: int = 15,
    bins: Literal["width", "mass"] = "width",
    above: float | None = None,
    up_to: float | None = None,
) -> float:
    """Expected calibration error of the foreground probability, sum_k n_k / N |p_k - f_k|.

    Of equal width, bin k holds k/K <= p < (k + 1)/K; the last one holds p = 1 too. Of equal mass,
    each holds N/K pixels in the order of p; tied pixels across an edge are split in proportion, so
    that their order does not matter.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        num_bins: Number of bins K.
        bins: Of equal "width" in p or of equal "mass" in pixels.
        above: Only pixels with p > ``above`` count, also in N; 0.5 for those answered "hit".
        up_to: Only pixels with p <= ``up_to`` count; 0.5 for those answered "clean".

    Returns:
        A number from 0 to 1; NaN where no pixel counts.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, unequal shapes,
            ``num_bins`` below 1 or other ``bins``.

    Example:
        >>> ece([0.0, 0.0, 0.0, 0.0], [0, 1, 1, 1])
        0.25
    """
    counts = Counts.of(*valid_pixels(logit, target, valid=valid))
    return CalibrationBins.of_counts(
        counts, num_bins=num_bins, bins=bins, above=above, up_to=up_to
    ).ece


def mce(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    num_bins: int = 15,
    bins: Literal["width", "mass"] = "width",
    above: float | None = None,
    up_to: float | None = None,
) -> float:
    """Maximum calibration error, max_k |p_k - f_k| over the bins that hold a pixel.

    One pixel makes a bin, so a bin of few pixels can decide it by chance: with bins of equal mass
    it cannot. Arguments and errors as in :func:`ece`.

    Returns:
        A number from 0 to 1; NaN where no pixel counts.

    Example:
        >>> mce([0.0, 0.0, 4.0, 4.0], [0, 1, 0, 0]) > 0.98
        True
    """
    counts = Counts.of(*valid_pixels(logit, target, valid=valid))
    return CalibrationBins.of_counts(
        counts, num_bins=num_bins, bins=bins, above=above, up_to=up_to
    ).mce


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """Observed frequency against predicted probability, one entry per bin that holds a pixel.

    Attributes:
        edges: (K, 2) lower and upper logit of the bins; the outermost may be infinite.
        count: (K,) pixels.
        probability: (K,) mean predicted probability.
        frequency: (K,) fraction of positive pixels.
        lower: (K,) lower end of an interval of the frequency.
        upper: (K,) upper end.
        by_exposure: (K,) bool, whether the interval is from how exposures differ, as in the figures
            of a report. Else it is Jeffreys', which takes pixels as independent; those of one
            exposure are not, and honest intervals are wider.
    """

    edges: Array
    count: Array
    probability: Array
    frequency: Array
    lower: Array
    upper: Array
    by_exposure: Array

    @classmethod
    def of_counts(
        cls, counts: Counts, *, edges: ArrayLike | None = None, level: float = 0.95
    ) -> ReliabilityCurve:
        """From counts of pixels by logit and label; arguments as in :func:`reliability_curve`."""
        inner = logit_edges(edges)
        place = np.searchsorted(inner, counts.score, side="right")
        size = inner.size + 1
        count = np.bincount(place, weights=counts.total, minlength=size)
        filled = count > 0
        n = count[filled].astype(np.int64)
        s = np.bincount(place, weights=counts.positive, minlength=size)[filled].astype(np.int64)
        p = np.bincount(place, weights=counts.total * counts.probability, minlength=size)[filled]
        lower, upper = jeffreys(s, n, level=level)
        outer = np.concatenate([[-np.inf], inner, [np.inf]])
        return cls(
            edges=np.stack([outer[:-1], outer[1:]], axis=1)[filled],
            count=n,
            probability=p / n,
            frequency=s / n,
            lower=lower,
            upper=upper,
            by_exposure=np.zeros(lower.shape, dtype=bool),
        )


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
    counts = Counts.of(*valid_pixels(logit, target, valid=valid))
    return ReliabilityCurve.of_counts(counts, edges=edges, level=level)
