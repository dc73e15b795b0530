"""What the sliders of the page look up: exact counts of pixels at round thresholds and coverages.

A slider has positions p_1 < p_2 < ..., probabilities of one or two digits, closer together where a
logit is; another has coverages of 1 - r, with round r. For each predictor and position the page
holds the integers

    TP(t) = #{z > t, y = 1},      FP(t) = #{z > t, y = 0},      t = log p - log(1 - p)
    A(c), E(c) = pixels and errors among the most confident ones, the fewest that reach coverage c

counted from all pixels; pixels that tie are accepted together. The browser divides and draws,
nothing else, so that what it shows is what Python computes from the same counts. Between those
points the curves keep a few hundred more, evenly spaced on the axes they are drawn on.

Beside the selective risk E / A stands the exact binomial bound: the largest risk at which as few
errors as E in A would be seen in 5% of cases,

    bound = quantile at 95% of Beta(E + 1, A - E)

for independent pixels. Those of one exposure are not, so an honest bound is higher; the intervals
in a report's tables resample exposures and assume nothing of the kind.

References:
    Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26, 404 (1934).
    Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", arXiv:1705.08500.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from scipy.special import betaincinv

from bayescr.errors import BayescrError
from bayescr.evaluation.counts import Counts

__all__ = ["OperatingCurve", "panel"]

Array = np.ndarray[Any, Any]

_LEVEL = 0.95
_POINTS = 200
_DIGITS = tuple(Decimal(d) / 10 for d in (10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90))
_SMALLEST_DECADE = 7  # thresholds from p = 1e-7 to 1 - 1e-7: beyond, float32 logits saturate


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingCurve:
    """How many pixels one predictor flags, and how many it answers wrongly, by threshold.

    Attributes:
        name: Of the predictor, as printed.
        logit: (K,) descending: the distinct scores.
        true_positives: (K,) int, positive pixels that score at least as much.
        false_positives: (K,) int, negative pixels that score at least as much.
        confidence: (M,) descending: the distinct |score|.
        accepted: (M,) int, pixels at least as confident.
        errors: (M,) int, how many of these are classified wrongly by score > 0.
        is_probability: Whether the score is the logit of a probability; else it only ranks.

    Raises:
        BayescrError: If arrays differ in length, thresholds do not descend or counts do not grow.
    """

    name: str
    logit: Array
    true_positives: Array
    false_positives: Array
    confidence: Array
    accepted: Array
    errors: Array
    is_probability: bool = True

    def __post_init__(self) -> None:
        self._check("logit", "true_positives", "false_positives")
        self._check("confidence", "accepted", "errors")

    @classmethod
    def of(cls, name: str, counts: Counts, *, is_probability: bool = True) -> OperatingCurve:
        """The curve of pixels counted by score and label.

        Example:
            >>> counts = Counts.of(np.array([3.0, 1.0, -2.0]), np.array([True, False, False]))
            >>> curve = OperatingCurve.of("U-Net", counts)
            >>> curve.true_positives, curve.accepted, curve.errors
            (array([1, 1, 1]), array([1, 2, 3]), array([0, 0, 1]))
        """
        by_confidence = counts.errors()
        right, errors = _from_the_top(by_confidence)
        false_positives, true_positives = _from_the_top(counts)
        return cls(
            name=name,
            logit=counts.score[::-1],
            true_positives=true_positives,
            false_positives=false_positives,
            confidence=by_confidence.score[::-1],
            accepted=right + errors,
            errors=errors,
            is_probability=is_probability,
        )

    @property
    def num_positive(self) -> int:
        """All positive pixels."""
        return int(self.true_positives[-1]) if self.logit.size else 0

    @property
    def num_negative(self) -> int:
        """All negative pixels."""
        return int(self.false_positives[-1]) if self.logit.size else 0

    @property
    def num_pixels(self) -> int:
        """All pixels that confidence ranks."""
        return int(self.accepted[-1]) if self.confidence.size else 0

    def _check(self, score: str, *counts: str) -> None:
        descending = getattr(self, score)
        for name in counts:
            values = getattr(self, name)
            if np.shape(values) != descending.shape:
                raise BayescrError(
                    f"curve '{self.name}': {name} has shape {np.shape(values)} but {score} has "
                    f"{descending.shape}: expected a count for each {score}"
                )
            if np.any(np.diff(values) < 0):
                raise BayescrError(
                    f"curve '{self.name}': {name} decreases: expected sums over all pixels above"
                )
        if not np.all(descending[1:] < descending[:-1]):
            raise BayescrError(
                f"curve '{self.name}': {score} does not descend: expected distinct scores, the "
                "highest first; OperatingCurve.of(name, counts) makes them"
            )


def panel(curves: Sequence[OperatingCurve]) -> dict[str, Any]:
    """The numbers behind the sliders: what stands in the page as JSON.

    Returns:
        ``thresholds`` and ``coverages`` with ``text``, where the slider starts (``start``) and the
        positions on the axis (``logit``; ``rejected`` = 1 - coverage); ``curves`` with counts
        ``tp``, ``fp``, ``accepted``, ``errors``, each beginning with 0, where a position stands in
        these (``at``, ``reach``) and, at each coverage, ``bound`` and ``confidence``.
    """
    probability = _probabilities()
    rejected = _rejected(curves)
    logit = np.array([_logit(p) for p in probability])
    left = np.array([float(r) for r in rejected])
    return {
        "thresholds": {
            "logit": logit.tolist(),
            "text": [_text(p) for p in probability],
            "start": probability.index(Decimal("0.5")),
        },
        "coverages": {
            "rejected": left.tolist(),
            "text": [_text(100 * (1 - r)) for r in rejected],
            "start": rejected.index(Decimal("0.01")),
        },
        "curves": [{**_flagged(curve, logit), **_selected(curve, left)} for curve in curves],
    }


def _flagged(curve: OperatingCurve, logit: Array) -> dict[str, Any]:
    """ROC counts: those at the slider's thresholds, and more in between to draw."""
    flagged = curve.logit.size - np.searchsorted(curve.logit[::-1], logit, side="right")
    drawn = [
        _nearest(curve.true_positives, np.linspace(0, curve.num_positive, _POINTS)),
        _nearest(curve.false_positives, np.geomspace(1, max(curve.num_negative, 1), _POINTS)),
    ]
    kept = np.unique(np.concatenate([[0], flagged, *drawn]))
    return {
        "tp": _sums(curve.true_positives)[kept].tolist(),
        "fp": _sums(curve.false_positives)[kept].tolist(),
        "at": np.searchsorted(kept, flagged).tolist(),
    }


def _selected(curve: OperatingCurve, rejected: Array) -> dict[str, Any]:
    """Risk-coverage counts, likewise; bounds at the slider's coverages."""
    size = max(curve.num_pixels, 1)
    least = np.maximum(size - rejected * size, 1)  # one pixel at the least
    reach = _nearest(curve.accepted, least)
    drawn = _nearest(curve.accepted, size - np.geomspace(size, 0.1, 2 * _POINTS))
    kept = np.unique(np.concatenate([[0], reach, drawn]))
    accepted, errors = _sums(curve.accepted), _sums(curve.errors)
    confidence = np.append(np.inf, curve.confidence)[reach]
    return {
        "accepted": accepted[kept].tolist(),
        "errors": errors[kept].tolist(),
        "reach": np.searchsorted(kept, reach).tolist(),
        "bound": [_digits(x) for x in _bound(accepted[reach], errors[reach])],
        "confidence": [_digits(x) for x in confidence],
    }


def _from_the_top(counts: Counts) -> tuple[Array, Array]:
    """Pixels without and with the event that score at least as much, the highest score first."""
    return np.cumsum(counts.negative[::-1]), np.cumsum(counts.positive[::-1])


def _sums(counts: Array) -> Array:
    """The same with the empty set, none counted, before them."""
    return np.append(0, counts).astype(np.int64)


def _nearest(counts: Array, wanted: Array) -> Array:
    """Places in `_sums` of the first counts that reach what is wanted; the last if none does."""
    return np.minimum(np.searchsorted(_sums(counts), wanted), counts.size)


def _bound(accepted: Array, errors: Array) -> Array:
    right = accepted - errors
    return np.where(right > 0, betaincinv(errors + 1.0, np.maximum(right, 1), _LEVEL), 1.0)


def _digits(value: float) -> float | None:
    """Six digits, for numbers that are shown with four; None for what JSON has no word for."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _probabilities() -> list[Decimal]:
    """Ascending: 1e-7, 1.2e-7, ... 0.09, 0.10, 0.11, ... 0.90, 0.91, ... 1 - 1e-7."""
    small = [d.scaleb(-k) for k in range(_SMALLEST_DECADE, 1, -1) for d in _DIGITS]
    middle = [Decimal(k).scaleb(-2) for k in range(10, 91)]
    return [*small, *middle, *(1 - p for p in reversed(small))]


def _rejected(curves: Sequence[OperatingCurve]) -> list[Decimal]:
    """Descending from 0.9 to well below the smallest risk of all pixels, then 0."""
    risks = [int(c.errors[-1]) / c.num_pixels for c in curves if c.num_pixels and c.errors[-1]]
    decades = int(np.clip(np.ceil(-np.log10(min(risks, default=1.0) / 20.0)), 3, 8))
    return [
        *(d.scaleb(-k) for k in range(1, decades + 1) for d in reversed(_DIGITS)),
        Decimal(0),
    ]


def _logit(p: Decimal) -> float:
    """In double precision also for p near 1, which a float cannot hold as well as 1 - p."""
    return float(np.log(float(p)) - np.log(float(1 - p)))


def _text(number: Decimal) -> str:
    short = number.normalize()
    return f"{short:f}" if short == 0 or short >= Decimal("0.0001") else f"{short:e}"
