"""Every metric of every row, with what it would have been under other weights of the exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array
from bayescr.evaluation.bootstrap import Estimate, Resampling
from bayescr.evaluation.metrics.family import Metric
from bayescr.evaluation.records import Observed, Slice, Tally

__all__ = ["Estimates", "estimate", "resampling_of"]

Estimates = Mapping[str, Mapping[str, Mapping[str, Sequence[Estimate]]]]
"""Slice -> row -> metric -> the estimate of each member of the row."""


def estimate(
    rows: Mapping[str, Sequence[Tally]],
    metrics: Sequence[Metric],
    observed: Observed,
    *,
    num_bootstrap: int,
    seed: int,
) -> Estimates:
    """All metrics of all rows on all slices; within a slice all rows see the same resamples.

    Args:
        rows: Name -> the tallies of its members.
        metrics: The columns.
        observed: The truth, for its slices.
        num_bootstrap: Replicates; 0 leaves the values alone.
        seed: Of the replicates.
    """
    found: dict[str, dict[str, dict[str, Sequence[Estimate]]]] = {}
    for part in observed.slices:
        resampling = resampling_of(len(part.blocks), num_bootstrap=num_bootstrap, seed=seed)
        found[part.name] = {}
        for name, members in rows.items():
            of_members = [_values(tally, part, metrics, resampling) for tally in members]
            found[part.name][name] = {
                metric.name: [
                    resampling.estimate(
                        values[:, column], is_distance=metric.is_distance, coarse=coarse[column]
                    )
                    for values, coarse in of_members
                ]
                for column, metric in enumerate(metrics)
            }
    return found


def resampling_of(num_blocks: int, *, num_bootstrap: int, seed: int) -> Resampling:
    """The resampling of so many blocks; with one block, or without replicates, the value alone."""
    if num_blocks < 2 or not num_bootstrap:
        return Resampling(weights=np.ones((1, num_blocks), dtype=np.int64))
    return Resampling.of(num_blocks, num_bootstrap=num_bootstrap, seed=seed)


def _values(
    tally: Tally, part: Slice, metrics: Sequence[Metric], resampling: Resampling
) -> tuple[Array, list[float | None]]:
    """(1 + E + B, M) metrics under every row of weights, and (M,) at half the resolution."""
    used = dict.fromkeys(tally.statistics.index(metric.statistic) for metric in metrics)
    kept = {number: tally.statistic(number, part) for number in used}
    totals = zip(*(resampling.totals(rows) for rows, _ in kept.values()), strict=True)
    values = np.empty((len(resampling.weights), len(metrics)))
    coarse: list[float | None] = []
    for index, flats in enumerate(totals):
        shaped = {
            number: flat.reshape(shape)
            for (number, (_, shape)), flat in zip(kept.items(), flats, strict=True)
        }
        values[index] = _metrics(tally, metrics, shaped)
        if index == 0:  # the exposures as they are
            halved = {
                number: of.coarser(shaped[number])
                for number, of in enumerate(tally.statistics)
                if number in used and of.coarser is not None
            }
            coarse = [
                value if tally.statistics.index(metric.statistic) in halved else None
                for metric, value in zip(
                    metrics, _metrics(tally, metrics, {**shaped, **halved}), strict=True
                )
            ]
    return values, coarse


def _metrics(tally: Tally, metrics: Sequence[Metric], totals: Mapping[int, Array]) -> list[float]:
    """All metrics of the sums of statistics; what shares a view has it made once."""
    views = {number: tally.statistics[number].view(total) for number, total in totals.items()}
    return [
        _compute(metric, views[tally.statistics.index(metric.statistic)], tally)
        if tally.row.is_probability or not metric.of_probability
        else float("nan")
        for metric in metrics
    ]


def _compute(metric: Metric, view: Any, tally: Tally) -> float:
    try:
        return float(metric.compute(view))
    except Exception as error:  # the user's own code may raise anything
        raise BayescrError(
            f"metric '{metric.name}' fails on row '{tally.row.name}': {type(error).__name__}: "
            f"{error}"
        ) from error
