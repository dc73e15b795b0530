"""Statistics of one track: closed forms, a brute force, and what must not change them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayescr.errors import BayescrError
from bayescr.simulation.track_statistics import TrackStatistics, track_statistics

STAMPS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.integers(0, 40).map(float),
).filter(lambda stamp: stamp.any())


def brute_force(charge):
    """Pixel by pixel, pair by pair, from the definitions."""
    pixels = [(i, j, charge[i, j]) for i, j in np.ndindex(charge.shape) if charge[i, j] != 0]
    total = sum(q for *_, q in pixels)
    y, x = (sum(pixel[axis] * pixel[2] for pixel in pixels) / total for axis in (0, 1))
    yy = sum(q * (i - y) ** 2 for i, _, q in pixels) / total + 1 / 12
    xx = sum(q * (j - x) ** 2 for _, j, q in pixels) / total + 1 / 12
    xy = sum(q * (i - y) * (j - x) for i, j, q in pixels) / total
    root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    elongation = np.sqrt(((xx + yy) / 2 + root) / ((xx + yy) / 2 - root))
    pairs = list(itertools.combinations(pixels, 2))
    chord = max((np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in pairs), default=0.0)
    bend = 0.0
    for a, b in pairs:
        if np.hypot(a[0] - b[0], a[1] - b[1]) > chord - 1e-6:
            area = (b[0] - a[0]) * (x - a[1]) - (b[1] - a[1]) * (y - a[0])
            bend = max(bend, abs(area) / chord)
    return TrackStatistics(
        size=len(pixels),
        charge=total,
        peak=max(q for *_, q in pixels),
        length=chord + 1,
        elongation=elongation,
        curvature=12 * bend / chord**2 if pairs else 0.0,
        charge_per_length=total / (chord + 1),
    )


@given(STAMPS)
def test_equals_brute_force(stamp):
    np.testing.assert_allclose(track_statistics(stamp), brute_force(stamp), rtol=1e-9, atol=1e-12)


@given(STAMPS, st.integers(0, 3), st.booleans(), st.integers(0, 3))
def test_turns_mirrors_and_borders_change_nothing(stamp, turns, mirror, border):
    moved = np.pad(np.rot90(stamp, turns), border)
    moved = moved[::-1] if mirror else moved
    np.testing.assert_allclose(
        track_statistics(moved), track_statistics(stamp), rtol=1e-9, atol=1e-9
    )


@given(STAMPS, st.floats(0.1, 1e4))
def test_charge_scales_and_shape_does_not(stamp, factor):
    one, other = track_statistics(stamp), track_statistics(factor * stamp)
    for name in ("charge", "peak", "charge_per_length"):
        assert getattr(other, name) == pytest.approx(factor * getattr(one, name))
    for name in ("size", "length", "elongation", "curvature"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-9)


@pytest.mark.parametrize("radius", [20.0, 60.0])
def test_curvature_of_an_arc_is_one_over_its_radius(radius):
    angle = np.linspace(-0.4, 0.4, 20_000)
    y, x = np.rint(radius * np.cos(angle)), np.rint(radius * np.sin(angle))
    stamp, *_ = np.histogram2d(y, x, bins=(np.arange(0, radius + 2), np.arange(-radius, radius)))
    found = track_statistics(stamp)
    # Pixels round the arc by up to half a pixel, its sagitta is radius (1 - cos 0.4).
    assert found.curvature == pytest.approx(1 / radius, rel=0.5 / (radius * 0.079) + 0.03)
    assert found.length == pytest.approx(2 * radius * np.sin(0.4) + 1, abs=1.0)


def test_one_pixel_is_round():
    found = track_statistics(np.full((1, 1), 7.0))
    assert found == (1, 7.0, 7.0, 1.0, 1.0, 0.0, 7.0)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.ones(4), np.full((2, 2), np.nan)])
def test_no_track_is_named(bad):
    with pytest.raises(BayescrError, match="the track has shape"):
        track_statistics(bad)
