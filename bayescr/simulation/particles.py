"""Heavy charged particles in silicon: spectra, energy loss and range of muons, protons and nuclei.

A particle of charge z and speed beta loses, in collisions that transfer at most T, on average

    S(T) = z^2 k / beta^2 [ln(2 m c^2 (beta gamma)^2 T / I^2) - beta^2 (1 + T / T_max) - delta]

(restricted Bethe formula; k = 17.8 eV/um, I = 173 eV, density effect delta after Sternheimer). It
slows down without straggling, E -> R^-1(R(E) - s), and stops at the end of its range

    R(E) = (M / M_p) / z^2 * R_p(E M_p / M),    R_p(E) = integral of dE / S from 0

with ever larger losses on the way (Bragg). Kinetic energies come from a power law that flattens
below E_0, which is the shape of muons at sea level and of cosmic-ray nuclei in orbit alike:

    dN/dE ~ (E_0 + E)^-n

References:
    Particle Data Group, "Passage of particles through matter", eq. of the restricted energy loss;
    constants of silicon from its atomic and nuclear properties.
    Shukla & Sankrith, "Energy and angular distributions of atmospheric muons at the Earth",
    arXiv:1606.06907 (spectrum).
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "ELECTRON_MASS",
    "HELIUM_MASS",
    "LANDAU_XI",
    "MEAN_EXCITATION",
    "MUON_MASS",
    "PROTON_MASS",
    "beta_gamma",
    "density_effect",
    "draw_energy",
    "largest_transfer",
    "slowed",
    "stopping_power",
    "stopping_range",
]

Array = np.ndarray[Any, Any]

ELECTRON_MASS, MUON_MASS, PROTON_MASS, HELIUM_MASS = 0.511, 105.66, 938.27, 3727.4  # MeV
LANDAU_XI = 17.82  # eV / um: 0.1535 MeV cm2/g * (14 / 28.09) * 2.329 g/cm3
MEAN_EXCITATION = 173.0  # eV
SLOWEST = 0.025  # beta gamma of 0.3 MeV per nucleon; below, Bethe's formula fails: S stays


def beta_gamma(energy: Array, mass: Array | float) -> Array:
    """Momentum per mass, from kinetic energy and mass [both MeV]."""
    ratio = energy / mass
    return np.sqrt(ratio * (ratio + 2))


def largest_transfer(speed: Array, mass: Array | float) -> Array:
    """Largest energy that one collision can give to an electron [eV].

    Args:
        speed: beta gamma.
        mass: Of the particle [MeV].
    """
    speed, ratio = np.maximum(speed, SLOWEST), ELECTRON_MASS / mass
    return 2e6 * ELECTRON_MASS * speed**2 / (1 + 2 * ratio * np.hypot(1, speed) + ratio**2)


def density_effect(speed: Array) -> Array:
    """Sternheimer's delta of silicon, against beta gamma."""
    x = np.log10(speed)
    bend = 0.14921 * np.maximum(2.8716 - x, 0) ** 3.2546
    delta = 2 * np.log(10) * x - 4.4355 + bend
    return np.where(x > 0.2015, delta, 0.14 * 10 ** (2 * np.minimum(x - 0.2015, 0)))


def stopping_power(speed: Array, mass: Array | float, *, largest: Array | float) -> Array:
    """Mean energy loss of a particle of unit charge [eV / um].

    Args:
        speed: beta gamma.
        mass: Of the particle [MeV].
        largest: Only collisions that transfer less than this count [eV].
    """
    speed = np.maximum(speed, SLOWEST)
    beta2 = speed**2 / (1 + speed**2)
    limit = largest_transfer(speed, mass)
    top = np.minimum(largest, limit)
    logarithm = np.log(2e6 * ELECTRON_MASS * speed**2 * top / MEAN_EXCITATION**2)
    bracket = logarithm - beta2 * (1 + top / limit) - density_effect(speed)
    return LANDAU_XI / beta2 * bracket


def stopping_range(energy: Array, mass: Array | float, charge: Array | float = 1.0) -> Array:
    """How far particles of this kinetic energy [MeV] come in silicon [um]."""
    share = mass / PROTON_MASS
    return share / np.square(charge) * np.interp(energy / share, _ENERGIES, _RANGES)


def slowed(energy: Array, path: Array, mass: Array | float, charge: Array | float = 1.0) -> Array:
    """Kinetic energy [MeV] that is left after a path [um]; 0 from the end of the range."""
    share = mass / PROTON_MASS
    left = stopping_range(energy, mass, charge) - path
    return share * np.interp(left / share * np.square(charge), _RANGES, _ENERGIES, left=0.0)


def draw_energy(number: int, rng: np.random.Generator, *, scale: float, index: float) -> Array:
    """Kinetic energies from dN/dE ~ (scale + E)^-index, in the unit of ``scale``."""
    return scale * ((1 - rng.random(number)) ** (-1 / (index - 1)) - 1)


def _proton_ranges() -> tuple[Array, Array]:
    """Energies [MeV] and the protons' ranges [um], both from 0."""
    energy = np.geomspace(1e-3, 1e7, 3000)
    loss = stopping_power(beta_gamma(energy, PROTON_MASS), PROTON_MASS, largest=np.inf) * 1e-6
    steps = np.diff(energy) * (1 / loss[1:] + 1 / loss[:-1]) / 2
    return (
        np.concatenate([[0.0], energy]),
        np.concatenate([[0.0], energy[0] / loss[0] + np.concatenate([[0.0], np.cumsum(steps)])]),
    )


_ENERGIES, _RANGES = _proton_ranges()
