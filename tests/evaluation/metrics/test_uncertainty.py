"""Doubts against their definitions, and against what they should find."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, mannwhitneyu

from bayescr.errors import BayescrError
from bayescr.evaluation.metrics import (
    error_curve,
    error_detection,
    mean_entropy,
    mean_mutual_information,
    ood_auroc,
)

fixed = settings(derandomize=True, deadline=None, max_examples=300)

logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=12)
doubts = st.sampled_from([0.0, 0.1, 0.2, 0.5])


def arrays(pairs):
    return tuple(np.array(column) for column in zip(*pairs, strict=True))


def probability(z):
    return 0.0 if z == -math.inf else 1.0 / (1.0 + math.exp(-z))


def entropy(z):
    p = probability(z)
    return -sum(q * math.log(q) for q in (p, 1.0 - p) if q > 0.0)


@fixed
@given(pixels)
def test_entropy_is_its_definition(pairs):
    expected = np.mean([entropy(z) for z, _ in pairs])
    assert mean_entropy(arrays(pairs)[0]) == pytest.approx(expected, abs=1e-12)


def test_mean_mutual_information_is_the_mean_over_valid_pixels():
    values = np.array([0.1, 0.3, np.nan])
    assert mean_mutual_information(values, valid=[True, True, False]) == pytest.approx(0.2)
    assert mean_entropy([-np.inf]) == 0.0


@fixed
@given(st.lists(st.tuples(doubts, st.booleans()), min_size=1, max_size=12))
def test_error_detection_is_its_definition(pairs):
    wrong = [doubt for doubt, error in pairs if error]
    right = [doubt for doubt, error in pairs if not error]
    found = error_detection(*arrays(pairs))
    order = [(a > b) + 0.5 * (a == b) for a in wrong for b in right]
    assert found.auroc == pytest.approx(np.mean(order) if order else math.nan, nan_ok=True)
    area, before = 0.0, 0
    for doubt in sorted({doubt for doubt, _ in pairs}, reverse=True):
        asked = [error for value, error in pairs if value >= doubt]
        area += (sum(asked) - before) * sum(asked) / len(asked)
        before = sum(asked)
    expected = area / len(wrong) if wrong else math.nan
    assert found.aupr == pytest.approx(expected, nan_ok=True)
    assert found.error_rate == len(wrong) / len(pairs)


@fixed
@given(pixels, st.sampled_from([None, (0.1, 0.4), (0.3, 0.6, 0.65)]))
def test_error_curve_is_its_definition(pairs, edges):
    inner = [entropy(float(z)) for z in range(12, 0, -1)] if edges is None else edges
    bins = {}
    for z, y in pairs:
        bins.setdefault(sum(entropy(-abs(z)) >= edge - 1e-15 for edge in inner), []).append((z, y))
    curve = error_curve(*arrays(pairs), edges=edges)
    outer = [0.0, *inner, math.log(2.0)]
    assert len(curve.count) == len(bins)
    for index, place in enumerate(sorted(bins)):
        members = bins[place]
        wrong = sum((z > 0) != y for z, y in members)
        p = [probability(z) for z, _ in members]
        assert curve.edges[index] == pytest.approx([outer[place], outer[place + 1]])
        assert curve.count[index] == len(members)
        assert curve.error_rate[index] == pytest.approx(wrong / len(members))
        expected = np.mean([min(q, 1.0 - q) for q in p])
        assert curve.expected[index] == pytest.approx(expected, abs=1e-12)
        mean = np.mean([entropy(z) for z, _ in members])
        assert curve.entropy[index] == pytest.approx(mean, abs=1e-12)
        jeffreys = beta(wrong + 0.5, len(members) - wrong + 0.5)
        lower = jeffreys.ppf(0.025) if wrong else 0.0
        assert curve.lower[index] == pytest.approx(lower)
        upper = jeffreys.ppf(0.975) if wrong < len(members) else 1.0
        assert curve.upper[index] == pytest.approx(upper)


def test_agrees_with_scikit_learn_and_scipy():
    generator = np.random.default_rng(0)
    doubt = np.round(generator.gamma(1.0, 0.1, 2000), 2)
    error = generator.random(2000) < 0.1 + doubt
    found = error_detection(doubt, error)
    assert found.auroc == pytest.approx(sklearn.metrics.roc_auc_score(error, doubt))
    assert found.aupr == pytest.approx(sklearn.metrics.average_precision_score(error, doubt))
    inside, outside = doubt[:50], doubt[50:90] + 0.05
    statistic = mannwhitneyu(outside, inside).statistic
    assert ood_auroc(inside, outside) == pytest.approx(statistic / (50 * 40))


def test_nothing_to_tell_apart_is_nan():
    assert math.isnan(ood_auroc([], [1.0]))
    assert math.isnan(ood_auroc([1.0], []))
    assert math.isnan(error_detection([], []).error_rate)
    assert math.isnan(error_detection([1.0, 2.0], [0, 0]).auroc)
    assert error_curve([], []).count.size == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: error_detection([0.0, 1.0], [0]), r"error has shape \(1,\)"),
        (lambda: error_detection([np.nan], [0]), "doubt is NaN"),
        (lambda: error_detection([0.0], [0.5]), "error holds"),
        (lambda: error_curve([0.0], [1], edges=[0.5, 0.1]), "ascending entropies"),
        (lambda: ood_auroc([np.nan], [1.0]), "score of the usual frames is NaN"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
