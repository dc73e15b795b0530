"""What all figures share: a predictor's colour and marker, axes, legends, and how they are saved.

A predictor has the same colour, marker and line style in every figure, those of its place in
``order``: figures that leave some predictors out are told the order of all. Colours are from the
palette of Okabe & Ito, which readers with any kind of colour vision can tell apart; from the eighth
predictor on the line style changes too.

Margins are set in inches: to have matplotlib measure all text first takes as long as to draw it.

References:
    Okabe & Ito, "Color Universal Design", https://jfly.uni-koeln.de/color (2008).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, to_logit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DASHES",
    "GREY",
    "add_legend",
    "draw_bars",
    "draw_line",
    "dress",
    "escape",
    "log_if_positive",
    "marker",
    "new_figure",
    "numbered",
    "place",
    "plain_decade",
    "probability_ticks",
    "save_figure",
    "style",
    "thin",
]

Curve = TypeVar("Curve")

GREY = "#6E6E6E"
DASHES = (0, (5, 2))

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", ":", "-.")
_TICKS = {  # probabilities that get a label on a logit axis
    1e-7: "10⁻⁷", 1e-6: "10⁻⁶", 1e-5: "10⁻⁵", 1e-4: "10⁻⁴", 1e-3: "0.001", 0.01: "0.01", 0.1: "0.1",
    0.5: "0.5", 0.9: "0.9", 0.99: "0.99", 0.999: "0.999", 1 - 1e-4: "1−10⁻⁴", 1 - 1e-5: "1−10⁻⁵",
    1 - 1e-6: "1−10⁻⁶", 1 - 1e-7: "1−10⁻⁷",
}  # fmt: skip
_FINE_TICKS = {p: f"{p:g}" for p in (0.02, 0.05, 0.2, 0.3, 0.7, 0.8, 0.95, 0.98, 0.995)}
_FEW_TICKS = 6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_BARS = {  # by whether they are from exposures: line, its mark in a legend, what it says there
    True: ("-", "|", "interval from exposures"),
    False: (":", "$⋮$", "interval as if pixels were independent"),
}
_LEGEND_LINE, _LEGEND_PAD = 0.18, 0.12  # [inch]
_METADATA: dict[str, dict[str, None]] = {  # dates and versions would differ from run to run
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save_figure(figure: Figure, path: str | Path | BinaryIO, *, format: str | None = None) -> None:
    """Write a figure as PNG or PDF; the same figure gives the same bytes, today and tomorrow.

    Fonts are embedded in the PDF as TrueType, as journals ask.

    Args:
        figure: Any matplotlib figure.
        path: Where to; or a file that is open for binary writing.
        format: ``"png"`` or ``"pdf"``; by default what the path ends in.

    Raises:
        BayescrError: If it is neither.
    """
    from matplotlib import rc_context

    kind = format
    if kind is None and isinstance(path, str | Path):
        kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in _METADATA:
        raise BayescrError(f"figure {path} has the format {kind!r}: expected png or pdf")
    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(path, format=kind, metadata=_METADATA[kind])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size [inch]."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=160)


def place(
    figure: Figure, *, left: float, bottom: float, right: float = 0.3, top: float = 0.12
) -> None:
    """Margins around the axes [inch]."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=left / width, right=1.0 - right / width, bottom=bottom / height, top=1.0 - top / height
    )


def numbered(
    curves: Mapping[str, Curve], order: Sequence[str] | None
) -> Iterator[tuple[int, str, Curve]]:
    """Place, name and curve of each predictor; those that ``order`` lacks come after it."""
    places = {name: index for index, name in enumerate(dict.fromkeys([*(order or ()), *curves]))}
    for name, curve in curves.items():
        yield places[name], name, curve


def style(index: int) -> dict[str, Any]:
    """Colour and line style of the predictor with this index."""
    line = _LINES[index // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[index % len(_COLOURS)], "ls": line}


def marker(index: int) -> str:
    """Marker of the predictor with this index."""
    return _MARKERS[index % len(_MARKERS)]


def escape(name: str) -> str:
    """A name as matplotlib prints it letter for letter.

    Two dollars would enclose a formula, and an underscore in front would keep a line out of the
    legend.
    """
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def draw_line(axes: Axes, x: Array, y: Array, *, name: str, index: int) -> None:
    """A curve of many points, with a few markers that lie elsewhere on each predictor's curve."""
    first = 0.02 + 0.017 * (index % 8)
    axes.plot(x, y, label=escape(name), lw=1.6, marker=marker(index), ms=4.5, mec="white", mew=0.5,
              markevery=(first, 0.14), **style(index))  # fmt: skip


def draw_bars(
    axes: Axes, x: Array, lower: Array, upper: Array, *, by_exposure: Array, index: int
) -> None:
    """Intervals as vertical bars: solid from exposures, dotted from pixels."""
    for kind, (line, _, text) in _BARS.items():
        chosen = by_exposure == kind
        if chosen.any():
            axes.vlines(x[chosen], lower[chosen], upper[chosen], color=style(index)["color"],
                        lw=1.0, alpha=0.8, ls=line, label=text)  # fmt: skip


def thin(x: Array, y: Array, *, size: int = 1000) -> Array:
    """Indices of some ``size`` points of a curve, evenly spaced along its length, ends included.

    Args:
        x: (K,) finite coordinates as they are displayed: the logarithm on a logarithmic axis.
        y: (K,) likewise.
        size: At most as many, and all if there are no more.
    """
    if x.size <= size:
        return np.arange(x.size)
    step = sum(np.abs(np.diff(v)) / max(float(np.ptp(v)), 1e-300) for v in (x, y))
    length = np.append(0.0, np.cumsum(step))
    wanted = np.linspace(0.0, length[-1], size - 1)
    return np.unique(np.append(np.searchsorted(length, wanted), x.size - 1).clip(max=x.size - 1))


def probability_ticks(limits: tuple[float, float]) -> tuple[list[float], list[str]]:
    """Logits between the limits that are labelled, and the probabilities printed there."""
    for ticks in (_TICKS, _TICKS | _FINE_TICKS):
        shown = sorted((float(to_logit(p)), text) for p, text in ticks.items())
        shown = [(z, text) for z, text in shown if limits[0] <= z <= limits[1]]
        if len(shown) > _FEW_TICKS:
            break
    return [z for z, _ in shown], [text for _, text in shown]


def plain_decade(value: float, _: object = None) -> str:
    """A power of ten without a formula, which would take long to typeset."""
    if 0.9e-3 < value < 1.1e3:
        return f"{value:g}"
    return "10" + f"{np.log10(value):.0f}".translate(_RAISED) if value > 0.0 else ""


def log_if_positive(axes: Axes) -> str:
    """The scale of the y axis: logarithmic if there is anything to show on such an axis."""
    drawn = (np.asarray(line.get_ydata(), dtype=np.float64) for line in axes.lines)
    return "log" if any(np.any(y > 0.0) for y in drawn) else "linear"


def dress(axes: Axes) -> None:
    """Grid, tick labels and frame."""
    from matplotlib.ticker import LogFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(plain_decade)
    axes.grid(visible=True, which="major", color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def add_legend(figure: Figure, axes: Axes, *, left: float = 0.85, bottom: float = 0.52) -> None:
    """The legend beneath the axes, in as many columns as its longest name leaves room for.

    The figure grows by what the legend takes.

    Args:
        figure: The figure.
        axes: Whose lines are named, and what `draw_bars` drew.
        left: Margin for what is printed there [inch].
        bottom: Likewise, without the legend.
    """
    from matplotlib.lines import Line2D

    handles = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    for _, sign, text in _BARS.values():
        if handles.pop(text, None):  # of all colours: one entry in grey, at the end
            handles[text] = Line2D([], [], color=GREY, ls="none", marker=sign, ms=9)
    beneath = 0.0
    if handles:
        characters = 18.0 * figure.get_figwidth()  # that fit into a line at 8.5 points
        columns = min(max(int(characters / (max(map(len, handles)) + 7)), 1), 4, len(handles))
        beneath = -(-len(handles) // columns) * _LEGEND_LINE + _LEGEND_PAD
        figure.set_figheight(figure.get_figheight() + beneath)
        figure.legend([*handles.values()], [*handles], loc="lower center", frameon=False,
                      fontsize=8.5, ncols=columns, borderaxespad=0.3, borderpad=0.2)  # fmt: skip
    place(figure, left=left, bottom=bottom + beneath)
