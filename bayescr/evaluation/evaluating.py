"""From predictors and a dataset to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from bayescr._names import unknown_name
from bayescr.errors import BayescrError
from bayescr.evaluation.classical import unavailable
from bayescr.evaluation.ensemble import Ensemble
from bayescr.evaluation.estimates import estimate
from bayescr.evaluation.manifest import hardware, make_manifest
from bayescr.evaluation.metrics import HITS, LOGITS, METRICS, SUMS, Metric
from bayescr.evaluation.notes import write_notes
from bayescr.evaluation.predictors import Constant, DatasetLike, Predictor, is_posterior, unwrap
from bayescr.evaluation.recalibration import Temperature, recalibrate
from bayescr.evaluation.records import Observed, Row, Tally, file_stem
from bayescr.evaluation.report import Report, make_loo
from bayescr.evaluation.streaming import draw_sites, observe, stream
from bayescr.evaluation.tables import (
    difference_table,
    hits_table,
    interval_table,
    shift_table,
    wide_table,
)  # fmt: skip

__all__ = ["BASE_RATE", "evaluate"]

BASE_RATE = "base rate"

Rows = dict[str, list[Predictor]]


def evaluate(
    predictors: Mapping[str, Predictor | Sequence[Predictor]],
    dataset: DatasetLike,
    *,
    validation: DatasetLike | None = None,
    shifted: DatasetLike | None = None,
    metrics: Sequence[Metric] = METRICS,
    reference: str | None = None,
    num_samples: int = 16,
    seed: int = 0,
    num_bootstrap: int = 1000,
    level: float = 0.95,
    sites: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare predictors on the same pixels of a dataset.

    Items are predicted one at a time, and of each exposure only sums are kept: memory does not
    grow with the exposures. Every valid pixel enters every metric.

    Rows that are always there: the base rate; every deterministic posterior (MAP) given several
    times, as an ensemble of these; and, with ``validation``, every deterministic posterior under
    the temperature that suits the validation exposures best.

    Args:
        predictors: What to call it in the report -> a posterior, a classical method, either of them
            recalibrated; or a sequence of such, the same arm trained from several seeds, whose
            values are averaged.
        dataset: Held-out exposures, with the scaling the posteriors were trained with.
        validation: Other exposures, to fit temperatures on.
        shifted: Exposures of another kind, such as another instrument: does the uncertainty tell?
        metrics: The columns; your own go beside ``METRICS``.
        reference: The row that others are compared with; default: the first deterministic posterior
            under its temperature, or else as it is, or else the first row.
        num_samples: Posterior draws behind each prediction.
        seed: Of the draws, the same weights in every exposure, and of the bootstrap.
        num_bootstrap: Resamples of the exposures behind each interval; 0 for no intervals.
        level: Of the intervals.
        sites: Sites whose draws go into the ArviZ data; default: those whose name starts with
            "head", or else the smallest one.
        progress: Called with (items done, items in all) after every item.

    Returns:
        The report; ``report.table`` has a row for each predictor, of all exposures together and,
        where the dataset names at least two, of each field.

    Raises:
        BayescrError: If there is nothing to evaluate, a name is taken, scalings or classes do not
            match, a site is unknown, data overlap, or a predictor gives NaN.
    """
    started = time.perf_counter()
    given = {name: _as_list(one) for name, one in predictors.items()}
    _check(given, dataset, validation=validation, shifted=shifted, num_samples=num_samples)
    _check_settings(metrics, num_bootstrap=num_bootstrap, level=level)
    settings = {"num_samples": num_samples, "seed": seed}
    missing = {name: unavailable(unwrap(members[0])) for name, members in given.items()}
    skipped = {name: reason for name, reason in missing.items() if reason}
    rows = _with_standard_rows(
        {name: members for name, members in given.items() if name not in skipped},
        validation, **settings,
    )  # fmt: skip
    reference = _reference(rows, reference)
    observed = observe(dataset)
    rows = {BASE_RATE: [Constant(probability=observed.base_rate)], **rows}
    tallies = _tallies(
        rows, dataset, observed,
        statistics=dict.fromkeys([SUMS, LOGITS, HITS, *(one.statistic for one in metrics)]),
        progress=_part(progress, dataset, shifted, first=True), **settings,
    )  # fmt: skip
    for name, members in tallies.items():
        for tally in members:
            base: Any = tally.row.base
            tally.draws = draw_sites(name, base, sites=sites, **settings)

    sampling = {"num_bootstrap": num_bootstrap, "seed": seed}
    estimates = estimate(tallies, metrics, observed, **sampling)
    differences = difference_table(estimates, tallies, metrics, reference=reference, level=level)
    others = {} if validation is None else {"validation": observe(validation)}
    shift = pd.DataFrame()
    if shifted is not None:
        others["shifted"] = observe(shifted)
        drawn = {n: [t.row.predictor for t in m] for n, m in tallies.items() if m[0].num_draws}
        outside = _tallies(
            drawn, shifted, others["shifted"],
            statistics={SUMS: None}, progress=_part(progress, dataset, shifted, first=False),
            **settings,
        )  # fmt: skip
        shift = shift_table(tallies, outside, level=level, **sampling)
    loo = make_loo(tallies)
    return Report(
        table=wide_table(estimates, tallies, observed),
        intervals=interval_table(estimates, metrics, level=level),
        differences=differences,
        hits=hits_table(tallies, observed),
        loo=loo,
        shift=shift,
        notes=write_notes(
            differences, tallies, observed, loo, reference=reference, skipped=skipped, level=level
        ),
        metrics=tuple(metrics),
        reference=reference,
        level=level,
        observed=observed,
        rows=tallies,
        manifest=make_manifest(
            observed,
            tallies,
            settings={
                **settings,
                "num_bootstrap": num_bootstrap,
                "level": level,
                "reference": reference,
                "metrics": [metric.name for metric in metrics],
                "sites": None if sites is None else list(sites),
            },
            scaling=dataset.scaling,
            others=others,
            skipped=skipped,
        ),
        hardware=hardware(seconds=time.perf_counter() - started),
    )


def _as_list(one: Predictor | Sequence[Predictor]) -> list[Predictor]:
    return list(one) if isinstance(one, Sequence) else [one]


def _with_standard_rows(
    rows: Rows, validation: DatasetLike | None, **settings: int
) -> dict[str, list[Predictor]]:
    """The rows with ensembles and temperature-scaled rows of the deterministic ones behind them."""
    found: Rows = {}
    for name, members in rows.items():
        found[name] = members
        if not all(is_posterior(one) and one.is_deterministic for one in members):
            continue
        if validation is not None:
            found[f"{name}, temperature-scaled"] = [
                recalibrate(one, validation, Temperature(), **settings) for one in members
            ]
        if len(members) > 1:
            found[f"{name}, ensemble of {len(members)}"] = [Ensemble(tuple(members))]
    return found


def _reference(rows: Rows, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in rows:
            raise unknown_name("reference row", wanted, list(rows))
        return wanted
    points = [n for n, m in rows.items() if is_posterior(m[0]) and m[0].is_deterministic]
    scaled = [f"{name}, temperature-scaled" for name in points]
    return next((name for name in [*scaled, *points, *rows] if name in rows), "")


def _tallies(
    rows: Mapping[str, Sequence[Predictor]],
    dataset: DatasetLike,
    observed: Observed,
    **options: Any,
) -> dict[str, list[Tally]]:
    each = [
        Row(name=name, member=member, predictor=predictor)
        for name, members in rows.items()
        for member, predictor in enumerate(members)
    ]
    options["statistics"] = tuple(options["statistics"])
    found: dict[str, list[Tally]] = {}
    for tally in stream(each, dataset, observed, **options):
        found.setdefault(tally.row.name, []).append(tally)
    return found


def _part(
    progress: Callable[[int, int], None] | None,
    dataset: DatasetLike,
    shifted: DatasetLike | None,
    *,
    first: bool,
) -> Callable[[int, int], None] | None:
    """Progress over both datasets as one."""
    if progress is None:
        return None
    total = len(dataset) + (0 if shifted is None else len(shifted))
    before = 0 if first else len(dataset)
    return lambda done, of: progress(before + done, total)


def _check(
    rows: Rows,
    dataset: DatasetLike,
    *,
    validation: DatasetLike | None,
    shifted: DatasetLike | None,
    num_samples: int,
) -> None:
    if not rows:
        raise BayescrError("no predictor to evaluate: expected a mapping {name: posterior}")
    if num_samples < 1:
        raise BayescrError(f"num_samples is {num_samples}: expected at least 1 (16 is customary)")
    data = {"dataset": dataset, "validation": validation, "shifted": shifted}
    there = {name: one for name, one in data.items() if one is not None}
    for kind, one in there.items():
        if len(one) == 0:
            raise BayescrError(f"the {kind} is empty: there is nothing to evaluate on")
        shared = sorted(set(one.exposures) & set(dataset.exposures))
        if kind != "dataset" and shared:
            raise BayescrError(
                f"exposure '{shared[0]}' is in both the dataset and {kind}: split by exposure, "
                "`dataset.split(0.5, 0.5)`"
            )
    stems: dict[str, str] = {}
    for name, members in rows.items():
        if not members:
            raise BayescrError(f"row '{name}' has no predictor: expected one at least")
        if name == BASE_RATE:
            raise BayescrError(f"a predictor is named '{name}': that row is always in the table")
        other = stems.setdefault(file_stem(name).lower(), name)  # some disks ignore case
        if other != name:
            raise BayescrError(
                f"names '{other}' and '{name}' would share the file '{file_stem(name)}.nc': "
                "rename one"
            )
        for member in members:
            if is_posterior(unwrap(member)):
                for kind, one in there.items():
                    _check_posterior(name, unwrap(member), one, kind=kind)


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


def _check_settings(metrics: Sequence[Metric], *, num_bootstrap: int, level: float) -> None:
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
