"""Post-hoc calibration maps: a rising function of the logit, fitted on labelled pixels.

With the logit z of a pixel, or any score that ranks, a method gives the logit

    `Temperature`   z / T                                         one number, the same ranking
    `Platt`         a z + b                                       makes a bare score a probability
    `Beta`          a log p - b log(1 - p) + c,  p = sigmoid(z)   the two tails apart
    `Isotonic`      a rising step function                        as many steps as the data ask for

that maximises the likelihood of the labels. All are fitted on `Counts` of pixels by score, so that
an archive costs no more than a frame. Unfitted, each is the identity.

References:
    Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599 (temperature).
    Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin
    Classifiers (1999).
    Kull, Silva Filho & Flach, "Beta calibration: a well-founded and easily implemented improvement
    on logistic calibration for binary classifiers", AISTATS 2017, PMLR 54, 623.
    Zadrozny & Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002 (isotonic).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit

from bayescr.errors import BayescrError
from bayescr.evaluation.counts import Counts

__all__ = ["Beta", "CalibrationError", "Calibrator", "Isotonic", "Platt", "Temperature"]

Array = np.ndarray[Any, Any]


class CalibrationError(BayescrError):
    """A calibrator cannot be fitted to these pixels."""


@runtime_checkable
class Calibrator(Protocol):
    """A rising map of logits that can be fitted; your own needs these three."""

    def fit(self, counts: Counts) -> Calibrator:
        """The map of this kind that suits the counts best."""

    def __call__(self, logit: Array) -> Array:
        """Calibrated logits, float64, of the shape of ``logit``."""

    def describe(self) -> dict[str, Any]:
        """What it is, JSON-able."""


class _Described:
    """What all methods share."""

    label: ClassVar[str]
    needs_probability: ClassVar[bool] = False

    def describe(self) -> dict[str, Any]:
        """The method and its numbers, JSON-able."""
        return {"method": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Temperature(_Described):
    """z / T. Infinite logits stay.

    Attributes:
        temperature: T; above 1 it makes the predictor less sure. No relation to the temperature
            of a tempered posterior.

    Example:
        >>> counts = Counts.of(np.array([-4.0, -4.0, 4.0, 4.0]), np.array([0, 1, 1, 1]) == 1)
        >>> fitted = Temperature().fit(counts)
        >>> float(fitted(4.0).round(6)), float(np.log(3.0).round(6))  # right 3 times in 4
        (1.098612, 1.098612)
    """

    temperature: float = 1.0
    label: ClassVar[str] = "temperature-scaled"
    needs_probability: ClassVar[bool] = True

    def fit(self, counts: Counts) -> Temperature:
        """The T that maximises the likelihood.

        Raises:
            BayescrError: If a label does not occur, the sign of the logit is always right, so that
                T would be 0, or the logit is no better than its negative, T infinite.
        """
        finite = _finite(counts)
        if not (finite.negative[finite.score > 0].any() or finite.positive[finite.score < 0].any()):
            raise CalibrationError(
                "the sign of the logit is right in every pixel, so that the temperature would be "
                "0: validate on more, or harder, exposures"
            )
        (slope,) = _logistic(finite.score[:, None], finite, identity=(1.0,))
        return Temperature(1.0 / _rising(slope))

    def __call__(self, logit: Array) -> Array:
        """The logits z / T."""
        return np.asarray(logit, np.float64) / self.temperature


@dataclass(frozen=True)
class Platt(_Described):
    """a z + b, with a > 0. Infinite logits stay.

    Attributes:
        slope: a.
        intercept: b.
    """

    slope: float = 1.0
    intercept: float = 0.0
    label: ClassVar[str] = "Platt-scaled"

    def fit(self, counts: Counts) -> Platt:
        """The a and b that maximise the likelihood; labels are not smoothed.

        Raises:
            BayescrError: If a label does not occur, a threshold separates the labels, so that the
                slope would be infinite, or the score does not rise with the label.
        """
        finite = _overlapping(_finite(counts))
        features = np.column_stack([finite.score, np.ones_like(finite.score)])
        slope, intercept = _logistic(features, finite, identity=(1.0, 0.0))
        return Platt(_rising(slope), float(intercept))

    def __call__(self, logit: Array) -> Array:
        """The logits a z + b."""
        return self.slope * np.asarray(logit, np.float64) + self.intercept


@dataclass(frozen=True)
class Beta(_Described):
    """a log p - b log(1 - p) + c, with a, b >= 0 and p = sigmoid(z). Infinite logits stay.

    Attributes:
        a: Slope where p is small.
        b: Slope where p is near 1.
        c: Shift.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0
    label: ClassVar[str] = "beta-calibrated"

    def fit(self, counts: Counts) -> Beta:
        """The a, b and c that maximise the likelihood; errors as of `Platt`."""
        finite = _overlapping(_finite(counts))
        features = np.column_stack([*_log_odds(finite.score), np.ones_like(finite.score)])
        a, b, c = _logistic(features, finite, identity=(1.0, 1.0, 0.0))
        if min(a, b) < 0.0:  # the best of a convex function without them is then at a = 0 or b = 0
            edges = []
            for kept in (0, 1):
                columns = features[:, [kept, 2]]
                slope, c = _logistic(columns, finite, identity=(1.0, 0.0))
                a, b = (slope, 0.0) if kept == 0 else (0.0, slope)
                edges.append(
                    (slope <= 0.0, _nll(_combine(columns, np.array([slope, c])), finite), (a, b, c))
                )
            a, b, c = min(edges)[2]
        _rising(max(a, b))
        return Beta(float(a), float(b), float(c))

    def __call__(self, logit: Array) -> Array:
        """The logits a log p - b log(1 - p) + c."""
        z = np.asarray(logit, np.float64)
        low, high = _log_odds(np.where(np.isinf(z), 0.0, z))
        return np.where(np.isinf(z), z, self.a * low + self.b * high + self.c)


@dataclass(frozen=True, repr=False)
class Isotonic(_Described):
    """A step function: equal scores stay equal, the order of others is never reversed.

    The labels gain half a pixel of either label at the lowest and at the highest score. A block of
    n pixels of one label at the end then says 1/2 in n + 1, as under Jeffreys' prior, and never 0
    or 1: one pixel of a test set could make the likelihood of that 0. Infinite scores are the ends
    of the scale like any other and become finite.

    Attributes:
        edges: (K - 1,) scores from which on the next step holds, halfway between pixels.
        logit: (K,) logits of the steps; none before a fit.
    """

    edges: tuple[float, ...] = ()
    logit: tuple[float, ...] = ()
    label: ClassVar[str] = "isotonic"

    def fit(self, counts: Counts) -> Isotonic:
        """The steps that maximise the likelihood of the labels and the four half pixels.

        Raises:
            BayescrError: If a label does not occur.
        """
        counts = _checked(counts, np.ones(counts.score.size, bool))
        ends = np.zeros(counts.score.size)
        np.add.at(ends, [0, -1], 0.5)
        positive, negative = counts.positive + ends, counts.negative + ends
        total = positive + negative
        start = isotonic_regression(positive / total, weights=total).blocks[:-1]
        # Blocks are exact sums of counts: their logits do not feel the rounding of the means.
        logit = np.log(np.add.reduceat(positive, start) / np.add.reduceat(negative, start))
        with np.errstate(invalid="ignore"):
            edges = np.nan_to_num(0.5 * (counts.score[start[1:] - 1] + counts.score[start[1:]]))
        return Isotonic(tuple(edges.tolist()), tuple(np.maximum.accumulate(logit).tolist()))

    def __call__(self, logit: Array) -> Array:
        """The logit of each score's step."""
        z = np.asarray(logit, np.float64)
        if not self.logit:
            return z
        return np.asarray(self.logit)[np.searchsorted(self.edges, z, side="right")]

    def __repr__(self) -> str:
        """The number of steps and where they end."""
        ends = f", logit {self.logit[0]:.3g} to {self.logit[-1]:.3g}" if self.logit else ""
        return f"Isotonic({len(self.logit)} steps{ends})"


def _checked(counts: Counts, kept: Array) -> Counts:
    """The scores to keep among those that hold pixels; both labels must occur."""
    kept = kept & (counts.total > 0)
    counts = Counts(
        score=counts.score[kept], negative=counts.negative[kept], positive=counts.positive[kept]
    )
    for name, number in (("positive", counts.num_positive), ("negative", counts.num_negative)):
        if number == 0:
            raise CalibrationError(
                f"no {name} pixel to calibrate on: expected both labels; validate on more exposures"
            )
    return counts


def _finite(counts: Counts) -> Counts:
    """Without infinite scores, whose likelihood no finite slope changes."""
    return _checked(counts, np.isfinite(counts.score))


def _overlapping(counts: Counts) -> Counts:
    """Counts that no threshold separates, so that the best slope is finite."""
    negative, positive = counts.score[counts.negative > 0], counts.score[counts.positive > 0]
    if negative.max() <= positive.min():
        raise CalibrationError(
            "a threshold separates the labels, so that the slope would be infinite: validate on "
            "more, or harder, exposures, or use Isotonic()"
        )
    if positive.max() <= negative.min():
        _rising(-1.0)
    return counts


def _rising(slope: float) -> float:
    if not slope > 0.0:
        raise CalibrationError(
            "positive pixels do not score higher than negative ones, so that no rising map helps: "
            "is the truth that of these frames, and the score's sign right?"
        )
    return float(slope)


def _logistic(features: Array, counts: Counts, *, identity: tuple[float, ...]) -> Array:
    """Weights of a logistic regression on counts, by Newton's method: the problem is convex.

    It descends from the best multiple of the identity, so that it never does worse than that.
    """
    base = np.asarray(identity)
    steps = [2.0**power * base for power in range(-12, 13)]
    weights = min(steps, key=lambda one: _nll(_combine(features, one), counts))
    value = _nll(_combine(features, weights), counts)
    for _ in range(100):
        z = _combine(features, weights)
        p, q = expit(z), expit(-z)
        gradient = np.einsum("kf,k->f", features, counts.negative * p - counts.positive * q)
        hessian = np.einsum("kf,kg,k->fg", features, features, counts.total * p * q)
        # Each weight in a unit of its own: what is small against the others would count as zero.
        scale = np.sqrt(np.maximum(np.diag(hessian), np.finfo(float).tiny))
        step = np.linalg.lstsq(hessian / np.outer(scale, scale), gradient / scale, rcond=None)[0]
        step /= scale
        decrement = float(gradient @ step)  # squared distance to the optimum in standard errors
        size = 1.0
        while True:
            trial = weights - size * step
            new = _nll(_combine(features, trial), counts)
            if new <= value - 1e-4 * size * decrement + 1e-13 * value or size < 1e-12:
                break
            size /= 2.0
        weights, value = trial, new
        if decrement < 1e-16:
            break
    return weights


def _combine(features: Array, weights: Array) -> Array:
    """Their product, without BLAS: it rounds by its number of threads."""
    combined: Array = np.einsum("kf,f->k", features, weights)
    return combined


def _nll(z: Array, counts: Counts) -> float:
    """Negative log likelihood of the labels [nat]."""
    terms = counts.positive * np.logaddexp(0.0, -z) + counts.negative * np.logaddexp(0.0, z)
    return float(np.sum(terms))


def _log_odds(z: Array) -> tuple[Array, Array]:
    """The parts log p and -log(1 - p), both rising, of the logit that they add up to."""
    return -np.logaddexp(0.0, -z), np.logaddexp(0.0, z)
