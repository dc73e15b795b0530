"""ROC, precision-recall and overlap against brute force over thresholds, pairs and pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescr.errors import BayescrError
from bayescr.evaluation.metrics import (
    auprc,
    auroc,
    dice,
    iou,
    precision_at_recall,
    roc_curve,
    tpr_at_fpr,
)

fixed = settings(derandomize=True, deadline=None, max_examples=300)

logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=12)


def arrays(pairs):
    return np.array([z for z, _ in pairs]), np.array([y for _, y in pairs])


def split(pairs):
    return [z for z, y in pairs if y], [z for z, y in pairs if not y]


@fixed
@given(pixels, st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.7, 1.0]))
def test_tpr_is_the_best_randomised_threshold_test(pairs, fpr):
    """The test flags z > t, and z == t with a probability q that makes the FPR exact."""
    positive, negative = split(pairs)
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
@given(pixels, st.sampled_from([0.01, 0.2, 0.25, 1 / 3, 0.5, 0.95, 1.0]))
def test_precision_is_that_of_the_best_randomised_threshold_test(pairs, recall):
    positive, negative = split(pairs)
    best = -1.0 if positive else math.nan
    for t in sorted({z for z, _ in pairs}) if positive else []:
        above = sum(z > t for z in positive) / len(positive)
        tied = sum(z == t for z in positive) / len(positive)
        if tied and above <= recall + 1e-12 and recall <= above + tied + 1e-12:
            q = (recall - above) / tied
            false = sum(z > t for z in negative) + q * sum(z == t for z in negative)
            found = recall * len(positive)
            best = max(best, found / (found + false))
    found = precision_at_recall(*arrays(pairs), recall)
    assert found == pytest.approx(best, abs=1e-9, nan_ok=True)


@fixed
@given(pixels)
def test_auroc_is_the_fraction_of_pairs_in_order(pairs):
    positive, negative = split(pairs)
    order = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    expected = np.mean(order) if order else math.nan
    assert auroc(*arrays(pairs)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@fixed
@given(pixels)
def test_auprc_is_its_definition(pairs):
    positive, _ = split(pairs)
    area, before = 0.0, 0
    for t in sorted({z for z, _ in pairs}, reverse=True):
        flagged = [y for z, y in pairs if z >= t]
        area += (sum(flagged) - before) * sum(flagged) / len(flagged)
        before = sum(flagged)
    expected = area / len(positive) if positive else math.nan
    assert auprc(*arrays(pairs)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@fixed
@given(pixels, st.sampled_from([0.0, 0.5, 0.6, 1.0]))
def test_overlap_is_that_of_sets_of_pixels(pairs, threshold):
    border = {0.0: -math.inf, 0.5: 0.0, 0.6: math.log(1.5), 1.0: math.inf}[threshold]
    flagged = {k for k, (z, _) in enumerate(pairs) if z > border}
    truth = {k for k, (_, y) in enumerate(pairs) if y}
    both, either = len(flagged & truth), len(flagged | truth)
    z, y = arrays(pairs)
    if either:
        assert iou(z, y, threshold=threshold) == both / either
        sizes = len(flagged) + len(truth)
        assert dice(z, y, threshold=threshold) == pytest.approx(2 * both / sizes, rel=1e-15)
    else:
        assert math.isnan(iou(z, y, threshold=threshold))
        assert math.isnan(dice(z, y, threshold=threshold))


def test_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    z = np.round(generator.normal(-1.0, 2.0, 2000), 1)  # rounding makes ties
    y = generator.random(2000) < 1.0 / (1.0 + np.exp(-z))
    fpr, tpr, threshold = sklearn.metrics.roc_curve(y, z, drop_intermediate=False)
    curve = roc_curve(z, y)
    np.testing.assert_allclose(curve.fpr, fpr, rtol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, rtol=1e-12)
    np.testing.assert_array_equal(curve.threshold, threshold)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(y, z)
    np.testing.assert_allclose(curve.precision[1:], precision[-2::-1], rtol=1e-12)
    np.testing.assert_allclose(curve.tpr, recall[::-1], rtol=1e-12)
    assert auroc(z, y) == pytest.approx(sklearn.metrics.roc_auc_score(y, z), rel=1e-12)
    assert auprc(z, y) == pytest.approx(sklearn.metrics.average_precision_score(y, z), rel=1e-12)
    assert iou(z, y) == pytest.approx(sklearn.metrics.jaccard_score(y, z > 0), rel=1e-12)
    assert dice(z, y) == pytest.approx(sklearn.metrics.f1_score(y, z > 0), rel=1e-12)


@pytest.mark.parametrize("positives", range(1, 200))
def test_a_recall_that_is_reached_exactly_costs_no_later_false_alarm(positives):
    """A hundredfold recall times the positives rounds: 0.07 * 100 is above 7."""
    for found in {1, positives // 3, positives} - {0}:
        z = np.repeat([3.0, 2.0, 1.0], [found, 5, positives - found])
        y = np.repeat([True, False, True], [found, 5, positives - found])
        assert precision_at_recall(z, y, found / positives) == 1.0


def test_one_label_only_leaves_most_undefined():
    for y in ([0, 0], [1, 1]):
        assert math.isnan(auroc([1.0, 2.0], y))
        assert math.isnan(tpr_at_fpr([1.0, 2.0], y, 0.1))
    assert math.isnan(auprc([1.0, 2.0], [0, 0]))
    assert math.isnan(precision_at_recall([1.0, 2.0], [0, 0], 0.5))
    assert auprc([1.0, 2.0], [1, 1]) == precision_at_recall([1.0, 2.0], [1, 1], 0.5) == 1.0
    assert iou([-1.0], [1]) == dice([1.0], [0]) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tpr_at_fpr([0.0, 1.0], [0, 1], 5.0), "fpr is 5.0"),
        (lambda: precision_at_recall([0.0, 1.0], [0, 1], 0.0), "recall is 0.0"),
        (lambda: precision_at_recall([0.0, 1.0], [0, 1], 95), "recall is 95"),
        (lambda: iou([0.0], [1], threshold=-1.0), "threshold is -1.0"),
        (lambda: dice([0.0], [1], threshold=float("nan")), "threshold is nan"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
