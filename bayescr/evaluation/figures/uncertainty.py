"""Error against entropy: whether doubtful pixels are wrong, and as often as they claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr, expit

from bayescr.evaluation._arrays import Array
from bayescr.evaluation.figures._style import (
    GREY,
    add_legend,
    draw_bars,
    dress,
    escape,
    marker,
    new_figure,
    numbered,
    style,
)
from bayescr.evaluation.metrics.uncertainty import ErrorCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_error_against_entropy"]

_LEAST_ENTROPY = 1e-5  # [nat], of a logit of about 14: what is less stands at the left edge
_LEAST_RATE = 1e-8


def plot_error_against_entropy(
    curves: Mapping[str, ErrorCurve], *, order: Sequence[str] | None = None
) -> Figure:
    """Error rate of the pixels of like entropy, one line per predictor; both axes logarithmic.

    A pixel of probability p is called positive where p > 1/2. A calibrated predictor is wrong with
    probability min(p, 1 - p), which the entropy H(p) determines: the grey line. Above it a
    predictor is surer than it may be. A point stands at the mean entropy of its bin, with the bar
    of the curve's interval, solid from exposures, dotted where pixels are taken as independent; a
    bin without an error is an arrow down from its upper end.

    Args:
        curves: Printed name -> curve.
        order: Names in the order of their colours; default: that of ``curves``.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    sure = np.linspace(0.0, 20.0, 400)  # |logit|
    axes.plot(_entropy(sure), expit(-sure), color=GREY, lw=1.2, label="calibrated")
    lowest = 1e-4
    for index, name, curve in numbered(curves, order):
        entropy = np.maximum(curve.entropy, _LEAST_ENTROPY)
        some, colour = curve.error_rate > 0.0, style(index)["color"]
        rate, upper = curve.error_rate[some], curve.upper
        axes.plot(entropy[some], rate, label=escape(name), marker=marker(index), ms=4.5, lw=1.4,
                  **style(index))  # fmt: skip
        draw_bars(axes, entropy[some], curve.lower[some], upper[some],
                  by_exposure=curve.by_exposure[some], index=index)  # fmt: skip
        axes.plot(entropy[~some], upper[~some], color=colour, marker="$↓$", ms=8, ls="none")
        lowest = min(lowest, rate.min(initial=1.0), upper.min(initial=1.0))
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(0.8 * _LEAST_ENTROPY, 0.8),
        ylim=(max(lowest / 3.0, _LEAST_RATE), 1.0),
        xlabel="entropy of the predicted probability [nat]",
        ylabel="error rate of pixels of that entropy",
    )
    dress(axes)
    add_legend(figure, axes)
    return figure


def _entropy(logit: Array) -> Array:
    return entr(expit(logit)) + entr(expit(-logit))
