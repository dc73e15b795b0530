"""Slow electrons in a silicon layer: the worms of thick detectors and the branches of tracks.

An electron of kinetic energy T is walked in steps until it stops or leaves the layer. A step of
length s costs the energy that shortens its remaining range by s, T -> R^-1(R(T) - s) with

    R(T) = 0.412 T^(1.265 - 0.0954 ln T) g/cm2,   T in MeV   (Katz & Penfold)

and turns it by a Gaussian angle per plane of standard deviation (Highland; X0 = 93.7 mm)

    theta_0 = 13.6 MeV / (beta c p) sqrt(s / X0) (1 + 0.038 ln(s / X0))

so that it curls up as it slows down. What it loses stays where the step is.

References:
    Katz & Penfold, "Range-energy relations for electrons", Rev. Mod. Phys. 24, 28 (1952).
    Particle Data Group, "Passage of particles through matter": multiple scattering.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayescr.simulation.energy_loss import PAIR_ENERGY

__all__ = ["ELECTRON_MASS", "Deposits", "electron_range", "isotropic", "walk_electrons"]

Array = np.ndarray[Any, Any]

DENSITY = 2.329  # g / cm3
RADIATION_LENGTH = 93_700.0  # um
ELECTRON_MASS = 0.511  # MeV
SLOWEST = 0.010  # MeV: below, the range is 1 um and the electron stops on the spot
_ENERGIES = np.geomspace(0.001, 10.0, 2000)  # MeV


class Deposits(NamedTuple):
    """Charge freed at points of the layer.

    Attributes:
        position: (N, 3) x, y and height above the collecting gates [um].
        charge: (N,) freed electrons.
    """

    position: Array
    charge: Array


def electron_range(energy: Array) -> Array:
    """Range of an electron in silicon [um] against its kinetic energy [MeV]."""
    slow = np.minimum(energy, 2.5)  # the fit ends here; above, 2 MeV cm2/g or 466 eV / um
    fit = 0.412 * slow ** (1.265 - 0.0954 * np.log(slow))
    return (fit + (energy - slow) / 2.0) / DENSITY * 1e4


_RANGES = electron_range(_ENERGIES)


def isotropic(number: int, rng: np.random.Generator) -> Array:
    """Unit vectors in all directions, (number, 3)."""
    vector = rng.normal(size=(number, 3))
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def walk_electrons(
    position: Array,
    direction: Array,
    energy: Array,
    rng: np.random.Generator,
    *,
    thickness: float,
    step: float,
) -> Deposits:
    """Follow electrons until they stop or leave the layer 0 <= height <= thickness.

    Args:
        position: (N, 3) where they start: x, y, height [um].
        direction: (N, 3) unit vectors.
        energy: (N,) kinetic energies [MeV].
        rng: Source of randomness.
        thickness: Of the layer [um].
        step: Length of a step [um].
    """
    where, freed = [np.empty((0, 3))], [np.empty(0)]
    while len(energy):
        left = np.interp(electron_range(energy) - step, _RANGES, _ENERGIES, left=0.0)
        left[left < SLOWEST] = 0.0
        where.append(position + direction * (step / 2))
        freed.append((energy - left) * 1e6 / PAIR_ENERGY)
        position = position + direction * step
        alive = (left > 0) & (position[:, 2] > 0) & (position[:, 2] < thickness)
        position, energy = position[alive], left[alive]
        direction = _scatter(direction[alive], energy, step, rng)
    return Deposits(np.concatenate(where), np.concatenate(freed))


def _scatter(direction: Array, energy: Array, step: float, rng: np.random.Generator) -> Array:
    """Turn unit vectors by Highland's angle: two Gaussian components across the direction."""
    beta_cp = energy * (energy + 2 * ELECTRON_MASS) / (energy + ELECTRON_MASS)  # MeV
    thin = step / RADIATION_LENGTH
    angle = 13.6 / beta_cp * np.sqrt(thin) * (1 + 0.038 * np.log(thin))
    kick = rng.normal(size=direction.shape) * angle[:, None]
    kick -= direction * (kick * direction).sum(axis=1, keepdims=True)
    turned = direction + kick
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)
