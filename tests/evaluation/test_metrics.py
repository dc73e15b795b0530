"""Every metric against an independent brute force on small random inputs, ties and corners in."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from bayescr.errors import BayescrError
from bayescr.evaluation import (
    augrc,
    aurc,
    base_rate,
    brier,
    brier_skill,
    ece,
    mean_entropy,
    mean_mutual_information,
    nll,
    reliability_curve,
    risk_coverage,
    roc_curve,
    to_logit,
    tpr_at_fpr,
)

METRICS = {
    "brier": brier,
    "brier_skill": brier_skill,
    "nll": nll,
    "ece": ece,
    "ece above": lambda z, y, valid=None: ece(z, y, valid=valid, above=0.001),
    "aurc": aurc,
    "augrc": augrc,
    "tpr": lambda z, y, valid=None: tpr_at_fpr(z, y, 0.1, valid=valid),
    "entropy": lambda z, y, valid=None: mean_entropy(z, valid=valid),
    "information": lambda z, y, valid=None: mean_mutual_information(z, valid=valid),
    "base rate": lambda z, y, valid=None: base_rate(y, valid=valid),
}
fixed = settings(derandomize=True, deadline=None, max_examples=300)

# Few distinct values make many ties; the infinite ones are p = 0 and 1.
logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=7)


def arrays(pairs):
    return np.array([z for z, _ in pairs]), np.array([y for _, y in pairs])


def probability(z):
    return 0.0 if z == -math.inf else 1.0 / (1.0 + math.exp(-z))


def tie_orders(pairs, key):
    """All orders of the pixels in which the key does not increase."""
    ranked = sorted(pairs, key=key, reverse=True)
    groups = [list(group) for _, group in itertools.groupby(ranked, key=key)]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [pixel for part in parts for pixel in part]


@fixed
@given(pixels)
def test_scores_are_their_definitions(pairs):
    z, y = arrays(pairs)
    p = [probability(value) for value in z]
    squares = [(a - b) ** 2 for a, b in zip(p, y, strict=True)]
    assert brier(z, y) == pytest.approx(sum(squares) / len(p), rel=1e-12)
    happened = [a if b else 1.0 - a for a, b in zip(p, y, strict=True)]
    expected = math.inf if 0.0 in happened else -sum(map(math.log, happened)) / len(p)
    assert nll(z, y) == pytest.approx(expected, rel=1e-9)  # 1 - p of the reference rounds
    rate = sum(y) / len(y)
    if 0 < rate < 1:
        skill = 1.0 - sum(squares) / len(p) / (rate * (1 - rate))
        assert brier_skill(z, y) == pytest.approx(skill, rel=1e-9, abs=1e-12)
    else:
        assert math.isnan(brier_skill(z, y))


@fixed
@given(pixels, st.sampled_from([None, 0.001, 0.5]))
def test_ece_is_its_definition(pairs, above):
    bins = {}
    for z, y in pairs:
        p = probability(z)
        if above is None or p > above:
            chosen = next(k for k in range(15) if p < (k + 1) / 15 or k == 14)
            bins.setdefault(chosen, []).append((p, y))
    total = sum(map(len, bins.values()))
    gaps = [abs(sum(p for p, _ in b) - sum(y for _, y in b)) for b in bins.values()]
    expected = sum(gaps) / total if total else math.nan
    assert ece(*arrays(pairs), above=above) == pytest.approx(expected, abs=1e-14, nan_ok=True)


@fixed
@given(pixels)
def test_areas_are_the_mean_over_all_orders_of_ties(pairs):
    def errors(order):
        return list(itertools.accumulate((z > 0) != y for z, y in order))

    n = len(pairs)
    orders = [errors(order) for order in tie_orders(pairs, key=lambda pixel: abs(pixel[0]))]
    plain = [sum(e / (k + 1) for k, e in enumerate(order)) / n for order in orders]
    generalised = [
        sum((a + b) / 2 for a, b in itertools.pairwise([0, *order])) / n**2 for order in orders
    ]
    assert aurc(*arrays(pairs)) == pytest.approx(np.mean(plain), abs=1e-12)
    assert augrc(*arrays(pairs)) == pytest.approx(np.mean(generalised), abs=1e-12)


@fixed
@given(pixels)
def test_augrc_is_the_papers_closed_form(pairs):
    """(1 - AUROC) a (1 - a) + (1 - a)^2 / 2, ties counting one half in the AUROC."""
    right = [abs(z) for z, y in pairs if (z > 0) == y]
    wrong = [abs(z) for z, y in pairs if (z > 0) != y]
    accuracy = len(right) / len(pairs)
    swapped = sum((w > r) + 0.5 * (w == r) for w in wrong for r in right) / len(pairs) ** 2
    assert augrc(*arrays(pairs)) == pytest.approx(swapped + (1 - accuracy) ** 2 / 2, abs=1e-12)


@fixed
@given(pixels, st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.7, 1.0]))
def test_tpr_is_the_best_randomised_threshold_test(pairs, fpr):
    """The test flags z > t, and z == t with a probability q that makes the FPR exact."""
    positive = [z for z, y in pairs if y]
    negative = [z for z, y in pairs if not y]
    best = math.nan if not (positive and negative) else -1.0
    for t in sorted({z for z, _ in pairs}) if not math.isnan(best) else []:
        above = sum(z > t for z in negative) / len(negative)
        tied = sum(z == t for z in negative) / len(negative)
        if above <= fpr + 1e-12 and fpr <= above + tied + 1e-12:
            q = 1.0 if tied == 0 else (fpr - above) / tied
            found = sum(z > t for z in positive) + q * sum(z == t for z in positive)
            best = max(best, found / len(positive))
    assert tpr_at_fpr(*arrays(pairs), fpr) == pytest.approx(best, abs=1e-9, nan_ok=True)


@fixed
@given(pixels)
def test_entropy_is_its_definition(pairs):
    p = np.array([probability(z) for z, _ in pairs])
    terms = [-sum(q * math.log(q) for q in (a, 1.0 - a) if q > 0.0) for a in p]
    assert mean_entropy(arrays(pairs)[0]) == pytest.approx(np.mean(terms), abs=1e-12)


def test_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    z = np.round(generator.normal(-1.0, 2.0, 2000), 1)  # rounding makes ties
    y = generator.random(2000) < 1.0 / (1.0 + np.exp(-z))
    p = 1.0 / (1.0 + np.exp(-z))
    assert brier(z, y) == pytest.approx(sklearn.metrics.brier_score_loss(y, p), rel=1e-12)
    assert nll(z, y) == pytest.approx(sklearn.metrics.log_loss(y, p), rel=1e-12)
    fpr, tpr, threshold = sklearn.metrics.roc_curve(y, z, drop_intermediate=False)
    curve = roc_curve(z, y)
    np.testing.assert_allclose(curve.fpr, fpr, rtol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, rtol=1e-12)
    np.testing.assert_array_equal(curve.threshold, threshold)


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
            assert jeffreys.cdf(curve.upper[k]) - jeffreys.cdf(curve.lower[k]) == pytest.approx(
                0.95
            )


def test_risk_coverage_has_one_point_per_distinct_confidence():
    curve = risk_coverage([3.0, -3.0, 1.0, 0.0], [1, 1, 1, 1])
    np.testing.assert_array_equal(curve.confidence, [3.0, 1.0, 0.0])
    np.testing.assert_array_equal(curve.coverage, [0.5, 0.75, 1.0])
    np.testing.assert_array_equal(curve.errors, [1, 1, 2])  # p = 1/2 is not flagged
    np.testing.assert_allclose(curve.risk, [1 / 2, 1 / 3, 1 / 2])
    np.testing.assert_allclose(curve.generalised_risk, [1 / 4, 1 / 4, 1 / 2])


def test_aurc_keeps_precision_where_a_tie_comes_late():
    """A million right pixels, then ten tied ones of which one is wrong: known in closed form."""
    n, m = 1_000_000, 10
    z = np.concatenate([np.linspace(5.0, 6.0, n), np.full(m, 1.0)])
    y = np.append(np.ones(n + m - 1, bool), False)
    expected = math.fsum(j / m / (n + j) for j in range(1, m + 1)) / (n + m)
    assert aurc(z, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_invalid_pixels_change_nothing_bit_for_bit(name):
    generator = np.random.default_rng(2)
    z, valid = generator.normal(0.0, 3.0, (2, 40, 41)), generator.random((1, 40, 41)) < 0.7
    y = generator.random(z.shape) < 0.3
    hidden = np.broadcast_to(~valid, z.shape)
    other_z, other_y = z.copy(), y.astype(float)
    other_z[hidden] = np.nan
    other_y[hidden] = 7.0
    value = METRICS[name](z, y, valid=valid)
    assert METRICS[name](other_z, other_y, valid=valid) == value
    assert METRICS[name](z[~hidden], y[~hidden]) == value


@pytest.mark.parametrize("name", METRICS)
def test_order_of_pixels_does_not_matter(name):
    generator = np.random.default_rng(3)
    z = np.round(generator.normal(0.0, 3.0, 3000), 1)
    y = generator.random(3000) < 0.3
    order = generator.permutation(3000)
    # Sums of 3000 numbers in another order: rounding of 1e-16 each.
    assert METRICS[name](z[order], y[order]) == pytest.approx(METRICS[name](z, y), rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_nan_in_a_valid_pixel_is_an_error(name):
    if name == "base rate":
        with pytest.raises(BayescrError, match="expected 0 or 1"):
            base_rate([0.0, np.nan])
    else:
        with pytest.raises(BayescrError, match="NaN in 1 valid pixel"):
            METRICS[name](np.array([0.0, np.nan]), np.array([True, False]))


@pytest.mark.parametrize("name", METRICS)
def test_no_valid_pixel_is_nan(name):
    z, y = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    assert math.isnan(METRICS[name](z, y, valid=np.zeros((1, 4, 4), bool)))
    assert math.isnan(METRICS[name](np.empty(0), np.empty(0)))


def test_one_pixel():
    assert brier([0.0], [1]) == 0.25
    assert nll([np.inf], [0]) == math.inf
    assert nll([np.inf], [1]) == 0.0
    assert ece([np.inf], [1]) == 0.0
    assert aurc([2.0], [0]) == 1.0
    assert augrc([2.0], [0]) == 0.5
    assert mean_entropy([-np.inf]) == 0.0


def test_no_positive_or_no_negative_pixel_leaves_the_tpr_undefined():
    assert math.isnan(tpr_at_fpr([1.0, 2.0], [0, 0], 0.1))
    assert math.isnan(tpr_at_fpr([1.0, 2.0], [1, 1], 0.1))
    assert math.isnan(brier_skill([1.0, 2.0], [0, 0]))


def test_float32_saturation_makes_no_ties():
    """Logits 20 and 30 are both p = 1 in float32; the wrong one of them is the less sure one."""
    z = np.array([30.0, 20.0], np.float32)
    assert aurc(z, [1, 0]) == pytest.approx(0.25)
    assert aurc(to_logit(np.float32([1.0, 1.0])), [1, 0]) == pytest.approx(0.5)


def test_forecasts_land_where_theory_puts_them():
    generator = np.random.default_rng(4)
    n = 200_000
    z = np.where(generator.random(n) < 0.03, generator.normal(1, 4, n), generator.normal(-8, 2, n))
    y = generator.random(n) < 1.0 / (1.0 + np.exp(-z))
    p = 1.0 / (1.0 + np.exp(-z))
    rate = float(to_logit(base_rate(y)))
    perfect = np.where(y, np.inf, -np.inf)
    # A calibrated bin's gap has the variance sum p (1 - p); by Cauchy-Schwarz the 15 gaps together
    # are expected below sqrt(15 sum p (1 - p)), and four times that is safe.
    noise = 4.0 * math.sqrt(15.0 * np.sum(p * (1.0 - p))) / n
    assert ece(z, y) < noise
    assert ece(3.0 * z, y) > noise
    base = np.full(n, rate)
    assert brier_skill(base, y) == pytest.approx(0.0, abs=1e-12)
    assert ece(base, y) < 1e-12 < ece(z, y)
    assert tpr_at_fpr(base, y, 0.005) == pytest.approx(0.005)
    assert aurc(base, y) == pytest.approx(base_rate(y))
    assert augrc(base, y) == pytest.approx(base_rate(y) / 2.0)
    assert brier_skill(perfect, y) == 1.0
    assert tpr_at_fpr(perfect, y, 0.0) == 1.0
    assert nll(perfect, y) == ece(perfect, y) == aurc(perfect, y) == augrc(perfect, y) == 0.0
    assert nll(z, y) < min(nll(3.0 * z, y), nll(z / 3.0, y), nll(base, y))
    assert brier_skill(z, y) > brier_skill(3.0 * z, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier([0.0], [0, 1]), r"shape \(2,\) but logit has \(1,\)"),
        (lambda: brier([0.0], [0.5]), "target holds 0.5"),
        (lambda: brier([0.0, 1.0], [0, 1], valid=[1, 0]), "expected bool"),
        (lambda: brier([0.0, 1.0], [0, 1], valid=[True] * 3), "broadcasts"),
        (lambda: to_logit([0.2, 1.5]), "probability holds 1.5"),
        (lambda: ece([0.0], [1], num_bins=0), "num_bins is 0"),
        (lambda: tpr_at_fpr([0.0, 1.0], [0, 1], 5.0), "fpr is 5.0"),
        (lambda: reliability_curve([0.0], [1], edges=[1.0, 0.0]), "ascending"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["scores", "calibration", "detection", "selective", "uncertainty"])
def test_examples_in_the_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(f"bayescr.evaluation.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
