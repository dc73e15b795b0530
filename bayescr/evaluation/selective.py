"""Selective prediction: how wrong is the answer where the model claims to know?

A pixel is classified by p > 1/2, its loss is l = [(p > 1/2) != y] and its confidence |z|: the same
order as max(p, 1 - p), but without the ties that rounding makes (most float32 probabilities of an
easy frame are exactly 0 or 1). Accept the k most confident of N pixels, and let L_k be the sum
of their losses:

    coverage = k / N,   selective risk = L_k / k,   generalised risk = L_k / N
    AURC  = 1/N sum_{k=1..N} L_k / k
    AUGRC = 1/N^2 sum_{k=1..N} (L_{k-1} + L_k) / 2 = (1 - AUROC) a (1 - a) + (1 - a)^2 / 2

with the accuracy a, and AUROC that of the confidence for telling right pixels from wrong ones.
Ties are exact: both areas are expectations over a random order of the tied pixels. In a group of
m ties after A pixels with losses adding up to S, holding losses that add up to G, the expectation
of L_{A+j} is S + j G / m: linear. So AURC gains S D + (G / m) (m - A D), with the harmonic
difference D = H_{A+m} - H_A, and AUGRC gains m (S + G / 2).

References:
    Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", arXiv:1705.08500.
    Geifman, Uziel & El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers",
    arXiv:1805.08206 (AURC).
    Traub et al., "Overcoming Common Flaws in the Evaluation of Selective Classification Systems",
    arXiv:2407.01032 (AUGRC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation._ranking import counts_above

__all__ = ["RiskCoverageCurve", "augrc", "aurc", "risk_coverage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverageCurve:
    """Risk against coverage: one point for each distinct confidence, from the highest down.

    Attributes:
        confidence: (K,) descending; pixels at least that confident are accepted.
        accepted: (K,) int, how many they are.
        errors: (K,) int, how many of them are classified wrongly.
    """

    confidence: Array
    accepted: Array
    errors: Array

    @property
    def coverage(self) -> Array:
        """Fraction of pixels accepted, (K,)."""
        return self.accepted / self.accepted[-1:]

    @property
    def risk(self) -> Array:
        """Selective risk, the fraction of the accepted pixels that are wrong, (K,)."""
        return self.errors / self.accepted

    @property
    def generalised_risk(self) -> Array:
        """The fraction of all pixels that are both accepted and wrong, (K,)."""
        return self.errors / self.accepted[-1:]

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve; see :func:`aurc`."""
        if not self.accepted.size:
            return float("nan")
        k = np.arange(1.0, self.accepted[-1] + 1.0)
        # The harmonic sums of the module's formula, term by term: their closed form in digammas
        # is a small difference of large numbers, this is not.
        errors = np.interp(k, np.append(0, self.accepted), np.append(0, self.errors))
        return float(np.mean(errors / k))

    @property
    def augrc(self) -> float:
        """Area under the generalised risk-coverage curve; see :func:`augrc`."""
        if not self.accepted.size:
            return float("nan")
        size = np.diff(self.accepted, prepend=0)
        middle = self.errors - np.diff(self.errors, prepend=0) / 2.0
        return float(np.sum(size * middle) / float(self.accepted[-1]) ** 2)


def risk_coverage(
    logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None
) -> RiskCoverageCurve:
    """Risk-coverage curve of the 0/1 error at p > 1/2, pixels ranked by |logit|.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        The curve; without a valid pixel it is empty and its areas are NaN.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.
    """
    z, y = valid_pixels(logit, target, valid=valid)
    confidence, accepted, errors = counts_above(np.abs(z), (z > 0.0) != y)
    return RiskCoverageCurve(confidence=confidence, accepted=accepted, errors=errors)


def aurc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Area under the risk-coverage curve, 1/N sum_k L_k / k; arguments as :func:`risk_coverage`.

    Returns:
        A number from 0 (no error) to 1, exact under ties; NaN without a valid pixel.

    Example:
        >>> aurc([5.0, -3.0], [1, 1])
        0.25
    """
    return risk_coverage(logit, target, valid=valid).aurc


def augrc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Area under the generalised risk-coverage curve; arguments as :func:`risk_coverage`.

    The mean risk of silent failure over thresholds: unlike AURC it does not let the few most
    confident pixels outweigh the rest.

    Returns:
        A number from 0 (no error) to 1/2, exact under ties; NaN without a valid pixel.

    Example:
        >>> augrc([5.0, -3.0], [1, 1])
        0.125
    """
    return risk_coverage(logit, target, valid=valid).augrc
