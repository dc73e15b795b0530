"""What the figures draw, read back from their artists; how they look was judged by eye."""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.colors import to_hex

from bayescr.evaluation import plot_reliability, reliability_curve, risk_coverage
from bayescr.evaluation.figures import plot_risk_coverage


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_a_predictor_has_one_colour_in_both_figures(report):
    risk = lines(report.risk_coverage_figure().axes[0])
    reliability = lines(report.reliability_figure().axes[0])
    names = ["mean-field", "MAP", "cold (T = 0.01)"]
    colours = [to_hex(risk[name].get_color()) for name in names]
    assert colours == [to_hex(reliability[name].get_color()) for name in names]
    assert len(set(colours)) == 3
    assert "base rate" in risk
    assert {"base rate", "perfect calibration"} <= set(reliability)


def test_risk_coverage_line_lies_on_the_curve():
    generator = np.random.default_rng(0)
    z = generator.normal(0.0, 2.0, 5000)
    y = generator.random(5000) < 1.0 / (1.0 + np.exp(-z))
    curve = risk_coverage(z, y)
    line = lines(plot_risk_coverage({"x": curve}, base_rate=0.3).axes[0])["x"]
    rejected, risk = line.get_data()
    assert 300 < rejected.size <= 1000
    found = np.interp(1.0 - rejected, curve.coverage, curve.risk)
    np.testing.assert_allclose(risk, found, rtol=1e-3)
    assert risk[-1] == curve.risk[-1]


def test_bins_without_a_positive_pixel_become_arrows():
    z = np.repeat([-6.5, 0.5, 6.5], 50)
    y = np.repeat([0, 1, 1], 50)
    y[60] = 0
    figure = plot_reliability({"x": reliability_curve(z, y)}, base_rate=0.66)
    top, counts = figure.axes
    assert lines(top)["x"].get_xdata().size == 1
    arrows = [line for line in top.lines if line.get_marker() in ("$↓$", "$↑$")]
    assert [line.get_xdata().size for line in arrows] == [1, 1]
    np.testing.assert_array_equal(counts.lines[0].get_ydata(), [50, 50, 50])


def test_no_error_no_pixel_and_certain_forecasts_can_be_drawn(tmp_path):
    perfect = (np.array([-np.inf, np.inf, 40.0]), np.array([0, 1, 1]))
    curves = {"perfect": risk_coverage(*perfect), "nothing": risk_coverage([], [])}
    plot_risk_coverage(curves).savefig(tmp_path / "a.png")
    curves = {"perfect": reliability_curve(*perfect), "nothing": reliability_curve([], [])}
    plot_reliability(curves).savefig(tmp_path / "b.png")


def test_drawing_leaves_pyplot_alone(report):
    before = "matplotlib.pyplot" in sys.modules
    report.reliability_figure()
    report.risk_coverage_figure()
    if before:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    else:
        assert "matplotlib.pyplot" not in sys.modules
