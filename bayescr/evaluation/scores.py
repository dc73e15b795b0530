"""Proper scores: one number for calibration and sharpness together.

With the logit z, p = sigmoid(z) and the label y in {0, 1} of N valid pixels, let m = (2 y - 1) z
be the logit of what happened. Then

    Brier = 1/N sum (p - y)^2        = 1/N sum sigmoid(-m)^2
    NLL   = -1/N sum log p(y)        = 1/N sum softplus(-m)                  [nat per pixel]
    Brier skill = 1 - Brier / (b (1 - b)),      b = 1/N sum y the base rate

Both right-hand forms keep full precision where p rounds to 0 or 1. A certain mistake (p = 0 or 1
and wrong) has NLL = inf. No valid pixel gives NaN; so does the skill where b is 0 or 1, for there
the constant forecast b is perfect.

References:
    Gneiting & Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
    J. Am. Stat. Assoc. 102, 359 (2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bayescr.evaluation._arrays import Array, valid_pixels

__all__ = ["base_rate", "brier", "brier_skill", "nll"]


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


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
