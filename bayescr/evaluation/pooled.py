"""What the figures of a report are drawn of: the pixels of a row, all its networks together.

A row of several seeds answers for every pixel several times, and every answer counts. Each network
keeps its own cells of logits, for their means differ, and under different temperatures even their
order does.

A bin of a curve holds s_e events (positive pixels, or errors) among n_e pixels of exposure e, of
m exposures. Its interval is Jeffreys' for as many independent pixels as those amount to,

    f = sum_e s_e / n,    n = sum_e n_e
    v = (m - 1) / m sum_e ((s_e - f n_e) / (n - n_e))^2            jackknife variance of f
    n* = n min(1, f (1 - f) / n / v) (t_{n-1} / t_{m-1})^2         with quantiles of Student's t

since events of one exposure come together, and the answers of several networks even more so. It
serves a bin of one event as well as one of thousands, which resampling does not. Measured on 3 to
30 simulated exposures of unlike size, whose frequencies differ by factors of up to e (one standard
deviation), intervals of 95% hold the truth in 86% to 99% of cases; those of independent pixels in
23% to 97%. More than 128 exposures share blocks with their neighbours, which then stand for them.

References:
    Korn & Graubard, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", Survey Methodology 24, 193 (1998).
    Franco, Little, Louis & Slud, "Comparative Study of Confidence Intervals for Proportions in
    Complex Sample Surveys", J. Surv. Stat. Methodol. 7, 334 (2019) (Jeffreys' interval, likewise).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.stats import t as student

from bayescr.evaluation._arrays import Array, label_entropy
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics._bins import jeffreys
from bayescr.evaluation.metrics.calibration import ReliabilityCurve
from bayescr.evaluation.metrics.family import LOGITS
from bayescr.evaluation.metrics.uncertainty import ErrorCurve
from bayescr.evaluation.records import Slice, Tally

__all__ = ["error_curve_of", "intervals", "pooled", "reliability_curve_of"]

Curve = TypeVar("Curve", ReliabilityCurve, ErrorCurve)


def pooled(parts: Sequence[Counts]) -> Counts:
    """The counts of all pixels of several counts.

    Example:
        >>> one = Counts.of(np.array([1.0, 2.0]), np.array([False, True]))
        >>> other = Counts.of(np.array([1.5, 2.0]), np.array([True, True]))
        >>> pooled([one, other]).score, pooled([one, other]).positive
        (array([1. , 1.5, 2. ]), array([0, 1, 2]))
    """
    score, place = np.unique(np.concatenate([one.score for one in parts]), return_inverse=True)
    negative, positive = np.zeros((2, score.size), dtype=np.int64)
    np.add.at(negative, place, np.concatenate([one.negative for one in parts]))
    np.add.at(positive, place, np.concatenate([one.positive for one in parts]))
    return Counts(score=score, negative=negative, positive=positive)


def intervals(
    events: Array, pixels: Array, *, networks: int = 1, level: float = 0.95
) -> tuple[Array, Array, Array]:
    """The interval of the module's text for the frequency of events in each of K bins.

    Args:
        events: (E, K) events in each exposure.
        pixels: (E, K) pixels, of which those are, counted once by each network.
        networks: How many networks there are.
        level: Probability content.

    Returns:
        Lower ends, upper ends, and whether they are from exposures, (K,) each. Where these cannot
        tell (only one has pixels in the bin, or all are events, or none is), pixels are taken as
        independent: the ends are Jeffreys' of n / ``networks`` pixels.
    """
    total, count = events.sum(axis=0), pixels.sum(axis=0)
    number = np.count_nonzero(pixels, axis=0)  # of exposures
    known = (number > 1) & (total > 0) & (total < count)
    s, n, m = total[known], count[known], number[known]
    f, left_out = s / n, n - pixels[:, known]
    variance = (m - 1) / m * np.sum(((events[:, known] - f * pixels[:, known]) / left_out) ** 2, 0)
    tail = (1.0 - level) / 2.0
    fewer = (student.isf(tail, n - 1) / student.isf(tail, m - 1)) ** 2
    share = np.full(known.shape, 1.0 / networks)  # of independent pixels
    share[known] = fewer / np.maximum(variance * n / (f * (1.0 - f)), 1.0)
    lower, upper = jeffreys(share * total, share * count, level=level)
    return lower, upper, known


def reliability_curve_of(
    counts: Counts, members: Sequence[Tally], part: Slice, *, level: float
) -> ReliabilityCurve:
    """The reliability curve of a row on a slice, with intervals from exposures.

    Args:
        counts: Its pixels there, `pooled` over the networks.
        members: The networks of the row.
        part: The slice.
        level: Probability content of the intervals.
    """
    curve = ReliabilityCurve.of_counts(counts, level=level)

    def bins(score: Array) -> Array:
        return np.searchsorted(curve.edges[:, 0], score, side="right") - 1

    return _with_exposures(curve, members, part, bins, errors=False, level=level)


def error_curve_of(
    counts: Counts, members: Sequence[Tally], part: Slice, *, level: float
) -> ErrorCurve:
    """The curve of errors against entropy, likewise; arguments as in `reliability_curve_of`."""
    curve = ErrorCurve.of_counts(counts, level=level)

    def bins(score: Array) -> Array:
        return np.searchsorted(curve.edges[:, 0], label_entropy(score), side="right") - 1

    return _with_exposures(curve, members, part, bins, errors=True, level=level)


def _with_exposures(
    curve: Curve,
    members: Sequence[Tally],
    part: Slice,
    bins: Callable[[Array], Array],
    *,
    errors: bool,
    level: float,
) -> Curve:
    size = curve.count.size
    events, pixels = np.sum(
        [_sums(one, part, bins, size, errors=errors) for one in members], axis=0
    )
    lower, upper, known = intervals(events, pixels, networks=len(members), level=level)
    return replace(curve, lower=lower, upper=upper, by_exposure=known)


def _sums(
    tally: Tally, part: Slice, bins: Callable[[Array], Array], size: int, *, errors: bool
) -> Array:
    """(2, E, K) events and pixels of every exposure in K bins of the score."""
    rows, shape = tally.statistic(tally.statistics.index(LOGITS), part)  # (E, 3 cells)
    total = np.asarray(rows.sum(axis=0)).reshape(shape)
    filled = np.flatnonzero(total[0] + total[1])  # the cells that the view keeps
    score = LOGITS.view(total).score
    sums = np.zeros((2, rows.shape[0], size))
    for label in (0, 1):
        cells = rows[:, filled + label * shape[1]].tocoo()
        place, count = (cells.row, bins(score)[cells.col]), cells.data
        is_event = (score[cells.col] > 0.0) != bool(label) if errors else bool(label)
        np.add.at(sums[0], place, count * is_event)
        np.add.at(sums[1], place, count)
    return sums
