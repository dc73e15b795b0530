"""The calibration line is where the likelihood is greatest; where that is nowhere it is NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics import CalibrationLine, calibration_line

fixed = settings(derandomize=True, deadline=None, max_examples=300)

finite = st.sampled_from([-8.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 8.0, 300.0])
pixels = st.lists(st.tuples(finite, st.booleans()), min_size=1, max_size=8)


def arrays(pairs):
    return np.array([z for z, _ in pairs]), np.array([y for _, y in pairs])


def is_separated(z, y):
    """Whether some a + b z other than 0 is nowhere on the wrong side (Albert & Anderson)."""
    if len(set(z)) == 1:
        return True  # then a and b are not told apart
    signed = np.where(y, 1.0, -1.0)[:, None] * np.stack([np.ones_like(z), z], axis=1)
    best = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(z)), bounds=[(-1, 1)] * 2)
    return -best.fun > 1e-9


@fixed
@given(pixels)
def test_the_score_equations_hold_where_an_estimate_exists(pairs):
    """The likelihood is concave, so that a zero of its gradient is its maximum."""
    z, y = arrays(pairs)
    line = calibration_line(z, y)
    if is_separated(z, y):
        assert math.isnan(line.slope)
        assert math.isnan(line.intercept)
    else:
        residual = y - expit(line.intercept + line.slope * z)
        # The last step is below 1e-7 of the slope, and the error about its square.
        assert residual.sum() == pytest.approx(0.0, abs=1e-8)
        assert residual @ z == pytest.approx(0.0, abs=1e-8 * np.abs(z).max())


def test_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    z = generator.normal(-1.0, 2.0, 3000)
    y = generator.random(3000) < expit(0.3 + 0.6 * z)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], y)
    line = calibration_line(z, y)
    # lbfgs stops at a gradient of 1e-10 of the mean loss.
    assert line.slope == pytest.approx(reference.coef_[0, 0], abs=1e-6)
    assert line.intercept == pytest.approx(reference.intercept_[0], abs=1e-6)


def test_undoes_a_stretch_and_a_shift_exactly():
    """If z has the line (a, b), then s z + t has the line (a - b t / s, b / s)."""
    generator = np.random.default_rng(1)
    z = generator.normal(-4.0, 3.0, 5000)
    y = generator.random(5000) < expit(z)
    line, moved = calibration_line(z, y), calibration_line(3.0 * z + 2.0, y)
    assert moved.slope == pytest.approx(line.slope / 3.0, rel=1e-9)
    assert moved.intercept == pytest.approx(line.intercept - 2.0 * line.slope / 3.0, abs=1e-9)
    # Calibrated by construction: within five standard errors, Fisher information from p (1 - p).
    weight = expit(z) * expit(-z)
    spread = np.sum(weight * (z - np.average(z, weights=weight)) ** 2)
    assert abs(line.slope - 1.0) < 5.0 / math.sqrt(spread)


def test_certain_pixels_are_left_out_if_right_and_undefined_if_wrong():
    z, y = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]), np.array([1, 1, 0, 0, 0, 1])
    line = calibration_line(z, y)
    certain = calibration_line([*z, np.inf, -np.inf], [*y, 1, 0])
    assert (certain.slope, certain.intercept) == (line.slope, line.intercept)
    assert math.isnan(calibration_line([*z, np.inf], [*y, 0]).slope)
    assert math.isnan(calibration_line([*z, -np.inf], [*y, 1]).slope)
    assert math.isnan(calibration_line([np.inf, -np.inf], [1, 0]).slope)
    assert math.isnan(calibration_line([], []).slope)


def test_two_logits_have_a_closed_form():
    """Two logits, two parameters: the line goes through both logits of the frequencies."""
    low, high, m0, m1 = -600.0, 650.0, 3, 10**9 - 7
    counts = Counts(
        score=np.array([low, high]),
        negative=np.array([10**10 - m0, 10**9 - m1]),
        positive=np.array([m0, m1]),
    )
    at_low, at_high = math.log(m0 / (10**10 - m0)), math.log(m1 / (10**9 - m1))
    line = CalibrationLine.of_counts(counts)
    assert line.slope == pytest.approx((at_high - at_low) / (high - low), rel=1e-8)
    assert line.intercept + line.slope * low == pytest.approx(at_low, abs=1e-7)
