"""Pixels of several networks together, and intervals of bins from exposures, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from scipy.stats import t as student

from bayescr.evaluation import evaluate
from bayescr.evaluation._contents import figures_of, page_of
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics.family import LOGITS
from bayescr.evaluation.pooled import error_curve_of, intervals, pooled, reliability_curve_of

SLOPES = (0.9, 2.0)


def jeffreys(s, n, level=0.95):
    tail = (1 - level) / 2
    return beta.ppf(tail, s + 0.5, n - s + 0.5), beta.ppf(1 - tail, s + 0.5, n - s + 0.5)


@pytest.fixture(scope="module")
def data(fakes):
    names = [f"e{index}" for index in range(6)]
    return fakes[0](exposures=names, size=48), fakes[0](exposures=["v", "w"], size=48, seed=5)


@pytest.fixture(scope="module")
def two_seeds(fakes, data):
    """A row of two networks, each under a temperature of its own besides, and a row of one."""
    networks = [fakes[1](slope=slope, spread=0.0) for slope in SLOPES]
    rows = {"MAP": networks, "one": fakes[1](slope=0.5, spread=0.0)}
    dataset, validation = data
    return evaluate(rows, dataset, validation=validation, num_samples=1, num_bootstrap=0)


@pytest.fixture(scope="module")
def by_exposure(data):
    """Of each exposure the pixels, which are the logits of a network of slope 1, and labels."""
    found = {}
    for item in data[0]:
        valid = item["valid"]
        found[item["exposure"]] = item["image"][valid].numpy(), item["target"][valid].numpy() == 1
    return found


def test_pooled_counts_are_those_of_all_pixels():
    generator = np.random.default_rng(0)
    parts = [(generator.integers(-5, 5, 50) / size, generator.random(50) < 0.4) for size in (1, 2)]
    together = pooled([Counts.of(*part) for part in parts])
    whole = Counts.of(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    for name in ("score", "negative", "positive"):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name))


@pytest.mark.parametrize("row", ["MAP", "MAP, temperature-scaled"])
def test_a_report_counts_the_pixels_of_every_network(two_seeds, by_exposure, row):
    """Though temperatures differ by a factor of 2, so that cells of the two lie apart."""
    counts = two_seeds.counts[row]
    z, y = (np.concatenate(arrays) for arrays in zip(*by_exposure.values(), strict=True))
    scales = np.array(SLOPES)
    if row != "MAP":
        rows = two_seeds.manifest["rows"][row]
        fitted = [one["provenance"]["recalibration"][0]["temperature"] for one in rows]
        assert fitted[1] > 1.5 * fitted[0]
        scales = scales / fitted
    assert counts.size == 2 * z.size
    assert np.all(np.diff(counts.score) > 0)
    for threshold in (-6.0, -1.0, 0.0, 0.3, 2.0):
        for label, counted in ((False, counts.negative), (True, counts.positive)):
            least, most = (
                sum(np.sum(scale * z[y == label] > threshold + step * scale) for scale in scales)
                for step in (1 / 64, -1 / 64)  # as wide as a cell of the logit before
            )
            assert least <= counted[counts.score > threshold].sum() <= most
            if threshold == 0.0:  # no cell straddles it
                exact = 2 * np.sum(z[y == label] > 0)
                assert counted[counts.score > threshold].sum() == exact


def test_the_first_seed_alone_would_be_another_curve(two_seeds):
    """The test above could not fail otherwise."""
    first, _ = two_seeds.rows["MAP"]
    one = first.total(LOGITS, two_seeds.observed.slices[0])
    assert 2 * one.positive[one.score > 2.0].sum() != (
        two_seeds.counts["MAP"].positive[two_seeds.counts["MAP"].score > 2.0].sum()
    )


def test_readers_are_told_of_several_seeds(two_seeds, fakes, data):
    sentence = "Of several seeds the pixels of every network count."
    names = ("reliability", "risk_coverage", "roc", "precision_recall", "error_against_entropy")
    described, page = figures_of(two_seeds), page_of(two_seeds, {})
    assert all(sentence in described[name].caption for name in names)
    assert {one.name: one.seeds for one in page.curves} == {
        "MAP": 2, "MAP, temperature-scaled": 2, "MAP, ensemble of 2": 1,
        "one": 1, "one, temperature-scaled": 1,
    }  # fmt: skip
    single = evaluate({"one": fakes[1]()}, data[0], num_samples=2, num_bootstrap=0)
    assert not any(sentence in figures_of(single)[name].caption for name in names)


def test_intervals_are_the_formula_bin_by_bin():
    generator = np.random.default_rng(1)
    pixels = generator.poisson(30.0, (7, 40)) * (generator.random((7, 40)) < 0.8)
    events = generator.binomial(pixels, generator.beta(2.0, 3.0, (7, 1)))
    lower, upper, known = intervals(events, pixels, level=0.9)
    assert known.sum() > 30
    for k in np.flatnonzero(known):
        s, n = events[:, k].sum(), pixels[:, k].sum()
        f, there = s / n, np.flatnonzero(pixels[:, k])
        m = there.size
        left_out = [(s - events[e, k]) / (n - pixels[e, k]) for e in there]
        variance = (m - 1) / m * sum((one - f) ** 2 for one in left_out)
        amount = n * min(1.0, f * (1 - f) / n / variance)
        amount *= (student.ppf(0.95, n - 1) / student.ppf(0.95, m - 1)) ** 2
        assert (lower[k], upper[k]) == pytest.approx(jeffreys(f * amount, amount, 0.9))


def test_all_or_nothing_exposures_count_as_one_pixel_each():
    """Of m = 20 such exposures v = f (1 - f) / (m - 1), so that n* = 19 up to Student's t."""
    events = np.where(np.arange(20) < 8, 1000, 0)[:, None]
    lower, upper, _ = intervals(events, np.full((20, 1), 1000))
    amount = 19 * (student.ppf(0.975, 19_999) / student.ppf(0.975, 19)) ** 2
    assert (lower[0], upper[0]) == pytest.approx(jeffreys(0.4 * amount, amount))


def test_where_exposures_cannot_tell_pixels_are_taken_as_independent():
    """No event; nothing else; only one exposure; and one where they can."""
    pixels = np.array([[50, 50, 0, 50], [50, 50, 80, 50]])
    events = np.array([[0, 50, 0, 20], [0, 50, 9, 30]])
    lower, upper, known = intervals(events, pixels, networks=2)
    np.testing.assert_array_equal(known, [False, False, False, True])
    # Two networks answered for each pixel.
    assert (lower[0], upper[0]) == (0.0, pytest.approx(jeffreys(0, 50)[1]))
    assert (lower[1], upper[1]) == (pytest.approx(jeffreys(50, 50)[0]), 1.0)
    assert (lower[2], upper[2]) == pytest.approx(jeffreys(4.5, 40))


def test_intervals_hold_the_truth_where_exposures_differ():
    """Frequencies of 10 exposures scatter by half of their odds; 3000 sets tell to 0.6%.

    Intervals of 95% hold the truth in 93%; those of independent pixels, in 58%.
    """
    generator, sets = np.random.default_rng(2), 3000
    frequency = 1 / (1 + np.exp(1.0 - 0.5 * generator.normal(size=(10, sets))))
    truth = np.mean(1 / (1 + np.exp(1.0 - 0.5 * generator.normal(size=10**6))))
    pixels = generator.poisson(60.0, (10, sets))
    events = generator.binomial(pixels, frequency)
    lower, upper, _ = intervals(events, pixels)
    assert 0.92 < np.mean((lower <= truth) & (truth <= upper)) < 0.97
    lower, upper = jeffreys(events.sum(axis=0), pixels.sum(axis=0))
    assert np.mean((lower <= truth) & (truth <= upper)) < 0.7


@pytest.mark.parametrize("kind", ["reliability", "errors"])
def test_curves_of_a_report_count_the_events_of_each_exposure(two_seeds, by_exposure, kind):
    members, part = two_seeds.rows["MAP"], two_seeds.observed.slices[0]
    of = {"reliability": reliability_curve_of, "errors": error_curve_of}[kind]
    curve = of(two_seeds.counts["MAP"], members, part, level=0.8)
    answers = {
        exposure: (np.concatenate([s * z for s in SLOPES]), np.tile(y, 2))
        for exposure, (z, y) in by_exposure.items()
    }
    events, pixels = [], []
    for z, y in answers.values():  # bins end at whole logits; no pixel lies on one
        if kind == "reliability":
            place, event = np.clip(np.floor(z), -13, 12) + 13, y
        else:
            place, event = 12 - np.minimum(np.floor(np.abs(z)), 12), (z > 0) != y
        place = place.astype(int)
        events.append(np.bincount(place, event, minlength=26))
        pixels.append(np.bincount(place, minlength=26))
    events, pixels = np.array(events), np.array(pixels)
    filled = pixels.sum(axis=0) > 0
    lower, upper, known = intervals(events[:, filled], pixels[:, filled], networks=2, level=0.8)
    np.testing.assert_array_equal(curve.count, pixels.sum(axis=0)[filled])
    np.testing.assert_allclose(curve.lower, lower, rtol=1e-9)
    np.testing.assert_allclose(curve.upper, upper, rtol=1e-9)
    np.testing.assert_array_equal(curve.by_exposure, known)
    assert known.any()
    assert not known.all()


def test_one_exposure_gives_dotted_bars_and_several_solid_ones(two_seeds, fakes, data):
    alone = fakes[0](exposures=["e"], size=48)
    single = evaluate({"MAP": fakes[1](spread=0.0)}, alone, num_samples=1, num_bootstrap=0)
    for figure, wanted in [
        (single.reliability_figure(), "interval as if pixels were independent"),
        (single.error_against_entropy_figure(), "interval as if pixels were independent"),
        (two_seeds.reliability_figure(), "interval from exposures"),
        (two_seeds.error_against_entropy_figure(), "interval from exposures"),
    ]:
        texts = [text.get_text() for text in figure.legends[0].texts]
        assert wanted in texts
        bars = [one for one in figure.axes[0].collections if one.get_label() == wanted]
        (_, dashes), *_ = bars[0].get_linestyle()
        assert (dashes is None) == (wanted == "interval from exposures")
    caption = figures_of(single)["reliability"].caption
    assert "95% intervals" in caption
    assert "as if pixels were independent, which is too short" in caption
