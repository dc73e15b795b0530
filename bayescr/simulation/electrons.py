"""Slow electrons in a silicon layer: the worms of thick detectors and the branches of tracks.

An electron of kinetic energy T is walked in steps until it stops or leaves the layer. On a step of
length s it loses energy collision by collision (``energy_loss``), on average the collision stopping
power

    S(T) = k / beta^2 [ln((beta gamma)^2 (gamma - 1) (m c^2)^2 / (2 I^2)) + F(gamma) - delta]
    F    = 1 - beta^2 - (2 gamma - 1) / gamma^2 ln 2 + ((gamma - 1) / gamma)^2 / 8

(Moller; no collision transfers more than T / 2), and is deflected by elastic scattering off the
screened nuclei (Moliere) with

    <1 - cos theta> = s / lambda,   1 / lambda = 2 pi N Z (Z + 1) r_e^2 / (beta^2 gamma)^2 *
                                                 [ln(1 + 1 / eta) - 1 / (1 + eta)]

which does not depend on how a path is cut into steps and makes it curl up as it slows down. What
it loses stays where the step is; fast electrons that it knocks on are walked as well.

References:
    Particle Data Group, "Passage of particles through matter": energy loss of electrons.
    Fernandez-Varea et al., "On the theory and simulation of multiple elastic scattering of
    electrons", Nucl. Instr. Meth. B 73, 447 (1993): transport mean free path, screening eta.
    Katz & Penfold, "Range-energy relations for electrons", Rev. Mod. Phys. 24, 28 (1952), whose
    practical ranges come out of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayescr.simulation.energy_loss import PAIR_ENERGY, energy_loss
from bayescr.simulation.particles import (
    ELECTRON_MASS,
    LANDAU_XI,
    MEAN_EXCITATION,
    beta_gamma,
    density_effect,
)

__all__ = [
    "Deposits",
    "electron_energy",
    "electron_range",
    "isotropic",
    "knocked_on",
    "walk_electrons",
]

Array = np.ndarray[Any, Any]

SLOWEST = 0.010  # MeV: below, the range is 1.5 um and the electron stops on the spot
SHARE = 0.1  # of the range that is left, that a step takes at most
SHORTEST = 0.3  # um, of a step
SCATTERING = 5.24e-4  # 1 / um: 2 pi r_e^2 N Z (Z + 1), with 5.0e22 atoms / cm3 and Z = 14
FINE_STRUCTURE, ATOMIC_NUMBER = 1 / 137.036, 14


class Deposits(NamedTuple):
    """Charge freed at points of the layer.

    Attributes:
        position: (N, 3) x, y and height above the collecting gates [um].
        charge: (N,) freed electrons.
    """

    position: Array
    charge: Array


def electron_range(energy: Array) -> Array:
    """Length of the path on which an electron of kinetic energy T [MeV] stops in silicon [um]."""
    return np.interp(energy, _ENERGIES, _RANGES)


def electron_energy(path: Array) -> Array:
    """Kinetic energy [MeV] of the electron that stops on this path [um]."""
    return np.interp(path, _RANGES, _ENERGIES)


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
        step: Longest step [um]; knock-on electrons with a longer range are walked, too.
    """
    where, freed = [np.empty((0, 3))], [np.empty(0)]
    knock_on = 1e6 * max(float(np.interp(step, _RANGES, _ENERGIES)), 2 * SLOWEST)
    while len(energy):
        length = np.clip(SHARE * electron_range(energy), SHORTEST, step)
        loss = energy_loss(
            length,
            rng,
            # Far below SLOWEST, as what enters the layer may be, the formula turns negative; such
            # an electron stops here whatever this step takes.
            stopping=np.maximum(collision_loss(energy), 0.0),
            largest=energy * 5e5,
            knock_on=knock_on,
        )
        # A step may draw more than there is: then the electron stops, and frees what it had.
        branch = loss.knock_on_piece
        given = np.bincount(branch, loss.knock_on_energy, minlength=len(energy)) * 1e-6
        has_branches = given < energy
        local = np.minimum(loss.local * 1e-6, energy - given * has_branches)
        left = energy - local - given * has_branches
        stops = left < SLOWEST
        local[stops] += left[stops]
        where.append(position + direction * (length / 2)[:, None])
        freed.append(local * 1e6 / PAIR_ENERGY)

        position = position + direction * length[:, None]
        inside = (position[:, 2] > 0) & (position[:, 2] < thickness)
        alive = ~stops & inside
        branch = branch[(has_branches & inside)[branch]]
        kicked = loss.knock_on_energy[(has_branches & inside)[loss.knock_on_piece]] * 1e-6
        turned = deflected(direction, scattering_power(energy) * length, rng)
        position = np.concatenate([position[alive], position[branch]])
        direction = np.concatenate([turned[alive], knocked_on(direction[branch], kicked, rng)])
        energy = np.concatenate([left[alive], kicked])
    return Deposits(np.concatenate(where), np.concatenate(freed))


def knocked_on(parent: Array, energy: Array, rng: np.random.Generator) -> Array:
    """Directions of electrons that a fast particle knocks on, cos^2 = T / (T + 2 m c^2).

    Args:
        parent: (N, 3) directions of the particles.
        energy: (N,) kinetic energies T of the electrons [MeV].
        rng: Source of randomness.
    """
    return _turned(parent, np.sqrt(energy / (energy + 2 * ELECTRON_MASS)), rng)


def collision_loss(energy: Array) -> Array:
    """Mean energy loss of an electron of kinetic energy T [MeV] in collisions [eV / um]."""
    gamma = 1 + energy / ELECTRON_MASS
    speed = beta_gamma(energy, ELECTRON_MASS)
    beta2 = 1 - 1 / gamma**2
    ratio = 1e6 * ELECTRON_MASS / MEAN_EXCITATION
    logarithm = np.log(speed**2 * (gamma - 1) / 2 * ratio**2)
    rest = 1 - beta2 - (2 * gamma - 1) / gamma**2 * np.log(2) + ((gamma - 1) / gamma) ** 2 / 8
    return LANDAU_XI / beta2 * (logarithm + rest - density_effect(speed))


def scattering_power(energy: Array) -> Array:
    """Mean 1 - cos of the deflection of an electron per length [1 / um]."""
    speed = beta_gamma(energy, ELECTRON_MASS)
    beta2 = speed**2 / (1 + speed**2)
    thomas_fermi = FINE_STRUCTURE * ATOMIC_NUMBER ** (1 / 3) / 0.885
    coulomb = (FINE_STRUCTURE * ATOMIC_NUMBER) ** 2 / beta2
    eta = (thomas_fermi / speed) ** 2 * (1.13 + 3.76 * coulomb) / 4
    return SCATTERING / (speed**2 * beta2) * (np.log1p(1 / eta) - 1 / (1 + eta))


def deflected(direction: Array, mean: Array, rng: np.random.Generator) -> Array:
    """Turn unit vectors: 1 - cos is exponential (Gaussian angles), at most 2."""
    return _turned(direction, 1 - np.minimum(rng.exponential(mean), 2.0), rng)


def _turned(direction: Array, cosine: Array, rng: np.random.Generator) -> Array:
    """Unit vectors at an angle from ``direction``, on any side of it."""
    side = isotropic(len(direction), rng)
    side -= direction * (side * direction).sum(axis=1, keepdims=True)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    cosine = cosine[:, None]
    return cosine * direction + np.sqrt(1 - cosine**2) * side


def _path_lengths() -> tuple[Array, Array]:
    """Kinetic energies [MeV] and the paths on which they are lost [um], both from 0."""
    energy = np.geomspace(1e-3, 100.0, 2000)
    loss = collision_loss(energy) * 1e-6
    steps = np.diff(energy) * (1 / loss[1:] + 1 / loss[:-1]) / 2
    path = energy[0] / loss[0] + np.concatenate([[0.0], np.cumsum(steps)])
    return np.concatenate([[0.0], energy]), np.concatenate([[0.0], path])


_ENERGIES, _RANGES = _path_lengths()
