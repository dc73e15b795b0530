"""What the figures draw, read back from their artists; how they look was judged by eye."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bayescr.errors import BayescrError
from bayescr.evaluation import evaluate
from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation._contents import page_of
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.figures import (
    plot_error_against_entropy,
    plot_exposure,
    plot_precision_recall,
    plot_reliability,
    plot_risk_coverage,
    plot_roc,
    save_figure,
)
from bayescr.evaluation.figures._style import thin
from bayescr.evaluation.metrics.calibration import ReliabilityCurve
from bayescr.evaluation.metrics.detection import RocCurve
from bayescr.evaluation.metrics.selective import RiskCoverageCurve
from bayescr.evaluation.metrics.uncertainty import ErrorCurve

PLOTS = {
    plot_reliability: ReliabilityCurve.of_counts,
    plot_risk_coverage: lambda counts: RiskCoverageCurve.of_counts(counts.errors()),
    plot_roc: RocCurve.of_counts,
    plot_precision_recall: RocCurve.of_counts,
    plot_error_against_entropy: ErrorCurve.of_counts,
}
WITHOUT_RATE = (plot_roc, plot_error_against_entropy)
everyone = pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)


def pixels(size=20_000, seed=0):
    """Logits and labels of a calibrated predictor, one pixel in ten positive."""
    generator = np.random.default_rng(seed)
    track = generator.random(size) < 0.12
    z = np.where(track, generator.normal(2.0, 4.0, size), generator.normal(-6.0, 2.0, size))
    return z, generator.random(size) < 1.0 / (1.0 + np.exp(-z))


def counts(**options):
    return Counts.of(*pixels(**options))


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@everyone
def test_a_predictor_has_one_colour_in_all_figures(plot):
    names = [f"predictor {i}" for i in range(8)]
    curves = {name: PLOTS[plot](counts(seed=i, size=2000)) for i, name in enumerate(names)}
    drawn = lines(plot(curves).axes[0])
    looks = [(to_hex(drawn[name].get_color()), drawn[name].get_linestyle()) for name in names]
    assert len(set(looks)) == 8
    assert looks[0] == ("#0072b2", "-")
    assert looks[1] == ("#d55e00", "-")


@everyone
def test_a_predictor_keeps_its_look_where_others_are_left_out(plot):
    names = [f"predictor {i}" for i in range(4)]
    curves = {name: PLOTS[plot](counts(seed=i, size=2000)) for i, name in enumerate(names)}
    whole = lines(plot(curves).axes[0])
    left = {name: curves[name] for name in (names[3], names[1])}
    some = lines(plot(left, order=names).axes[0])
    for name in left:
        for read in ("get_color", "get_linestyle", "get_marker"):
            assert getattr(some[name], read)() == getattr(whole[name], read)()
    unknown = lines(plot({"new": curves[names[0]]}, order=names).axes[0])["new"]
    assert unknown.get_color() not in {line.get_color() for line in whole.values()}


class Ranks:
    """A method whose score is no probability: the image itself."""

    name, is_probability, provenance = "ranks", False, {}  # noqa: RUF012

    def score(self, frame):
        return frame


def test_a_row_that_only_ranks_shifts_no_colour(fakes):
    """It is missing from two figures, where those after it keep the colours of the others."""
    dataset = fakes[0](exposures=["a", "b"], size=48)
    dataset.frame = lambda index: dataset.items[index]["image"][0].numpy()
    rows = {"MAP": fakes[1](spread=0.0), "ranks": Ranks(), "mean-field": fakes[1]()}
    report = evaluate(rows, dataset, num_samples=2, num_bootstrap=0)
    drawn = {
        "roc": report.roc_figure(),
        "precision-recall": report.precision_recall_figure(),
        "risk": report.risk_coverage_figure(),
        "reliability": report.reliability_figure(),
        "errors": report.error_against_entropy_figure(),
    }
    found = {kind: lines(figure.axes[0]) for kind, figure in drawn.items()}
    assert [kind for kind in found if "ranks" not in found[kind]] == ["reliability", "errors"]
    for name in rows:
        looks = {(one[name].get_color(), one[name].get_marker()) for one in found.values()
                 if name in one}  # fmt: skip
        assert len(looks) == 1, name
    beneath = drawn["reliability"].axes[1].lines  # pixels per bin
    assert [line.get_color() for line in beneath] == [
        found["roc"][name].get_color() for name in ("MAP", "mean-field")
    ]
    names = [curve.name for curve in page_of(report, {}).curves]
    assert names == list(rows)  # the page numbers its colours by place, as the figures do
    style = (files("bayescr.evaluation.page") / "style.css").read_text(encoding="utf-8")
    palette = re.findall(r"--c\d: (#[0-9a-f]{6})", style)
    for place, name in enumerate(names):
        assert palette[place] == found["roc"][name].get_color().lower()


@everyone
def test_nothing_is_cut_off(plot):
    """No label or legend lies outside the figure, however many names there are."""
    names = [f"predictor {'x' * 4 * i}" for i in range(9)]
    curves = {name: PLOTS[plot](counts(seed=i, size=2000)) for i, name in enumerate(names)}
    for some in (curves, {"x": curves[names[0]]}):
        figure = plot(some, **({} if plot in WITHOUT_RATE else {"base_rate": 0.1}))
        figure.draw_without_rendering()
        box = figure.get_tightbbox()  # [inch]
        width, height = figure.get_size_inches()
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > 0.0
        legend = figure.legends[0].get_window_extent()
        for axes in figure.axes:
            assert not axes.get_tightbbox().overlaps(legend)


def test_bars_are_solid_from_exposures_and_dotted_from_pixels():
    for plot in (plot_reliability, plot_error_against_entropy):
        curve = PLOTS[plot](counts())
        half = replace(curve, by_exposure=np.arange(curve.count.size) % 2 == 0)
        texts = [text.get_text() for text in plot({"x": half, "y": half}).legends[0].texts]
        assert texts[-2:] == ["interval from exposures", "interval as if pixels were independent"]
        assert len(texts) == len(set(texts))


@everyone
def test_names_are_printed_letter_for_letter(plot):
    names = ["mean_field", "_SWAG", "p = $0.1$ or $x$", r"a\b", "50% {x}^2"]
    figure = plot({name: PLOTS[plot](counts(seed=i)) for i, name in enumerate(names)})
    figure.draw_without_rendering()  # what looks like a formula would be parsed here
    printed = {re.sub(r"\\\$", "$", text.get_text()).strip() for text in figure.legends[0].texts}
    assert set(names) <= printed


@everyone
def test_no_error_no_pixel_and_certain_forecasts_can_be_drawn(plot, tmp_path):
    perfect = Counts.of(np.array([-np.inf, np.inf, 40.0]), np.array([False, True, True]))
    nothing = Counts.of(np.empty(0), np.empty(0, dtype=bool))
    wrong = Counts.of(np.array([np.inf, -np.inf]), np.array([False, True]))
    negative = Counts.of(np.array([-2.0, -3.0]), np.array([False, False]))
    cases = {"perfect": perfect, "nothing": nothing, "wrong": wrong, "negative": negative}
    for name, case in cases.items():
        plot({name: PLOTS[plot](case)}).draw_without_rendering()
    plot({}).draw_without_rendering()
    save_figure(plot({name: PLOTS[plot](case) for name, case in cases.items()}), tmp_path / "a.pdf")


@everyone
def test_large_curves_are_thinned(plot):
    figure = plot({"x": PLOTS[plot](counts(size=100_000))})
    assert all(len(line.get_xdata()) <= 1000 for line in figure.axes[0].lines)


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_figure_is_saved_with_the_same_bytes_again(tmp_path, monkeypatch, suffix):
    curves = {"x": RocCurve.of_counts(counts())}
    save_figure(plot_roc(curves), tmp_path / f"a.{suffix}")
    monkeypatch.setattr("time.time", lambda: 1e9)
    save_figure(plot_roc(curves), tmp_path / f"b.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second
    assert b"Matplotlib" not in first
    assert b"CreationDate" not in first
    file = io.BytesIO()
    save_figure(plot_roc(curves), file, format=suffix)
    assert file.getvalue() == first


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(BayescrError, match="'jpg': expected png or pdf"):
        save_figure(Figure(), tmp_path / "x.jpg")
    with pytest.raises(BayescrError, match="None: expected png or pdf"):
        save_figure(Figure(), io.BytesIO())


def test_drawing_leaves_pyplot_alone():
    before = "matplotlib.pyplot" in sys.modules
    for plot, curve in PLOTS.items():
        plot({"x": curve(counts())})
    if before:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    else:
        assert "matplotlib.pyplot" not in sys.modules


def test_thinning_keeps_the_ends_and_a_line_within_a_thousandth():
    x = np.linspace(0.0, 1.0, 50_000)
    y = np.tanh(50.0 * (x - 0.3))
    chosen = thin(x, y, size=500)
    assert chosen.size <= 500
    assert (chosen[0], chosen[-1]) == (0, x.size - 1)
    # Steps of at most 2 / 499 of the length (the sum of both ranges) leave the chord at most that
    # far from the curve; the curvature here makes it much less.
    np.testing.assert_allclose(np.interp(x, x[chosen], y[chosen]), y, atol=2e-3)
    np.testing.assert_array_equal(thin(x[:7], y[:7]), np.arange(7))


def test_risk_coverage_line_lies_on_the_curve():
    curve = RiskCoverageCurve.of_counts(counts(size=5000).errors())
    rejected, risk = lines(plot_risk_coverage({"x": curve}, base_rate=0.3).axes[0])["x"].get_data()
    assert 300 < rejected.size <= 1000
    # The curve rises by one error in a hundred or so from one pixel to the next.
    np.testing.assert_allclose(
        risk, np.interp(1.0 - rejected, curve.coverage, curve.risk), rtol=0.02
    )
    assert risk[-1] == curve.risk[-1]


def test_base_rate_is_a_line_of_its_own():
    made = counts()
    for plot in (plot_reliability, plot_risk_coverage, plot_precision_recall):
        drawn = lines(plot({"x": PLOTS[plot](made)}, base_rate=0.03).axes[0])
        y = drawn["base rate"].get_ydata()[0]
        assert y == pytest.approx(0.03 if plot is plot_risk_coverage else to_logit(0.03))


def test_bins_without_a_positive_pixel_become_arrows():
    z = np.repeat([-6.5, 0.5, 6.5], 50)
    y = np.repeat([False, True, True], 50)
    y[60] = False
    figure = plot_reliability({"x": ReliabilityCurve.of_counts(Counts.of(z, y))}, base_rate=0.66)
    top, beneath = figure.axes
    assert lines(top)["x"].get_xdata().size == 1
    arrows = [line for line in top.lines if line.get_marker() in ("$↓$", "$↑$")]
    assert [line.get_xdata().size for line in arrows] == [1, 1]
    np.testing.assert_array_equal(beneath.lines[0].get_ydata(), [50, 50, 50])


def test_roc_line_is_the_curve_between_its_first_false_alarm_and_its_last_miss():
    curve = RocCurve.of_counts(counts(size=900))
    line = lines(plot_roc({"x": curve}).axes[0])["x"]
    x, y = line.get_data()
    shown = (curve.fpr > 0) & (curve.fpr <= 0.2) & (curve.tpr < 1)
    np.testing.assert_array_equal(x, curve.fpr[shown])
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-y)), curve.tpr[shown])


def test_precision_recall_line_begins_with_the_tenth_false_alarm():
    curve = RocCurve.of_counts(counts(size=900))
    x, y = lines(plot_precision_recall({"x": curve}).axes[0])["x"].get_data()
    shown = (curve.false_positives >= 10) & (curve.tpr < 1)
    np.testing.assert_allclose(x, to_logit(curve.tpr[shown]))
    np.testing.assert_allclose(y, to_logit(curve.precision[shown]))


def test_error_of_a_calibrated_predictor_lies_on_the_grey_line():
    z, y = pixels(size=400_000)
    curve = ErrorCurve.of_counts(Counts.of(z, y))
    axes = plot_error_against_entropy({"x": curve}).axes[0]
    grey, line = lines(axes)["calibrated"], lines(axes)["x"]
    x, rate = line.get_data()
    often = x > 0.01  # at least some hundred errors in each bin
    expected = np.interp(x[often], grey.get_xdata()[::-1], grey.get_ydata()[::-1])
    np.testing.assert_allclose(rate[often], expected, rtol=0.15)
    # A predictor twice as sure is wrong more often than it says.
    sure = ErrorCurve.of_counts(Counts.of(2.0 * z, y))
    x, rate = lines(plot_error_against_entropy({"x": sure}).axes[0])["x"].get_data()
    often = (x > 0.01) & (x < 0.5)
    expected = np.interp(x[often], grey.get_xdata()[::-1], grey.get_ydata()[::-1])
    assert np.all(rate[often] > 1.3 * expected)


def maps(shape=(300, 400)):
    generator = np.random.default_rng(6)
    image = generator.normal(100.0, 3.0, shape)
    target = generator.random(shape) < 0.01
    image[target] += 300.0
    logit = np.where(target, 4.0, -8.0) + generator.normal(0.0, 1.0, shape)
    return {
        "image": image,
        "target": target,
        "valid": generator.random(shape) < 0.97,
        "logit": logit,
        "mutual_information": 0.01 * generator.random(shape),
    }


def shown(figure):
    """Title -> image of each map, without the colour bars."""
    return {axes.get_title(): axes.images[0] for axes in figure.axes if axes.get_title()}


def test_exposure_shows_the_window_of_the_largest_loss():
    frame = maps()
    frame["logit"][30:286, 120:376] -= 0.5 * frame["target"][30:286, 120:376]
    frame["logit"][[30, 285], 120], frame["logit"][[30, 285], 375] = 20.0, 20.0  # certain mistakes
    frame["target"][[30, 285], 120] = frame["target"][[30, 285], 375] = False
    frame["valid"][[30, 285], 120] = frame["valid"][[30, 285], 375] = True
    frame["valid"][5, 5], frame["logit"][5, 5] = False, np.nan
    figure = plot_exposure(**frame, title="$j_8$ by MAP")
    assert "rows 30 to 286, columns 120 to 376" in figure.get_suptitle()
    panels = shown(figure)
    assert list(panels) == [
        "image above the sky [σ]", "truth", "probability", "loss [nat]", "entropy [nat]",
        "mutual information [nat]",
    ]  # fmt: skip
    z, valid = frame["logit"][30:286, 120:376], frame["valid"][30:286, 120:376]
    p = 1.0 / (1.0 + np.exp(-z))
    for name, expected in {
        "probability": p,
        "loss [nat]": -np.log(np.where(frame["target"][30:286, 120:376], p, 1.0 - p)),
        "entropy [nat]": -p * np.log(p) - (1.0 - p) * np.log(1.0 - p),
        "mutual information [nat]": frame["mutual_information"][30:286, 120:376],
    }.items():
        values = panels[name].get_array()
        np.testing.assert_array_equal(values.mask, ~valid)
        np.testing.assert_allclose(values[valid], expected[valid], rtol=1e-6)
        assert panels[name].get_extent() == [119.5, 375.5, 29.5, 285.5]
        assert panels[name].cmap.get_bad()[:3] == pytest.approx([0x8C / 255] * 3)
    sky = panels["image above the sky [σ]"].get_array()
    assert np.median(sky.compressed()) == pytest.approx(0.0, abs=1e-12)
    painted = figure.axes[1].images[1].get_array()
    np.testing.assert_array_equal(~painted.mask, frame["target"][30:286, 120:376] & valid)


def test_small_exposures_are_shown_whole(tmp_path):
    frame = maps((20, 33)) | {"mutual_information": np.zeros((20, 33))}
    figure = plot_exposure(**frame, title="best_of $3")
    assert figure.get_suptitle() == r"best_of \$3"
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["none: a single answer"]
    flat = {name: np.zeros((4, 4), dtype=values.dtype) for name, values in frame.items()}
    plot_exposure(**flat, title="nothing valid").draw_without_rendering()
    flat["valid"] = ~flat["valid"]
    save_figure(plot_exposure(**flat, title="nothing there"), tmp_path / "a.pdf")


def test_maps_of_another_shape_are_refused():
    frame = maps((20, 33))
    with pytest.raises(
        BayescrError, match=r"logit has shape \(1, 20, 33\) and the image \(20, 33\)"
    ):
        plot_exposure(**frame | {"logit": frame["logit"][None]}, title="x")
