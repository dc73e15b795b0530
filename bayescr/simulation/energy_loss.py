"""Energy that a fast charged particle leaves in silicon, collision by collision.

Along a path of length x a particle of charge z (at beta = 1) makes Poisson numbers of

    soft collisions   mean number z^2 x s / e,  energy e each (plasmons),
    hard collisions   dN/dE = z^2 x k (1 + [E < c]) / E^2   for a <= E <= b,

with k = (K/2)(Z/A) rho = 17.8 eV/um, Landau's xi per length; s = ``SOFT_LOSS``,
e = ``SOFT_ENERGY``, a = ``HARD_MIN``, b = ``HARD_MAX`` or the largest transfer that is possible,
c = ``SHELL_MAX``. The 1/E^2 tail is Rutherford's cross section and makes the distribution Landau's
in thick layers; below c, where the shells of silicon respond, it counts twice. With this the most
probable loss stays within 5% of Bichsel's fit

    Delta_p = x (100.6 + 35.35 ln(x / um)) eV,   10 um <= x <= 110 um

A sum of collisions is additive: cutting a path into pixels changes nothing in the distribution of
its total, and the fluctuations of a short piece need no rescaling. Exactly,

    mean       z^2 x (s + k ln(b / a) + k ln(min(b, c) / a))
    variance   z^2 x (s e + k (b - a) + k (min(b, c) - a))

Slower particles collide more often: all numbers of collisions are scaled so that the mean is the
stopping power that is asked for.

References:
    Bichsel, "Straggling in thin silicon detectors", Rev. Mod. Phys. 60, 663 (1988).
    Particle Data Group, "Passage of particles through matter": xi, Delta_p, 3.65 eV per pair.
    Landau, "On the energy loss of fast particles by ionization", J. Phys. USSR 8, 201 (1944).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayescr.simulation.particles import LANDAU_XI

__all__ = [
    "HARD_MAX",
    "HARD_MIN",
    "PAIR_ENERGY",
    "SHELL_MAX",
    "SOFT_ENERGY",
    "SOFT_LOSS",
    "Loss",
    "energy_loss",
]

Array = np.ndarray[Any, Any]

PAIR_ENERGY = 3.65  # eV per electron-hole pair in silicon
SOFT_LOSS = 125.0  # eV / um, with the three below chosen to follow Bichsel's most probable losses
SOFT_ENERGY = 40.0  # eV
HARD_MIN = 100.0  # eV
SHELL_MAX = 5.0e3  # eV
HARD_MAX = 1.0e6  # eV; a collision above it happens once in 56 mm


class Loss(NamedTuple):
    """Energy left along the pieces of paths.

    Attributes:
        local: (N,) energy left where the piece is [eV].
        knock_on_piece: (K,) index of the piece in which each knock-on electron starts.
        knock_on_energy: (K,) its kinetic energy [eV]; not part of ``local``.
    """

    local: Array
    knock_on_piece: Array
    knock_on_energy: Array


def energy_loss(
    length: Array,
    rng: np.random.Generator,
    *,
    charge: Array | float = 1.0,
    stopping: Array | None = None,
    largest: Array | float = HARD_MAX,
    knock_on: float = HARD_MAX,
) -> Loss:
    """Draw the energy lost along pieces of path.

    Args:
        length: (N,) lengths [um].
        rng: Source of randomness.
        charge: Charge of the particle on each piece, in units of the proton's.
        stopping: (N,) mean loss in collisions below ``largest`` for unit charge [eV / um]; that of
            a fast particle by default.
        largest: Largest transfer that is possible on each piece [eV].
        knock_on: Hard collisions of at least this energy [eV] are handed back as electrons, to be
            followed; the default follows none.

    Example:
        >>> loss = energy_loss(np.full(20_000, 15.0), np.random.default_rng(0))
        >>> electrons_per_um = np.median(loss.local) / PAIR_ENERGY / 15
        >>> bool(60 < electrons_per_um < 70)
        True
    """
    top = np.clip(np.broadcast_to(largest, length.shape), 2 * HARD_MIN, HARD_MAX)
    path = length * np.square(charge)
    if stopping is not None:
        path = path * stopping / _mean_loss(top)
    soft = rng.poisson(SOFT_LOSS / SOFT_ENERGY * path)
    pieces, transfers = zip(
        *(_rutherford(path, limit, rng) for limit in (top, np.minimum(top, SHELL_MAX))),
        strict=True,
    )
    piece, transfer = np.concatenate(pieces), np.concatenate(transfers)
    followed = transfer >= knock_on
    hard = np.bincount(piece[~followed], transfer[~followed], minlength=len(path))
    return Loss(SOFT_ENERGY * soft + hard, piece[followed], transfer[followed])


def _mean_loss(top: Array) -> Array:
    """Of a fast particle of unit charge, by collisions below ``top`` [eV / um]."""
    both = np.log(top / HARD_MIN) + np.log(np.minimum(top, SHELL_MAX) / HARD_MIN)
    return SOFT_LOSS + LANDAU_XI * both


def _rutherford(path: Array, top: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Collisions with density k / E^2 from HARD_MIN to ``top``: which piece, how much energy."""
    span = 1 / HARD_MIN - 1 / top
    piece = np.repeat(np.arange(len(path)), rng.poisson(LANDAU_XI * span * path))
    return piece, 1 / (1 / HARD_MIN - span[piece] * rng.random(len(piece)))
