"""Schedules at points worked out by hand."""

from __future__ import annotations

import math

import pytest

from bayescr.errors import BayescrError
from bayescr.inference import annealing

GRID = [i / 200 for i in range(201)]


@pytest.mark.parametrize("name", annealing.FAMILY)
def test_every_schedule_is_finite_bounded_and_ends_at_its_final_weight(name):
    schedule = annealing.FAMILY[name]()
    weights = [schedule(x) for x in GRID]
    assert all(0.0 <= weight <= 1.0 for weight in weights)
    assert schedule(1.0) == 1.0


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("final", [0.1, 1.0, 2.0])
def test_ramps_rise_from_0_through_half_to_final_and_stay(name, final):
    schedule = annealing.FAMILY[name](warmup=0.4, final=final)
    assert schedule(0.0) == pytest.approx(0.0, abs=1e-12)
    assert schedule(0.2) == pytest.approx(final / 2)
    assert schedule(0.4) == schedule(0.7) == schedule(1.0) == final
    weights = [schedule(x) for x in GRID]
    assert weights == sorted(weights)


def test_points_by_hand():
    assert annealing.linear(warmup=0.5)(0.1) == pytest.approx(0.2)
    assert annealing.cosine(warmup=1.0)(0.25) == pytest.approx(0.5 - 0.5 / math.sqrt(2))
    logistic = lambda z: 1 / (1 + math.exp(-z))  # noqa: E731
    low = logistic(-3.0)
    assert annealing.sigmoid(warmup=1.0, steepness=6.0)(0.25) == pytest.approx(
        (logistic(-1.5) - low) / (1 - 2 * low)
    )
    assert annealing.constant(0.3)(0.0) == annealing.constant(0.3)(1.0) == 0.3


def test_no_warm_up_is_full_weight_at_once():
    for name in ("linear", "cosine", "sigmoid"):
        assert annealing.FAMILY[name](warmup=0.0, final=0.5)(0.0) == 0.5


def test_a_steep_sigmoid_is_a_step():
    schedule = annealing.sigmoid(warmup=1.0, steepness=1e5)
    assert schedule(0.4) == pytest.approx(0.0, abs=1e-12)
    assert schedule(0.6) == pytest.approx(1.0)


def test_cycles_repeat_and_end_full():
    schedule = annealing.cyclical(cycles=4, warmup=0.5)
    for cycle in range(4):
        assert schedule(cycle / 4 + 0.0625) == pytest.approx(0.5)
        assert schedule(cycle / 4 + 0.2) == 1.0
    assert schedule(0.25) == schedule(0.5) == 0.0
    assert schedule(1.0) == 1.0


def test_learning_rate_rises_to_1_and_falls_to_final():
    multiplier = annealing.warmup_cosine(warmup=0.1, final=0.02)
    assert 0.0 < multiplier(0.0) < 0.02
    assert multiplier(0.1) == pytest.approx(1.0)
    assert multiplier(0.55) == pytest.approx(0.02 + 0.98 / 2)
    assert multiplier(1.0) == pytest.approx(0.02)
    assert all(0.0 < multiplier(x) <= 1.0 for x in GRID)


def test_swa_falls_to_a_rate_that_is_held():
    multiplier = annealing.swa(start=0.5, final=0.2, warmup=0.1)
    assert 0.0 < multiplier(0.0) < 0.02
    assert multiplier(0.1) == pytest.approx(1.0)
    assert multiplier(0.3) == pytest.approx(0.2 + 0.8 / 2)
    assert multiplier(0.5) == multiplier(0.7) == multiplier(1.0) == pytest.approx(0.2)
    falling = [multiplier(x) for x in GRID if x >= 0.1]
    assert falling == sorted(falling, reverse=True)


def test_swa_that_never_holds_is_the_cosine():
    cosine = annealing.warmup_cosine(warmup=0.05, final=0.1)
    assert [annealing.swa(start=1.0)(x) for x in GRID] == [cosine(x) for x in GRID]


@pytest.mark.parametrize(
    "make",
    [
        lambda: annealing.linear(warmup=1.5), lambda: annealing.linear(warmup=-0.1),
        lambda: annealing.cosine(warmup=math.nan), lambda: annealing.constant(-1.0),
        lambda: annealing.sigmoid(steepness=0.0), lambda: annealing.cyclical(cycles=0),
        lambda: annealing.warmup_cosine(final=-1.0), lambda: annealing.linear(final=math.nan),
        lambda: annealing.swa(start=0.0), lambda: annealing.swa(start=1.1),
        lambda: annealing.swa(start=0.2, warmup=0.3), lambda: annealing.swa(final=-0.1),
        lambda: annealing.linear(warmup="0.3"), lambda: annealing.constant("1"),
        lambda: annealing.constant(math.inf), lambda: annealing.cyclical(cycles=2.5),
        lambda: annealing.sigmoid(steepness="10"), lambda: annealing.swa(start="0.6"),
        lambda: annealing.warmup_cosine(final=None), lambda: annealing.cosine(warmup=True),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make):
    with pytest.raises(BayescrError, match="expected a"):
        make()
