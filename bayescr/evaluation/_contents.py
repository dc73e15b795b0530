"""What a saved report shows: its figures, and its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bayescr.evaluation._markdown import number
from bayescr.evaluation.page import Cell, Column, OperatingCurve, Page, Picture, Table
from bayescr.evaluation.predictors import is_posterior
from bayescr.evaluation.records import ALL_FIELDS, file_stem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayescr.evaluation.report import Report

__all__ = ["Described", "figures_of", "page_of"]

_MARKS = {"better": "better", "worse": "worse", "not distinguishable": "same", "": ""}


class Described(NamedTuple):
    """A figure that can be drawn, and what is to be said of it."""

    title: str
    caption: str
    draw: Callable[[], Figure]


def figures_of(report: Report) -> dict[str, Described]:
    """File name -> figure, in the order in which a page shows them."""
    several = any(len(members) > 1 for members in report.rows.values())
    seeds = " Of several seeds the pixels of every network count." if several else ""

    def bars(event: str) -> str:
        return (
            f"Bars: {report.level:.0%} intervals from how exposures differ. Where these cannot "
            f"tell (dotted: one exposure has all such pixels; arrow: every pixel is {event}, or "
            "none), as if pixels were independent, which is too short."
        )

    found = {
        "reliability": Described(
            "Reliability",
            "Observed frequency of positive pixels against predicted probability, both on a logit "
            "scale. On the diagonal a probability means what it says; below it the predictor is "
            f"too sure of cosmic rays, above it not sure enough. {bars('positive')}{seeds}",
            report.reliability_figure,
        ),
        "risk_coverage": Described(
            "Risk and coverage",
            "Error rate among the pixels a predictor is most sure of, against how many are "
            f"accepted. A useful confidence leaves its errors to the last pixels.{seeds}",
            report.risk_coverage_figure,
        ),
        "roc": Described(
            "Receiver operating characteristic",
            "Share of the cosmic-ray pixels found against the share of clean pixels "
            f"flagged.{seeds}",
            report.roc_figure,
        ),
        "precision_recall": Described(
            "Precision and recall",
            "How many of the flagged pixels are cosmic rays, against how many cosmic-ray pixels "
            f"are flagged.{seeds}",
            report.precision_recall_figure,
        ),
        "error_against_entropy": Described(
            "Error against entropy",
            "How often a pixel is wrong, by how uncertain its forecast says it is. A calibrated "
            f"forecast lies on the grey line. {bars('wrong')}{seeds}",
            report.error_against_entropy_figure,
        ),
    }
    for name, members in report.rows.items():
        if not is_posterior(members[0].row.predictor) or members[0].best is None:
            continue
        for which in ("best", "worst"):
            found[f"exposure-{which}-{file_stem(name)}"] = Described(
                f"{report.labels[name]}: its {which} exposure",
                f"The exposure with the {'lowest' if which == 'best' else 'highest'} mean NLL: "
                "image with the truth outlined, probability, entropy (all doubt) and mutual "
                "information (the part that is the model's ignorance).",
                partial(report.exposure_figure, name, which=which),
            )
    return found


def page_of(report: Report, pictures: Mapping[str, bytes]) -> Page:
    """The page of a report, given its figures as PNG."""
    described = figures_of(report)
    observed = report.observed
    others = {
        "Whole cosmic rays": (
            report.hits,
            "Recall and purity of connected cosmic rays by their size in pixels and by the "
            "signal-to-noise of their brightest pixel; of several seeds, all together.",
        ),
        "Data of another kind": (
            report.shift,
            "How well the mean uncertainty of a frame tells the other data from these: 0.5 is "
            "chance, 1 is always.",
        ),
        "Leave-one-out": (
            report.loo,
            "Posteriors by the expected log density of an exposure left out, as ArviZ computes it. "
            "Where trusted is no, Pareto k is too large for the number of draws: read lpd, the "
            "log density of the held-out exposures itself.",
        ),
    }
    return Page(
        title="Comparison of predictors",
        subtitle=(
            f"{len(observed.exposures)} exposures, {int(observed.pixels.sum()):,} pixels, "
            f"{report.base_rate:.2%} of them cosmic rays; intervals at {report.level:.0%} from "
            "resampled exposures"
        ),
        notes=tuple(report.notes),
        tables=(
            *_metric_tables(report),
            *(_plain(title, *rest) for title, rest in others.items() if len(rest[0])),
        ),
        pictures=tuple(
            Picture(title=described[n].title, caption=described[n].caption, png=png)
            for n, png in pictures.items()
        ),
        curves=tuple(
            OperatingCurve(name=report.labels[name], counts=report.counts[report.labels[name]],
                           is_probability=members[0].row.is_probability, seeds=len(members))
            for name, members in report.rows.items()
            if report.labels[name] in report.counts
        ),
        details=report.manifest,
        reference=report.labels[report.reference],
    )  # fmt: skip


def _metric_tables(report: Report) -> list[Table]:
    """One table a field: a row for each predictor, a column for each metric."""
    keys = ["field", "predictor", "metric"]
    lows = report.intervals.set_index(keys)["low"].to_dict()
    highs = report.intervals.set_index(keys)["high"].to_dict()
    columns = (
        Column(name="predictor", numeric=False),
        *(Column(name=m.name, better=m.better, group=m.group) for m in report.metrics),
    )
    tables = []
    for field, rows in report.table.groupby("field", sort=False):
        cells = []
        for _, row in rows.iterrows():
            name = row["predictor"]
            line = [Cell(text=report.labels[name])]
            for metric in report.metrics:
                key, value = (str(field), name, metric.name), float(row[metric.name])
                line.append(
                    Cell(
                        text=number(value),
                        value=value,
                        mark=_MARKS[report.verdicts.get(key, "")],
                        low=lows[key],
                        high=highs[key],
                    )
                )
            cells.append(tuple(line))
        first = rows.iloc[0]
        tables.append(
            Table(
                title="Metrics",
                caption=f"{first['exposures']} exposures, {first['pixels']:,} pixels. A row of "
                "several seeds shows their mean.",
                columns=columns,
                rows=tuple(cells),
                field="All exposures" if field == ALL_FIELDS else str(field),
            )
        )
    return tables


def _plain(title: str, table: pd.DataFrame, caption: str) -> Table:
    """A table as it is."""
    numeric = [dtype.kind in "fiu" for dtype in table.dtypes]
    columns = tuple(
        Column(name=str(name).replace("_", " "), numeric=is_number)
        for name, is_number in zip(table.columns, numeric, strict=True)
    )
    rows = tuple(
        tuple(map(_cell, row, numeric)) for row in table.itertuples(index=False, name=None)
    )
    return Table(title=title, caption=caption, columns=columns, rows=rows)


def _cell(value: Any, is_number: bool) -> Cell:
    if is_number:
        return Cell(text=number(value), value=float(value))
    return Cell(text={True: "yes", False: "no"}.get(value, str(value)))
