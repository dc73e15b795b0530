"""What the tables amount to, in sentences: a reader should not have to find it out alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayescr.evaluation._markdown import label, number
from bayescr.evaluation.records import ALL_FIELDS, MAX_BLOCKS, Observed, Tally

__all__ = ["HEADLINES", "write_notes"]

HEADLINES = ("Brier", "NLL", "AUPRC", "AUGRC")
"""Metrics that decide whether a row beats the reference."""

_FEW = 10


def write_notes(
    differences: pd.DataFrame,
    rows: Mapping[str, Sequence[Tally]],
    observed: Observed,
    loo: pd.DataFrame,
    *,
    reference: str,
    skipped: Mapping[str, str],
    level: float,
) -> list[str]:
    """Verdicts on every posterior, then what limits them."""
    notes = [
        *_verdicts(differences, rows, reference=reference, level=level),
        *_baselines(rows),
        *_limits(observed, rows),
        *_temperatures(rows),
        *_loo(loo),
    ]
    notes += [f"No row for {name}: {reason}." for name, reason in skipped.items()]
    return notes


def _verdicts(
    differences: pd.DataFrame,
    rows: Mapping[str, Sequence[Tally]],
    *,
    reference: str,
    level: float,
) -> list[str]:
    everywhere = differences[differences["field"] == ALL_FIELDS]
    notes = []
    for name, members in rows.items():
        if name == reference or not _is_bayesian(members[0]):
            continue
        told = []
        for metric in HEADLINES:
            found = everywhere[(everywhere.predictor == name) & (everywhere.metric == metric)]
            if len(found) and found.iloc[0]["verdict"]:
                one = found.iloc[0]
                told.append(
                    f"{metric} {one['verdict']} ({number(one['difference'])}, "
                    f"{number(one['low'])} to {number(one['high'])})"
                )
        if told:
            notes.append(
                f"{name} {_sentence(told)} {reference} on all exposures: {'; '.join(told)}. "
                f"Differences with their {level:.0%} intervals over exposures."
            )
    return notes


def _sentence(told: Sequence[str]) -> str:
    better, worse = (any(f" {word} (" in text for text in told) for word in ("better", "worse"))
    if better and worse:
        return "is in part better and in part worse than"
    if better:
        return "beats"
    return "does not beat, and falls short of," if worse else "cannot be told from"


def _baselines(rows: Mapping[str, Sequence[Tally]]) -> list[str]:
    points = [name for name, members in rows.items() if _is_point(members[0])]
    if not points:
        return [
            "There is no deterministic row: without a MAP network of the same shape, and that "
            "network under a temperature, nobody can say what a posterior adds."
        ]
    if not any(hasattr(rows[name][0].row.predictor, "calibrator") for name in points):
        return [
            "There is no temperature-scaled row: give validation exposures, for a deterministic "
            "network under a temperature is what a posterior has to beat."
        ]
    return []


def _limits(observed: Observed, rows: Mapping[str, Sequence[Tally]]) -> list[str]:
    notes, count = [], len(observed.exposures)
    if count == 1:
        notes.append("One exposure tells nothing about another: there are no intervals.")
    elif count < _FEW:
        notes.append(
            f"{count} exposures are few: intervals over so few are wide, and rough themselves."
        )
    if count > MAX_BLOCKS:
        notes.append(f"The {count} exposures were resampled in blocks of neighbours.")
    if any(len(members) == 1 and _is_trained(members[0]) for members in rows.values()):
        notes.append(
            "A row of one network is judged as that network: what another seed of its training "
            "would have given is in no interval."
        )
    return notes


def _temperatures(rows: Mapping[str, Sequence[Tally]]) -> list[str]:
    tempered = []
    for name, members in rows.items():
        value = getattr(members[0].row.base, "temperature", 1.0)
        if label(name, value) != name:
            tempered.append(f"{name} (T = {value:g})")
    if not tempered:
        return []
    return [
        f"Tempered, and so not the posterior: {', '.join(tempered)}. T is the final weight of the "
        "KL."
    ]


def _loo(loo: pd.DataFrame) -> list[str]:
    doubtful = loo[~loo["trusted"].astype(bool)] if len(loo) else loo
    if not len(doubtful):
        return []
    worst = doubtful.iloc[int(np.argmax(doubtful["exposures_above"].to_numpy()))]
    names = ", ".join(doubtful["predictor"])
    return [
        f"Leave-one-out cannot be trusted for {names}: the Pareto k of up to "
        f"{worst['exposures_above']} exposures is above {worst['threshold']:.2g}, which is what "
        "that many draws can bear. The held-out density (lpd) needs no such correction."
    ]


def _is_trained(tally: Tally) -> bool:
    return hasattr(tally.row.base, "logits")


def _is_point(tally: Tally) -> bool:
    return _is_trained(tally) and bool(tally.row.base.is_deterministic)  # type: ignore[union-attr]


def _is_bayesian(tally: Tally) -> bool:
    return _is_trained(tally) and not _is_point(tally)
