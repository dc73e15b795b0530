"""The two figures of a report, drawn without pyplot: nothing global is touched, nothing is shown.

A predictor has one colour and one marker in both, from the palette of Okabe & Ito, which readers
with any kind of colour vision can tell apart; from the eighth on the line style changes too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayescr.evaluation._arrays import Array, to_logit
from bayescr.evaluation.calibration import ReliabilityCurve
from bayescr.evaluation.selective import RiskCoverageCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_reliability", "plot_risk_coverage"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", ":", "-.")
_GREY = "#6E6E6E"
_DASHES = (0, (5, 2))
_TICKS = {  # probabilities that get a label on a logit axis
    1e-7: "10⁻⁷", 1e-6: "10⁻⁶", 1e-5: "10⁻⁵", 1e-4: "10⁻⁴", 1e-3: "0.001", 0.01: "0.01", 0.1: "0.1",
    0.5: "0.5", 0.9: "0.9", 0.99: "0.99", 0.999: "0.999", 1 - 1e-4: "1−10⁻⁴", 1 - 1e-5: "1−10⁻⁵",
    1 - 1e-6: "1−10⁻⁶", 1 - 1e-7: "1−10⁻⁷",
}  # fmt: skip


def plot_risk_coverage(
    curves: Mapping[str, RiskCoverageCurve], *, base_rate: float = float("nan")
) -> Figure:
    """Selective risk against coverage, one line per predictor.

    Where a percent of the pixels are positive, all that happens, happens while the last percent is
    accepted: the coverage axis is logarithmic in the fraction rejected, so that every step to the
    right adds a nine. A line ends where no error is left among the accepted pixels.

    Args:
        curves: Printed name -> curve.
        base_rate: Fraction of positive pixels. A forecast that only knows this has the same risk
            at any coverage: a dashed line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), dpi=200, layout="constrained")
    axes = figure.subplots()
    last = 0.1  # the rejected fraction at the right edge: a decade or so below the final risk
    for index, (name, curve) in enumerate(curves.items()):
        rejected, risk = _thinned(curve)
        axes.plot(rejected, risk, label=name, lw=1.8, **_style(index))
        if curve.errors.size and curve.errors[-1]:
            last = min(last, float(curve.risk[-1]) / 20.0)
    if 0.0 < base_rate < 1.0:
        chance = min(base_rate, 1.0 - base_rate)
        axes.axhline(chance, color=_GREY, ls=_DASHES, lw=1.2, label="base rate")
    decades = np.arange(0, np.ceil(-np.log10(last)) + 1)
    axes.set(
        xscale="log",
        yscale=_scale(axes),
        xlim=(1.0, 10.0 ** -decades[-1]),
        xlabel="coverage: fraction of pixels accepted, most confident first",
        ylabel="selective risk: error rate of accepted pixels",
    )
    axes.set_xticks(10.0**-decades, [f"{100.0 * (1.0 - 10.0**-d):.10g}%" for d in decades])
    _dress(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


def plot_reliability(
    curves: Mapping[str, ReliabilityCurve], *, base_rate: float = float("nan")
) -> Figure:
    """Observed frequency against predicted probability on logit axes, counts beneath.

    Bars are the 95% intervals of the curve. A bin without a positive pixel shows as an arrow down
    from the upper end of its interval, one with nothing but positives as an arrow up from the
    lower end. The diagonal is perfect calibration.

    Args:
        curves: Printed name -> curve.
        base_rate: Fraction of positive pixels: the diamond on the diagonal that a forecast which
            only knows this occupies.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 6.8), dpi=200, layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.0])
    limits = _limits(curves)
    axes.plot(limits, limits, color=_GREY, lw=1.0, zorder=1, label="perfect calibration")
    if 0.0 < base_rate < 1.0:
        rate = float(to_logit(base_rate))
        axes.axhline(rate, color=_GREY, ls=_DASHES, lw=1.0, zorder=1)
        axes.plot(rate, rate, "D", ms=7, mfc="white", mec=_GREY, mew=1.4, ls="none", zorder=4,
                  label="base rate")  # fmt: skip
    for index, (name, curve) in enumerate(curves.items()):
        x = np.clip(to_logit(curve.probability), *limits)
        _reliability_line(axes, x, curve, limits, label=name, index=index)
        counts.plot(x, curve.count, marker=_marker(index), ms=3, lw=1.2,
                    **_style(index))  # fmt: skip
    axes.set(xlim=limits, ylim=limits, ylabel="observed frequency of positive pixels")
    counts.set(yscale=_scale(counts), xlabel="predicted probability", ylabel="pixels per bin")
    shown = [(float(to_logit(p)), text) for p, text in _TICKS.items()]
    shown = [(z, text) for z, text in shown if limits[0] <= z <= limits[1]]
    axes.set_yticks([z for z, _ in shown], [text for _, text in shown])
    counts.set_xticks([z for z, _ in shown], [text for _, text in shown], rotation=45)
    _dress(axes)
    _dress(counts)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _reliability_line(
    axes: Axes,
    x: Array,
    curve: ReliabilityCurve,
    limits: tuple[float, float],
    *,
    label: str,
    index: int,
) -> None:
    y = to_logit(curve.frequency)
    lower = np.clip(to_logit(curve.lower), *limits)
    upper = np.clip(to_logit(curve.upper), *limits)
    finite = np.isfinite(y)
    colour, marker = _style(index)["color"], _marker(index)
    axes.plot(x[finite], y[finite], label=label, marker=marker, ms=4.5, lw=1.4, **_style(index))
    axes.vlines(x[finite], lower[finite], upper[finite], color=colour, lw=1.0, alpha=0.7)
    none, only = np.isneginf(y), np.isposinf(y)
    axes.plot(x[none], upper[none], color=colour, marker="$↓$", ms=8, ls="none")
    axes.plot(x[only], lower[only], color=colour, marker="$↑$", ms=8, ls="none")


def _limits(curves: Mapping[str, ReliabilityCurve]) -> tuple[float, float]:
    """A symmetric range of logits that shows every bin, up to p = 1e-7."""
    x = np.concatenate([[8.0], *(to_logit(curve.probability) for curve in curves.values())])
    edge = min(float(np.abs(x[np.isfinite(x)]).max()) + 0.7, 16.5)
    return -edge, edge


def _thinned(curve: RiskCoverageCurve, size: int = 1000) -> tuple[Array, Array]:
    """Rejected fraction and risk at some 1000 of the curve's points, even on the logarithmic axis.

    Points without an error are dropped: a logarithmic axis has no place for them.
    """
    if not curve.accepted.size:
        return np.empty(0), np.empty(0)
    total = int(curve.accepted[-1])
    wanted = total * (1.0 - np.geomspace(1.0, 0.1 / total, size))
    chosen = np.unique(np.searchsorted(curve.accepted, wanted).clip(max=curve.accepted.size - 1))
    chosen = chosen[curve.errors[chosen] > 0]
    # Full coverage rejects nothing; it is drawn where less than one pixel is rejected.
    return np.maximum(1.0 - curve.coverage[chosen], 0.1 / total), curve.risk[chosen]


def _scale(axes: Axes) -> str:
    """Logarithmic if there is anything to show on such an axis."""
    return (
        "log" if any(np.any(np.asarray(line.get_ydata()) > 0) for line in axes.lines) else "linear"
    )


def _style(index: int) -> dict[str, Any]:
    line = _LINES[index // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[index % len(_COLOURS)], "ls": line}


def _marker(index: int) -> str:
    return _MARKERS[index % len(_MARKERS)]


def _dress(axes: Axes) -> None:
    axes.grid(visible=True, which="major", color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
