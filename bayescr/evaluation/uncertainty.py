"""How much doubt there is, and how much of it is the model's own.

With weights w drawn from a guide, p = E_w[p(w)] and H(p) = -p log p - (1 - p) log(1 - p) in nats,

    entropy             H(p)                      total
    mutual information  H(p) - E_w[H(p(w))]       epistemic: what more data could teach

Both are maps of a :class:`~bayescr.inference.prediction.Prediction`; here are their means over
the valid pixels. The entropy ranks pixels exactly as p (1 - p) does: only the mutual information
is something a single network cannot say.

References:
    Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
    arXiv:1112.5745.
"""

from __future__ import annotations

from numpy.typing import ArrayLike
from scipy.special import entr, expit

from bayescr.evaluation._arrays import valid_values

__all__ = ["mean_entropy", "mean_mutual_information"]


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
    return float((entr(expit(z)) + entr(expit(-z))).mean()) if z.size else float("nan")


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
