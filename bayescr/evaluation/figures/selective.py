"""Risk against coverage: how wrong the answers are that a predictor is sure of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayescr.evaluation._arrays import Array
from bayescr.evaluation.figures._style import (
    DASHES,
    GREY,
    add_legend,
    draw_line,
    dress,
    log_if_positive,
    new_figure,
    numbered,
    thin,
)
from bayescr.evaluation.metrics.selective import RiskCoverageCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_risk_coverage"]

_LEAST_REJECTED = 1e-6  # more nines than can be read


def plot_risk_coverage(
    curves: Mapping[str, RiskCoverageCurve],
    *,
    base_rate: float = float("nan"),
    order: Sequence[str] | None = None,
) -> Figure:
    """Selective risk against coverage, one line per predictor.

    Where a percent of the pixels are positive, all that happens, happens while the last percent is
    accepted: the coverage axis is logarithmic in the fraction rejected, so that every step to the
    right adds a nine. A line ends where no error is left among the accepted pixels.

    Args:
        curves: Printed name -> curve.
        base_rate: Fraction of positive pixels. A forecast that only knows this has the same risk
            at any coverage: a dashed line.
        order: Names in the order of their colours; default: that of ``curves``.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    last = 0.1  # the rejected fraction at the right edge: a decade or so below the final risk
    for index, name, curve in numbered(curves, order):
        rejected, risk = _points(curve)
        draw_line(axes, rejected, risk, name=name, index=index)
        if risk.size:
            last = min(last, max(float(risk[-1]) / 20.0, _LEAST_REJECTED))
    if 0.0 < base_rate < 1.0:
        chance = min(base_rate, 1.0 - base_rate)
        axes.axhline(chance, color=GREY, ls=DASHES, lw=1.2, label="base rate")
    decades = np.arange(0, np.ceil(-np.log10(last)) + 1)
    axes.set(
        xscale="log",
        yscale=log_if_positive(axes),
        xlim=(1.0, 10.0 ** -decades[-1]),
        xlabel="coverage: fraction of pixels accepted, most confident first",
        ylabel="selective risk: error rate of accepted pixels",
    )
    axes.set_xticks(10.0**-decades, [f"{100.0 * (1.0 - 10.0**-d):.10g}%" for d in decades])
    dress(axes)
    add_legend(figure, axes)
    return figure


def _points(curve: RiskCoverageCurve) -> tuple[Array, Array]:
    """Rejected fraction and risk; what is 0 has no place on logarithmic axes and is left out."""
    some = curve.errors > 0
    if not some.any():
        return np.empty(0), np.empty(0)
    total = float(curve.accepted[-1])
    # Full coverage rejects nothing; it is drawn where less than one pixel is rejected.
    rejected = np.maximum(1.0 - curve.coverage[some], 0.1 / total)
    risk = curve.risk[some]
    chosen = thin(np.log(rejected), np.log(risk))
    return rejected[chosen], risk[chosen]
