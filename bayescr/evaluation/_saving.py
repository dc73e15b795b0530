"""A report as files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayescr._files import atomic_path
from bayescr.evaluation import _markdown
from bayescr.evaluation._contents import figures_of, page_of
from bayescr.evaluation.arviz_export import write_arviz
from bayescr.evaluation.page import render
from bayescr.evaluation.records import file_stem

if TYPE_CHECKING:
    from bayescr.evaluation.report import Report

__all__ = ["TABLES", "save"]

TABLES = ("table", "intervals", "differences", "hits", "loo", "shift")


def save(report: Report, directory: str | os.PathLike[str], *, figures: bool) -> None:
    """Write a report into a folder; see `Report.save`."""
    from bayescr.evaluation.figures import save_figure

    folder = Path(directory)
    _write_text(folder / "report.csv", _csv(report.table))
    _write_text(folder / "report.md", report.to_markdown())
    for name in TABLES:
        table = getattr(report, name)
        if len(table.columns):
            _write_table(table, folder / "tables" / name)
    pictures = {}
    for name, described in figures_of(report).items() if figures else ():
        figure, path = described.draw(), folder / "figures" / name
        for suffix in (".pdf", ".png"):
            with atomic_path(path.with_name(name + suffix)) as temporary:
                save_figure(figure, temporary)
            figure.set_layout_engine("none")  # it is laid out now
        pictures[name] = path.with_name(name + ".png").read_bytes()
    for name, tree in report.arviz.items():
        with atomic_path(folder / "arviz" / f"{file_stem(name)}.nc") as temporary:
            write_arviz(tree, temporary)
    _write_text(folder / "report.html", render(page_of(report, pictures)))
    _write_text(folder / "hardware.json", _json(report.hardware))
    _write_text(folder / "manifest.json", _json(report.manifest))  # last: the report is complete


def _write_table(table: pd.DataFrame, path: Path) -> None:
    _write_text(path.with_suffix(".csv"), _csv(table))
    _write_text(path.with_suffix(".md"), _markdown.plain(table))
    _write_text(path.with_suffix(".tex"), _markdown.latex(table))
    with atomic_path(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _json(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())
