"""Risk and coverage against all orders of ties, and against points found by bisection."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics import (
    RiskCoverageCurve,
    abstention,
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    risk_coverage,
)

fixed = settings(derandomize=True, deadline=None, max_examples=300)

logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=6)
doubts = st.sampled_from([0.0, 0.1, 0.2])
doubted = st.lists(st.tuples(logits, st.booleans(), doubts), min_size=1, max_size=6)


def arrays(pairs):
    return tuple(np.array(column) for column in zip(*pairs, strict=True))


def losses(order):
    """L_1, ..., L_N of an order of pixels."""
    return list(itertools.accumulate((z > 0) != y for z, y, *_ in order))


def tie_orders(pairs, key):
    """All orders of the pixels in which the key does not increase."""
    ranked = sorted(pairs, key=key, reverse=True)
    groups = [list(group) for _, group in itertools.groupby(ranked, key=key)]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [pixel for part in parts for pixel in part]


def area(order):
    return sum(loss / k for k, loss in enumerate(losses(order), start=1)) / len(order)


@fixed
@given(pixels)
def test_areas_are_the_mean_over_all_orders_of_ties(pairs):
    orders = list(tie_orders(pairs, key=lambda pixel: abs(pixel[0])))
    generalised = [
        sum((a + b) / 2 for a, b in itertools.pairwise([0, *losses(order)])) / len(pairs) ** 2
        for order in orders
    ]
    plain = np.mean([area(order) for order in orders])
    assert aurc(*arrays(pairs)) == pytest.approx(plain, abs=1e-14)
    assert augrc(*arrays(pairs)) == pytest.approx(np.mean(generalised), abs=1e-14)
    best = min(area(order) for order in itertools.permutations(pairs))
    assert e_aurc(*arrays(pairs)) == pytest.approx(plain - best, abs=1e-14)


@fixed
@given(doubted)
def test_any_confidence_ranks_in_place_of_the_logit(triples):
    z, y, doubt = arrays(triples)
    orders = list(tie_orders(triples, key=lambda pixel: -pixel[2]))
    curve = risk_coverage(z, y, confidence=-doubt)
    assert curve.aurc == pytest.approx(np.mean([area(order) for order in orders]), abs=1e-14)
    for k in range(1, len(triples) + 1):
        expected = np.mean([losses(order)[k - 1] / k for order in orders])
        assert curve.risk_at(k / len(triples)) == pytest.approx(expected, abs=1e-12)


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
@given(pixels, st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9, 1.0]))
def test_coverage_at_a_risk_is_the_last_point_that_keeps_it(pairs, risk):
    """Each group of ties is searched by bisection: inside it the risk goes one way."""
    best = before = errors = 0.0
    for sure in sorted({abs(z) for z, _ in pairs}, reverse=True):
        group = [(z > 0) != y for z, y in pairs if abs(z) == sure]
        size, wrong = len(group), sum(group)

        def keeps(part, errors=errors, before=before, size=size, wrong=wrong):
            return errors + part * wrong <= risk * (before + part * size) + 1e-12

        low, high = 0.0, 1.0
        if keeps(1.0):
            low = 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if keeps(middle) else (low, middle)
        if keeps(low) and low > 0.0:
            best = before + low * size
        before, errors = before + size, errors + wrong
    found = coverage_at_risk(*arrays(pairs), risk)
    assert found == pytest.approx(best / len(pairs), abs=1e-9)


@fixed
@given(doubted, st.sampled_from([-1.0, 0.0, 0.1, 0.15, 0.2]))
def test_abstention_is_its_definition(triples, threshold):
    kept = [(z > 0) != y for z, y, doubt in triples if doubt <= threshold]
    errors = [doubt > threshold for z, y, doubt in triples if (z > 0) != y]
    found = abstention(*arrays(triples), threshold)
    assert found.coverage == len(kept) / len(triples)
    assert found.risk == pytest.approx(np.mean(kept) if kept else math.nan, nan_ok=True)
    assert found.caught == pytest.approx(np.mean(errors) if errors else math.nan, nan_ok=True)


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


def test_areas_of_an_archive_of_pixels():
    """Ten thousand million pixels in three groups: sums of logarithms to within 1 / N."""
    n = 10**10
    counts = Counts(
        score=np.array([1.0, 2.0, 3.0]),
        negative=np.array([n // 2 - 10**8, n // 4, n // 4]),
        positive=np.array([10**8, 0, 0]),
    )
    curve = RiskCoverageCurve.of_counts(counts)
    rate = 10**8 / (n / 2)  # in the last half of the coverage c: risk = rate (c - 1/2) / c
    assert curve.aurc == pytest.approx(rate * (0.5 - 0.5 * math.log(2.0)), rel=1e-9)
    assert curve.augrc == pytest.approx(rate / 8.0, rel=1e-9)
    best = 0.01 + 0.99 * math.log(0.99)  # the integral of (c - 0.99) / c over the last 1%
    assert curve.e_aurc == pytest.approx(curve.aurc - best, rel=1e-9)
    assert curve.coverage_at(0.005) == pytest.approx(1.0 / (2.0 * (1.0 - 0.005 / rate)), rel=1e-9)


def test_float32_saturation_makes_no_ties():
    """Logits 20 and 30 are both p = 1 in float32; the wrong one of them is the less sure one."""
    z = np.array([30.0, 20.0], np.float32)
    assert aurc(z, [1, 0]) == pytest.approx(0.25)
    assert aurc(to_logit(np.float32([1.0, 1.0])), [1, 0]) == pytest.approx(0.5)


def test_a_curve_that_touches_the_risk_counts():
    """Risk 1, 1/2, ..., 1/10, then 2/11: 10 of 11 pixels have a risk of exactly 0.1."""
    z, y = np.arange(11.0, 0.0, -1.0), np.ones(11, bool)
    y[[0, 10]] = False
    assert coverage_at_risk(z, y, 0.1) == 10 / 11


def test_one_pixel_and_none():
    assert aurc([2.0], [0]) == 1.0
    assert augrc([2.0], [0]) == 0.5
    assert e_aurc([2.0], [0]) == 0.0
    assert coverage_at_risk([2.0], [0], 0.5) == 0.0
    assert coverage_at_risk([2.0], [1], 0.0) == 1.0
    nothing = risk_coverage([], [])
    assert math.isnan(nothing.e_aurc)
    assert math.isnan(nothing.coverage_at(0.1))
    assert math.isnan(nothing.risk_at(0.5))
    assert math.isnan(risk_coverage([2.0], [1]).risk_at(0.0))
    assert math.isnan(abstention([], [], [], 0.5).coverage)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage_at_risk([0.0], [1], 5.0), "risk is 5.0"),
        (lambda: risk_coverage([0.0], [1]).risk_at(-0.1), "coverage is -0.1"),
        (lambda: risk_coverage([0.0], [1], confidence=[1.0, 2.0]), r"confidence has shape \(2,\)"),
        (lambda: risk_coverage([0.0], [1], confidence=[np.nan]), "confidence is NaN"),
        (lambda: abstention([0.0], [1], [1.0, 2.0], 0.5), r"doubt has shape \(2,\)"),
        (lambda: abstention([0.0], [1], [np.nan], 0.5), "doubt is NaN"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
