"""Detection: how many cosmic-ray pixels are found, and at what price in false alarms.

With TP, FP and FN the flagged positive, flagged negative and missed positive pixels,

    TPR(t) = P(z >= t | y = 1),      FPR(t) = P(z >= t | y = 0)
    AUROC = P(z of a positive > z of a negative) + P(equal) / 2
    precision = TP / (TP + FP),      recall = TPR
    AUPRC = sum_k (recall_k - recall_{k-1}) precision_k            (average precision)
    IoU = TP / (TP + FP + FN),       Dice = 2 TP / (2 TP + FP + FN)

over all thresholds t that occur, ties taken as one threshold. Between two neighbouring points lies
the randomised test, which flags the tied pixels with some probability: TP and FP both move on a
straight line. It is a test that can be carried out, it makes the TPR at an exact FPR and the
precision at an exact recall defined, and a forecast without information gets TPR = FPR and a
precision equal to the base rate.

References:
    Fawcett, "An introduction to ROC analysis", Pattern Recognit. Lett. 27, 861 (2006).
    Davis & Goadrich, "The relationship between Precision-Recall and ROC curves", ICML (2006), for
    the way from one point of the precision-recall curve to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit as _logit

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels
from bayescr.evaluation.counts import Counts

__all__ = [
    "Overlap",
    "RocCurve",
    "auprc",
    "auroc",
    "dice",
    "iou",
    "precision_at_recall",
    "roc_curve",
    "tpr_at_fpr",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class RocCurve:
    """Receiver operating characteristic: one point for each distinct logit, and (0, 0) before them.

    The same points make the precision-recall curve.

    Attributes:
        threshold: (K + 1,) logits, descending from inf: pixels with z >= threshold are flagged.
        true_positives: (K + 1,) int, flagged pixels with y = 1.
        false_positives: (K + 1,) int, flagged pixels with y = 0.
    """

    threshold: Array
    true_positives: Array
    false_positives: Array

    @classmethod
    def of_counts(cls, counts: Counts) -> RocCurve:
        """The curve of counts of pixels by score and label."""
        return cls(
            threshold=np.append(np.inf, counts.score[::-1]),
            true_positives=np.append(0, counts.positive[::-1]).cumsum(),
            false_positives=np.append(0, counts.negative[::-1]).cumsum(),
        )

    @property
    def tpr(self) -> Array:
        """True-positive rate or recall, (K + 1,); NaN where no pixel is positive."""
        return _rate(self.true_positives)

    @property
    def fpr(self) -> Array:
        """False-positive rate, (K + 1,); NaN where no pixel is negative."""
        return _rate(self.false_positives)

    @property
    def precision(self) -> Array:
        """Fraction of the flagged pixels that are positive, (K + 1,); NaN where none is flagged."""
        flagged = self.true_positives + self.false_positives
        return np.where(flagged > 0, self.true_positives / np.maximum(flagged, 1), np.nan)

    @property
    def auroc(self) -> float:
        """Area under the ROC; see :func:`auroc`."""
        area = np.sum(np.diff(self.fpr) * (self.tpr[1:] + self.tpr[:-1])) / 2.0
        return float(area) if self._is_defined else float("nan")

    @property
    def auprc(self) -> float:
        """Average precision; see :func:`auprc`."""
        positive = self.true_positives[-1]
        steps = np.diff(self.true_positives) * self.precision[1:]
        return float(steps.sum() / positive) if positive else float("nan")

    def tpr_at(self, fpr: float) -> float:
        """The TPR of the randomised test of exactly this FPR; see :func:`tpr_at_fpr`."""
        if not 0.0 <= fpr <= 1.0:
            raise BayescrError(f"fpr is {fpr}: expected a rate from 0 to 1 (0.005 is 0.5%)")
        if not self._is_defined:
            return float("nan")
        x, y = self.fpr, self.tpr
        here = int(np.searchsorted(x, fpr, side="right")) - 1  # the top of a vertical piece
        if x[here] == fpr:
            return float(y[here])
        step = (fpr - x[here]) / (x[here + 1] - x[here])
        return float(y[here] + step * (y[here + 1] - y[here]))

    def precision_at(self, recall: float) -> float:
        """The precision of the randomised test of this recall; see :func:`precision_at_recall`."""
        if not 0.0 < recall <= 1.0:
            raise BayescrError(
                f"recall is {recall}: expected a rate above 0, up to 1 (0.95 is 95%)"
            )
        tp, fp, tpr = self.true_positives, self.false_positives, self.tpr
        if not tp[-1]:
            return float("nan")
        here = int(np.searchsorted(tpr, recall, side="left"))  # fewest flagged that have the recall
        step = (recall - tpr[here - 1]) / (tpr[here] - tpr[here - 1])
        found, false = (x[here - 1] + step * (x[here] - x[here - 1]) for x in (tp, fp))
        return float(found / (found + false))

    @property
    def _is_defined(self) -> bool:
        return bool(self.true_positives[-1] and self.false_positives[-1])


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Of the mask p > threshold with the truth, in pixels.

    Attributes:
        both: Flagged and positive.
        false: Flagged and negative.
        missed: Positive and not flagged.
    """

    both: int
    false: int
    missed: int

    @classmethod
    def of_counts(cls, counts: Counts, *, threshold: float = 0.5) -> Overlap:
        """From counts of pixels by logit and label; the threshold is a probability."""
        first = np.searchsorted(counts.score, _threshold(threshold), side="right")
        both = int(counts.positive[first:].sum())
        false = int(counts.negative[first:].sum())
        return cls(both=both, false=false, missed=counts.num_positive - both)

    @property
    def iou(self) -> float:
        """Intersection over union; see :func:`iou`."""
        union = self.both + self.false + self.missed
        return self.both / union if union else float("nan")

    @property
    def dice(self) -> float:
        """Twice the intersection over the sum of sizes; see :func:`dice`."""
        sizes = 2 * self.both + self.false + self.missed
        return 2 * self.both / sizes if sizes else float("nan")


def roc_curve(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> RocCurve:
    """ROC over all distinct logits; nothing is thinned or binned.

    Args:
        logit: Any score that grows with the probability, any shape; infinite allowed.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or unequal shapes.
    """
    return RocCurve.of_counts(_counts(logit, target, valid))


def auroc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Area under the ROC, ties counting one half; arguments as in :func:`roc_curve`.

    Returns:
        A number from 0 to 1, 1/2 without information; NaN without a positive or a negative pixel.

    Example:
        >>> auroc([3.0, 2.0, 1.0, 1.0], [1, 0, 1, 0])
        0.625
    """
    return roc_curve(logit, target, valid=valid).auroc


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


def auprc(logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Average precision, sum_k (recall_k - recall_{k-1}) precision_k; ties are one threshold.

    Arguments as in :func:`roc_curve`.

    Returns:
        A number above 0, 1 for a perfect order, the base rate for a constant; NaN without a
        positive pixel.

    Example:
        >>> auprc([3.0, 2.0, 1.0], [1, 0, 0])
        1.0
    """
    return roc_curve(logit, target, valid=valid).auprc


def precision_at_recall(
    logit: ArrayLike, target: ArrayLike, recall: float, *, valid: ArrayLike | None = None
) -> float:
    """Precision of the randomised threshold test whose expected recall is exactly ``recall``.

    The expected true positives over the expected flagged pixels. Where several thresholds have
    that recall, the one with the fewest false alarms counts.

    Args:
        logit: Any score that grows with the probability, any shape; infinite allowed.
        target: Label, bool or 0/1, same shape.
        recall: Above 0, up to 1: 0.95 is 95%.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        A number above 0, up to 1; NaN without a positive pixel.

    Example:
        >>> precision_at_recall([3.0, 2.0, 1.0], [1, 0, 1], 0.5)
        1.0
    """
    return roc_curve(logit, target, valid=valid).precision_at(recall)


def iou(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    threshold: float = 0.5,
) -> float:
    """Intersection over union of the mask p > ``threshold`` and the truth, TP / (TP + FP + FN).

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        threshold: Probability above which a pixel is flagged.

    Returns:
        A number from 0 to 1; NaN where nothing is flagged and nothing is positive.

    Example:
        >>> iou([2.0, 1.0, -1.0], [1, 0, 1]) == 1 / 3
        True
    """
    return Overlap.of_counts(_counts(logit, target, valid), threshold=threshold).iou


def dice(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    threshold: float = 0.5,
) -> float:
    """Dice coefficient or F1 of the mask p > ``threshold``, 2 TP / (2 TP + FP + FN).

    Arguments and corners as in :func:`iou`; Dice = 2 IoU / (1 + IoU).

    Example:
        >>> dice([2.0, 1.0, -1.0], [1, 0, 1])
        0.5
    """
    return Overlap.of_counts(_counts(logit, target, valid), threshold=threshold).dice


def _counts(logit: ArrayLike, target: ArrayLike, valid: ArrayLike | None) -> Counts:
    return Counts.of(*valid_pixels(logit, target, valid=valid))


def _threshold(probability: float) -> float:
    if not 0.0 <= probability <= 1.0:
        raise BayescrError(f"threshold is {probability}: expected a probability from 0 to 1")
    return float(_logit(probability))


def _rate(counts: Array) -> Array:
    if counts[-1] == 0:
        return np.full(counts.shape, np.nan)
    return counts / counts[-1]
