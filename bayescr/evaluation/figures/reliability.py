"""Reliability: whether of the pixels given probability p a fraction p turns out positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.figures._style import (
    DASHES,
    GREY,
    add_legend,
    draw_bars,
    dress,
    escape,
    log_if_positive,
    marker,
    new_figure,
    numbered,
    probability_ticks,
    style,
)
from bayescr.evaluation.metrics.calibration import ReliabilityCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_reliability"]


def plot_reliability(
    curves: Mapping[str, ReliabilityCurve],
    *,
    base_rate: float = float("nan"),
    order: Sequence[str] | None = None,
) -> Figure:
    """Observed frequency against predicted probability on logit axes, counts beneath.

    Bars are the intervals of the curve, solid from exposures, dotted where pixels are taken as
    independent. A bin without a positive pixel shows as an arrow down from the upper
    end of its interval, one with nothing but positives as an arrow up from the lower end. The
    diagonal is perfect calibration.

    Args:
        curves: Printed name -> curve.
        base_rate: Fraction of positive pixels: the diamond on the diagonal that a forecast which
            only knows this occupies.
        order: Names in the order of their colours; default: that of ``curves``.
    """
    figure = new_figure(5.8, 7.0)
    axes, counts = figure.subplots(
        2, 1, sharex=True, height_ratios=[3.6, 1.0], gridspec_kw={"hspace": 0.08}
    )
    limits = _limits(curves)
    axes.plot(limits, limits, color=GREY, lw=1.0, zorder=1, label="perfect calibration")
    if 0.0 < base_rate < 1.0:
        rate = float(to_logit(base_rate))
        axes.axhline(rate, color=GREY, ls=DASHES, lw=1.0, zorder=1)
        axes.plot(rate, rate, "D", ms=7, mfc="white", mec=GREY, mew=1.4, ls="none", zorder=4,
                  label="base rate")  # fmt: skip
    for index, name, curve in numbered(curves, order):
        _draw(axes, curve, limits, name=name, index=index)
        x = np.clip(to_logit(curve.probability), *limits)
        counts.plot(x, curve.count, marker=marker(index), ms=3, lw=1.2, **style(index))
    axes.set(xlim=limits, ylim=limits, ylabel="observed frequency of positive pixels")
    counts.set(
        yscale=log_if_positive(counts), xlabel="predicted probability", ylabel="pixels per bin"
    )
    places, texts = probability_ticks(limits)
    axes.set_yticks(places, texts)
    counts.set_xticks(places, texts, rotation=45)
    dress(axes)
    dress(counts)
    add_legend(figure, axes, left=1.0, bottom=0.85)
    return figure


def _draw(
    axes: Axes, curve: ReliabilityCurve, limits: tuple[float, float], *, name: str, index: int
) -> None:
    x, y = np.clip(to_logit(curve.probability), *limits), to_logit(curve.frequency)
    lower = np.clip(to_logit(curve.lower), *limits)
    upper = np.clip(to_logit(curve.upper), *limits)
    finite, none, only = np.isfinite(y), np.isneginf(y), np.isposinf(y)
    axes.plot(x[finite], y[finite], label=escape(name), marker=marker(index), ms=4.5, lw=1.4,
              **style(index))  # fmt: skip
    draw_bars(axes, x[finite], lower[finite], upper[finite],
              by_exposure=curve.by_exposure[finite], index=index)  # fmt: skip
    colour = style(index)["color"]
    axes.plot(x[none], upper[none], color=colour, marker="$↓$", ms=8, ls="none")
    axes.plot(x[only], lower[only], color=colour, marker="$↑$", ms=8, ls="none")


def _limits(curves: Mapping[str, ReliabilityCurve]) -> tuple[float, float]:
    """A symmetric range of logits that shows every bin, up to p = 1e-7."""
    x = np.concatenate([[8.0], *(to_logit(curve.probability) for curve in curves.values())])
    edge = min(float(np.abs(x[np.isfinite(x)]).max()) + 0.7, 16.5)
    return -edge, edge
