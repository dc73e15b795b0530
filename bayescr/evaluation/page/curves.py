"""What the sliders of the page look up: counts of pixels at round thresholds and coverages.

A slider has positions p_1 < p_2 < ..., probabilities of one or two digits, closer together where a
logit is; another has coverages of 1 - r, with round r. For each predictor and position the page
holds the integers

    TP(t) = #{z > t, y = 1},      FP(t) = #{z > t, y = 0},      t = log p - log(1 - p)
    A(c), E(c) = pixels and errors among the most confident ones, the fewest that reach coverage c

of all pixels; those that tie are flagged and accepted together. In a report the pixels of a cell
tie, 1/64 wide in the logit before any temperature: 0 ends a cell, so that p = 0.5 is met exactly,
any other threshold at one end of the cell that it lies in. The browser divides and draws, nothing
else, so that what it shows is what Python computes from the same counts. Between those points the
curves keep a few hundred more, evenly spaced on the axes they are drawn on.

Beside the selective risk E / A stands the exact binomial bound: the largest risk at which as few
errors as E in A would be seen in 5% of cases,

    bound = quantile at 95% of Beta(E + 1, A - E)

for independent pixels. Those of one exposure are not, nor are several networks' answers for one
pixel, so an honest bound is higher; the intervals in a report's tables resample exposures and
assume nothing of the kind.

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

from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics.detection import RocCurve
from bayescr.evaluation.metrics.selective import RiskCoverageCurve

__all__ = ["OperatingCurve", "panel"]

Array = np.ndarray[Any, Any]

_LEVEL = 0.95
_POINTS = 200
_DIGITS = tuple(Decimal(d) / 10 for d in (10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90))
_SMALLEST_DECADE = 7  # thresholds from p = 1e-7 to 1 - 1e-7: beyond, float32 logits saturate


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingCurve:
    """What the sliders move along: the pixels of one predictor by score and label.

    Attributes:
        name: Of the predictor, as printed.
        counts: Its pixels.
        is_probability: Whether the score is the logit of a probability; else it only ranks.
        seeds: How many networks answered for each pixel, all of which ``counts`` holds.
    """

    name: str
    counts: Counts
    is_probability: bool = True
    seeds: int = 1

    @property
    def roc(self) -> RocCurve:
        """How many pixels are flagged above each score."""
        return self.counts.once(RocCurve.of_counts)

    @property
    def selection(self) -> RiskCoverageCurve:
        """How many pixels are accepted, and how many of them wrong, from each confidence on."""
        return self.counts.errors().once(RiskCoverageCurve.of_counts)


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
    score, tp, fp = curve.counts.score, curve.roc.true_positives, curve.roc.false_positives
    flagged = score.size - np.searchsorted(score, logit, side="right")
    drawn = [
        _first(tp, np.linspace(0, tp[-1], _POINTS)),
        _first(fp, np.geomspace(1, max(fp[-1], 1), _POINTS)),
    ]
    kept = np.unique(np.concatenate([[0], flagged, *drawn]))
    return {
        "tp": tp[kept].tolist(),
        "fp": fp[kept].tolist(),
        "at": np.searchsorted(kept, flagged).tolist(),
    }


def _selected(curve: OperatingCurve, rejected: Array) -> dict[str, Any]:
    """Risk-coverage counts, likewise; bounds at the slider's coverages."""
    accepted, errors = (np.append(0, n) for n in (curve.selection.accepted, curve.selection.errors))
    size = max(int(accepted[-1]), 1)
    least = np.maximum(size - rejected * size, 1)  # one pixel at the least
    reach = _first(accepted, least)
    drawn = _first(accepted, size - np.geomspace(size, 0.1, 2 * _POINTS))
    kept = np.unique(np.concatenate([[0], reach, drawn]))
    confidence = np.append(np.inf, curve.selection.confidence)[reach]
    return {
        "accepted": accepted[kept].tolist(),
        "errors": errors[kept].tolist(),
        "reach": np.searchsorted(kept, reach).tolist(),
        "bound": [_digits(x) for x in _bound(accepted[reach], errors[reach])],
        "confidence": [_digits(x) for x in confidence],
    }


def _first(counts: Array, wanted: Array) -> Array:
    """Places of the first counts that reach what is wanted; the last if none does."""
    return np.minimum(np.searchsorted(counts, wanted), counts.size - 1)


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
    whole = [one.selection for one in curves if one.counts.size]
    risks = [one.errors[-1] / one.accepted[-1] for one in whole if one.errors[-1]]
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
