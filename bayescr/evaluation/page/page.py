"""A report as one HTML file that needs nothing else: no server, no network, no library.

`render` is a pure function: the same page gives the same bytes. Every string of a `Page` is
escaped where it is written; besides, the page forbids by policy (Content-Security-Policy) all that
it does not bring itself: no request leaves it, and no script runs but its own, known by its hash.

References:
    W3C, "Content Security Policy Level 3".
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bayescr.errors import BayescrError
from bayescr.evaluation.page.curves import OperatingCurve, panel

__all__ = ["Cell", "Column", "Page", "Picture", "Table", "render"]

_MARKS = ("better", "worse", "same", "")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: What is shown.
        value: What it is sorted by in a numeric column; None or NaN comes last.
        low: Lower end of its interval; None or NaN without one.
        high: Upper end.
        mark: How it compares with the reference: "better", "worse", "same" (cannot be told
            apart) or "" (not compared).
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    mark: str = ""

    def __post_init__(self) -> None:
        if self.mark not in _MARKS:
            raise BayescrError(f"mark is {self.mark!r}: expected one of {', '.join(_MARKS[:3])}")


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column holds.

    Attributes:
        name: Its heading.
        better: Which direction is better; None where neither is.
        numeric: Whether it is sorted and aligned by value.
        group: A heading above the heading; see `Table`.
    """

    name: str
    better: Literal["lower", "higher"] | None = None
    numeric: bool = True
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; its rows can be sorted by each column.

    A table whose columns have groups is meant to have many of them, such as metrics, and few rows,
    such as predictors: the page shows it turned, columns down under their groups' headings and
    rows across, named by their first cells.

    Attributes:
        title: Heading; consecutive tables of the same title share it, and a reader chooses one of
            them by `field`.
        caption: A sentence or two beneath.
        columns: What the columns hold, the row's name first.
        rows: A cell for each column.
        field: Which of several tables under one title.
    """

    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    field: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            raise BayescrError(f"table '{self.title}' has no column: expected at least a name")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise BayescrError(
                    f"table '{self.title}' has a row of {len(row)} cells under "
                    f"{len(self.columns)} columns: expected a cell for each column"
                )

    @property
    def is_turned(self) -> bool:
        """Whether columns are shown down and rows across."""
        return any(column.group for column in self.columns)

    @property
    def groups(self) -> list[tuple[str, list[int]]]:
        """Places of the columns after the first by group, in the order in which groups come."""
        rest = range(1, len(self.columns))
        names = dict.fromkeys(self.columns[index].group for index in rest)
        return [(name, [i for i in rest if self.columns[i].group == name]) for name in names]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure.

    Attributes:
        title: Heading.
        caption: What is to be seen; also the alternative text.
        png: The image, as the bytes of a PNG file.
    """

    title: str
    caption: str
    png: bytes

    @property
    def source(self) -> str:
        """The image as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the header: the page does not jump while it loads."""
        if self.png[:8] != b"\x89PNG\r\n\x1a\n" or len(self.png) < 24:
            raise BayescrError(f"picture '{self.title}' is no PNG: expected the bytes of a .png")
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page shows, in this order.

    Attributes:
        title: Heading and name of the page.
        subtitle: A line below it.
        notes: Sentences: what was found.
        tables: Tables, the main one first.
        pictures: Figures.
        curves: What the threshold and coverage sliders move along; a curve has the colour of its
            place in the figures of the report.
        details: A tree of mappings, lists and plain values, shown folded: the manifest.
        reference: Name of the row that marks compare with.
    """

    title: str
    subtitle: str = ""
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    curves: tuple[OperatingCurve, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    reference: str = ""


def render(page: Page) -> str:
    """The page as HTML, to be written as UTF-8.

    Raises:
        BayescrError: If a picture is not a PNG.

    Example:
        >>> html = render(Page(title="Dark & cold", notes=("Nothing <much>.",)))
        >>> "<h1>Dark &amp; cold</h1>" in html, "Nothing &lt;much&gt;." in html
        (True, True)
    """
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"sortable": _sortable, "interval": _interval}
    environment.tests["tree"] = lambda value: isinstance(value, (Mapping, list, tuple))
    return environment.from_string(_asset("template.html")).render(
        page=page,
        blocks=[(title, list(tables)) for title, tables in groupby(page.tables, _title)],
        colours={curve.name: index for index, curve in enumerate(page.curves)},
        has_marks=any(cell.mark for table in page.tables for row in table.rows for cell in row),
        data=Markup(_json(panel(page.curves))),  # noqa: S704  _json has escaped it
        policy=policy,
        style=Markup(style),
        script=Markup(script),
    )


def _title(table: Table) -> str:
    return table.title


def _asset(name: str) -> str:
    return (files("bayescr.evaluation.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json(data: Any) -> str:
    """JSON that can stand inside a script element: ASCII, without a character HTML looks at."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _sortable(value: float | None) -> str:
    """A number as both languages read it; empty where there is none."""
    if value is None or math.isnan(value):
        return ""
    return repr(float(value)).replace("inf", "Infinity")


def _interval(cell: Cell) -> str:
    """The ends of an interval to the digits that its width resolves; empty without one."""
    if cell.low is None or cell.high is None or math.isnan(cell.low) or math.isnan(cell.high):
        return ""
    width, largest = cell.high - cell.low, max(abs(cell.low), abs(cell.high))
    if not 0.0 < width < math.inf:
        return f"[{cell.low:.4g}, {cell.high:.4g}]"
    decimals = max(0, math.ceil(1.0 - math.log10(width)))
    if largest < 1e-4:
        digits = max(0, decimals + math.floor(math.log10(largest)))
        return f"[{cell.low:.{digits}e}, {cell.high:.{digits}e}]"
    return f"[{cell.low:.{decimals}f}, {cell.high:.{decimals}f}]"
