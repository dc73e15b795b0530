"""What the tables amount to, in sentences: a reader should not have to find it out alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayescr.evaluation._markdown import MARKS, label
from bayescr.evaluation.ensemble import Ensemble
from bayescr.evaluation.records import ALL_FIELDS, MAX_BLOCKS, Observed, Tally

__all__ = ["BESIDE", "DECIDING", "write_notes"]

DECIDING = "NLL"
"""The proper score that says whether a row beats another: one, for of many some would by chance."""

BESIDE = ("Brier", "AUPRC", "AUGRC")
"""Metrics that are told beside it."""

_VERBS = {
    "better": "beats",
    "worse": "falls short of",
    "not distinguishable": "cannot be told from",
}
_FEW = 10


def write_notes(
    differences: pd.DataFrame,
    rows: Mapping[str, Sequence[Tally]],
    observed: Observed,
    loo: pd.DataFrame,
    *,
    skipped: Mapping[str, str],
    level: float,
) -> list[str]:
    """Verdicts on every posterior, then what limits them."""
    notes = [
        *_verdicts(differences, rows, level=level),
        *_baselines(rows),
        *_limits(observed, rows),
        *_temperatures(rows),
        *_likelihoods(rows),
        *_loo(loo),
    ]
    notes += [f"No row {name}: {reason.rstrip('.')}." for name, reason in skipped.items()]
    return notes


def _verdicts(
    differences: pd.DataFrame, rows: Mapping[str, Sequence[Tally]], *, level: float
) -> list[str]:
    everywhere = differences[differences["field"] == ALL_FIELDS]
    notes = []
    for (reference, name), against in everywhere.groupby(["reference", "predictor"], sort=False):
        found = {one["metric"]: one for _, one in against.iterrows() if one["verdict"]}
        if not _is_bayesian(rows[str(name)][0]) or DECIDING not in found:
            continue
        told = [_said(found[metric]) for metric in (DECIDING, *BESIDE) if metric in found]
        notes.append(
            f"{name} {_VERBS[found[DECIDING]['verdict']]} {reference} on all exposures: "
            f"{', '.join(told)}; differences with {level:.0%} intervals over exposures."
        )
    return notes


def _said(one: pd.Series) -> str:
    mark = MARKS[one["verdict"]]
    return f"{one['metric']} {one['difference']:+.2g} [{one['low']:.2g}, {one['high']:.2g}] {mark}"


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
    if any(len(members) == 2 for members in rows.values()):
        notes.append(
            "Two seeds hardly tell how much seeds scatter: intervals of such rows are wide for it."
        )
    if any(len(m) == 1 and _is_trained(m[0]) and not _is_ensemble(m[0]) for m in rows.values()):
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


def _likelihoods(rows: Mapping[str, Sequence[Tally]]) -> list[str]:
    """What the likelihoods of the trainings say of themselves, and whose they were."""
    said: dict[str, dict[str, None]] = {}  # note -> names, in order and once
    for name, members in rows.items():
        for tally in members:
            for posterior in getattr(tally.row.base, "members", [tally.row.base]):
                likelihood = getattr(getattr(posterior, "model", None), "likelihood", None)
                note = getattr(likelihood, "note", "")
                if note:
                    said.setdefault(note, {})[name] = None
    return [f"{', '.join(names)}: {note}." for note, names in said.items()]


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


def _is_ensemble(tally: Tally) -> bool:
    return isinstance(tally.row.base, Ensemble)


def _is_trained(tally: Tally) -> bool:
    return hasattr(tally.row.base, "logits")


def _is_point(tally: Tally) -> bool:
    return _is_trained(tally) and bool(tally.row.base.is_deterministic)  # type: ignore[union-attr]


def _is_bayesian(tally: Tally) -> bool:
    return _is_trained(tally) and not _is_point(tally) and not _is_ensemble(tally)
