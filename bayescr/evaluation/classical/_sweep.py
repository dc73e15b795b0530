"""A score for methods that only flag: the highest threshold at which a pixel is flagged.

L.A.Cosmic gives a mask at a threshold. Run at thresholds f_1 < ... < f_m times its own (f_d = 1),
each run by itself, a pixel whose highest flag is at f_k scores the middle of the step above it,

    score = (log f_k + log f_{k+1}) / 2

so that above 0 are those that the method flags at its own threshold. A pixel that is never flagged
scores as far below f_1; the last step is as wide as the one before. Iterations make the mask at a
higher threshold no strict subset of that at a lower one: a pixel without a flag at f_d counts by
its flags below, one with a flag at f_d by those from there on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["FACTORS", "check_factors", "sweep"]

Array = np.ndarray[Any, Any]

FACTORS = tuple(2.0 ** (step / 3.0) for step in range(-6, 16))
"""22 thresholds, from 1/4 of the default, where noise is flagged, to 32 times as much."""


def check_factors(factors: tuple[float, ...]) -> None:
    """Refuse factors that are not positive, rise, and hold 1."""
    rising = all(low < high for low, high in zip(factors, factors[1:], strict=False))
    if not (factors and factors[0] > 0.0 and rising and 1.0 in factors):
        raise BayescrError(
            f"factors are {factors}: expected positive numbers that rise, 1.0 (the threshold "
            "itself) among them"
        )


def sweep(flags: Callable[[float], Array], factors: tuple[float, ...]) -> Array:
    """The score of every pixel.

    Args:
        flags: Factor of the threshold -> (H, W) bool, what the method flags there.
        factors: Positive, rising, 1 among them; see `check_factors`.

    Returns:
        (H, W) float32.
    """
    own = factors.index(1.0)
    flagged = flags(1.0)
    highest = np.where(flagged, own, -1)
    for index, factor in enumerate(factors):
        if index != own:
            counts = flagged if index > own else ~flagged
            highest[flags(factor) & counts] = index
    logs = np.log(factors)
    steps = np.diff(logs) if len(logs) > 1 else np.array([np.log(2.0)])
    edges = np.concatenate([[logs[0] - steps[0]], logs, [logs[-1] + steps[-1]]])
    middle = 0.5 * (edges[:-1] + edges[1:])
    return middle[highest + 1].astype(np.float32)
