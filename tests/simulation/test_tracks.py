"""Geometry, charge and counts of cosmic rays, against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayescr.errors import BayescrError
from bayescr.simulation.diffusion import collect
from bayescr.simulation.electrons import Deposits, electron_range
from bayescr.simulation.energy_loss import PAIR_ENERGY
from bayescr.simulation.particles import (
    HELIUM_MASS,
    LANDAU_XI,
    PROTON_MASS,
    stopping_range,
)
from bayescr.simulation.tracks import (
    CosmicRays,
    alphas,
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


@pytest.mark.parametrize(("tilt", "expected"), [(0.0, 1.0), (90.0, 0.5), (180.0, 1.0)])
def test_muons_meet_an_upright_surface_half_as_often(tilt, expected):
    # Share of the intensity cos^2 that a surface meets, from the directions themselves: the mean
    # of 1 / |cos| over what crosses is one over the flux, per unit of intensity. Over the upper
    # half, the integral of cos^2 is 2 pi / 3, of cos^3 (flux through a level surface) pi / 2.
    direction = crossing_directions(400_000, np.random.default_rng(1), zenith_index=2.0, tilt=tilt)
    normal = np.abs(direction[:, 2])
    kept = normal > 0.01  # the mean of 1 / |cos| has a heavy tail; 1% of the sky's intensity
    flux = (2 * np.pi / 3) / np.mean(kept / np.maximum(normal, 0.01))
    assert flux / (np.pi / 2) == pytest.approx(expected, rel=0.04)
    zenith = np.array([0.0, np.sin(np.radians(tilt)), np.cos(np.radians(tilt))])
    assert (direction @ zenith < 0).all()  # nothing comes from below the horizon


def test_tracks_run_along_the_columns_of_an_upright_detector():
    direction = crossing_directions(50_000, np.random.default_rng(2), zenith_index=2.0, tilt=90.0)
    down_columns = np.abs(direction[:, 1]) > np.abs(direction[:, 0])
    assert down_columns.mean() > 0.7


def test_alpha_particle_stops_with_all_its_energy_and_most_near_the_end():
    rays = CosmicRays(thickness=200.0, alpha_energy=(5.3, 5.3))
    deposits = alphas(np.zeros((40, 2)), np.random.default_rng(3), cosmic_rays=rays)
    # Straggling by collisions: less than 2% of a single particle, 40 of them here.
    assert deposits.charge.sum() == pytest.approx(40 * 5.3e6 / PAIR_ENERGY, rel=0.02)
    path = stopping_range(np.array([5.3]), HELIUM_MASS, 2.0)[0]
    travelled = np.linalg.norm(deposits.position - [0, 0, 200.0], axis=1)
    assert travelled.max() < path
    near_end = deposits.charge[travelled > 0.7 * path].sum() / deposits.charge.sum()
    assert near_end > 0.36  # Bragg: the last 30% of the path; 30% without


def test_slow_protons_stop_and_fast_ones_pass():
    entry = np.zeros((300, 2))
    ends = []
    for scale in (0.5, 1e5):
        rays = CosmicRays(
            thickness=100.0, helium_fraction=0.0, energy_scale=scale, energy_index=5.0
        )
        tracks = straight_tracks(entry, np.random.default_rng(4), cosmic_rays=rays)
        ends.append(tracks.position[:, 2].min())
    assert ends[0] > 100.0 - stopping_range(np.array([5.0]), PROTON_MASS)[0]
    assert ends[1] < 1.0


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_worms_enter_in_proportion_to_the_surroundings(share):
    # Electrons of one energy: of d + w R / 2, w R / 2 enter at a face. Those make their first step,
    # a tenth of a pixel, there.
    energy, thickness, number = 0.1, 20.0, 400
    rays = CosmicRays(
        thickness=thickness, pixel_size=2.0, worm_energy=(energy, energy), surroundings=share
    )
    deposits = worms(np.zeros((number, 2)), np.random.default_rng(0), cosmic_rays=rays)
    first = deposits.position[:number, 2]
    entered = (np.minimum(first, thickness - first) < 0.1 + 1e-9).mean()
    reach = electron_range(np.array([energy]))[0] / 2
    expected = share * reach / (thickness + share * reach)
    assert entered == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(number))


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


PLACES = st.lists(
    st.tuples(st.floats(60, 180), st.floats(60, 180), st.floats(0, 20), st.floats(1, 1e5)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(PLACES, st.floats(0.1, 8.0), st.floats(0, 4.0))
def test_charge_is_conserved_away_from_the_edges(places, diffusion, cloud):
    places = np.array(places)
    image = collect(
        Deposits(places[:, :3], places[:, 3]), (16, 16), pixel_size=15.0, diffusion=diffusion,
        thickness=20.0, cloud=cloud,
    )  # fmt: skip
    assert image.sum() == pytest.approx(places[:, 3].sum(), rel=1.3e-4)  # four sigma each way
    assert (image >= 0).all()


@given(PLACES)
def test_turned_deposits_give_the_turned_image(places):
    places = np.array(places)
    options = {"pixel_size": 15.0, "diffusion": 6.0, "thickness": 20.0}
    image = collect(Deposits(places[:, :3], places[:, 3]), (16, 16), **options)
    x, y, height, charge = places.T
    turned = Deposits(np.column_stack([y, 240.0 - x, height]), charge)
    np.testing.assert_allclose(
        collect(turned, (16, 16), **options), np.rot90(image), rtol=1e-4, atol=1e-3 * charge.max()
    )


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


def test_tracks_that_are_left_out_would_have_missed_the_frame():
    rays = CosmicRays(rate=5.0, thickness=100.0, worm_fraction=0.0, helium_fraction=0.0)
    rng, size = np.random.default_rng(7), np.array([600.0, 600.0])
    entry = rng.uniform(-2000, 2600, (4000, 2))
    pieces = []
    for frame in (None, size):
        tracks = straight_tracks(entry, np.random.default_rng(8), cosmic_rays=rays, frame=frame)
        x, y = tracks.position[:, 0], tracks.position[:, 1]
        pieces.append(((x > 0) & (x < 600) & (y > 0) & (y < 600)).sum())
    # The same directions, but other knock-on electrons: some percent of the pieces.
    assert pieces[1] == pytest.approx(pieces[0], rel=0.1)
    assert pieces[1] > 500


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
        ({"alpha_energy": (1.0, 20.0)}, "alpha_energy is"),
        ({"surroundings": 2.0}, "surroundings is 2.0"),
        ({"tilt": 200.0}, "tilt is 200.0"),
        ({"energy_index": 1.0}, "energy_index is 1.0"),
        ({"zenith_index": -1.0}, "zenith_index is -1.0"),
        ({"worm_fraction": 0.9, "alpha_fraction": 0.2}, "worm_fraction and alpha_fraction"),
    ],
)
def test_bad_physics_is_named(arguments, named):
    with pytest.raises(BayescrError, match=named):
        CosmicRays(**arguments)
