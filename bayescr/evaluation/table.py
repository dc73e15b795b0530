"""The table of a report: which metrics stand in it, and one row for every predictor and field.

A metric is a name, a direction and a function of :class:`Pixels`; to add one, add a line to
``METRICS``. The first row of each field is the forecast that knows nothing but the base rate: with
1% of cosmic-ray pixels it beats every model in ECE, so no ECE should be read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.calibration import ece
from bayescr.evaluation.records import Observed, Pixels, Scored
from bayescr.evaluation.scores import base_rate, brier, brier_skill, nll
from bayescr.evaluation.uncertainty import mean_entropy, mean_mutual_information

__all__ = ["ALL_FIELDS", "BASE_RATE", "METRICS", "Metric", "label", "make_table", "to_markdown"]

ALL_FIELDS = "all"
BASE_RATE = "base rate"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the table.

    Attributes:
        name: The column's name.
        better: Which direction is better; None where neither is.
        compute: The metric of a row's pixels.
    """

    name: str
    better: Literal["lower", "higher"] | None
    compute: Callable[[Pixels], float]


METRICS = (
    Metric(name="Brier", better="lower", compute=lambda x: brier(x.logit, x.target)),
    Metric(name="Brier skill", better="higher", compute=lambda x: brier_skill(x.logit, x.target)),
    Metric(name="NLL", better="lower", compute=lambda x: nll(x.logit, x.target)),
    Metric(name="ECE", better="lower", compute=lambda x: ece(x.logit, x.target)),
    Metric(
        name="ECE (p > 0.001)",
        better="lower",
        compute=lambda x: ece(x.logit, x.target, above=0.001),
    ),
    Metric(name="AURC", better="lower", compute=lambda x: x.risk_coverage.aurc),
    Metric(name="AUGRC", better="lower", compute=lambda x: x.risk_coverage.augrc),
    Metric(name="TPR at 0.05% FPR", better="higher", compute=lambda x: x.roc.tpr_at(0.0005)),
    Metric(name="TPR at 0.5% FPR", better="higher", compute=lambda x: x.roc.tpr_at(0.005)),
    Metric(name="mean entropy", better=None, compute=lambda x: mean_entropy(x.logit)),
    Metric(
        name="mean mutual information",
        better=None,
        compute=lambda x: mean_mutual_information(x.mutual_information),
    ),
)


def make_table(observed: Observed, scored: Mapping[str, Scored]) -> pd.DataFrame:
    """One row for each predictor, base rate first: of all fields together, then of each field.

    Fields have rows of their own where the dataset has at least two.
    """
    present = {observed.fields.get(exposure) for exposure in observed.exposures} - {None}
    fields = [None, *sorted(str(name) for name in present)] if len(present) > 1 else [None]
    return pd.DataFrame([row for field in fields for row in _rows(observed, scored, field)])


def to_markdown(table: pd.DataFrame, *, temperatures: Mapping[str, float]) -> str:
    """The table as Markdown, one block per field, predictors side by side.

    An arrow says which direction is better; tempered posteriors are marked.
    """
    signs = {"lower": " ↓", "higher": " ↑", None: ""}
    arrows = {metric.name: signs[metric.better] for metric in METRICS}
    blocks = []
    for field, rows in table.groupby("field", sort=False):
        columns = {
            _escape(label(row["predictor"], temperatures.get(row["predictor"], 1.0))): [
                _format(row[name]) for name in table.columns[2:]
            ]
            for _, row in rows.iterrows()
        }
        names = [name + arrows.get(name, "") for name in table.columns[2:]]
        block = pd.DataFrame(columns, index=pd.Index(names, name="metric"))
        title = "All exposures" if field == ALL_FIELDS else f"Field: {_escape(str(field))}"
        body = block.to_markdown(
            disable_numparse=True, colalign=("left", *["right"] * len(columns))
        )
        blocks.append(f"**{title}**\n\n{body}\n")
    if any(_is_tempered(value) for value in temperatures.values()):
        blocks.append(
            "T is the effective temperature, the final weight of the KL. Where T is not 1 the row "
            "shows a tempered posterior, not the posterior.\n"
        )
    return "\n".join(blocks)


def label(name: str, temperature: float) -> str:
    """A predictor's name as it is printed: with its temperature, should that not be 1."""
    return f"{name} (T = {temperature:g})" if _is_tempered(temperature) else name


def _rows(
    observed: Observed, scored: Mapping[str, Scored], field: str | None
) -> Iterator[dict[str, Any]]:
    where = ALL_FIELDS if field is None else field
    for index, (name, one) in enumerate(scored.items()):
        pixels = one.pixels(observed, field=field)
        if index == 0:
            yield _row(BASE_RATE, where, _constant(pixels), temperature=float("nan"))
        yield _row(name, where, pixels, temperature=one.temperature)


def _row(name: str, field: str, pixels: Pixels, *, temperature: float) -> dict[str, Any]:
    return {
        "predictor": name,
        "field": field,
        **{metric.name: metric.compute(pixels) for metric in METRICS},
        "temperature": temperature,
        "exposures": pixels.num_exposures,
        "pixels": pixels.target.size,
    }


def _constant(pixels: Pixels) -> Pixels:
    """The forecast p = base rate of these very pixels."""
    size = pixels.target.size
    return Pixels(
        logit=np.full(size, to_logit(base_rate(pixels.target))),
        target=pixels.target,
        mutual_information=np.zeros(size, np.float32),
        num_exposures=pixels.num_exposures,
    )


def _is_tempered(temperature: float) -> bool:
    return not np.isnan(temperature) and temperature != 1.0


def _format(value: Any) -> str:
    if isinstance(value, (int, np.integer)):
        return f"{value}"
    if np.isnan(value):
        return "–"
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"  # below that it is rounding of the sums


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
