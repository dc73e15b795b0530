"""Detection: how many cosmic-ray pixels are found at a given rate of false alarms.

    TPR(t) = P(z >= t | y = 1),      FPR(t) = P(z >= t | y = 0)

over all thresholds t that occur, ties taken as one threshold. Between two neighbouring points of
the ROC lies the straight line of the randomised test, which flags the tied pixels with some
probability: it is a test that can be carried out, it makes the TPR at an exact FPR defined, and a
forecast without information gets TPR = FPR.

References:
    Fawcett, "An introduction to ROC analysis", Pattern Recognit. Lett. 27, 861 (2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation._ranking import counts_above

__all__ = ["RocCurve", "roc_curve", "tpr_at_fpr"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RocCurve:
    """Receiver operating characteristic: one point for each distinct logit, and (0, 0) before them.

    Attributes:
        threshold: (K + 1,) logits, descending from inf: pixels with z >= threshold are flagged.
        true_positives: (K + 1,) int, flagged pixels with y = 1.
        false_positives: (K + 1,) int, flagged pixels with y = 0.
    """

    threshold: Array
    true_positives: Array
    false_positives: Array

    @property
    def tpr(self) -> Array:
        """True-positive rate, (K + 1,); NaN where no pixel is positive."""
        return _rate(self.true_positives)

    @property
    def fpr(self) -> Array:
        """False-positive rate, (K + 1,); NaN where no pixel is negative."""
        return _rate(self.false_positives)

    def tpr_at(self, fpr: float) -> float:
        """The TPR of the randomised test of exactly this FPR; see :func:`tpr_at_fpr`."""
        if not 0.0 <= fpr <= 1.0:
            raise BayescrError(f"fpr is {fpr}: expected a rate from 0 to 1 (0.005 is 0.5%)")
        x, y = self.fpr, self.tpr
        if np.isnan(x[-1]) or np.isnan(y[-1]):
            return float("nan")
        here = int(np.searchsorted(x, fpr, side="right")) - 1  # the top of a vertical piece
        if x[here] == fpr:
            return float(y[here])
        step = (fpr - x[here]) / (x[here + 1] - x[here])
        return float(y[here] + step * (y[here + 1] - y[here]))


def roc_curve(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> RocCurve:
    """ROC over all distinct logits; nothing is thinned or binned.

    Args:
        logit: Any score that grows with the probability, any shape; infinite allowed.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.
    """
    threshold, flagged, hits = counts_above(*valid_pixels(logit, target, valid=valid))
    return RocCurve(
        threshold=np.concatenate([[np.inf], threshold]),
        true_positives=np.concatenate([[0], hits]),
        false_positives=np.concatenate([[0], flagged - hits]),
    )


def tpr_at_fpr(
    logit: ArrayLike, target: ArrayLike, fpr: float, *, valid: ArrayLike | None = None
) -> float:
    """True-positive rate at an exact false-positive rate, by linear interpolation of the ROC.

    Where the ROC rises vertically at ``fpr``, the top counts. Arguments as in :func:`roc_curve`.

    Args:
        logit: Any score that grows with the probability, any shape; infinite allowed.
        target: Label, bool or 0/1, same shape.
        fpr: False-positive rate, 0 to 1: 0.005 is 0.5%.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        A number from 0 to 1; NaN without a positive or without a negative pixel.

    Example:
        >>> tpr_at_fpr([3.0, 2.0, 1.0, 0.0], [1, 0, 1, 0], 0.25)
        0.5
    """
    return roc_curve(logit, target, valid=valid).tpr_at(fpr)


def _rate(counts: Array) -> Array:
    if counts[-1] == 0:
        return np.full(counts.shape, np.nan)
    return counts / counts[-1]
