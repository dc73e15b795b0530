"""Painting is exact, the truth is what its definition says, and nothing else changes."""

import itertools

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from bayescr.data import sky_and_noise
from bayescr.data._stamps import turned
from bayescr.errors import BayescrError
from bayescr.injection import Track, TrackCatalogue, inject

L_SHAPE = Track(np.array([[900.0, 500.0, 300.0], [700.0, 0.0, 0.0]], np.float32))


def brute_force(catalogue, placed, shape):
    """Pixel by pixel, with the symmetry written out in coordinates."""
    charge = np.zeros(shape)
    for index, row, column, symmetry in placed:
        stamp = catalogue.tracks[index].charge
        height, width = stamp.shape
        for i, j in itertools.product(range(height), range(width)):
            y = height - 1 - i if symmetry & 1 else i
            x = width - 1 - j if symmetry & 2 else j
            if symmetry & 4:  # transposed
                y, x = x, y
            if 0 <= row + y < shape[0] and 0 <= column + x < shape[1]:
                charge[row + y, column + x] += stamp[i, j]
    return charge


def test_painting_equals_brute_force(sky, catalogue):
    painted = inject(sky, catalogue, number=60, seed=3)
    expected = brute_force(catalogue, painted.placed, sky.shape)
    np.testing.assert_allclose(painted.charge, expected, rtol=1e-6)
    # the sum is formed in float32
    np.testing.assert_allclose(painted.frame.data, sky.data + expected, rtol=1e-6)
    assert len(painted.placed) == 60
    assert {place.symmetry for place in painted.placed} == set(range(8))


def test_charge_of_tracks_that_lie_inside_is_the_catalogues(sky, catalogue):
    painted = next(
        one
        for one in (inject(sky, catalogue, number=4, seed=seed) for seed in range(50))
        if all(5 < p.row < 85 and 5 < p.column < 115 for p in one.placed)
    )
    total = sum(catalogue.tracks[place.track].charge.sum() for place in painted.placed)
    assert painted.charge.sum(dtype=float) == pytest.approx(total, rel=1e-6)


def test_overlapping_tracks_add():
    flat = CCDData(np.random.default_rng(0).normal(50.0, 5.0, (8, 8)), unit="electron")
    painted = inject(flat, [Track(np.full((8, 8), 7.0, np.float32))], number=50, seed=0)
    assert painted.charge.max() > 7.0 * 10
    assert np.all(painted.charge % 7.0 == 0)


def test_truth_is_charge_over_local_noise(sky, catalogue):
    painted = inject(sky, catalogue, number=80, seed=1, threshold=3.0, undecided=1.0)
    level, noise = sky_and_noise(sky.data)
    local = np.sqrt(noise**2 + np.maximum(sky.data - level, 0.0))
    q = painted.charge / local
    np.testing.assert_array_equal(painted.truth, q > 3.0)
    np.testing.assert_array_equal(painted.valid, (q <= 1.0) | (q > 3.0))
    assert 0 < (~painted.valid).sum() < painted.truth.sum()
    assert local[40, 70] > 10 * noise  # the star's own shot noise


def test_a_faint_track_is_a_hit_on_sky_and_none_on_a_star(sky):
    faint = [Track(np.full((96, 128), 60.0, np.float32))]
    painted = next(
        one
        for one in (inject(sky, faint, number=1, seed=seed) for seed in range(200))
        if one.charge[40, 70] and one.charge[5:20, 60:90].all()
    )
    assert painted.truth[5:20, 60:90].all()
    assert not painted.truth[40, 70]


def test_the_uncertainty_of_the_sky_is_its_noise(sky, catalogue):
    sky.uncertainty = StdDevUncertainty(np.full(sky.shape, 1e3, np.float32))
    sky.uncertainty.array[:, 0] = np.nan  # no noise is known there: it is measured
    painted = inject(sky, catalogue, number=80, seed=1)
    np.testing.assert_array_equal(painted.truth[:, 1:], painted.charge[:, 1:] > 2e3)
    np.testing.assert_allclose(
        painted.frame.uncertainty.array[:, 1:] ** 2, 1e6 + painted.charge[:, 1:], rtol=1e-5
    )


def test_own_hits_and_what_touches_them_are_not_valid(sky, catalogue):
    own = np.zeros(sky.shape, bool)
    own[10, 20] = own[95, 127] = True
    sky.mask = np.zeros(sky.shape, bool)
    sky.mask[60, 60] = True
    painted = inject(sky, catalogue, number=0, own_hits=own)
    expected = np.ones(sky.shape, bool)
    expected[9:12, 19:22] = expected[94:96, 126:128] = expected[60, 60] = False
    np.testing.assert_array_equal(painted.valid, expected)
    np.testing.assert_array_equal(painted.frame.data, sky.data)


def test_saturation(sky, catalogue):
    painted = inject(sky, catalogue, number=80, seed=2, saturation=2e4)
    assert painted.frame.data.max() == 2e4
    assert not painted.valid[sky.data >= 2e4].any()
    clipped = (sky.data < 2e4) & (sky.data + painted.charge > 2e4)
    assert painted.valid[clipped].all()


def test_pixels_that_are_not_finite_stay_so(sky, catalogue):
    sky.data[3, 4] = np.nan
    painted = inject(sky, catalogue, number=20)
    assert np.isnan(painted.frame.data[3, 4])
    assert not painted.valid[3, 4]


def test_same_seed_same_pixels_and_the_sky_stays(sky, catalogue):
    before = sky.data.copy()
    one, two, other = (inject(sky, catalogue, number=9, seed=seed) for seed in (4, 4, 5))
    assert one.placed == two.placed
    assert one.frame.data.tobytes() == two.frame.data.tobytes()
    assert one.placed != other.placed
    np.testing.assert_array_equal(sky.data, before)


def test_places_and_symmetries_are_uniform(catalogue):
    flat = CCDData(np.random.default_rng(0).normal(9.0, 1.0, (40, 40)), unit="electron")
    placed = inject(flat, [L_SHAPE], number=16_000, seed=0).placed
    counts = np.bincount([place.symmetry for place in placed], minlength=8)
    assert np.abs(counts - 2000).max() < 4 * np.sqrt(2000)
    middle = [(p.row + turned(L_SHAPE.charge, p.symmetry).shape[0] // 2) // 10 for p in placed]
    counts = np.bincount(middle)
    assert len(counts) == 4
    assert np.abs(counts - 4000).max() < 4 * np.sqrt(4000)


def test_a_rate_counts_the_catalogues_pixels_and_the_skys_time(sky, catalogue):
    # 96 x 128 pixels of 15 um for 100 s at 40 / cm^2 / s
    mean = 40.0 * 96 * 128 * (15e-4) ** 2 * 100.0
    numbers = [len(inject(sky, catalogue, rate=40.0, seed=seed).placed) for seed in range(40)]
    assert abs(np.mean(numbers) - mean) < 4 * np.sqrt(mean / 40)
    default = [len(inject(sky, catalogue, seed=seed).placed) for seed in range(40)]
    mean *= catalogue.rate / 40.0
    assert abs(np.mean(default) - mean) < 4 * np.sqrt(mean / 40)


def test_counts_are_refused_and_a_gain_makes_electrons(catalogue):
    rng = np.random.default_rng(0)
    counts = CCDData(rng.normal(100.0, 5.0, (32, 32)), unit="adu")
    with pytest.raises(BayescrError, match="sky is in 'adu' but tracks are in electrons"):
        inject(counts, catalogue, number=1)
    electrons = CCDData(counts.data * 2.0, unit="electron")
    painted = inject(electrons, catalogue, number=9, seed=0)
    np.testing.assert_allclose(painted.frame.data - painted.charge, 2.0 * counts.data, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"number": -1}, "number is -1"),
        ({"number": 1, "rate": 1.0}, "exclude one another"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"number": 1, "threshold": 0.0}, "threshold is 0.0"),
        ({"number": 1, "undecided": 2.5}, "undecided is 2.5"),
        ({"number": 1, "seed": -1}, "seed is -1"),
        ({"number": 1, "saturation": -1.0}, "saturation is -1.0"),
        ({"number": 1, "own_hits": np.zeros((2, 2), bool)}, "own_hits is bool of shape"),
        ({"number": 1, "own_hits": np.zeros((96, 128))}, "own_hits is float64"),
    ],
)
def test_arguments_that_cannot_be_used(sky, catalogue, options, says):
    with pytest.raises(BayescrError, match=says):
        inject(sky, catalogue, **options)


def test_tracks_that_cannot_be_used(sky, catalogue):
    with pytest.raises(BayescrError, match="no tracks to paint"):
        inject(sky, [], number=3)
    with pytest.raises(BayescrError, match="tracks without a catalogue have no rate"):
        inject(sky, [L_SHAPE])
    with pytest.raises(BayescrError, match="no exposure time"):
        inject(CCDData(sky.data, unit="electron"), catalogue)
    assert isinstance(catalogue, TrackCatalogue)
