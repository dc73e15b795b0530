"""Energy loss against the moments of a compound Poisson law and Bichsel's most probable loss."""

import numpy as np
import pytest

from bayescr.simulation.energy_loss import (
    HARD_MAX,
    HARD_MIN,
    PAIR_ENERGY,
    SHELL_MAX,
    SOFT_ENERGY,
    SOFT_LOSS,
    energy_loss,
)
from bayescr.simulation.particles import LANDAU_XI

TOP = 2.0e4  # followed from here on, so that the local loss has moments a sample can reach


def moments(path, top):
    """Mean and variance by integrating E and E^2 over the collision spectrum up to ``top``."""
    energy = np.geomspace(HARD_MIN, top, 200_001)
    middle, width = (energy[1:] + energy[:-1]) / 2, np.diff(energy)
    spectrum = LANDAU_XI * (1 + (middle < SHELL_MAX)) / middle**2 * path
    mean = SOFT_LOSS * path + np.sum(spectrum * middle * width)
    variance = SOFT_LOSS * SOFT_ENERGY * path + np.sum(spectrum * middle**2 * width)
    return mean, variance


@pytest.mark.parametrize("charge", [1.0, 2.0])
@pytest.mark.parametrize("path", [0.5, 15.0])
def test_moments_below_a_cut_equal_the_integrals(path, charge):
    number = 200_000
    loss = energy_loss(
        np.full(number, path), np.random.default_rng(0), charge=charge, knock_on=TOP
    ).local
    mean, variance = moments(path * charge**2, TOP)
    # Five standard errors of the mean; the variance's own error is measured from the sample.
    assert abs(loss.mean() - mean) < 5 * np.sqrt(variance / number)
    squares = (loss - mean) ** 2
    assert abs(squares.mean() - variance) < 5 * squares.std() / np.sqrt(number)


def test_docstring_moments_equal_the_integrals():
    mean, variance = moments(1.0, HARD_MAX)
    log = np.log(HARD_MAX / HARD_MIN) + np.log(SHELL_MAX / HARD_MIN)
    assert mean == pytest.approx(SOFT_LOSS + LANDAU_XI * log, rel=1e-4)
    span = HARD_MAX - HARD_MIN + SHELL_MAX - HARD_MIN
    assert variance == pytest.approx(SOFT_LOSS * SOFT_ENERGY + LANDAU_XI * span, rel=1e-4)


@pytest.mark.parametrize("path", [10.0, 15.0, 30.0, 60.0, 110.0])
def test_most_probable_loss_follows_bichsel(path):
    loss = energy_loss(np.full(300_000, path), np.random.default_rng(1)).local
    edges = np.linspace(0, np.percentile(loss, 92), 100)
    counts, _ = np.histogram(loss, edges)
    centres = (edges[1:] + edges[:-1]) / 2
    peak = counts > 0.75 * counts.max()
    fine = np.linspace(centres[peak][0], centres[peak][-1], 2000)
    cubic = np.polynomial.Polynomial.fit(centres[peak], counts[peak], 3)
    most_probable = fine[cubic(fine).argmax()] / path
    # The module states 5%; the fitted peak of 3e5 losses scatters by about 1%.
    assert most_probable == pytest.approx(100.6 + 35.35 * np.log(path), rel=0.06)


def test_cutting_a_path_changes_nothing():
    rng = np.random.default_rng(2)
    whole = energy_loss(np.full(50_000, 20.0), rng).local
    pieces = energy_loss(np.full(50_000 * 10, 2.0), rng).local.reshape(-1, 10).sum(axis=1)
    percentiles = np.arange(5, 96, 10)
    # Quantiles of 5e4 draws scatter by 1% at most here (measured over seeds: 0.6%).
    np.testing.assert_allclose(
        np.percentile(pieces, percentiles), np.percentile(whole, percentiles), rtol=0.02
    )


def test_followed_collisions_have_the_rutherford_number_and_spectrum():
    number, cut = 20_000, 1.0e4
    loss = energy_loss(np.full(number, 100.0), np.random.default_rng(3), knock_on=cut)
    expected = number * 100.0 * LANDAU_XI * (1 / cut - 1 / HARD_MAX)
    assert abs(len(loss.knock_on_energy) - expected) < 5 * np.sqrt(expected)
    assert loss.knock_on_energy.min() >= cut
    above = (loss.knock_on_energy > 2 * cut).mean()
    share = (1 / (2 * cut) - 1 / HARD_MAX) / (1 / cut - 1 / HARD_MAX)
    assert above == pytest.approx(share, abs=5 * np.sqrt(0.25 / expected))


def test_fast_particle_frees_about_77_pairs_a_micron_in_thick_silicon():
    # Landau, Vavilov, Bichsel (PDG): Delta_p = xi [ln(2 m c^2 xi / (hbar omega_p)^2) + 0.2] at high
    # energies, with a plasma energy of 31.05 eV in silicon.
    path = 300.0
    xi = LANDAU_XI * path
    expected = xi * (np.log(2 * 0.511e6 * xi / 31.05**2) + 0.2)
    assert expected / PAIR_ENERGY / path == pytest.approx(76.9, abs=0.1)
    loss = energy_loss(np.full(100_000, path), np.random.default_rng(4)).local
    counts, edges = np.histogram(loss, np.linspace(0.7, 1.4, 36) * expected)
    peak = (edges[counts.argmax()] + edges[counts.argmax() + 1]) / 2
    assert peak == pytest.approx(expected, rel=0.05)  # the module's 5%


@pytest.mark.parametrize(("stopping", "largest"), [(500.0, 1e5), (8000.0, 2e3), (40_000.0, 100.0)])
def test_mean_loss_is_the_stopping_power(stopping, largest):
    number, length = 20_000, 3.0
    loss = energy_loss(
        np.full(number, length),
        np.random.default_rng(5),
        stopping=np.full(number, stopping),
        largest=largest,
    ).local
    assert abs(loss.mean() - stopping * length) < 5 * loss.std() / np.sqrt(number)
