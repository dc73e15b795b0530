"""Calibration errors and curves against brute force; ties across bins against all their orders."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from bayescr.errors import BayescrError
from bayescr.evaluation.metrics import ece, mce, reliability_curve

fixed = settings(derandomize=True, deadline=None, max_examples=300)

logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=6)


def arrays(pairs):
    return np.array([z for z, _ in pairs]), np.array([y for _, y in pairs])


def probability(z):
    return 0.0 if z == -math.inf else 1.0 / (1.0 + math.exp(-z))


def chosen(pairs, above, up_to):
    kept = [(probability(z), y) for z, y in pairs]
    kept = [(p, y) for p, y in kept if above is None or p > above]
    return [(p, y) for p, y in kept if up_to is None or p <= up_to]


@fixed
@given(
    pixels,
    st.sampled_from([None, 0.001, 0.5]),
    st.sampled_from([None, 0.5, 0.9]),
    st.sampled_from([1, 2, 15]),
)
def test_bins_of_equal_width_are_their_definition(pairs, above, up_to, num_bins):
    bins = {}
    for p, y in chosen(pairs, above, up_to):
        place = next(k for k in range(num_bins) if p < (k + 1) / num_bins or k == num_bins - 1)
        bins.setdefault(place, []).append(p - y)
    total = sum(map(len, bins.values()))
    gaps = [abs(sum(members)) for members in bins.values()]
    options = {"above": above, "up_to": up_to, "num_bins": num_bins}
    expected = sum(gaps) / total if total else math.nan
    assert ece(*arrays(pairs), **options) == pytest.approx(expected, abs=1e-14, nan_ok=True)
    sizes = map(len, bins.values())
    worst = max((g / n for g, n in zip(gaps, sizes, strict=True)), default=math.nan)
    assert mce(*arrays(pairs), **options) == pytest.approx(worst, abs=1e-14, nan_ok=True)


@fixed
@given(pixels, st.sampled_from([None, 0.5]), st.sampled_from([1, 2, 3, 5]))
def test_bins_of_equal_mass_are_the_mean_over_all_orders_of_ties(pairs, above, num_bins):
    """Each pixel is cut into as many parts as there are bins: then bins hold whole parts."""
    kept = sorted(chosen(pairs, above, None), key=lambda pixel: pixel[0])
    groups = [list(group) for _, group in itertools.groupby(kept, key=lambda pixel: pixel[0])]
    orders = list(itertools.product(*(itertools.permutations(group) for group in groups)))
    excess = [Fraction(0)] * num_bins
    for order in orders if kept else []:
        parts = [pixel for group in order for pixel in group for _ in range(num_bins)]
        for k in range(num_bins):
            inside = parts[k * len(kept) : (k + 1) * len(kept)]
            gap = sum(Fraction(p) - y for p, y in inside) / num_bins
            excess[k] += gap / len(orders)
    share = Fraction(len(kept), num_bins)
    gaps = [float(abs(gap) / share) if kept else math.nan for gap in excess]
    options = {"above": above, "num_bins": num_bins, "bins": "mass"}
    assert ece(*arrays(pairs), **options) == pytest.approx(np.mean(gaps), abs=1e-14, nan_ok=True)
    assert mce(*arrays(pairs), **options) == pytest.approx(max(gaps), abs=1e-13, nan_ok=True)


def test_the_two_classes_of_answers_share_the_error_by_their_pixels():
    """With an edge at p = 1/2 the ECE is the mean of both, weighted by pixels."""
    generator = np.random.default_rng(0)
    z = generator.normal(-1.0, 2.0, 1000)
    y = generator.random(1000) < 0.3
    flagged = np.mean(z > 0.0)
    parts = flagged * ece(z, y, num_bins=4, above=0.5)
    parts += (1.0 - flagged) * ece(z, y, num_bins=4, up_to=0.5)
    assert ece(z, y, num_bins=4) == pytest.approx(parts, rel=1e-12)


@pytest.mark.parametrize("bins", ["width", "mass"])
@pytest.mark.parametrize("metric", [ece, mce])
def test_one_pixel_and_certain_ones(metric, bins):
    assert metric([np.inf], [1], bins=bins) == 0.0
    assert metric([-np.inf], [0], bins=bins) == 0.0
    assert metric([np.inf], [0], bins=bins) == pytest.approx(1.0, abs=1e-14)
    assert metric([-np.inf], [1], bins=bins) == pytest.approx(1.0, abs=1e-14)
    assert math.isnan(metric([-1.0], [0], bins=bins, above=0.5))


def test_one_wrong_pixel_makes_the_mce_of_equal_widths_and_not_of_equal_masses():
    z, y = np.append(np.full(1499, -20.0), 20.0), np.zeros(1500)
    assert mce(z, y) == pytest.approx(1.0, abs=1e-8)
    assert mce(z, y, bins="mass") == pytest.approx(0.01, abs=1e-8)  # one of a bin's hundred


def test_reliability_curve_counts_every_pixel_in_its_bin():
    generator = np.random.default_rng(1)
    z = np.append(generator.normal(0.0, 6.0, 500), [-np.inf, np.inf, 2.0])
    y = generator.random(503) < 0.4
    curve = reliability_curve(z, y)
    assert curve.count.sum() == 503
    for k, (low, high) in enumerate(curve.edges):
        inside = (z >= low) & ((z < high) | (high == np.inf))
        n, s = np.count_nonzero(inside), np.count_nonzero(y[inside])
        assert curve.count[k] == n
        assert curve.frequency[k] == s / n
        assert curve.probability[k] == pytest.approx(np.mean([probability(v) for v in z[inside]]))
        assert curve.lower[k] <= curve.frequency[k] <= curve.upper[k]
        if 0 < s < n:
            jeffreys = beta(s + 0.5, n - s + 0.5)
            mass = jeffreys.cdf(curve.upper[k]) - jeffreys.cdf(curve.lower[k])
            assert mass == pytest.approx(0.95)
        else:
            assert curve.lower[k] == 0.0 if s == 0 else curve.upper[k] == 1.0


def test_reliability_curve_of_nothing_is_empty():
    curve = reliability_curve(np.empty(0), np.empty(0))
    assert curve.count.size == curve.lower.size == curve.edges[:, 0].size == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ece([0.0], [1], num_bins=0), "num_bins is 0"),
        (lambda: mce([0.0], [1], num_bins=0), "num_bins is 0"),
        (lambda: ece([0.0], [1], bins="equal"), 'bins is \'equal\': expected "width" or "mass"'),
        (lambda: reliability_curve([0.0], [1], edges=[1.0, 0.0]), "ascending"),
        (lambda: reliability_curve([0.0], [1], edges=[0.0, np.inf]), "finite"),
        (lambda: reliability_curve([0.0], [1], level=95), "level is 95"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
