"""Weights of exposures, of the bootstrap and of the jackknife, and sums under them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["leave_one_out", "resamples", "weighted_sums"]

Array = np.ndarray[Any, Any]


def resamples(num_exposures: int, *, num_bootstrap: int = 1000, seed: int = 0) -> Array:
    """How often each exposure is drawn, E times with replacement, in each bootstrap replicate.

    Args:
        num_exposures: E.
        num_bootstrap: B, the number of replicates.
        seed: Of numpy's default generator; the weights depend on E, B and the seed alone, so sort
            exposures by name before weighing them.

    Returns:
        (B, E) int64, every row adding up to E.
    """
    if num_exposures < 1 or num_bootstrap < 1:
        raise BayescrError(
            f"num_exposures is {num_exposures} and num_bootstrap {num_bootstrap}: "
            "expected at least 1 of each"
        )
    generator = np.random.default_rng(seed)
    return generator.multinomial(
        num_exposures, [1.0 / num_exposures] * num_exposures, num_bootstrap
    )


def leave_one_out(num_exposures: int) -> Array:
    """(E, E) int64 weights of the jackknife: row e is 0 for exposure e and 1 for the others."""
    return 1 - np.eye(num_exposures, dtype=np.int64)


def weighted_sums(weights: Array, flat: Any) -> Array:
    """(R, E) weights times (E, K) statistics, an array or a scipy.sparse matrix.

    An infinite or NaN statistic spoils only the sums that take it in: 0 times infinity is 0 here.
    """
    if not isinstance(flat, np.ndarray):  # scipy.sparse
        return (flat.T @ weights.T).T
    odd = ~np.isfinite(flat)
    # Not `weights @ flat`: BLAS adds up in another order when it has another number of threads.
    total: Array = np.einsum("re,ek->rk", weights, np.where(odd, 0.0, flat))
    for exposure, column in np.argwhere(odd):
        total[weights[:, exposure] > 0, column] += flat[exposure, column]
    return total
