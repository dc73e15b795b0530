"""The one gate between arrays and metrics: every metric sees the same checked, valid pixels.

An array of any shape comes in; a flat float64 logit and a flat bool target of the valid pixels go
out. What an invalid pixel holds, NaN included, is never looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr, expit
from scipy.special import logit as _logit

from bayescr.errors import BayescrError

__all__ = ["label_entropy", "to_logit", "valid_pixels", "valid_values"]

Array = np.ndarray[Any, Any]


def to_logit(probability: ArrayLike) -> Array:
    """The logit log p - log(1 - p) of a probability, float64; p = 0 and 1 give -inf and inf.

    For scores that exist as probabilities only. Where a logit exists, hand that to the metrics:
    a float32 probability rounds to exactly 1 from a logit of 17 on.

    Raises:
        BayescrError: If a probability lies outside [0, 1]. NaN passes: it may be an invalid pixel.

    Example:
        >>> to_logit([0.0, 0.5, 1.0])
        array([-inf,   0.,  inf])
    """
    p = np.asarray(probability, dtype=np.float64)
    if np.any((p < 0.0) | (p > 1.0)):
        worst = p[(p < 0.0) | (p > 1.0)][0]
        raise BayescrError(f"probability holds {worst}: expected 0 to 1; pass logits as they are")
    return _logit(p)


def label_entropy(z: Array) -> Array:
    """Entropy of a label whose logit is z [nat]; exact where p rounds to 0 or 1."""
    entropy: Array = entr(expit(z)) + entr(expit(-z))
    return entropy


def valid_values(
    values: ArrayLike, *, valid: ArrayLike | None = None, name: str = "logit"
) -> Array:
    """The valid entries of an array, (N,) float64.

    Args:
        values: Numbers of any shape.
        valid: Bool, True where the pixel counts; must broadcast to the shape of ``values``, so that
            (1, H, W) serves every class of (C, H, W). Default: all of them.
        name: What the values are, for the error message.

    Raises:
        BayescrError: On NaN in a valid pixel, a mask that is not bool or a shape that does not fit.
    """
    flat = np.asarray(values)
    flat = flat.ravel() if valid is None else flat[_mask(valid, flat.shape)]
    flat = flat.astype(np.float64)
    if np.isnan(flat).any():
        count = np.count_nonzero(np.isnan(flat))
        raise BayescrError(f"{name} is NaN in {count} valid pixels: mark them invalid in `valid`")
    return flat


def valid_pixels(
    logit: ArrayLike, target: ArrayLike, *, valid: ArrayLike | None = None
) -> tuple[Array, Array]:
    """The valid entries of a logit and its target: (N,) float64, infinite allowed, and (N,) bool.

    Args:
        logit: log p - log(1 - p), any shape.
        target: Bool, or numbers that are 0 or 1, of the same shape.
        valid: As in :func:`valid_values`.

    Raises:
        BayescrError: If the shapes differ, a valid target is neither 0 nor 1, or as in
            :func:`valid_values`.
    """
    shape = np.shape(logit)
    if np.shape(target) != shape:
        raise BayescrError(
            f"target has shape {np.shape(target)} but logit has {shape}: expected equal shapes"
        )
    y = np.asarray(target)
    y = y.ravel() if valid is None else y[_mask(valid, shape)]
    if y.dtype != bool:
        odd = (y != 0) & (y != 1)
        if odd.any():
            raise BayescrError(f"target holds {y[odd][0]} in a valid pixel: expected 0 or 1")
        y = y == 1
    return valid_values(logit, valid=valid), y


def _mask(valid: ArrayLike, shape: tuple[int, ...]) -> Array:
    mask = np.asarray(valid)
    if mask.dtype != bool:
        raise BayescrError(f"valid has dtype {mask.dtype}: expected bool, True = use the pixel")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError as error:
        raise BayescrError(
            f"valid has shape {mask.shape}: expected one that broadcasts to {shape}"
        ) from error
