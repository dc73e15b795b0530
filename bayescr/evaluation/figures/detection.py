"""Detection: what is found, against false alarms (ROC) and against purity (precision-recall)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.figures._style import (
    DASHES,
    GREY,
    add_legend,
    draw_line,
    dress,
    new_figure,
    numbered,
    probability_ticks,
    thin,
)
from bayescr.evaluation.metrics.detection import RocCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_precision_recall", "plot_roc"]

_LEAST_FPR, _LARGEST_FPR = 1e-5, 0.1
_LARGEST_LOGIT = 16.5  # p = 1 - 7e-8
_FEWEST_FALSE = 10
_MARKED = {1e-4: "0.01%", 1e-3: "0.1%", 1e-2: "1%"}


def plot_roc(curves: Mapping[str, RocCurve], *, order: Sequence[str] | None = None) -> Figure:
    """True-positive rate against false-positive rate up to 10%, one line per predictor.

    Where a percent of the pixels are positive, a false-positive rate of a percent doubles the
    number of flagged pixels. So the axis is logarithmic, with 0.01%, 0.1% and 1% marked, and a
    line begins with the first false alarm. The true-positive rate stands on a logit axis: each
    halving of the misses is a step of the same length.

    Args:
        curves: Printed name -> curve. Without a positive or a negative pixel there is no line.
        order: Names in the order of their colours; default: that of ``curves``.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    bottom, top = 0.0, float(to_logit(0.99))
    for index, name, curve in numbered(curves, order):
        x, y = curve.fpr, curve.tpr
        with np.errstate(invalid="ignore"):
            drawn = (x > 0.0) & (x <= 2.0 * _LARGEST_FPR) & (y > 0.0) & (y < 1.0)
        x, y = x[drawn], to_logit(y[drawn])
        chosen = thin(np.log(x), y)
        draw_line(axes, x[chosen], y[chosen], name=name, index=index)
        shown = y[(x >= _LEAST_FPR) & (x <= _LARGEST_FPR)]
        bottom, top = min(bottom, shown.min(initial=0.0)), max(top, shown.max(initial=0.0))
    for rate, text in _MARKED.items():
        axes.axvline(rate, color=GREY, lw=0.8, zorder=1)
        axes.annotate(text, (rate, 0.0), xycoords=("data", "axes fraction"), xytext=(3, 3),
                      textcoords="offset points", fontsize=8, color=GREY)  # fmt: skip
    limits = (bottom - 0.5, min(top + 0.3, _LARGEST_LOGIT))
    axes.set(
        xscale="log",
        xlim=(_LEAST_FPR, _LARGEST_FPR),
        ylim=limits,
        xlabel="false-positive rate: fraction of negative pixels flagged",
        ylabel="true-positive rate",
    )
    axes.set_yticks(*probability_ticks(limits))
    dress(axes)
    add_legend(figure, axes, left=0.95)
    return figure


def plot_precision_recall(
    curves: Mapping[str, RocCurve],
    *,
    base_rate: float = float("nan"),
    order: Sequence[str] | None = None,
) -> Figure:
    """Precision against recall on logit axes, one line per predictor.

    Good detectors crowd into the corner (1, 1); on these axes each halving of the misses, or of
    the false alarms among the flagged pixels, is a step of the same length. A line begins with the
    tenth false alarm, before which its precision is mostly luck, and ends at the latest where one
    positive pixel in a thousand is missed.

    Args:
        curves: Printed name -> curve. Without a positive or a negative pixel there is no line.
        base_rate: Fraction of positive pixels: the precision of a forecast that only knows this,
            at any recall.
        order: Names in the order of their colours; default: that of ``curves``.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    across = (float(to_logit(0.1)), float(to_logit(0.999)))
    bottom, top = float(to_logit(0.1)), float(to_logit(0.99))
    for index, name, curve in numbered(curves, order):
        x, y = curve.tpr, curve.precision
        with np.errstate(invalid="ignore"):
            drawn = (curve.false_positives >= _FEWEST_FALSE) & (y > 0.0) & (x > 0.0) & (x < 1.0)
        x, y = to_logit(x[drawn]), to_logit(y[drawn])
        chosen = thin(x, y)
        draw_line(axes, x[chosen], y[chosen], name=name, index=index)
        top = max(top, y[x >= across[0]].max(initial=top))
    if 0.0 < base_rate < 1.0:
        rate = float(to_logit(base_rate))
        axes.axhline(rate, color=GREY, ls=DASHES, lw=1.2, label="base rate")
        bottom = min(bottom, rate - 0.4)
    along = (bottom, min(top + 0.3, _LARGEST_LOGIT))
    axes.set(
        xlim=across,
        ylim=along,
        xlabel="recall: fraction of positive pixels flagged",
        ylabel="precision: positives among flagged pixels",
    )
    axes.set_xticks(*probability_ticks(across))
    axes.set_yticks(*probability_ticks(along))
    dress(axes)
    add_legend(figure, axes, left=0.95)
    return figure
