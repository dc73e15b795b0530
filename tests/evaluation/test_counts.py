"""Counts against loops over pixels; grids against the scores that they round."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescr.evaluation.counts import INFORMATION_GRID, LOGIT_GRID, Counts

fixed = settings(derandomize=True, deadline=None, max_examples=300)

scores = st.sampled_from([-math.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, 3.0, math.inf])
pixels = st.lists(st.tuples(scores, st.booleans()), max_size=12)


def counted(pairs):
    return Counts.of(np.array([s for s, _ in pairs], float), np.array([y for _, y in pairs], bool))


def tally(pairs):
    """Score -> [negative, positive]."""
    found = {}
    for score, event in pairs:
        found.setdefault(score + 0.0, [0, 0])[event] += 1
    return found


def as_tally(counts):
    assert (np.diff(counts.score) > 0.0).all() or np.isinf(counts.score).sum() == 2
    rows = zip(counts.score, counts.negative, counts.positive, strict=True)
    return {score + 0.0: [negative, positive] for score, negative, positive in rows}


@fixed
@given(pixels)
def test_counts_are_those_of_a_loop(pairs):
    counts = counted(pairs)
    assert as_tally(counts) == tally(pairs)
    assert counts.size == len(pairs)
    assert counts.num_positive == sum(y for _, y in pairs)
    np.testing.assert_array_equal(counts.total, counts.negative + counts.positive)


@fixed
@given(pixels)
def test_errors_are_counted_by_confidence(pairs):
    expected = tally([(abs(s), (s > 0) != y) for s, y in pairs])
    assert as_tally(counted(pairs).errors()) == expected
    assert as_tally(counted(pairs).negated()) == tally([(-s, y) for s, y in pairs])


def test_what_is_computed_once_is_computed_once():
    calls = []
    counts = counted([(1.0, True)])

    def compute(given):
        calls.append(given)
        return len(calls)

    assert counts.once(compute) == counts.once(compute) == 1
    assert counts.errors() is counts.errors()
    assert counted([(1.0, True)]).once(compute) == 2


def samples():
    generator = np.random.default_rng(0)
    wide = generator.normal(0.0, 1.0, 20_000) * 10.0 ** generator.uniform(-6.0, 3.5, 20_000)
    return np.concatenate([wide, [0.0, -0.0, 16.0, -16.0, 700.0, 1e9, -1e9, np.inf, -np.inf]])


def test_a_cell_of_logits_is_as_narrow_as_promised():
    z = samples()
    code = LOGIT_GRID.code(z)
    for sign in (-1, 1):
        np.testing.assert_array_equal(
            LOGIT_GRID.code(sign * z[z > 0.0]) > code[z == 0.0][0], sign > 0
        )
    order = np.argsort(z)
    assert (np.diff(code[order]) >= 0).all()
    same = (np.diff(code[order]) == 0) & (np.abs(z[order][1:]) <= 700.0)
    gap, size = np.diff(z[order])[same], np.abs(z[order][1:])[same]
    # 1/64 up to 16; beyond, 1/1024 of the logit; the last digits of both are rounding.
    assert (gap <= np.maximum(1.0 / 64.0, size / 1000.0) + 1e-12).all()
    edge = LOGIT_GRID.edge[code]
    bounded = np.isfinite(z) & (np.abs(z) <= 699.0)
    assert (np.abs(z[bounded]) <= np.abs(edge[bounded]) * (1.0 + 1e-12)).all()


@pytest.mark.parametrize("grid", [LOGIT_GRID, INFORMATION_GRID])
def test_few_distinct_scores_are_kept_as_they_are(grid):
    generator = np.random.default_rng(1)
    atoms = np.array([0.0, 0.01, 0.03, 0.25, 0.6])
    score, event = generator.choice(atoms, 5000), generator.random(5000) < 0.3
    counts, exact = grid.counts(grid.count(score, event)), Counts.of(score, event)
    np.testing.assert_allclose(counts.score, exact.score, rtol=1e-12)  # a mean of equal numbers
    np.testing.assert_array_equal(counts.negative, exact.negative)
    np.testing.assert_array_equal(counts.positive, exact.positive)


def test_sums_of_counts_are_the_counts_of_all():
    z = samples()
    y = np.random.default_rng(2).random(z.size) < 0.4
    together = LOGIT_GRID.counts(LOGIT_GRID.count(z, y))
    parts = sum(LOGIT_GRID.count(z[k::3], y[k::3]) for k in range(3))
    apart = LOGIT_GRID.counts(parts)
    np.testing.assert_array_equal(apart.negative, together.negative)
    np.testing.assert_array_equal(apart.positive, together.positive)
    np.testing.assert_allclose(apart.score, together.score, rtol=1e-12)
    assert together.size == z.size
    assert together.score[0] == -np.inf
    assert together.score[-1] == np.inf
    # What a metric flags is exactly what the logits flag.
    flagged = together.score > 0.0
    assert together.total[flagged].sum() == np.sum(z > 0.0)


def test_the_mean_probability_hardly_feels_the_cells():
    """sigmoid of a cell's mean is its mean of sigmoids up to the curvature: h^2 / 8 |sigmoid''|.

    With h = 1/64 and |sigmoid''| below p that is 3e-5 of p: no ECE sees it.
    """
    z = np.random.default_rng(3).normal(-6.0, 3.0, 100_000)
    counts = LOGIT_GRID.counts(LOGIT_GRID.count(z, np.zeros(z.size, bool)))
    exact = np.mean(1.0 / (1.0 + np.exp(-z)))
    rounded = counts.total @ counts.probability / counts.size
    assert rounded == pytest.approx(exact, rel=3.1e-5)


def test_nothing_is_counted_as_nothing():
    for grid in (LOGIT_GRID, INFORMATION_GRID):
        total = grid.count(np.empty(0), np.empty(0, bool))
        assert grid.counts(total).size == 0
        assert grid.counts(total).errors().size == 0


def test_a_score_and_its_negative_tie_whatever_their_sums_round_to():
    """z / T of float64: sums over unlike numbers of pixels round in unlike ways."""
    scaled = np.repeat([2.0 / 1.3, -2.0 / 1.3], [1001, 37])
    event = np.arange(scaled.size) % 3 == 0
    confidence = LOGIT_GRID.counts(LOGIT_GRID.count(scaled, event)).errors()
    assert confidence.score.size == 1
    assert confidence.size == scaled.size


@pytest.mark.parametrize("grid", [LOGIT_GRID, INFORMATION_GRID])
def test_coarser_cells_are_pairs_of_cells(grid):
    generator = np.random.default_rng(6)
    score = np.abs(generator.normal(0.0, 0.2, 5000)).clip(max=1.0)
    if grid is LOGIT_GRID:
        score = np.append(generator.normal(-3.0, 9.0, 5000), [0.0, np.inf, -np.inf, 699.9, -699.9])
    event = generator.random(score.size) < 0.3
    total = grid.count(score, event)
    coarse = grid.coarser(total)
    np.testing.assert_allclose(coarse.sum(axis=1), total.sum(axis=1), rtol=1e-12)
    fine, wide = grid.counts(total), grid.counts(coarse)
    assert wide.score.size <= 0.75 * fine.score.size
    assert (np.diff(wide.score) > 0).all()
    assert wide.size == fine.size == score.size
    assert np.isinf(wide.score).sum() == np.isinf(fine.score).sum()
    if grid is LOGIT_GRID:  # no cell reaches across 0
        assert wide.positive[wide.score > 0].sum() == event[score > 0].sum()


def test_what_rounding_leaves_of_no_doubt_is_none():
    doubt = np.array([0.0, 1e-17, 3e-16, -1e-18, 1e-3])
    counts = INFORMATION_GRID.counts(INFORMATION_GRID.count(doubt, doubt > 1.0))
    assert counts.score[0] == 0.0
    assert counts.total.tolist() == [4, 1]
