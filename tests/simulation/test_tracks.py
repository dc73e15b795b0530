"""Geometry, charge and counts of cosmic rays, against closed forms."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation.diffusion import collect
from bayescr.simulation.electrons import Deposits, electron_range, walk_electrons
from bayescr.simulation.energy_loss import LANDAU_XI, PAIR_ENERGY
from bayescr.simulation.tracks import (
    CosmicRays,
    cosmic_ray_charge,
    crossing_directions,
    straight_tracks,
    worms,
)


def test_crossing_directions_are_an_isotropic_flux():
    direction = crossing_directions(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0, atol=1e-12)
    cosine = -direction[:, 2]
    secant = 1 / cosine
    # E[1 / cos] = 2 under the density 2 cos, but its variance diverges logarithmically:
    # 2% is four standard errors of a typical sample of this size.
    assert secant.mean() == pytest.approx(2.0, rel=0.02)
    assert np.median(secant) == pytest.approx(np.sqrt(2), rel=0.01)
    assert (cosine**2).mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * 200_000))
    assert abs(direction[:, :2].mean(axis=0)).max() < 5 * 0.5 / np.sqrt(200_000)


def test_track_crosses_the_whole_layer_in_a_straight_line():
    rays = CosmicRays(thickness=50.0, helium_fraction=0.0, worm_fraction=0.0)
    tracks = straight_tracks(np.array([[100.0, 200.0]]), np.random.default_rng(1), cosmic_rays=rays)
    position = tracks.position[tracks.position[:, 2].argsort()[::-1]]
    step = np.diff(position, axis=0)
    np.testing.assert_allclose(step, step[:1].repeat(len(step), axis=0), atol=1e-9)
    assert np.linalg.norm(step[0]) <= rays.pixel_size / 10 + 1e-12
    half = step[0] / 2
    np.testing.assert_allclose(position[0] - half, [100.0, 200.0, 50.0], atol=1e-9)
    assert (position[-1] + half)[2] == pytest.approx(0.0, abs=1e-9)


def test_mean_charge_of_tracks_equals_path_times_mean_loss():
    # 1 / cos and 1 / E^2 have heavy tails: means of 4000 tracks scatter by some percent. Fast
    # knock-on electrons leave a thin layer with part of their energy, which lowers the mean.
    entry = np.zeros((4000, 2))
    means = []
    for helium in (0.0, 1.0):
        rays = CosmicRays(helium_fraction=helium)
        tracks = straight_tracks(entry, np.random.default_rng(2), cosmic_rays=rays)
        means.append(tracks.charge.sum() / len(entry))
    assert means[1] / means[0] == pytest.approx(4.0, rel=0.15)
    soft_and_hard = 125.0 + LANDAU_XI * np.log(1e6 / 100) + LANDAU_XI * np.log(5e3 / 100)
    assert means[0] == pytest.approx(2 * 14.5 * soft_and_hard / PAIR_ENERGY, rel=0.2)


def test_electron_loses_all_its_energy_in_a_thick_layer():
    energy = np.array([0.05, 0.2, 0.8])
    start = np.array([[0.0, 0.0, 5000.0]]).repeat(3, axis=0)
    direction = np.array([[1.0, 0.0, 0.0]]).repeat(3, axis=0)
    deposits = walk_electrons(
        start, direction, energy, np.random.default_rng(3), thickness=10_000.0, step=1.5
    )
    assert deposits.charge.sum() == pytest.approx(energy.sum() * 1e6 / PAIR_ENERGY, rel=1e-9)
    assert (deposits.charge >= 0).all()
    # The walk bends, so it ends nearer than the range, and not absurdly near.
    reach = np.linalg.norm(deposits.position - start[0], axis=1).max()
    assert 0.2 * electron_range(energy)[2] < reach < electron_range(energy)[2]


def test_range_of_a_fast_electron_is_katz_and_penfolds():
    # 1 MeV: 0.412 g/cm2, in silicon 1769 um.
    assert electron_range(np.array([1.0]))[0] == pytest.approx(1769.0, rel=1e-3)
    assert (np.diff(electron_range(np.geomspace(0.001, 10, 500))) > 0).all()


def test_worms_stay_inside_the_layer_and_curl():
    rays = CosmicRays(thickness=200.0, worm_energy=(0.3, 0.3))
    start = np.zeros((20, 2))
    deposits = worms(start, np.random.default_rng(4), cosmic_rays=rays)
    step = rays.pixel_size / 10
    assert deposits.position[:, 2].min() > -step
    assert deposits.position[:, 2].max() < rays.thickness + step
    # No worm gives more than its energy, and some leave the layer with a part of it.
    assert 0 < deposits.charge.sum() < 20 * 0.3e6 / PAIR_ENERGY


def test_collect_conserves_charge_and_centroid():
    position = np.array([[151.0, 233.0, 14.0], [160.5, 152.0, 3.0]])
    deposits = Deposits(position, np.array([1000.0, 500.0]))
    image = collect(deposits, (32, 32), pixel_size=15.0, diffusion=5.0, thickness=14.5)
    # What lies beyond four standard deviations in either axis: less than 2 x 6.3e-5.
    assert image.sum() == pytest.approx(1500.0, rel=1.3e-4)
    assert image.dtype == np.float32


@pytest.mark.parametrize("height", [2.0, 14.5])
def test_collect_equals_a_fine_grid(height):
    sigma = 5.0 * np.sqrt(height / 14.5)
    x, y = 47.3, 39.1
    fine = (np.arange(8 * 150) + 0.5) / 10  # um, ten to a micron
    density = np.exp(-0.5 * ((fine[None, :] - x) ** 2 + (fine[:, None] - y) ** 2) / sigma**2)
    density *= 100.0 / density.sum()
    expected = density.reshape(8, 150, 8, 150).sum(axis=(1, 3))
    deposits = Deposits(np.array([[x, y, height]]), np.array([100.0]))
    image = collect(deposits, (8, 8), pixel_size=15.0, diffusion=5.0, thickness=14.5)
    np.testing.assert_allclose(image, expected, atol=1e-2)  # charge beyond four sigma is dropped


def test_collect_loses_only_what_leaves_the_frame():
    deposits = Deposits(np.array([[0.0, 75.0, 14.5], [-200.0, 75.0, 14.5]]), np.array([10.0, 10.0]))
    image = collect(deposits, (10, 10), pixel_size=15.0, diffusion=5.0, thickness=14.5)
    assert image.sum() == pytest.approx(5.0, rel=1e-3)  # half of the first, none of the second


def test_number_of_events_is_poisson_of_rate_area_and_time():
    # Count by charge: with worms only, of one energy and a range of 1 um, in a thicker layer, every
    # event frees the same charge where it starts.
    rays = CosmicRays(rate=2.0, thickness=60.0, worm_fraction=1.0, worm_energy=(0.01, 0.01))
    charge = np.array(
        [
            cosmic_ray_charge((40, 40), 500.0, np.random.default_rng(seed), cosmic_rays=rays).sum()
            for seed in range(60)
        ]
    )
    events = charge / (0.01e6 / PAIR_ENERGY)
    expected = 2.0 * (40 * 15e-4) ** 2 * 500.0
    assert events.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / 60))
    assert events.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / 60))


def test_acs_numbers_of_the_handbook():
    charge = cosmic_ray_charge((1024, 1024), 1000.0, np.random.default_rng(5))
    share = (charge > 11.0).mean()  # one sigma of a 500 to 1000 s exposure
    assert 0.01 < share < 0.03  # ISR ACS 2002-07: 1.5 to 3% in 1000 s
    rays = CosmicRays(worm_fraction=0.0)
    totals = [
        straight_tracks(np.zeros((1, 2)), np.random.default_rng(seed), cosmic_rays=rays)
        for seed in range(400)
    ]
    totals = np.array([track.charge.sum() for track in totals])
    assert 900 < np.median(totals) < 2000  # median about 1000 e-
    assert (totals < 500).mean() < 0.03  # negligible events of less than 500 e-


def test_same_seed_same_charge():
    first, second = (cosmic_ray_charge((50, 40), 800.0, np.random.default_rng(6)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.shape == (50, 40)
    assert (first >= 0).all()


def test_no_rate_no_charge():
    rays = CosmicRays(rate=0.0)
    assert not cosmic_ray_charge((9, 9), 1e4, np.random.default_rng(0), cosmic_rays=rays).any()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rate": -1.0}, "rate is -1.0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"thickness": 0.0}, "thickness is 0.0"),
        ({"pixel_size": -15.0}, "pixel_size is -15.0"),
        ({"diffusion": -1.0}, "diffusion is -1.0"),
        ({"worm_fraction": 1.5}, "worm_fraction is 1.5"),
        ({"helium_fraction": -0.1}, "helium_fraction is -0.1"),
        ({"worm_energy": (1.0, 0.1)}, "worm_energy is"),
    ],
)
def test_bad_physics_is_named(arguments, named):
    with pytest.raises(BayescrError, match=named):
        CosmicRays(**arguments)
