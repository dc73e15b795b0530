"""Resampled exposures: against enumeration, closed forms and the coverage that is promised."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, ndtr
from scipy.stats import chisquare, t

from bayescr.errors import BayescrError
from bayescr.evaluation.bootstrap import (
    Estimate,
    Resampling,
    leave_one_out,
    mean_of_seeds,
    resamples,
)


def every_resample(size):
    """All E^E ways to draw E exposures, as weights: the exact distribution of the bootstrap."""
    drawn = itertools.product(range(size), repeat=size)
    return np.array([np.bincount(one, minlength=size) for one in drawn])


def enumerated(size):
    once = np.ones((1, size), dtype=np.int64)
    return Resampling(weights=np.concatenate([once, leave_one_out(size), every_resample(size)]))


def ratio(total):
    return total[0] / total[1]


def mean_estimate(x, resampling, *, difference=True):
    values = resampling.apply(np.stack([x, np.ones(len(x))], axis=1), ratio)
    return Estimate(values=values, resampling=resampling, difference=difference)


def test_resamples_occur_as_often_as_among_all_that_can():
    exact = Counter(map(tuple, every_resample(3).tolist()))
    found = Counter(map(tuple, resamples(3, num_bootstrap=27_000, seed=0).tolist()))
    assert set(found) == set(exact)
    observed = [found[weights] for weights in exact]
    assert chisquare(observed, [1000 * count for count in exact.values()]).pvalue > 1e-3


def test_moments_of_the_weights_are_the_multinomial_ones():
    weights = resamples(5, num_bootstrap=100_000, seed=1)
    assert np.all(weights.sum(axis=1) == 5)
    # Five standard errors: of the mean 5 sqrt(0.8 / 1e5), of the (co)variance below 5 * 1.5 / 316.
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.015)
    np.testing.assert_allclose(np.cov(weights.T), np.eye(5) - 0.2, atol=0.025)


def test_weights_follow_from_size_and_seed_alone():
    np.testing.assert_array_equal(resamples(7, seed=3), resamples(7, seed=3))
    assert np.any(resamples(7, seed=3) != resamples(7, seed=4))
    assert resamples(7, num_bootstrap=10).shape == (10, 7)
    for wrong in ({"num_exposures": 0}, {"num_exposures": 3, "num_bootstrap": 0}):
        with pytest.raises(BayescrError, match="at least 1"):
            resamples(**wrong)


def test_values_are_those_of_the_drawn_exposures_put_together():
    generator = np.random.default_rng(2)
    exposures = [generator.normal(size=n) for n in (4, 9, 1)]  # pixels
    statistic = np.array([[x.sum(), x.size] for x in exposures])
    values = enumerated(3).apply(statistic, ratio)
    drawn = [(0, 1, 2), (1, 2), (0, 2), (0, 1), *itertools.product(range(3), repeat=3)]
    expected = [np.concatenate([exposures[e] for e in one]).mean() for one in drawn]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_totals_are_exact_in_any_shape_sparse_or_dense():
    generator = np.random.default_rng(3)
    resampling = Resampling.of(6, num_bootstrap=40, seed=0)
    statistic = generator.integers(0, 2**45, (6, 2, 70_000))  # 1 MB a row: several chunks
    statistic[:, :, 5:] *= generator.random((6, 2, 69_995)) < 0.01
    totals = list(resampling.totals(statistic))
    assert len(totals) == 47
    flat = csr_array(statistic.reshape(6, -1))
    for weights, total, sparse in zip(
        resampling.weights, totals, resampling.totals(flat), strict=True
    ):
        expected = sum(w * s for w, s in zip(weights, statistic, strict=True))
        assert total.dtype == sparse.dtype == np.int64
        np.testing.assert_array_equal(total, expected)
        np.testing.assert_array_equal(sparse.reshape(2, -1), expected)
    with pytest.raises(BayescrError, match="5 rows: expected one for each of the 6"):
        next(resampling.totals(statistic[:5]))


def test_an_infinite_loss_counts_only_where_its_exposure_is_drawn():
    resampling = enumerated(3)
    values = resampling.apply(np.array([[1.0, 1.0], [np.inf, 1.0], [2.0, 1.0]]), ratio)
    np.testing.assert_array_equal(np.isinf(values), resampling.weights[:, 1] > 0)
    assert np.isnan(resampling.estimate(values).interval()).all()


def test_of_few_exposures_the_interval_of_a_mean_is_students():
    x = np.array([1.0, 4.0, -2.0, 0.5])
    reach = t.isf(0.05, 3) * x.std(ddof=1) / 2.0
    found = mean_estimate(x, Resampling.of(4, seed=0)).interval(level=0.9)
    np.testing.assert_allclose(found, (x.mean() - reach, x.mean() + reach), rtol=1e-12)


def test_interval_holds_students_and_that_of_bootstrap_t():
    # A mean's influences are its residuals, so that bootstrap-t is the textbook's: of each
    # resample the t statistic with its own standard deviation.
    x = np.array([0.1, 0.3, 0.2, 0.9, 3.0])
    error = x.std(ddof=1) / math.sqrt(5.0)
    resampled = [x[list(one)] for one in itertools.product(range(5), repeat=5)]
    ratios = [(one.mean() - x.mean()) / max(one.std() / 2.0, 1e-6 * error) for one in resampled]
    below, above = np.quantile(ratios, [0.05, 0.95])
    reach = t.isf(0.05, 4)
    low = x.mean() - error * max(reach, above)
    high = x.mean() + error * min(max(reach, -below), 3.0 * reach)
    found = mean_estimate(x, enumerated(5)).interval(level=0.9)
    np.testing.assert_allclose(found, (low, high), rtol=1e-9)
    assert high - x.mean() > 1.3 * (x.mean() - low)  # the skewness is seen


@pytest.mark.parametrize(
    ("x", "forward", "backward"),
    [
        ([2.0, 5.0, 3.0], np.log, np.exp),
        ([0.9, 0.95, 0.97], lambda p: np.log(p / (1.0 - p)), expit),
        ([-1.0, 0.5, 0.2], lambda s: -np.log1p(-s), lambda g: -np.expm1(-g)),
    ],
)
def test_interval_is_formed_on_the_scale_of_the_metric(x, forward, backward):
    x = np.array(x)
    g = forward(np.array([x[[1, 2]].mean(), x[[0, 2]].mean(), x[[0, 1]].mean()]))
    error = math.sqrt(2.0 / 3.0 * np.sum((g - g.mean()) ** 2))
    reach = t.isf(0.025, 2) * error
    middle = forward(x.mean())
    # Each value appears in the sums of two of the three; all of them show the metric's range.
    found = mean_estimate(x, enumerated(3), difference=False).interval()
    np.testing.assert_allclose(found, backward(middle + np.array([-reach, reach])), rtol=1e-9)


def test_order_of_exposures_does_not_matter():
    generator = np.random.default_rng(4)
    statistic = generator.poisson([[9.0, 100.0]] * 12).astype(float)
    resampling, order = Resampling.of(12, num_bootstrap=200, seed=0), generator.permutation(12)
    shuffled = Resampling(weights=resampling.weights[:, order])
    one = resampling.apply(statistic, ratio)
    np.testing.assert_allclose(shuffled.apply(statistic[order], ratio), one, rtol=1e-13)


def correlated(seed=5, size=30):
    """Two predictors whose error rates depend on the exposure in the same way."""
    generator = np.random.default_rng(seed)
    rate = 0.05 * np.exp(generator.normal(0.0, 0.8, size))
    resampling = Resampling.of(size, num_bootstrap=400, seed=0)
    estimates = []
    for factor in (1.0, 0.85):
        errors = generator.poisson(2000.0 * rate * factor)
        statistic = np.stack([errors, np.full(size, 2000)], axis=1)
        estimates.append(resampling.estimate(resampling.apply(statistic, ratio)))
    return estimates


def test_a_paired_difference_is_known_better_than_its_parts():
    a, b = correlated()
    (low_a, high_a), (low_b, high_b), (low, high) = a.interval(), b.interval(), (b - a).interval()
    assert high - low < 0.6 * math.hypot(high_a - low_a, high_b - low_b)
    assert low_a < b.value < high_a  # unpaired, the two could not be told apart
    assert (b - a).value == b.value - a.value
    assert (b - a).verdict("lower") == "better"
    assert (a - b).verdict("lower") == (b - a).verdict("higher") == "worse"
    assert (b - a).verdict(None) == ""
    assert (a - a).interval() == (0.0, 0.0)
    assert (a - a).verdict("lower") == "not distinguishable"


def test_rounding_is_no_difference():
    a, _ = correlated()
    other = Estimate(values=a.values * (1.0 + 4e-16), resampling=a.resampling)
    assert (other - a).verdict("lower") == "not distinguishable"


def test_estimates_of_other_resamples_are_not_paired():
    a, _ = correlated()
    resampling = Resampling.of(30, num_bootstrap=400, seed=1)
    with pytest.raises(BayescrError, match="not paired"):
        a - Estimate(values=a.values, resampling=resampling)
    with pytest.raises(BayescrError, match=r"expected \(431,\)"):
        resampling.estimate(a.values[:5])


def quotient(total):
    return total[0] / total[1] if total[1] else math.nan


@pytest.mark.parametrize(
    "statistic",
    [
        [[1.0, 2.0]],  # one exposure
        [[5.0, 5.0], [3.0, 3.0], [9.0, 9.0]],  # no hit is missed in any
        [[0.0, 0.0], [0.0, 0.0], [3.0, 9.0]],  # one exposure holds all hits
    ],
)
def test_no_interval_where_exposures_cannot_tell(statistic):
    resampling = Resampling.of(len(statistic), num_bootstrap=50, seed=0)
    estimate = resampling.estimate(resampling.apply(np.array(statistic), quotient))
    assert np.isfinite(estimate.value)
    assert np.isnan(estimate.interval()).all()
    assert estimate.verdict("lower") == ""


def test_no_interval_without_replicates_and_no_level_beyond_1():
    alone = Resampling(weights=np.ones((1, 9), dtype=np.int64))
    assert np.isnan(alone.estimate(np.array([0.5])).interval()).all()
    with pytest.raises(BayescrError, match="level is 95"):
        correlated()[0].interval(level=95)


@pytest.mark.parametrize("misses", [[0, 0, 0, 0, 0, 0, 0, 40], [0, 1, 0, 0, 0, 0, 2, 0]])
def test_interval_stays_in_the_range_where_replicates_reach_its_end(misses):
    resampling = Resampling.of(8, num_bootstrap=500, seed=0)
    statistic = np.stack([100 - np.array(misses), np.full(8, 100)], axis=1)
    low, high = resampling.estimate(resampling.apply(statistic, ratio)).interval()
    assert 0.0 < low < 1.0 - sum(misses) / 800 < high < 1.0


def test_variance_between_seeds_is_added_with_its_own_freedom():
    # Exposures that are all the same leave the seeds alone: Student's interval of their mean.
    resampling, seeds = Resampling.of(6, num_bootstrap=50, seed=0), np.array([1.0, 1.6, 1.9])
    arm = mean_of_seeds([mean_estimate(np.full(6, v), resampling) for v in seeds])
    reach = t.isf(0.025, 2) * seeds.std(ddof=1) / math.sqrt(3.0)
    np.testing.assert_allclose(arm.interval(), (1.5 - reach, 1.5 + reach), rtol=1e-9)
    # Two such arms: Welch's interval, here of equal variances and sizes.
    reach = t.isf(0.025, 4) * seeds.std(ddof=1) * math.sqrt(2.0 / 3.0)
    np.testing.assert_allclose((arm - arm).interval(), (-reach, reach), rtol=1e-9)
    # Both sources: on a linear scale their variances add up.
    x = np.array([0.2, 0.9, 0.4, 0.5])
    resampling = Resampling.of(4, num_bootstrap=50, seed=0)
    arm = mean_of_seeds([mean_estimate(x + v, resampling) for v in seeds])
    parts = x.var(ddof=1) / 4.0, seeds.var(ddof=1) / 3.0
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 3.0 + parts[1] ** 2 / 2.0)
    reach = t.isf(0.025, freedom) * math.sqrt(sum(parts))
    np.testing.assert_allclose(arm.interval(), (2.0 - reach, 2.0 + reach), rtol=1e-9)
    assert mean_of_seeds([arm]) is arm


SCORE = np.arange(-12.0, 12.25, 0.25)  # the logits that occur


def sky(generator, size):
    """(E, 2 K + 2) counts of negatives and positives by logit, hits and hits found.

    Of unlike exposures: sizes, rates of hits, hard negatives and misses vary with a standard
    deviation of 0.5 to 0.8 in the logarithm, the logits of each kind of pixel by 0.5.
    """

    def pixels(mean, spread):
        edges = np.concatenate([[-np.inf], (SCORE[1:] + SCORE[:-1]) / 2.0, [np.inf]])
        centre = generator.normal(mean, 0.5, (size, 1))
        return np.diff(ndtr((edges - centre) / spread), axis=1)

    area = 40_000.0 * np.exp(generator.normal(0.0, 0.5, (size, 1)))
    rate = 0.01 * np.exp(generator.normal(0.0, 0.7, (size, 1)))
    hard = 0.004 * np.exp(generator.normal(0.0, 0.8, (size, 1)))
    missed = expit(generator.normal(-2.5, 0.8, (size, 1)))
    negative = (1.0 - hard) * pixels(-8.0, 1.5) + hard * pixels(-2.0, 2.0)
    positive = (1.0 - missed) * pixels(4.0, 2.0) + missed * pixels(-2.0, 2.0)
    hits = generator.poisson(area * rate / 8.0)
    found = generator.binomial(hits, 1.0 - missed)
    counts = (
        generator.poisson(area * (1.0 - rate) * negative),
        generator.poisson(area * rate * positive),
    )
    return np.concatenate([*counts, hits, found], axis=1)


METRICS = ("NLL", "Brier", "Brier skill", "TPR", "AUPRC", "AURC", "ECE", "hit recall")


def metrics_of(totals):
    """(R, 8) metrics of (R, 2 K + 2) sums; of ties at a score the curves take the middle."""
    size = SCORE.size
    negative, positive, hits = totals[:, :size], totals[:, size : 2 * size], totals[:, -2:]
    p = expit(SCORE)
    pixels = totals[:, : 2 * size].sum(axis=1)
    nll = negative @ np.logaddexp(0.0, SCORE) + positive @ np.logaddexp(0.0, -SCORE)
    brier = (negative @ p**2 + positive @ (1.0 - p) ** 2) / pixels
    rate = positive.sum(axis=1) / pixels
    false, true = (np.cumsum(c[:, ::-1], axis=1) for c in (negative, positive))
    fpr, tpr = false / false[:, -1:], true / true[:, -1:]
    at = np.array([np.interp(1e-3, x, y) for x, y in zip(fpr, tpr, strict=True)])
    precision = true / np.maximum(true + false, 1)
    order = np.argsort(-np.abs(SCORE), kind="stable")
    wrong, of_all = (
        np.where(SCORE > 0, negative, positive)[:, order],
        (negative + positive)[:, order],
    )
    risk = (np.cumsum(wrong, axis=1) - wrong / 2) / np.maximum(
        np.cumsum(of_all, axis=1) - of_all / 2, 1
    )
    bins = np.eye(15)[np.minimum((15 * p).astype(int), 14)]
    gaps = np.abs((negative * p - positive * (1.0 - p)) @ bins).sum(axis=1)
    return np.stack(
        [
            nll / pixels,
            brier,
            1.0 - brier / (rate * (1.0 - rate)),
            at,
            np.sum(np.diff(tpr, axis=1, prepend=0.0) * precision, axis=1),
            np.sum(of_all * risk, axis=1) / pixels,
            gaps / pixels,
            hits[:, 1] / hits[:, 0],
        ],
        axis=1,
    )


def coverage(size, *, repetitions, num_bootstrap):
    """How often the interval, and that of plain percentiles, holds the value of all exposures."""
    generator = np.random.default_rng(size)
    population = sum(sky(generator, 2000).sum(axis=0) for _ in range(15))
    truth = metrics_of(population[None])[0]
    ours, plain = np.zeros(8), np.zeros(8)
    for seed in range(repetitions):
        resampling = Resampling.of(size, num_bootstrap=num_bootstrap, seed=seed)
        values = metrics_of(resampling.weights @ sky(generator, size).astype(float))
        for column, true in enumerate(truth):
            low, high = resampling.estimate(values[:, column]).interval()
            ours[column] += low <= true <= high
            low, high = np.quantile(values[size + 1 :, column], [0.025, 0.975])
            plain[column] += low <= true <= high
    return ours / repetitions, plain / repetitions


def test_intervals_hold_the_truth_as_often_as_they_say():
    ours, plain = coverage(10, repetitions=150, num_bootstrap=300)
    # The mean over eight metrics of 150 repetitions has a standard error of at most 1.8%.
    assert 0.92 < ours.mean() < 0.98
    assert plain.mean() < 0.90


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 20, 50])
def test_intervals_of_every_metric_hold_the_truth_as_often_as_they_say(size):
    ours, _ = coverage(size, repetitions=800, num_bootstrap=800)
    # Between 92% and 98%, and two standard errors of 800 repetitions (1%) beyond at the upper end.
    found = dict(zip(METRICS, ours.tolist(), strict=True))
    assert min(found.values()) > 0.92, found
    assert max(found.values()) < 0.99, found
