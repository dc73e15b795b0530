"""Every metric of every row, with what it would have been under other weights of the exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

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
                metric.name: [resampling.estimate(values[:, column]) for values in of_members]
                for column, metric in enumerate(metrics)
            }
    return found


def resampling_of(num_blocks: int, *, num_bootstrap: int, seed: int) -> Resampling:
    """The resampling of so many blocks; with one block, or without replicates, the value alone."""
    if num_blocks < 2 or not num_bootstrap:
        return Resampling(weights=np.ones((1, num_blocks), dtype=np.int64))
    return Resampling.of(num_blocks, num_bootstrap=num_bootstrap, seed=seed)


def _values(tally: Tally, part: Slice, metrics: Sequence[Metric], resampling: Resampling) -> Array:
    """(1 + E + B, M) metrics under every row of weights."""
    used = [tally.statistics.index(metric.statistic) for metric in metrics]
    kept = {number: tally.statistic(number, part) for number in dict.fromkeys(used)}
    totals = zip(*(resampling.totals(rows) for rows, _ in kept.values()), strict=True)
    values = np.full((len(resampling.weights), len(metrics)), np.nan)
    for index, flats in enumerate(totals):
        views = {
            number: tally.statistics[number].view(flat.reshape(shape))
            for (number, (_, shape)), flat in zip(kept.items(), flats, strict=True)
        }
        for column, (metric, number) in enumerate(zip(metrics, used, strict=True)):
            if tally.row.is_probability or not metric.of_probability:
                values[index, column] = metric.compute(views[number])
    return values
