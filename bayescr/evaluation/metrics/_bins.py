"""What curves on bins have in common: edges in the logit and intervals of a frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array

__all__ = ["jeffreys", "logit_edges"]


def logit_edges(edges: ArrayLike | None) -> Array:
    """The inner edges of bins in the logit, checked; by default -12, -11, ..., 12."""
    inner = np.arange(-12.0, 13.0) if edges is None else np.asarray(edges, dtype=np.float64)
    if inner.ndim != 1 or not np.isfinite(inner).all() or (np.diff(inner) <= 0.0).any():
        raise BayescrError(f"edges are {inner}: expected finite, ascending logits")
    return inner


def jeffreys(successes: Array, trials: Array, *, level: float) -> tuple[Array, Array]:
    """Jeffreys' interval of a frequency: quantiles (1 -+ level)/2 of Beta(s + 1/2, n - s + 1/2).

    The lower end is 0 where s = 0 and the upper end is 1 where s = n (Brown, Cai & DasGupta, Stat.
    Sci. 16, 101, 2001).

    Raises:
        BayescrError: If the level is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise BayescrError(f"level is {level}: expected a probability between 0 and 1 (0.95)")
    tail, rest = (1.0 - level) / 2.0, trials - successes
    lower = np.where(successes == 0, 0.0, beta.ppf(tail, successes + 0.5, rest + 0.5))
    upper = np.where(rest == 0, 1.0, beta.ppf(1.0 - tail, successes + 0.5, rest + 0.5))
    return lower, upper
