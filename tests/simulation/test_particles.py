"""Heavy particles: stopping power and range against tables, spectra against their integrals."""

import numpy as np
import pytest

from bayescr.simulation.particles import (
    HELIUM_MASS,
    MUON_MASS,
    PROTON_MASS,
    beta_gamma,
    draw_energy,
    largest_transfer,
    slowed,
    stopping_power,
    stopping_range,
)

DENSITY = 2.329  # g / cm3


@pytest.mark.parametrize(
    ("energy", "expected", "tolerance"),
    # NIST PSTAR, protons in silicon, rounded: MeV, MeV cm2 / g. At 1 MeV the shell correction,
    # which is left out, takes 4%.
    [(1.0, 175.0, 0.05), (10.0, 34.6, 0.02), (100.0, 5.8, 0.02)],
)
def test_stopping_power_of_protons_is_the_table(energy, expected, tolerance):
    speed = beta_gamma(np.array([energy]), PROTON_MASS)
    found = stopping_power(speed, PROTON_MASS, largest=np.inf)[0] / DENSITY / 100
    assert found == pytest.approx(expected, rel=tolerance)


def test_minimum_of_ionisation_is_the_pdg_value():
    speed = np.geomspace(1.0, 30.0, 300)
    found = stopping_power(speed, MUON_MASS, largest=np.inf) / DENSITY / 100
    assert found.min() == pytest.approx(1.664, rel=0.005)  # PDG: silicon, MeV cm2 / g
    assert 3.0 < speed[found.argmin()] < 4.0


def test_range_is_the_table_and_scales_with_mass_and_charge():
    # PSTAR: a proton of 10 MeV comes 0.166 g/cm2 far; an alpha particle of 5.3 MeV 27 um.
    assert stopping_range(np.array([10.0]), PROTON_MASS)[0] * DENSITY * 1e-4 == pytest.approx(
        0.166, rel=0.03
    )
    assert stopping_range(np.array([5.3]), HELIUM_MASS, 2.0)[0] == pytest.approx(27.0, rel=0.08)
    same_speed = stopping_range(np.array([10.0 * MUON_MASS / PROTON_MASS]), MUON_MASS)
    assert same_speed[0] == pytest.approx(
        stopping_range(np.array([10.0]), PROTON_MASS)[0] * MUON_MASS / PROTON_MASS, rel=1e-9
    )


def test_slowing_down_is_the_integral_of_the_loss():
    energy, steps = np.array([50.0]), 20_000
    total = 0.95 * stopping_range(energy, PROTON_MASS)[0]
    left = energy
    for _ in range(steps):
        speed = beta_gamma(left, PROTON_MASS)
        left = left - stopping_power(speed, PROTON_MASS, largest=np.inf) * 1e-6 * total / steps
    found = slowed(energy, np.array([total]), PROTON_MASS)
    assert found[0] == pytest.approx(left[0], rel=5e-3)  # first-order steps, table of 3000
    assert slowed(energy, np.array([1.1 * total]), PROTON_MASS)[0] == 0.0


def test_largest_transfer_of_a_heavy_particle():
    speed = np.array([0.1, 1.0])
    np.testing.assert_allclose(
        largest_transfer(speed, 1e9), 2 * 0.511e6 * speed**2, rtol=1e-8
    )  # 2 m c^2 (beta gamma)^2
    energy = np.array([30.0])  # of an equal mass: all of it
    own = largest_transfer(beta_gamma(energy, 0.511), 0.511)
    assert own[0] == pytest.approx(30e6, rel=1e-9)


@pytest.mark.parametrize("index", [2.7, 3.0])
def test_energies_follow_their_power_law(index):
    energy = draw_energy(200_000, np.random.default_rng(0), scale=4280.0, index=index)
    for limit in (500.0, 4000.0, 40_000.0):
        expected = (1 + limit / 4280.0) ** (1 - index)
        assert (energy > limit).mean() == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 200_000))
    assert energy.min() >= 0
