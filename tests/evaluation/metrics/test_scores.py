"""Proper scores and Murphy's decomposition against their definitions, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescr.evaluation.metrics import base_rate, brier, brier_skill, murphy, nll

fixed = settings(derandomize=True, deadline=None, max_examples=300)

# Few distinct values make many ties; the infinite ones are p = 0 and 1.
logits = st.sampled_from([-math.inf, -8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, math.inf])
pixels = st.lists(st.tuples(logits, st.booleans()), min_size=1, max_size=12)


def arrays(pairs):
    return np.array([z for z, _ in pairs]), np.array([y for _, y in pairs])


def probability(z):
    return 0.0 if z == -math.inf else 1.0 / (1.0 + math.exp(-z))


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
    assert base_rate(y) == rate
    if 0 < rate < 1:
        skill = 1.0 - sum(squares) / len(p) / (rate * (1 - rate))
        assert brier_skill(z, y) == pytest.approx(skill, rel=1e-9, abs=1e-12)
    else:
        assert math.isnan(brier_skill(z, y))


@fixed
@given(pixels, st.sampled_from([None, (0.0,), (-1.0, 1.0), (-2.0, 0.5, 1.0, 9.0)]))
def test_murphy_is_its_definition_and_adds_up(pairs, edges):
    inner = range(-12, 13) if edges is None else edges
    bins = {}
    for z, y in pairs:
        bins.setdefault(sum(z >= edge for edge in inner), []).append((probability(z), y))
    size, rate = len(pairs), sum(y for _, y in pairs) / len(pairs)
    reliability = resolution = 0.0
    for members in bins.values():
        count = len(members)
        mean = sum(p for p, _ in members) / count
        frequency = sum(y for _, y in members) / count
        reliability += count * (mean - frequency) ** 2 / size
        resolution += count * (frequency - rate) ** 2 / size
        resolution -= sum((p - mean) ** 2 for p, _ in members) / size
        resolution += 2 * sum((p - mean) * (y - frequency) for p, y in members) / size
    found = murphy(*arrays(pairs), edges=edges)
    # Sums of a dozen numbers below 1 each.
    assert found.reliability == pytest.approx(reliability, abs=1e-14)
    assert found.resolution == pytest.approx(resolution, abs=1e-14)
    assert found.uncertainty == pytest.approx(rate * (1 - rate), abs=1e-15)
    total = found.reliability - found.resolution + found.uncertainty
    assert total == pytest.approx(brier(*arrays(pairs)), abs=1e-14)


def test_murphy_without_bins_that_hide_anything_is_murphys():
    """One forecast to a bin: the resolution is the variance of the frequencies."""
    z, y = np.repeat([-3.0, 0.5, 2.5], 4), np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1])
    frequencies = np.array([1 / 4, 2 / 4, 4 / 4])
    assert murphy(z, y).resolution == pytest.approx(np.mean((frequencies - y.mean()) ** 2))


def test_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    z = np.round(generator.normal(-1.0, 2.0, 2000), 1)
    p = 1.0 / (1.0 + np.exp(-z))
    y = generator.random(2000) < p
    assert brier(z, y) == pytest.approx(sklearn.metrics.brier_score_loss(y, p), rel=1e-12)
    assert nll(z, y) == pytest.approx(sklearn.metrics.log_loss(y, p), rel=1e-12)


def test_one_pixel():
    assert brier([0.0], [1]) == 0.25
    assert nll([np.inf], [0]) == math.inf
    assert nll([np.inf], [1]) == 0.0
    assert math.isnan(brier_skill([1.0, 2.0], [0, 0]))
    lone = murphy([np.inf], [0])
    assert (lone.reliability, lone.resolution, lone.uncertainty) == (1.0, 0.0, 0.0)


def test_far_tails_keep_their_digits():
    """Where p rounds to 0 or 1 the scores still tell one mistake from a worse one."""
    assert nll([800.0], [0]) == 800.0
    assert nll([-40.0], [0]) == pytest.approx(math.exp(-40.0), rel=1e-12)
    assert brier([40.0], [1]) == pytest.approx(math.exp(-80.0), rel=1e-12)
