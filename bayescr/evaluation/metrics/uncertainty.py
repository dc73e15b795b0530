"""How much doubt there is, and how much of it is the model's own.

With weights w drawn from a guide, p = E_w[p(w)] and H(p) = -p log p - (1 - p) log(1 - p) in nats,

    entropy             H(p)                      total
    mutual information  H(p) - E_w[H(p(w))]       epistemic: what more data could teach

Both are maps of a :class:`~bayescr.inference.prediction.Prediction`; here are their means over
the valid pixels. The entropy ranks pixels exactly as p (1 - p) does: only the mutual information
is something a single network cannot say.

A doubt is worth what it finds: the pixels that are wrong (:func:`error_detection`), or the frames
that are not of the kind the model was trained on (:func:`ood_auroc`).

References:
    Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
    arXiv:1112.5745.
    Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in
    Neural Networks", arXiv:1610.02136.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, label_entropy, valid_pixels, valid_values
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics._bins import jeffreys
from bayescr.evaluation.metrics.detection import RocCurve

__all__ = [
    "ErrorCurve",
    "ErrorDetection",
    "error_curve",
    "error_detection",
    "mean_entropy",
    "mean_mutual_information",
    "ood_auroc",
]


def mean_entropy(logit: ArrayLike, *, valid: ArrayLike | None = None) -> float:
    """Mean entropy of the predicted probability [nat per pixel]; p = 0 and 1 count 0.

    Args:
        logit: log p - log(1 - p), any shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.

    Returns:
        A number from 0 to log 2; NaN without a valid pixel.

    Raises:
        BayescrError: On NaN in a valid pixel.

    Example:
        >>> round(mean_entropy([0.0, 50.0]), 6)
        0.346574
    """
    z = valid_values(logit, valid=valid)
    return float(label_entropy(z).mean()) if z.size else float("nan")


def mean_mutual_information(
    mutual_information: ArrayLike, *, valid: ArrayLike | None = None
) -> float:
    """Mean over the valid pixels of the mutual information of label and weights [nat per pixel].

    Args:
        mutual_information: H(p) - E_w[H(p(w))] of each pixel, any shape.
        valid: Bool, True where the pixel counts; broadcasts to that shape.

    Returns:
        A number from 0 to log 2; NaN without a valid pixel.

    Raises:
        BayescrError: On NaN in a valid pixel.
    """
    values = valid_values(mutual_information, valid=valid, name="mutual information")
    return float(values.mean()) if values.size else float("nan")


@dataclass(frozen=True, kw_only=True)
class ErrorDetection:
    """How well a doubt finds the wrong pixels.

    Attributes:
        auroc: Probability that a wrong pixel is more in doubt than a right one, ties one half.
        aupr: Average precision with the wrong pixels as positives.
        error_rate: Fraction of wrong pixels, which is the ``aupr`` of a doubt that knows nothing.
    """

    auroc: float
    aupr: float
    error_rate: float

    @classmethod
    def of_counts(cls, counts: Counts) -> ErrorDetection:
        """From counts of right (negative) and wrong (positive) pixels by doubt."""
        curve = RocCurve.of_counts(counts)
        return cls(
            auroc=curve.auroc,
            aupr=curve.auprc,
            error_rate=counts.num_positive / counts.size if counts.size else float("nan"),
        )


def error_detection(
    doubt: ArrayLike, error: ArrayLike, *, valid: ArrayLike | None = None
) -> ErrorDetection:
    """AUROC and AUPR of a doubt for telling wrong pixels from right ones.

    Args:
        doubt: Entropy, mutual information or any other doubt, any shape.
        error: Bool or 0/1, True where (p > 1/2) != y, same shape.
        valid: Bool, True where the pixel counts; broadcasts to that shape.

    Returns:
        Both numbers; the AUROC is NaN without a wrong or without a right pixel, the AUPR without a
        wrong one.

    Raises:
        BayescrError: On NaN or an error other than 0 and 1 in a valid pixel, or unequal shapes.

    Example:
        >>> error_detection([0.6, 0.1, 0.2, 0.1], [1, 0, 0, 0])
        ErrorDetection(auroc=1.0, aupr=1.0, error_rate=0.25)
    """
    if np.shape(error) != np.shape(doubt):
        raise BayescrError(
            f"error has shape {np.shape(error)} but doubt has {np.shape(doubt)}: "
            "expected equal shapes"
        )
    values = valid_values(doubt, valid=valid, name="doubt")
    wrong = valid_values(error, valid=valid, name="error")
    if ((wrong != 0.0) & (wrong != 1.0)).any():
        raise BayescrError("error holds other numbers than 0 and 1: expected (p > 1/2) != target")
    return ErrorDetection.of_counts(Counts.of(values, wrong == 1.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorCurve:
    """Error rate against entropy, one entry per bin that holds a pixel.

    Attributes:
        edges: (K, 2) lower and upper entropy of the bins [nat].
        entropy: (K,) mean entropy of the pixels [nat].
        count: (K,) pixels.
        error_rate: (K,) fraction with (p > 1/2) != y.
        expected: (K,) mean of min(p, 1 - p), the error rate that a calibrated model would have.
        lower: (K,) lower end of an interval of the error rate.
        upper: (K,) upper end.
        by_exposure: (K,) bool, whether the interval is from how exposures differ, as in the figures
            of a report. Else it is Jeffreys', which takes pixels as independent; those of one
            exposure are not, and honest intervals are wider.
    """

    edges: Array
    entropy: Array
    count: Array
    error_rate: Array
    expected: Array
    lower: Array
    upper: Array
    by_exposure: Array

    @classmethod
    def of_counts(
        cls, counts: Counts, *, edges: ArrayLike | None = None, level: float = 0.95
    ) -> ErrorCurve:
        """From counts of pixels by logit and label; arguments as in :func:`error_curve`."""
        inner = label_entropy(np.arange(12.0, 0.0, -1.0)) if edges is None else np.asarray(edges)
        if inner.ndim != 1 or not np.isfinite(inner).all() or (np.diff(inner) <= 0.0).any():
            raise BayescrError(f"edges are {inner}: expected finite, ascending entropies [nat]")
        errors = counts.errors()
        entropy = label_entropy(errors.score)
        place, size = np.searchsorted(inner, entropy, side="right"), inner.size + 1
        sums = [
            np.bincount(place, weights=values, minlength=size)
            for values in (
                errors.total,
                errors.positive,
                errors.total * entropy,
                errors.total * expit(-errors.score),
            )
        ]
        count, wrong, doubt, expected = (values[sums[0] > 0] for values in sums)
        lower, upper = jeffreys(wrong, count, level=level)
        outer = np.concatenate([[0.0], inner, [np.log(2.0)]])
        return cls(
            edges=np.stack([outer[:-1], outer[1:]], axis=1)[sums[0] > 0],
            entropy=doubt / count,
            count=count.astype(np.int64),
            error_rate=wrong / count,
            expected=expected / count,
            lower=lower,
            upper=upper,
            by_exposure=np.zeros(lower.shape, dtype=bool),
        )


def error_curve(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    edges: ArrayLike | None = None,
    level: float = 0.95,
) -> ErrorCurve:
    """How often the answer p > 1/2 is wrong, against the entropy of p.

    A bin holds lower <= entropy < upper, the last one log 2 as well; bins without a pixel are left
    out.

    Args:
        logit: log p - log(1 - p), any shape; infinite for p = 0 or 1.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``.
        edges: Ascending entropies between bins [nat]. Default: those of the logits 12, 11, ..., 1,
            8e-5 to 0.58, because nearly all pixels of a frame have next to none.
        level: Probability content of the intervals.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, unequal shapes, or
            edges that do not ascend.

    Example:
        >>> curve = error_curve([0.0, 0.1, 9.5], [1, 1, 1])
        >>> curve.count, curve.error_rate
        (array([1, 2]), array([0. , 0.5]))
    """
    counts = Counts.of(*valid_pixels(logit, target, valid=valid))
    return ErrorCurve.of_counts(counts, edges=edges, level=level)


def ood_auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Whether a score of whole frames tells another kind of frames from the usual one.

    The probability that the score of a frame from outside is the higher one, ties one half: the
    AUROC, or the Mann-Whitney statistic over the number of pairs.

    Args:
        inside: (n,) a score of each usual frame, such as its mean mutual information.
        outside: (m,) that of each frame of the other kind.

    Returns:
        A number from 0 to 1, 1/2 without information; NaN if either is empty.

    Raises:
        BayescrError: On NaN.

    Example:
        >>> ood_auroc([0.1, 0.2], [0.2, 0.5, 0.6])
        0.9166666666666666
    """
    usual = valid_values(inside, name="score of the usual frames")
    other = valid_values(outside, name="score of the other frames")
    score = np.concatenate([usual, other])
    return RocCurve.of_counts(Counts.of(score, np.arange(score.size) >= usual.size)).auroc
