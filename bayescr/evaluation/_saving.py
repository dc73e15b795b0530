"""A report as files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_MANIFEST, _RUN = "manifest.json", "hardware.json"


def save(report: Report, directory: str | os.PathLike[str], *, figures: bool) -> None:
    """Write a report into a folder; see `Report.save`."""
    from bayescr.evaluation.figures import save_figure

    folder = _Folder(Path(directory))
    folder.write_text("report.md", report.to_markdown())
    for name in TABLES:
        table = getattr(report, name)
        if len(table.columns):
            folder.write_text(f"tables/{name}.csv", table.to_csv(index=False, lineterminator="\n"))
            folder.write_text(f"tables/{name}.md", _markdown.plain(table))
            folder.write_text(f"tables/{name}.tex", _markdown.latex(table))
            with folder.writing(f"tables/{name}.parquet") as temporary:
                table.to_parquet(temporary, index=False)
    pictures = {}
    for name, described in figures_of(report).items() if figures else ():
        figure = described.draw()
        for suffix in ("pdf", "png"):
            with folder.writing(f"figures/{name}.{suffix}") as temporary:
                save_figure(figure, temporary)
        pictures[name] = (folder.path / "figures" / f"{name}.png").read_bytes()
    for name, tree in report.arviz.items():
        with folder.writing(f"arviz/{file_stem(name)}.nc") as temporary:
            write_arviz(tree, temporary)
    folder.write_text("report.html", render(page_of(report, pictures)))
    folder.finish(hardware=report.hardware, manifest=report.manifest)


class _Folder:
    """A folder that a report is written into, maybe in the place of another.

    While ``manifest.json`` is missing the report is not complete. What an earlier report has left
    and this one does not write is deleted in the end, by the list that it kept of its own files:
    nothing of anybody else's is touched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: list[str] = []
        self._before: list[str] = []
        run = path / _RUN
        if run.is_file() and (path / _MANIFEST).is_file():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._before = [str(name) for name in json.loads(run.read_text())["files"]]
            (path / _MANIFEST).unlink()

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A temporary path for one of its files."""
        with atomic_path(self.path / name) as temporary:
            yield temporary
        self._written.append(name)

    def write_text(self, name: str, text: str) -> None:
        """One of its files."""
        with self.writing(name) as temporary:
            temporary.write_bytes(text.encode())

    def finish(self, *, hardware: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        """What the report says of itself; now it is complete."""
        for name in set(self._before) - set(self._written):
            stale = self.path / name
            if stale.resolve().is_relative_to(self.path.resolve()):
                stale.unlink(missing_ok=True)
        self.write_text(_RUN, _json({**hardware, "files": sorted(self._written)}))
        self.write_text(_MANIFEST, _json(manifest))


def _json(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
