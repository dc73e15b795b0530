"""What is wrong with a comparison, found before the work: every error in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayescr.errors import BayescrError
from bayescr.evaluation.metrics import Metric
from bayescr.evaluation.predictors import (
    Asked,
    Constant,
    DatasetLike,
    Predictor,
    is_posterior,
    unwrap,
)
from bayescr.evaluation.records import Observed, file_stem, member_name

__all__ = [
    "BASE_RATE",
    "SCALED",
    "check_data",
    "check_metrics",
    "check_names",
    "check_rows",
    "check_settings",
]

BASE_RATE = "base rate"
SCALED = ", temperature-scaled"

Rows = Mapping[str, Sequence[Predictor]]
Datasets = Mapping[str, DatasetLike | None]


def check_data(data: Datasets) -> None:
    """Refuse data without an item, and exposures that are in two of them."""
    there = {name: one for name, one in data.items() if one is not None}
    seen: dict[str, str] = {}
    for kind, one in there.items():
        if len(one) == 0:
            raise BayescrError(f"the {kind} is empty: there is nothing to evaluate on")
        for exposure in dict.fromkeys(one.exposures):
            if seen.setdefault(exposure, kind) != kind:
                raise BayescrError(
                    f"exposure '{exposure}' is in both the {seen[exposure]} and the {kind}: keep "
                    "each exposure in one of them, and give files of different ones different names"
                )


def check_settings(
    metrics: Sequence[Metric], *, num_samples: int, num_bootstrap: int, level: float
) -> None:
    """Refuse numbers out of range, and two metrics of one name."""
    if num_samples < 1:
        raise BayescrError(f"num_samples is {num_samples}: expected at least 1 (16 is customary)")
    if num_bootstrap < 0:
        raise BayescrError(
            f"num_bootstrap is {num_bootstrap}: expected 0 for no intervals, or some 1000"
        )
    if not 0.0 < level < 1.0:
        raise BayescrError(f"level is {level}: expected a probability such as 0.95")
    if not metrics:
        raise BayescrError("metrics is empty: expected at least one, METRICS are customary")
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise BayescrError(f"two metrics are named '{name}': give each a name of its own")


def check_rows(rows: Rows, data: Datasets) -> None:
    """Refuse rows without a predictor, and posteriors that are not for the data."""
    if not rows:
        raise BayescrError("no predictor to evaluate: expected a mapping {name: posterior}")
    for name, members in rows.items():
        if not members:
            raise BayescrError(f"row '{name}' has no predictor: expected one at least")
        if name == BASE_RATE:
            raise BayescrError(f"a predictor is named '{name}': that row is always in the table")
        for member in members:
            base: Any = unwrap(member)
            for kind, one in data.items() if is_posterior(base) else ():
                if one is not None:
                    _check_posterior(name, base, one, kind=kind)


def check_names(rows: Rows) -> None:
    """Refuse names that would share a file."""
    stems: dict[str, str] = {}
    for name, members in rows.items():
        for member in range(len(members)):
            stem = file_stem(member_name(name, member, len(members)))
            other = stems.setdefault(stem.lower(), name)  # some disks ignore case
            if other != name:
                raise BayescrError(
                    f"rows '{other}' and '{name}' would share the file '{stem}.nc': rename one"
                )


def check_metrics(metrics: Sequence[Metric], dataset: DatasetLike, observed: Observed) -> None:
    """Try every metric on the first item, as the base rate sees it: better now than after hours."""
    asked = Asked.item(dataset, 0)
    said = asked.put_to(Constant(probability=observed.base_rate), num_samples=1, seed=0)
    frame = asked.scored(said)
    for metric in metrics:
        try:
            float(metric.compute(metric.statistic.view(metric.statistic.of(frame))))
        except Exception as error:  # the user's own code may raise anything
            raise BayescrError(
                f"metric '{metric.name}' fails on exposure '{frame.exposure}': "
                f"{type(error).__name__}: {error}"
            ) from error


def _check_posterior(name: str, posterior: Any, dataset: DatasetLike, *, kind: str) -> None:
    if posterior.scaling != dataset.scaling:
        raise BayescrError(
            f"posterior '{name}' was trained with {posterior.scaling} but the {kind} has "
            f"{dataset.scaling}: build the dataset with scaling=posterior.scaling"
        )
    if posterior.num_classes != dataset.num_classes:
        raise BayescrError(
            f"posterior '{name}' has {posterior.num_classes} classes but the {kind} has "
            f"{dataset.num_classes}: evaluate it on labels of the same classes"
        )
