"""Counts above every threshold of a score: what ROC and risk-coverage curves are both made of."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["counts_above"]

Array = np.ndarray[Any, Any]


def counts_above(score: Array, event: Array) -> tuple[Array, Array, Array]:
    """Count pixels and events at or above each distinct value of a score.

    Equal scores share one entry, so nothing depends on the order in which ties come.

    Args:
        score: (N,) without NaN.
        event: (N,) bool.

    Returns:
        The K distinct scores, descending; how many pixels, and how many events, score at least
        that much, both int64. The empty set before the first score is not an entry.
    """
    order = np.argsort(score)[::-1]
    ranked = score[order]
    is_last = np.append(ranked[1:] != ranked[:-1], np.ones(min(1, ranked.size), bool))
    last = np.flatnonzero(is_last)
    return ranked[last], last + 1, np.cumsum(event[order], dtype=np.int64)[last]
