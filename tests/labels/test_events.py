"""Events are hysteresis regions, their control is symmetric, and bad arguments are told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescr.errors import BayescrError
from bayescr.labels import find_events


def brute_force(z, seed, grow):
    """Flood from every seed, one pixel at a time."""
    found, regions = np.zeros(z.shape, int), 0
    for start in zip(*np.nonzero(z > seed), strict=True):
        if found[start]:
            continue
        regions += 1
        todo, size = [start], 0
        while todo:
            y, x = todo.pop()
            if not (0 <= y < z.shape[0] and 0 <= x < z.shape[1]):
                continue
            if found[y, x] or z[y, x] <= grow:
                continue
            found[y, x] = regions
            size += 1
            todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        if size == 1 and z[start] <= seed + grow:  # tells noise of a tail, not charge
            found[start] = 0
            regions -= 1
    return found, regions


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 1.2), st.floats(1.2, 2.0))
def test_events_are_what_a_flood_fill_finds(seed, grow, top):
    rng = np.random.default_rng(seed)
    residual, noise = rng.normal(0, 2.0, (17, 23)), rng.uniform(1.0, 2.0, (17, 23))
    events = find_events(residual, noise, seed_sigma=top, grow_sigma=grow)
    z = np.asarray(residual / noise, np.float32)
    found, number = brute_force(z, top, grow)
    assert events.num_events == number
    assert (events.truth == (found > 0)).all()
    for index in range(1, number + 1):  # the same pixels share a number
        assert len(np.unique(events.regions[found == index])) == 1
    assert events.num_control == brute_force(-z, top, grow)[1]


def test_control_counts_as_many_as_noise_makes():
    """On noise alone events and control are draws of one Poisson law: apart by chance only."""
    residual = np.random.default_rng(0).normal(size=(1000, 1000))
    events = find_events(residual, 1.0, seed_sigma=2.7, grow_sigma=2.2)
    assert events.num_events > 250
    difference = events.num_events - events.num_control
    assert abs(difference) < 4 * np.sqrt(events.num_events + events.num_control)
    flipped = find_events(-residual, 1.0, seed_sigma=2.7, grow_sigma=2.2)
    assert (flipped.num_events, flipped.num_control) == (events.num_control, events.num_events)


def test_pixels_that_are_not_valid_are_in_no_event():
    residual = np.zeros((9, 9))
    residual[4, 1:8] = 10.0
    valid = np.ones((9, 9), bool)
    valid[4, 4] = False
    events = find_events(residual, 1.0, valid=valid)
    assert events.num_events == 2
    assert not events.truth[4, 4]
    residual[4, 4] = np.nan
    assert find_events(residual, 1.0).num_events == 2


def test_a_pixel_alone_must_hold_what_two_do():
    residual = np.zeros((9, 9))
    residual[1, 1], residual[1, 7] = 8.9, 9.1
    residual[6, 2:4] = 6.1, 3.1
    residual[6, 7] = -8.9
    events = find_events(residual, 1.0)
    assert np.argwhere(events.truth).tolist() == [[1, 7], [6, 2], [6, 3]]
    assert (events.num_events, events.num_control) == (2, 0)


def test_a_stricter_residual_for_seeds():
    residual = np.zeros((9, 9))
    residual[2, 2:5], residual[6, 2:5] = 10.0, 10.0
    strict = residual.copy()
    strict[6] = 5.0
    events = find_events(residual, 1.0, seed_residual=strict)
    assert events.num_events == 1
    assert events.truth[2, 2:5].all()
    assert not events.truth[6].any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed_sigma": 0.0}, "seed_sigma is 0.0"),
        ({"seed_sigma": 2.0}, "grow_sigma is 3.0 but seed_sigma 2.0"),
        ({"valid": np.ones((2, 2), bool)}, r"valid has shape \(2, 2\) but the residual \(3, 3\)"),
        ({"noise": np.ones(3)}, "noise has shape"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, says):
    with pytest.raises(BayescrError, match=says):
        find_events(np.zeros((3, 3)), **({"noise": 1.0} | arguments))
