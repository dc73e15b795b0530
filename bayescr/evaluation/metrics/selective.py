"""Selective prediction: how wrong is the answer where the model claims to know?

A pixel is classified by p > 1/2, its loss is l = [(p > 1/2) != y] and its confidence |z|: the same
order as max(p, 1 - p) and as minus the entropy, but without the ties that rounding makes (most
float32 probabilities of an easy frame are exactly 0 or 1). Accept the k most confident of N
pixels, and let L_k be the sum of their losses:

    coverage = k / N,   selective risk = L_k / k,   generalised risk = L_k / N
    AURC   = 1/N sum_{k=1..N} L_k / k
    E-AURC = AURC - (that of the order which puts the same number of errors last)
    AUGRC  = 1/N^2 sum_{k=1..N} (L_{k-1} + L_k) / 2 = (1 - AUROC) a (1 - a) + (1 - a)^2 / 2

with the accuracy a, and AUROC that of the confidence for telling right pixels from wrong ones.
Ties are exact: the areas are expectations over a random order of the tied pixels. In a group of
m ties after A pixels with losses adding up to S, holding losses that add up to G, the expectation
of L_{A+j} is S + j G / m: linear. So AURC gains S D + (G / m) E, with the harmonic sums
D = sum_j 1 / (A + j) and E = sum_j j / (A + j), and AUGRC gains m (S + G / 2).

References:
    Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", arXiv:1705.08500.
    Geifman, Uziel & El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers",
    arXiv:1805.08206 (AURC, E-AURC).
    Traub et al., "Overcoming Common Flaws in the Evaluation of Selective Classification Systems",
    arXiv:2407.01032 (AUGRC).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels, valid_values
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics._harmonic import tied_sums

__all__ = [
    "Abstention",
    "RiskCoverageCurve",
    "abstention",
    "augrc",
    "aurc",
    "coverage_at_risk",
    "e_aurc",
    "risk_coverage",
]


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

    @classmethod
    def of_counts(cls, counts: Counts) -> RiskCoverageCurve:
        """The curve of counts of right (negative) and wrong (positive) pixels by confidence."""
        right, wrong = counts.negative[::-1].cumsum(), counts.positive[::-1].cumsum()
        return cls(confidence=counts.score[::-1], accepted=right + wrong, errors=wrong)

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

    @cached_property
    def aurc(self) -> float:
        """Area under the risk-coverage curve; see :func:`aurc`."""
        if not self.accepted.size:
            return float("nan")
        size, wrong = self._groups
        d, e = tied_sums(self.accepted - size, size)
        return float(np.sum((self.errors - wrong) * d + wrong / size * e) / self.accepted[-1])

    @property
    def e_aurc(self) -> float:
        """AURC above that of the best order of the same pixels; see :func:`e_aurc`."""
        if not self.accepted.size:
            return float("nan")
        wrong = self.errors[-1:]
        _, best = tied_sums(self.accepted[-1:] - wrong, wrong)
        return self.aurc - float(best[0] / self.accepted[-1])

    @property
    def augrc(self) -> float:
        """Area under the generalised risk-coverage curve; see :func:`augrc`."""
        if not self.accepted.size:
            return float("nan")
        size, wrong = self._groups
        return float(np.sum(size * (self.errors - wrong / 2.0)) / float(self.accepted[-1]) ** 2)

    def coverage_at(self, risk: float) -> float:
        """The largest coverage of at most this selective risk; see :func:`coverage_at_risk`."""
        _check_rate(risk, "risk")
        if not self.accepted.size:
            return float("nan")
        accepted, errors = self._from_nothing
        last = int(np.flatnonzero(np.append(0.0, self.risk) <= risk)[-1])  # or accept none at all
        more = 0.0
        if last + 1 < accepted.size:  # some of the next group of ties, each as risky as the group
            size, wrong = accepted[last + 1] - accepted[last], errors[last + 1] - errors[last]
            more = max(0.0, (risk * accepted[last] - errors[last]) / (wrong / size - risk))
        return float((accepted[last] + more) / accepted[-1])

    def risk_at(self, coverage: float) -> float:
        """The selective risk where the most confident fraction ``coverage`` > 0 is accepted.

        The remaining fraction is left to a human. Inside a group of ties this is the expected
        number of errors over the number of pixels.
        """
        _check_rate(coverage, "coverage")
        if not self.accepted.size or coverage == 0.0:
            return float("nan")
        accepted, errors = self._from_nothing
        number = coverage * accepted[-1]
        return float(np.interp(number, accepted, errors) / number)

    @property
    def _groups(self) -> tuple[Array, Array]:
        """Pixels and errors in each group of ties."""
        return np.diff(self.accepted, prepend=0), np.diff(self.errors, prepend=0)

    @property
    def _from_nothing(self) -> tuple[Array, Array]:
        """Accepted pixels and errors, (K + 1,), from the empty set on."""
        return np.append(0, self.accepted), np.append(0, self.errors)


def risk_coverage(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    confidence: ArrayLike | None = None,
) -> RiskCoverageCurve:
    """Risk-coverage curve of the 0/1 error at p > 1/2, pixels ranked by confidence.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        confidence: How sure each pixel is, same shape; a doubt such as the mutual information
            goes in with a minus sign. Default: |logit|, the order of max(p, 1 - p) and of minus
            the entropy.

    Returns:
        The curve; without a valid pixel it is empty and its areas are NaN.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.
    """
    z, y = valid_pixels(logit, target, valid=valid)
    if confidence is None:
        sure = np.abs(z)
    else:
        _check_shape(confidence, logit, "confidence")
        sure = valid_values(confidence, valid=valid, name="confidence")
    return RiskCoverageCurve.of_counts(Counts.of(sure, (z > 0.0) != y))


def aurc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Area under the risk-coverage curve, 1/N sum_k L_k / k; arguments as :func:`risk_coverage`.

    Returns:
        A number from 0 (no error) to 1, exact under ties; NaN without a valid pixel.

    Example:
        >>> aurc([5.0, -3.0], [1, 1])
        0.25
    """
    return risk_coverage(logit, target, valid=valid).aurc


def e_aurc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Excess AURC: what the order of the confidences costs, whatever the number of errors.

    With e errors among N pixels the best order has AURC 1/N sum_{j=1..e} j / (N - e + j); that is
    subtracted. Arguments as :func:`risk_coverage`.

    Returns:
        A number from 0 (every error is less certain than every right pixel) to 1; NaN without a
        valid pixel.

    Example:
        >>> e_aurc([5.0, -3.0], [1, 1])
        0.0
    """
    return risk_coverage(logit, target, valid=valid).e_aurc


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


def coverage_at_risk(
    logit: ArrayLike, target: ArrayLike, risk: float, *, valid: ArrayLike | None = None
) -> float:
    """The largest coverage whose selective risk is at most ``risk``.

    Inside a group of ties the curve is the expected one: a part of the group adds errors in
    proportion, and the coverage is a real number. Further arguments as :func:`risk_coverage`.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        risk: The risk that is tolerated, 0 to 1.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        A number from 0 (even the most confident pixels are too risky) to 1; NaN without a valid
        pixel.

    Example:
        >>> coverage_at_risk([5.0, -3.0, 2.0, 1.0, 1.0], [1, 0, 1, 0, 1], 0.1)  # 3.75 of 5 pixels
        0.75
    """
    return risk_coverage(logit, target, valid=valid).coverage_at(risk)


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """What is left of the errors if the doubtful pixels go to a human.

    Attributes:
        coverage: Fraction of pixels that the predictor answers itself.
        risk: Fraction of those that are wrong; NaN where none is answered.
        caught: Fraction of all errors that are among the pixels handed over; NaN without an error.
    """

    coverage: float
    risk: float
    caught: float


def abstention(
    logit: ArrayLike,
    target: ArrayLike,
    doubt: ArrayLike,
    threshold: float,
    *,
    valid: ArrayLike | None = None,
) -> Abstention:
    """Hand the pixels with ``doubt > threshold`` to a human and answer the others by p > 1/2.

    To hand over a fraction instead, ask `RiskCoverageCurve.risk_at`.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        doubt: Entropy, mutual information or any other doubt, same shape.
        threshold: In units of the doubt.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.

    Example:
        >>> abstention([5.0, 1.0, -1.0, -5.0], [1, 0, 0, 0], [0.1, 0.6, 0.6, 0.1], 0.5)
        Abstention(coverage=0.5, risk=0.0, caught=1.0)
    """
    z, y = valid_pixels(logit, target, valid=valid)
    _check_shape(doubt, logit, "doubt")
    kept = valid_values(doubt, valid=valid, name="doubt") <= threshold
    wrong = (z > 0.0) != y
    number, errors, silent = kept.sum(), wrong.sum(), (kept & wrong).sum()
    nan = float("nan")
    return Abstention(
        coverage=float(number / z.size) if z.size else nan,
        risk=float(silent / number) if number else nan,
        caught=float(1.0 - silent / errors) if errors else nan,
    )


def _check_rate(value: float, name: str) -> None:
    if not 0.0 <= value <= 1.0:
        raise BayescrError(f"{name} is {value}: expected a fraction from 0 to 1 (0.001 is 0.1%)")


def _check_shape(values: ArrayLike, logit: ArrayLike, name: str) -> None:
    if np.shape(values) != np.shape(logit):
        raise BayescrError(
            f"{name} has shape {np.shape(values)} but logit has {np.shape(logit)}: "
            "expected equal shapes"
        )
