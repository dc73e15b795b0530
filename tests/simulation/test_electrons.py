"""Slow electrons: stopping, scattering and ranges against tables; energy is conserved."""

import numpy as np
import pytest

from bayescr.simulation.electrons import (
    collision_loss,
    deflected,
    electron_energy,
    electron_range,
    isotropic,
    scattering_power,
    walk_electrons,
)
from bayescr.simulation.energy_loss import PAIR_ENERGY

DENSITY = 2.329  # g / cm3
DEEP = 1e5  # um


def walk(energy, seed, *, number=1, step=3.0, thickness=2 * DEEP):
    """Electrons that start downwards in the middle of the layer."""
    return walk_electrons(
        np.array([[0.0, 0.0, thickness / 2]]).repeat(number, axis=0),
        np.array([[0.0, 0.0, -1.0]]).repeat(number, axis=0),
        np.full(number, energy),
        np.random.default_rng(seed),
        thickness=thickness,
        step=step,
    )


@pytest.mark.parametrize(
    ("energy", "loss", "path"),
    # NIST ESTAR, silicon, rounded: MeV, MeV cm2 / g, g / cm2. The path is without bremsstrahlung
    # here, which takes 2% of it at 1 MeV.
    [(0.01, 16.9, 3.5e-4), (0.1, 3.27, 0.0186), (1.0, 1.51, 0.555)],
)
def test_stopping_power_and_path_are_the_table(energy, loss, path):
    energy = np.array([energy])
    assert collision_loss(energy)[0] / DENSITY / 100 == pytest.approx(loss, rel=0.01)
    assert electron_range(energy)[0] * DENSITY * 1e-4 == pytest.approx(path, rel=0.03)
    assert electron_energy(electron_range(energy))[0] == pytest.approx(energy[0], rel=1e-3)


@pytest.mark.parametrize("energy", [0.05, 0.1, 0.2])
def test_electrons_reach_the_practical_range_of_katz_and_penfold(energy):
    # Their range is where the number of electrons that come so deep runs out: few come deeper
    # (the tail of straggling), and some come nearly as deep.
    practical = 0.412 * energy ** (1.265 - 0.0954 * np.log(energy)) / DENSITY * 1e4
    depth = [(DEEP - walk(energy, seed).position[:, 2]).max() for seed in range(40)]
    assert 0.75 * practical < np.percentile(depth, 95) < 1.1 * practical
    assert max(depth) < electron_range(np.array([energy]))[0]  # the path is longer than that


@pytest.mark.parametrize("energy", [0.02, 0.2, 0.8])
def test_electron_leaves_all_its_energy_in_a_thick_layer(energy):
    deposits = walk(energy, 1, number=3)
    assert deposits.charge.sum() == pytest.approx(3 * energy * 1e6 / PAIR_ENERGY, rel=1e-9)
    assert (deposits.charge >= 0).all()


def test_an_electron_of_next_to_no_energy_stops_where_it_is():
    """At 20 to 200 eV, where the formula of the stopping power is negative."""
    energy = np.geomspace(2e-5, 2e-4, 50)
    found = walk_electrons(
        np.full((50, 3), 10.0), isotropic(50, np.random.default_rng(0)), energy,
        np.random.default_rng(1), thickness=20.0, step=5.0,
    )  # fmt: skip
    np.testing.assert_allclose(found.charge, energy * 1e6 / PAIR_ENERGY)
    assert np.abs(found.position - 10.0).max() < 1.0


def test_electron_takes_the_rest_along_when_it_leaves():
    deposits = walk(1.0, 2, number=20, thickness=100.0)
    assert 0 < deposits.charge.sum() < 0.5 * 20e6 / PAIR_ENERGY
    assert np.abs(deposits.position[:, 2] - 50.0).max() <= 50.0 + 3.0 / 2


def test_deflections_compound():
    # Independent deflections about the axis: mean cosines multiply, in however many steps.
    mean, number = 0.02, 20_000
    for steps in (1, 4, 16):
        rng = np.random.default_rng(5)
        direction = np.array([[0.0, 0.6, 0.8]]).repeat(number, axis=0)
        for _ in range(steps):
            direction = deflected(direction, np.full(number, mean / steps), rng)
        np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0, atol=1e-12)
        cosine = direction @ [0.0, 0.6, 0.8]
        assert cosine.mean() == pytest.approx((1 - mean / steps) ** steps, abs=5 * mean / 140)


def test_scattering_is_highlands_where_that_holds():
    # PDG, 1 MeV over 400 um, X0 = 93.7 mm, a plane: 13.6 / (beta c p) sqrt(x) (1 + 0.038 ln x) for
    # the central 98% of angles. The mean square has the rare large ones, too.
    x, energy = 400 / 93_700, 1.0
    beta_cp = energy * (energy + 1.022) / (energy + 0.511)
    highland = 13.6 / beta_cp * np.sqrt(x) * (1 + 0.038 * np.log(x))
    mean_square = scattering_power(np.array([energy]))[0] * 400.0  # of an angle in a plane
    assert highland**2 < mean_square < 1.6 * highland**2


def test_a_walk_does_not_depend_on_its_steps():
    # 35 keV: no knock-on electron is walked by itself.
    depths = [
        [(DEEP - walk(0.035, seed, step=step).position[:, 2]).max() for seed in range(150)]
        for step in (0.5, 2.0)
    ]
    error = np.std(depths) * np.sqrt(2 / 150)
    assert abs(np.mean(depths[0]) - np.mean(depths[1])) < 4 * error
    assert error < 0.08 * np.mean(depths)


def test_slow_electrons_curl():
    # The straight distance from start to end, over the path, of 200 keV.
    start = np.array([0.0, 0.0, DEEP])
    farthest = [
        np.linalg.norm(walk(0.2, seed).position - start, axis=1).max() for seed in range(20)
    ]
    assert 0.2 < np.mean(farthest) / electron_range(np.array([0.2]))[0] < 0.7
