"""The tables of a report.

``table`` is wide, a row for every predictor and field and a column for every metric; ``intervals``
and ``differences`` are long, a row for every number. The first predictor of each field is the
forecast that knows nothing but the base rate: with 1% of cosmic-ray pixels it beats every model in
ECE, so no ECE should be read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayescr.evaluation._arrays import Array
from bayescr.evaluation.bootstrap import Estimate, mean_of_seeds
from bayescr.evaluation.estimates import Estimates, resampling_of
from bayescr.evaluation.metrics import HITS, Metric, ood_auroc
from bayescr.evaluation.predictors import passes
from bayescr.evaluation.records import Observed, Tally

__all__ = [
    "difference_table",
    "hits_table",
    "interval_table",
    "shift_table",
    "temperature",
    "wide_table",
]

Rows = Mapping[str, Sequence[Tally]]


def wide_table(
    estimates: Estimates, rows: Rows, observed: Observed, *, num_samples: int
) -> pd.DataFrame:
    """A row for each predictor and field with the values of all metrics.

    ``temperature`` is that of a posterior, NaN for what is none; ``seeds`` counts the networks
    whose mean the values are, ``passes`` those through a network for one of its predictions.
    """
    records = []
    for part in observed.slices:
        inside = observed.within(part)
        pixels = observed.pixels[np.ix_(inside, part.classes)].sum()
        for name, of_metrics in estimates[part.name].items():
            records.append(
                {
                    "predictor": name,
                    "field": part.name,
                    **{metric: mean_of_seeds(one).value for metric, one in of_metrics.items()},
                    "temperature": temperature(rows[name][0]),
                    "exposures": len(inside),
                    "pixels": int(pixels),
                    "seeds": len(rows[name]),
                    "passes": passes(rows[name][0].row.predictor, num_samples),
                }
            )
    return pd.DataFrame(records)


def interval_table(
    estimates: Estimates, metrics: Sequence[Metric], *, level: float
) -> pd.DataFrame:
    """Every value with its interval: ``value``, ``low``, ``high``."""
    records = []
    for field, name, metric, members in _each(estimates, metrics):
        one = mean_of_seeds(members)
        low, high = _interval(one, level)
        records.append(
            {
                "predictor": name, "field": field, "metric": metric.name,
                "better": metric.better or "", "value": one.value, "low": low, "high": high,
            }
        )  # fmt: skip
    return pd.DataFrame(records)


def difference_table(
    estimates: Estimates,
    rows: Rows,
    metrics: Sequence[Metric],
    *,
    references: Iterable[str],
    pair_seeds: bool,
    level: float,
) -> pd.DataFrame:
    """Every row's paired difference to reference rows, its interval and what it amounts to.

    Rows of the same networks, such as MAP and MAP under a temperature, differ network by network,
    as do rows of as many networks with ``pair_seeds``: what the seeds of training do to both is in
    neither's way.
    """
    records = []
    networks = {name: [tally.row.base for tally in members] for name, members in rows.items()}
    pairs = [(reference, each) for reference in references for each in _each(estimates, metrics)]
    for reference, (field, name, metric, members) in pairs:
        if name == reference:
            continue
        others = estimates[field][reference][metric.name]
        as_many = len(members) == len(others)
        if _are_same(networks[name], networks[reference]) or (pair_seeds and as_many):
            paired = mean_of_seeds([a - b for a, b in zip(members, others, strict=True)])
        else:
            paired = mean_of_seeds(members) - mean_of_seeds(others)
        low, high = _interval(paired, level)
        verdict = "" if np.isnan(low) else paired.verdict(metric.better, level=level)
        records.append(
            {
                "field": field, "metric": metric.name, "better": metric.better or "",
                "predictor": name, "reference": reference, "difference": paired.value,
                "low": low, "high": high, "verdict": verdict,
            }
        )  # fmt: skip
    columns = ["field", "metric", "better", "predictor", "reference", "difference", "low", "high"]
    return pd.DataFrame(records, columns=[*columns, "verdict"])


def hits_table(rows: Rows, observed: Observed) -> pd.DataFrame:
    """Recall and purity of whole cosmic rays by size and peak, all exposures, seeds together."""
    part = observed.slices[0]
    tables = []
    for name, members in rows.items():
        number = members[0].statistics.index(HITS)
        flat = sum(np.asarray(tally.statistic(number, part)[0].sum(axis=0)) for tally in members)
        table = HITS.view(np.reshape(flat, members[0].statistic(number, part)[1])).table()
        table.insert(0, "predictor", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def shift_table(
    inside: Rows, outside: Rows, *, num_bootstrap: int, seed: int, level: float
) -> pd.DataFrame:
    """How well a frame's mean uncertainty tells data of another kind: AUROC over exposures.

    Args:
        inside: Posteriors on the data that they are for.
        outside: The same on data of another kind.
        num_bootstrap: Replicates, of the exposures of both.
        seed: Their seed.
        level: Of the intervals.
    """
    measures = ("mutual_information", "entropy")
    records = []
    for name in outside:
        for measure in measures:
            pairs = [
                (_per_pixel(one, measure), _per_pixel(other, measure))
                for one, other in zip(inside[name], outside[name], strict=True)
            ]
            pairs = [(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in pairs]
            values = [ood_auroc(a, b) for a, b in pairs]
            low, high = _shift_interval(pairs, num_bootstrap=num_bootstrap, seed=seed, level=level)
            records.append(
                {
                    "predictor": name, "measure": "mean " + measure.replace("_", " "),
                    "auroc": float(np.mean(values)), "low": low, "high": high,
                    "inside": len(pairs[0][0]), "outside": len(pairs[0][1]),
                }
            )  # fmt: skip
    columns = ["predictor", "measure", "auroc", "low", "high", "inside", "outside"]
    return pd.DataFrame(records, columns=columns)


def temperature(tally: Tally) -> float:
    """The temperature of a posterior, NaN for what is none."""
    return float(getattr(tally.row.base, "temperature", float("nan")))


def _each(estimates: Estimates, metrics: Sequence[Metric]) -> Any:
    for field, of_rows in estimates.items():
        for name, of_metrics in of_rows.items():
            for metric in metrics:
                yield field, name, metric, of_metrics[metric.name]


def _are_same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


def _interval(one: Estimate, level: float) -> tuple[float, float]:
    """The interval, NaN where nothing was resampled."""
    if len(one.values) == 1:
        return float("nan"), float("nan")
    return one.interval(level=level)


def _per_pixel(tally: Tally, measure: str) -> Array:
    """Mean of a measure over the valid pixels of each exposure, (E,)."""
    sums = [tally.of_exposure(exposure) for exposure in tally.observed.exposures]
    return np.array([getattr(s, measure) / s.pixels if s.pixels else np.nan for s in sums])


def _shift_interval(
    pairs: Sequence[tuple[Array, Array]], *, num_bootstrap: int, seed: int, level: float
) -> tuple[float, float]:
    size = sum(map(len, pairs[0]))
    if size < 2 or not num_bootstrap:
        return float("nan"), float("nan")
    resampling = resampling_of(size, num_bootstrap=num_bootstrap, seed=seed)

    def weighed(inside: Array, outside: Array) -> Callable[[Array], float]:
        def auroc(weights: Array) -> float:
            ours, theirs = np.split(weights.astype(np.int64), [len(inside)])
            return ood_auroc(np.repeat(inside, ours), np.repeat(outside, theirs))

        return auroc

    each = np.eye(size)  # an exposure is its own statistic: sums of these are the weights
    estimates = [resampling.estimate(resampling.apply(each, weighed(*pair))) for pair in pairs]
    return mean_of_seeds(estimates).interval(level=level)
