"""What `benchmarks.real_tracks` and `benchmarks.space_tracks` do with their frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmarks.common import Settings
from benchmarks.failures import Failure, false_kinds, missed_kinds, threshold_at, worst
from benchmarks.failures_figure import failures_figure
from benchmarks.finders import COLUMNS, Trial, compare, posteriors, show_gains
from benchmarks.information import contrast, information, of_scored

FPR = 1e-3
SHOWN = 3  # failures of a kind in each trial


def run_trials(
    name: str, rows: Mapping[str, Any], trials: Mapping[str, Trial], *, settings: Settings,
    skipped: Mapping[str, str],
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Compare the rows in every trial, print tables, keep reports and draw what still fails.

    Args:
        name: Of the benchmark.
        rows: As `predictors` gives them.
        trials: By name, of detectors that our models were trained on.
        settings: Of the benchmarks.
        skipped: Rows that cannot be, and why.

    Returns:
        Of each trial its table and ``..., gains``; and ``missed``, ``false``, ``mutual
        information`` of all.
    """
    tables: dict[str, pd.DataFrame] = {}
    missed, false, doubt = [], [], []
    pictures: dict[str, list[Failure]] = {}
    for trial_name, trial in trials.items():
        report, gains = compare(rows, trial, settings=settings, skipped=skipped)
        folder = trial_name.replace(",", "").replace(" ", "-").lower()
        report.save(settings.output / name / folder, figures=False)
        tables[trial_name] = report.table
        tables[f"{trial_name}, gains"] = gains
        show_table(trial_name, report.table[["predictor", "field", *COLUMNS, "pixels"]])
        show_gains(gains, list(trial.units))
        for number, (row, posterior) in enumerate(posteriors(rows).items()):
            frames = posterior.scored(trial.data)
            posterior.forget()
            if not posterior.is_deterministic:
                doubt.append(of_scored(row, trial_name, frames, simulated=True))
            thresholds = {"p = 0.5": 0.0, f"FPR {FPR:.1%}": threshold_at(frames, FPR)}
            for at, threshold in thresholds.items():
                where = {"predictor": row, "frames": trial_name, "at": at}
                missed.append(where | missed_kinds(frames, trial.strength, threshold=threshold))
                false.append(where | false_kinds(frames, threshold=threshold))
            if number == 0:
                for kind, is_missed in (("missed", True), ("false", False)):
                    found = worst(frames, missed=is_missed, number=SHOWN)
                    pictures[f"{trial_name}\n{kind}"] = found
    failures_figure(settings.output / f"{name.replace('_', '-')}-failures.png", pictures)
    tables |= {"missed": pd.DataFrame(missed), "false": pd.DataFrame(false)}
    tables["mutual information"] = pd.DataFrame(doubt)
    show_table("Missed pixels", tables["missed"])
    show_table("False pixels", tables["false"])
    return tables


def add_information(
    tables: dict[str, pd.DataFrame], rows: Mapping[str, Any], detectors: Mapping[str, Any]
) -> None:
    """Add further detectors to the table of mutual information, and its means; print both."""
    doubt = pd.DataFrame(information(posteriors(rows), detectors))
    known = pd.concat([tables["mutual information"], doubt], ignore_index=True)
    tables |= {"mutual information": known, "mutual information, means": contrast(known)}
    for name in ("mutual information", "mutual information, means"):
        show_table(name.capitalize(), tables[name])


def show_table(title: str, table: pd.DataFrame) -> None:
    """Print a table under a heading; nothing if it is empty."""
    if not table.empty:
        print(f"### {title}\n\n{table.to_markdown(index=False, floatfmt='.3g')}\n", flush=True)
