"""The calibration line: how the logit would have to be stretched and shifted to be calibrated.

    P(y = 1) = sigmoid(a + b z),      a, b of the greatest likelihood over the valid pixels

A calibrated forecast has intercept a = 0 and slope b = 1. A slope below 1 is overconfidence, its
inverse is the temperature that mends it; an intercept other than 0 at slope 1 is a wrong base rate.

References:
    Cox, "Two further applications of a model for binary regression", Biometrika 45, 562 (1958).
    Albert & Anderson, "On the existence of maximum likelihood estimates in logistic regression
    models", Biometrika 71, 1 (1984) (separation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation.counts import Counts

__all__ = ["CalibrationLine", "calibration_line"]


@dataclass(frozen=True, kw_only=True)
class CalibrationLine:
    """The recalibrated logit is intercept + slope * logit.

    Attributes:
        intercept: a, 0 if calibrated.
        slope: b, 1 if calibrated.
    """

    intercept: float
    slope: float

    @classmethod
    def of_counts(cls, counts: Counts) -> CalibrationLine:
        """From counts of pixels by logit and label; see :func:`calibration_line`."""
        undefined = cls(intercept=math.nan, slope=math.nan)
        if _certain_mistake(counts):
            return undefined
        finite = np.isfinite(counts.score)
        z, negative, positive = (
            values[finite].astype(np.float64)
            for values in (counts.score, counts.negative, counts.positive)
        )
        if not _overlap(z, negative, positive):
            return undefined
        base = math.log(positive.sum() / negative.sum())
        for start in ((0.0, 1.0), (base, 0.0)):  # near the answer as a rule; safe
            found = _newton(z, negative, positive, start)
            if found is not None:
                return cls(intercept=found[0], slope=found[1])
        return undefined


def calibration_line(
    logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None
) -> CalibrationLine:
    """Logistic regression of the label on the logit, by Newton's method.

    An infinite logit that is right adds nothing to the likelihood of any positive slope and is
    left out; one that is wrong is impossible under each, and nothing is defined.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        Intercept and slope; both NaN where no finite estimate exists: a certain mistake, one label
        only, one logit only, or finite logits that separate the labels (up to ties at the border).

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.

    Example:
        >>> line = calibration_line([2.0, 2.0, 2.0, -2.0, -2.0, -2.0], [1, 1, 0, 0, 0, 1])
        >>> round(line.slope, 6), round(line.intercept, 6) + 0.0  # log(2) / 2
        (0.346574, 0.0)
    """
    return CalibrationLine.of_counts(Counts.of(*valid_pixels(logit, target, valid=valid)))


def _certain_mistake(counts: Counts) -> bool:
    wrong = np.where(counts.score > 0.0, counts.negative, counts.positive)
    return bool(wrong[np.isinf(counts.score)].any())


def _overlap(z: Array, negative: Array, positive: Array) -> bool:
    """Whether each label has a logit strictly beyond one of the other, both ways."""
    y0, y1 = z[negative > 0], z[positive > 0]
    return bool(y0.size and y1.size and y1[0] < y0[-1] and y0[0] < y1[-1])


def _newton(
    z: Array, negative: Array, positive: Array, start: tuple[float, float]
) -> tuple[float, float] | None:
    """Minimise the convex loss; None if a step comes to nothing before the slope settles."""
    total = negative + positive
    a, b = start
    p, q, loss = _fit(a + b * z, negative, positive)
    for _ in range(100):
        residual, weight = positive * q - negative * p, total * p * q
        mass = weight.sum()
        center = weight @ z / mass if mass > 0.0 else 0.0
        spread = weight @ (z - center) ** 2
        if not spread > 0.0:
            return None
        db = residual @ (z - center) / spread
        da = residual.sum() / mass - db * center
        for _ in range(60):
            p, q, new = _fit(a + da + (b + db) * z, negative, positive)
            if new <= loss * (1.0 + 1e-14):  # rounding of the sum
                break
            da, db = da / 2.0, db / 2.0
        else:
            return None
        a, b, loss = a + da, b + db, new
        if abs(db) <= 1e-7 * abs(b) + 1e-12 and abs(da) <= 1e-7 * (1.0 + abs(a)):
            return float(a), float(b)  # quadratic convergence: the error is the step's square
    return None


def _fit(eta: Array, negative: Array, positive: Array) -> tuple[Array, Array, float]:
    """Probabilities of either label under the logits eta, and minus the log-likelihood."""
    ratio = np.exp(-np.abs(eta))
    lesser, up = ratio / (1.0 + ratio), eta > 0.0
    wrong = np.where(up, negative, positive)
    loss = (negative + positive) @ np.log1p(ratio) + wrong @ np.abs(eta)
    return np.where(up, 1.0 - lesser, lesser), np.where(up, lesser, 1.0 - lesser), float(loss)
