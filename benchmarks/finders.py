"""What benchmarks of real and simulated tracks share: frames with truth, rows, and how they differ.

Rows are posteriors, the one in question first; astroscrappy at every objlim and sigfrac, each a
curve over sigclip; and deepCR with its published weights. The first row is compared with all
others on the same pixels.

An interval says what other units, such as exposures, would have given. Where pieces of the data
share one thing with some pieces and another with others, as quarters of exposures of one field
share an exposure's seeing or a quarter's stars, the units of either kind are resampled by
themselves, and the two distances from the value to an end of their intervals add in squares. That
is rather too long: what only one piece has is in both (Cameron, Gelbach & Miller, "Robust
Inference With Multiway Clustering", J. Bus. Econ. Stat. 29 (2011), subtract it, which of few units
leaves too little). Of 4 units `bayescr.evaluation.bootstrap` gives jackknife-t with 3 degrees of
freedom, 3.2 standard errors to either side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array

from bayescr.data import PatchDataset
from bayescr.evaluation import METRICS, Report, ScoredFrame, evaluate
from bayescr.evaluation.classical import Astroscrappy, DeepCR, unavailable
from bayescr.evaluation.estimates import estimate
from bayescr.evaluation.predictors import score_frames
from bayescr.evaluation.records import Slice, Tally
from bayescr.evaluation.tables import difference_table
from bayescr.inference import Posterior
from bayescr.pretrained import available
from benchmarks.common import Settings, load

COLUMNS = ("AUPRC", "TPR at 0.1% FPR", "AUGRC")
SAMPLES = 8
OBJLIM = (1.0, 2.0, 5.0)
SIGFRAC = (0.1, 0.3)
SWEEP = tuple(2.0**step for step in np.arange(-2.0, 5.5, 0.5))  # of sigclip

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """Frames with truth to compare finders on.

    Attributes:
        data: Each item an exposure by itself, or named as one: a piece.
        strength: (H, W) of each item, what hits left in units of the noise without them.
        units: Kind of unit -> piece -> the unit that it is part of.
    """

    data: Any
    strength: Sequence[Array]
    units: Mapping[str, Mapping[str, str]]


class Pieces:
    """A dataset whose items go by names of their own, see `PatchDataset`."""

    def __init__(self, data: PatchDataset, names: Sequence[str]) -> None:
        self._data, self.exposures = data, list(names)
        self.fields = {
            name: data.fields[whole]
            for name, whole in zip(names, data.exposures, strict=True)
            if whole in data.fields
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return {**self._data[index], "exposure": self.exposures[index]}


class Once:
    """A posterior that sees every image once, however often it is asked about it."""

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior
        self._said: dict[tuple[bytes, int, int], list[torch.Tensor]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._posterior, name)

    def logits(
        self, image: torch.Tensor, *, num_samples: int = 16, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        key = hashlib.sha256(image.contiguous().numpy()).digest(), num_samples, seed
        if key not in self._said:
            settings = {"num_samples": num_samples, "seed": seed}
            self._said[key] = list(self._posterior.logits(image, **settings))
        yield from self._said[key]

    def scored(self, data: Any) -> list[ScoredFrame]:
        """What it says of every item."""
        return list(score_frames(self, data, num_samples=SAMPLES))

    def forget(self) -> None:
        self._said.clear()


def predictors(
    settings: Settings, *, shipped: str, masks: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The rows, and those that cannot be with the reason.

    Args:
        settings: Whose models are the first rows.
        shipped: The model of the package that takes their place where there are none.
        masks: Weights of deepCR.
    """
    rows: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    if not settings.models and shipped not in available():
        skipped[f"bayescr {shipped}"] = "this installation has no such model"
    elif not settings.models:
        rows[f"bayescr {shipped}"] = Once(load(shipped))
    rows |= {name: Once(load(model)) for name, model in settings.models.items()}
    objlims, sigfracs = (OBJLIM[:1], SIGFRAC[:1]) if settings.quick else (OBJLIM, SIGFRAC)
    for objlim in objlims:
        for sigfrac in sigfracs:
            name = f"astroscrappy, objlim {objlim:g}, sigfrac {sigfrac:g}"
            rows[name] = Astroscrappy(objlim=objlim, sigfrac=sigfrac, factors=SWEEP)
    for mask in masks:
        rows[f"deepCR {mask}"] = DeepCR(mask=mask)
    reasons = {name: unavailable(one) for name, one in rows.items()}
    skipped |= {name: reason for name, reason in reasons.items() if reason}
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}\n")
    return {name: one for name, one in rows.items() if name not in skipped}, skipped


def posteriors(rows: Mapping[str, Any]) -> dict[str, Once]:
    """The rows that are ours."""
    return {name: one for name, one in rows.items() if isinstance(one, Once)}


def compare(
    rows: Mapping[str, Any], trial: Trial, *, settings: Settings, skipped: Mapping[str, str]
) -> tuple[Report, pd.DataFrame]:
    """The report on all pieces, without intervals, and what the first row gains on the others.

    Returns:
        The report, and a table: ``row``, ``metric``, ``value`` and the first row's ``first``;
        ``gain``, above 0 where the first row is better; ``low``, ``high`` for all kinds of unit
        together; and ``low``, ``high`` for each by itself, such as ``low, exposure``.
    """
    metrics = [one for one in METRICS if one.name in COLUMNS]
    report = evaluate(
        rows, trial.data, metrics=metrics, skipped=skipped, reference=next(iter(rows)),
        num_samples=SAMPLES, num_bootstrap=0,
    )  # fmt: skip
    return report, _gains(report, trial, num_bootstrap=100 if settings.quick else 1000)


def show_gains(gains: pd.DataFrame, kinds: Sequence[str]) -> None:
    """Print gains, bold where they exclude 0: one table for all kinds of unit, one for each.

    Args:
        gains: As of `compare`.
        kinds: Of unit.
    """
    if gains.empty:  # nothing to compare with
        return
    metrics, rows = gains["metric"].unique(), gains["row"].unique()
    separate = [f", {kind}" for kind in kinds] if len(kinds) > 1 else []
    for suffix in ("", *separate):
        cells = gains.assign(cell=[_cell(one, suffix) for _, one in gains.iterrows()])
        wide = cells.pivot(index="row", columns="metric", values="cell").loc[rows, metrics]
        over = suffix.removeprefix(", ") or " and ".join(kinds)
        print(f"Gain of {gains['first row'].iloc[0]}, intervals over {over}\n")
        print(wide.rename(columns={"AUGRC": "AUGRC, 1e-6"}).to_markdown(), "\n", flush=True)


def _gains(report: Report, trial: Trial, *, num_bootstrap: int) -> pd.DataFrame:
    first = report.reference
    table = report.table[report.table["field"] == "all"].set_index("predictor")
    by_unit = {
        kind: _differences(report, unit_of, num_bootstrap=num_bootstrap)
        for kind, unit_of in trial.units.items()
    }
    others = [name for name, (one, *_) in report.rows.items() if one.row.is_curve and name != first]
    records = []
    for metric in report.metrics:
        sign = -1.0 if metric.better == "higher" else 1.0  # tables have row - first
        for name in others:
            gain, ends = 0.0, {}
            for kind, found in by_unit.items():
                one = found.loc[name, metric.name]
                gain = sign * one["difference"]
                ends[kind] = sorted((sign * one["low"], sign * one["high"]))
            down, up = (
                np.sqrt(sum((end[side] - gain) ** 2 for end in ends.values())) for side in (0, 1)
            )
            records.append(
                {
                    "first row": first, "row": name, "metric": metric.name,
                    "first": table.loc[first, metric.name], "value": table.loc[name, metric.name],
                    "gain": gain, "low": gain - down, "high": gain + up,
                    **{f"low, {kind}": end[0] for kind, end in ends.items()},
                    **{f"high, {kind}": end[1] for kind, end in ends.items()},
                }
            )  # fmt: skip
    return pd.DataFrame(records)


def _differences(report: Report, unit_of: Mapping[str, str], *, num_bootstrap: int) -> pd.DataFrame:
    """Differences to the first row, intervals from units, by predictor and metric."""
    rows = {name: tallies for name, tallies in report.rows.items() if tallies[0].row.is_curve}
    pieces = sorted(report.observed.block, key=lambda piece: report.observed.block[piece])
    names = sorted(set(unit_of.values()))
    merge = csr_array(
        [[float(unit_of[piece] == name) for piece in pieces] for name in names]
    )  # (units, pieces)
    every = Slice(name="all", blocks=tuple(range(len(names))), classes=(0,))
    whole: Any = SimpleNamespace(slices=(every,))
    part = report.observed.slices[0]
    merged: Any = {
        name: [_Merged(tally, part, merge) for tally in tallies] for name, tallies in rows.items()
    }
    estimates = estimate(merged, report.metrics, whole, num_bootstrap=num_bootstrap, seed=0)
    found = difference_table(
        estimates, rows, report.metrics, references=[report.reference], pair_seeds=False, level=0.95
    )
    return found.set_index(["predictor", "metric"]).sort_index()


class _Merged:
    """A tally whose blocks are units instead of pieces."""

    def __init__(self, tally: Tally, part: Slice, merge: csr_array) -> None:
        self.row, self.statistics = tally.row, tally.statistics
        self._tally, self._part, self._merge = tally, part, merge

    def statistic(self, number: int, _: Slice) -> tuple[csr_array, tuple[int, ...]]:
        rows, shape = self._tally.statistic(number, self._part)
        return csr_array(self._merge @ rows), shape


def _cell(one: pd.Series, suffix: str) -> str:
    gain, low, high = one["gain"], one[f"low{suffix}"], one[f"high{suffix}"]
    if np.isnan(gain):
        return "–"
    scale, digits = (1e6, 1) if one["metric"] == "AUGRC" else (1.0, 4)
    value = f"{scale * gain:+.{digits}f}"
    if np.isnan(low):
        return value
    value = f"**{value}**" if low * high > 0 else value
    return f"{value} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"
