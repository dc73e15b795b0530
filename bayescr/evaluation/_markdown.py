"""Tables as text: Markdown for people, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayescr.evaluation.metrics import Metric
from bayescr.evaluation.records import ALL_FIELDS

__all__ = ["MARKS", "blocks", "label", "latex", "number", "plain"]

MARKS = {"better": "▲", "worse": "▼", "not distinguishable": "≈", "": ""}
_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}


def blocks(
    table: pd.DataFrame,
    verdicts: Mapping[tuple[str, str, str], str],
    metrics: Sequence[Metric],
    *,
    labels: Mapping[str, str],
) -> str:
    """The wide table, one block per field: metrics down by group, predictors across.

    An arrow says which direction is better, a mark whether the value is distinguishable from that
    of the reference.

    Args:
        table: As `Report.table`.
        verdicts: As `Report.verdicts`.
        metrics: Its columns.
        labels: Predictor -> its printed name.
    """
    found = []
    for field, rows in table.groupby("field", sort=False):
        columns: dict[str, list[str]] = {escape(labels[name]): [] for name in rows["predictor"]}
        index: list[str] = []
        group = None
        for metric in metrics:
            if metric.group != group:
                group = metric.group
                index.append(f"*{group}*")
                for cells in columns.values():
                    cells.append("")
            index.append(metric.name + _ARROWS[metric.better])
            for name, value in zip(rows["predictor"], rows[metric.name], strict=True):
                mark = MARKS[verdicts.get((str(field), name, metric.name), "")]
                columns[escape(labels[name])].append(f"{number(value)} {mark}".strip())
        for count in ("exposures", "pixels"):
            index.append(count)
            for name, value in zip(rows["predictor"], rows[count], strict=True):
                columns[escape(labels[name])].append(number(value))
        title = "All exposures" if field == ALL_FIELDS else f"Field: {escape(str(field))}"
        body = pd.DataFrame(columns, index=pd.Index(index, name="metric")).to_markdown(
            disable_numparse=True, colalign=("left", *["right"] * len(columns))
        )
        found.append(f"**{title}**\n\n{body}\n")
    return "\n".join(found)


def plain(table: pd.DataFrame) -> str:
    """Any table as Markdown, as it is."""
    text = table.map(lambda value: number(value) if _is_number(value) else escape(str(value)))
    align = ["right" if dtype.kind in "fiu" else "left" for dtype in table.dtypes]
    return str(text.to_markdown(index=False, disable_numparse=True, colalign=align)) + "\n"


def latex(table: pd.DataFrame) -> str:
    """Any table as a LaTeX tabular with the rules of booktabs, every string escaped."""
    text = table.map(lambda value: number(value) if _is_number(value) else _tex(str(value)))
    text.columns = [_tex(str(name)) for name in text.columns]
    align = "".join("r" if dtype.kind in "fiu" else "l" for dtype in table.dtypes)
    head, *rows = [" & ".join(cells) + r" \\" for cells in [text.columns, *text.to_numpy()]]
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def label(name: str, temperature: float) -> str:
    """A predictor's name as it is printed: with its temperature, should that not be 1."""
    tempered = not np.isnan(temperature) and temperature != 1.0
    return f"{name} (T = {temperature:g})" if tempered else name


def number(value: Any) -> str:
    """A number to four digits; a dash where it is not defined."""
    if isinstance(value, (int, np.integer)):
        return f"{value}"
    if np.isnan(value):
        return "–"
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"  # below that it is rounding of the sums


def escape(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    return is_number and not isinstance(value, bool)


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {character: "\\" + character for character in "&%$#_{}"}
    special |= {"<": r"\textless{}", ">": r"\textgreater{}", "–": "--"}
    return "".join(special.get(character, character) for character in text)
