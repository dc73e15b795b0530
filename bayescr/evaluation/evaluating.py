"""From predictors and a dataset to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from bayescr._names import unknown_name
from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array
from bayescr.evaluation._checks import (
    BASE_RATE,
    SCALED,
    check_data,
    check_metrics,
    check_names,
    check_rows,
    check_settings,
)
from bayescr.evaluation.arviz_export import to_arviz
from bayescr.evaluation.calibrators import CalibrationError
from bayescr.evaluation.classical import unavailable
from bayescr.evaluation.ensemble import Ensemble
from bayescr.evaluation.estimates import estimate
from bayescr.evaluation.loo import loo_table
from bayescr.evaluation.manifest import hardware, make_manifest
from bayescr.evaluation.metrics import HITS, LOGITS, METRICS, SUMS, Metric
from bayescr.evaluation.notes import write_notes
from bayescr.evaluation.predictors import Constant, DatasetLike, Predictor, is_posterior, unwrap
from bayescr.evaluation.recalibration import Temperature, recalibrate
from bayescr.evaluation.records import Observed, Row, Tally
from bayescr.evaluation.report import Report, posteriors
from bayescr.evaluation.streaming import draw_sites, observe, stream
from bayescr.evaluation.tables import (
    difference_table,
    hits_table,
    interval_table,
    shift_table,
    wide_table,
)  # fmt: skip

__all__ = ["evaluate"]


def evaluate(
    predictors: Mapping[str, Predictor | Sequence[Predictor]],
    dataset: DatasetLike,
    *,
    validation: DatasetLike | None = None,
    shifted: DatasetLike | None = None,
    metrics: Sequence[Metric] = METRICS,
    reference: str | None = None,
    pair_seeds: bool = False,
    num_samples: int = 16,
    seed: int = 0,
    num_bootstrap: int = 1000,
    level: float = 0.95,
    sites: Sequence[str] | None = None,
    skipped: Mapping[str, str] | None = None,
    context: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare predictors on the same pixels of a dataset.

    Items are predicted one at a time, and of each exposure only sums are kept: memory hardly grows
    with the exposures. Every valid pixel enters every metric.

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
            under its temperature, or else as it is, or else the first row. Posteriors are compared
            with the ensembles, too.
        pair_seeds: Whether the n-th networks of rows with as many networks belong together, as
            where both went on from one start: such rows differ network by network. It shortens
            intervals as far as a start decides what becomes of a network, and lengthens them where
            it does not, for there are only half as many scatters to learn from.
        num_samples: Posterior draws behind each prediction.
        seed: Of the draws, the same weights in every exposure, and of the bootstrap.
        num_bootstrap: Resamples of the exposures behind each interval; 0 for no intervals.
        level: Of the intervals.
        sites: Sites whose draws go into the ArviZ data; default: those whose name starts with
            "head", or else the smallest one.
        skipped: Rows that you had to leave out, and why: the report says so.
        context: What else is to stand in the manifest, JSON-able: where the posteriors come from.
        progress: Called with (items done, items in all) after every item.

    Returns:
        The report; ``report.table`` has a row for each predictor, of all exposures together and,
        where the dataset names at least two, of each field.

    Raises:
        BayescrError: If there is nothing to evaluate, a name is taken, scalings or classes do not
            match, a site is unknown, data overlap, a metric fails, or a predictor gives NaN.
    """
    started = time.perf_counter()
    given = {name: _as_list(one) for name, one in predictors.items()}
    data = {"dataset": dataset, "validation": validation, "shifted": shifted}
    settings = {"num_samples": num_samples, "seed": seed}
    check_data(data)
    check_settings(metrics, num_samples=num_samples, num_bootstrap=num_bootstrap, level=level)
    check_rows(given, data)
    rows, left_out = _rows(given, validation, **settings)
    left_out = {**(skipped or {}), **left_out}
    reference = _reference(rows, None if reference in left_out else reference)
    observed = observe(dataset)
    rows = {BASE_RATE: [Constant(probability=observed.base_rate)], **rows}
    check_names(rows)
    check_metrics(metrics, dataset, observed)
    draws = _draws(rows, sites=sites, **settings)

    tallies = _tallies(
        rows, dataset, observed,
        statistics=[SUMS, LOGITS, HITS, *(one.statistic for one in metrics)],
        progress=_part(progress, dataset, shifted, first=True), **settings,
    )  # fmt: skip
    for members in tallies.values():
        for tally in members:
            tally.draws = draws[tally.row.name, tally.row.member]
    others = {} if validation is None else {"validation": observe(validation)}
    sampling = {"num_bootstrap": num_bootstrap, "seed": seed}
    shift = pd.DataFrame()
    if shifted is not None:
        others["shifted"] = observe(shifted)
        drawn = {n: [t.row.predictor for t in m] for n, m in tallies.items() if m[0].num_draws}
        outside = _tallies(
            drawn, shifted, others["shifted"],
            statistics=[SUMS], progress=_part(progress, dataset, shifted, first=False), **settings,
        )  # fmt: skip
        shift = shift_table(tallies, outside, level=level, **sampling)
    estimates = estimate(tallies, metrics, observed, **sampling)
    ensembles = [name for name, members in rows.items() if isinstance(members[0], Ensemble)]
    differences = difference_table(
        estimates, tallies, metrics,
        references=dict.fromkeys([reference, *ensembles]), pair_seeds=pair_seeds, level=level,
    )  # fmt: skip
    arviz = {name: to_arviz(name, tally) for name, tally in posteriors(tallies).items()}
    loo = loo_table(arviz, {n: tally.log_likelihood for n, tally in posteriors(tallies).items()})
    return Report(
        table=wide_table(estimates, tallies, observed, num_samples=num_samples),
        intervals=interval_table(estimates, metrics, level=level),
        differences=differences,
        hits=hits_table(tallies, observed),
        loo=loo,
        shift=shift,
        notes=write_notes(differences, tallies, observed, loo, skipped=left_out, level=level),
        metrics=tuple(metrics),
        reference=reference,
        level=level,
        observed=observed,
        rows=tallies,
        arviz=arviz,
        manifest=make_manifest(
            observed,
            tallies,
            settings={
                **settings,
                "num_bootstrap": num_bootstrap,
                "level": level,
                "reference": reference,
                "pair_seeds": pair_seeds,
                "metrics": [metric.name for metric in metrics],
                "sites": None if sites is None else list(sites),
            },
            scaling=dataset.scaling,
            others=others,
            skipped=left_out,
            context=context or {},
        ),
        hardware=hardware(seconds=time.perf_counter() - started),
    )


def _as_list(one: Predictor | Sequence[Predictor]) -> list[Predictor]:
    return list(one) if isinstance(one, Sequence) else [one]


def _rows(
    given: Mapping[str, list[Predictor]], validation: DatasetLike | None, **settings: int
) -> tuple[dict[str, list[Predictor]], dict[str, str]]:
    """The rows with those that always stand beside them, and what is left out and why."""
    found: dict[str, list[Predictor]] = {}
    left_out: dict[str, str] = {}

    def add(name: str, members: list[Predictor]) -> None:
        if name in given:
            raise BayescrError(f"a row is named '{name}', which is made here: rename it")
        found[name] = members

    for name, members in given.items():
        reason = unavailable(unwrap(members[0]))
        if reason:
            left_out[name] = reason
            continue
        found[name] = members
        points = [one for one in members if is_posterior(one) and one.is_deterministic]
        if len(points) < len(members):
            continue
        if validation is not None:
            scaled = f"{name}{SCALED}"
            try:
                add(
                    scaled,
                    [recalibrate(one, validation, Temperature(), **settings) for one in points],
                )
            except CalibrationError as error:
                left_out[scaled] = str(error)
        if len(points) > 1:
            add(f"{name}, ensemble of {len(points)}", [Ensemble(tuple(points))])
    return found, left_out


def _reference(rows: Mapping[str, list[Predictor]], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in rows:
            raise unknown_name("reference row", wanted, list(rows))
        return wanted
    points = [n for n, m in rows.items() if is_posterior(m[0]) and m[0].is_deterministic]
    scaled = [name + SCALED for name in points]
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
    options["statistics"] = tuple(dict.fromkeys(options["statistics"]))
    found: dict[str, list[Tally]] = {}
    for tally in stream(each, dataset, observed, **options):
        found.setdefault(tally.row.name, []).append(tally)
    return found


def _draws(
    rows: Mapping[str, list[Predictor]], *, sites: Sequence[str] | None, **settings: int
) -> dict[tuple[str, int], Mapping[str, Array]]:
    """Draws of the sites that the ArviZ data hold, by row and member; a typo is found here."""
    return {
        (name, member): draw_sites(name, predictor, sites=sites, **settings)
        for name, members in rows.items()
        for member, predictor in enumerate(members)
    }


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
