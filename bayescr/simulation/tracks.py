"""Cosmic rays: from the flux through a silicon layer to electrons in pixels.

An isotropic flux crosses a flat layer with directions whose zenith angle has cos^2(theta) uniform
on [0, 1] (the flux through a surface goes as cos(theta)) and uniform azimuth, so a layer of
thickness d is crossed along d / cos(theta): mean 2 d, median 1.41 d. The number of events is
Poisson(rate * area * exposure time). Each track is straight and is cut into equal pieces of at most
a tenth of a pixel; the energy of each piece is drawn collision by collision (``energy_loss``) and
fast knock-on electrons are followed (``electrons``). A share of events, the worms, are slow
electrons freed inside the layer (Compton scattering of gamma rays, beta decay). The charge of each
piece then spreads on its way to the gates (``diffusion``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescr.errors import BayescrError
from bayescr.simulation.diffusion import collect
from bayescr.simulation.electrons import (
    ELECTRON_MASS,
    Deposits,
    electron_range,
    isotropic,
    walk_electrons,
)
from bayescr.simulation.energy_loss import PAIR_ENERGY, energy_loss

__all__ = ["CosmicRays", "cosmic_ray_charge", "crossing_directions", "straight_tracks", "worms"]

Array = np.ndarray[Any, Any]

PIECE = 0.1  # longest piece of a path, in pixels
MARGIN = 20.0  # thicknesses around the frame from which tracks may enter it


@dataclass(frozen=True, kw_only=True)
class CosmicRays:
    """The flux of cosmic rays and the silicon it crosses; the defaults are ACS/WFC in orbit.

    Attributes:
        rate: Events through the detector plane [1 / s / cm^2]; about 1.1 for ACS/WFC.
        thickness: Of the silicon [um]; ACS/WFC is 12.6 to 17.1 um thick.
        pixel_size: [um].
        diffusion: Standard deviation of the charge cloud from the far side of the layer [um].
        helium_fraction: Share of alpha particles, which free four times the charge.
        worm_fraction: Share of events that are slow electrons.
        worm_energy: Range of their kinetic energies [MeV], uniform in the logarithm.

    References:
        Miles et al., "Using Cosmic Rays detected by HST as Geophysical Markers I",
        arXiv:2006.00909 (rate, thickness). Riess, "A First Look at Cosmic Rays on ACS",
        ISR ACS 2002-07 (what comes out: 1.5 to 3% of pixels in 1000 s, median event 1000 e-
        and 4 to 5 pixels). Krist, ISR ACS 2003-06 (charge diffusion).

    Example:
        A thick, fully depleted CCD on the ground, where worms are common:

        >>> ground = CosmicRays(rate=0.1, thickness=250, diffusion=7.0, worm_fraction=0.8)
    """

    rate: float = 1.1
    thickness: float = 14.5
    pixel_size: float = 15.0
    diffusion: float = 5.0
    helium_fraction: float = 0.1
    worm_fraction: float = 0.05
    worm_energy: tuple[float, float] = (0.05, 1.2)

    def __post_init__(self) -> None:
        for name, lowest in (("rate", True), ("diffusion", True), ("thickness", False)):
            _check_size(name, getattr(self, name), zero=lowest)
        _check_size("pixel_size", self.pixel_size, zero=False)
        for name in ("helium_fraction", "worm_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise BayescrError(f"{name} is {getattr(self, name)}: expected a share from 0 to 1")
        low, high = self.worm_energy
        if not 0.01 <= low <= high <= 10:
            raise BayescrError(
                f"worm_energy is {self.worm_energy}: expected (low, high) in MeV, within 0.01 to 10"
            )


def cosmic_ray_charge(
    shape: tuple[int, int],
    exposure_time: float,
    rng: np.random.Generator,
    *,
    cosmic_rays: CosmicRays | None = None,
) -> Array:
    """Noiseless charge of the cosmic rays of one exposure, (H, W) float32 electrons.

    Args:
        shape: (H, W) of the frame; it is a piece of a larger detector, so tracks enter over its
            edges.
        exposure_time: [s].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon; ACS/WFC by default.

    Example:
        >>> charge = cosmic_ray_charge((64, 64), 1000.0, np.random.default_rng(0))
        >>> charge.shape, charge.dtype
        ((64, 64), dtype('float32'))
    """
    rays = cosmic_rays or CosmicRays()
    margin = MARGIN * rays.thickness
    low = np.array([-margin, -margin])
    high = np.array([shape[1], shape[0]]) * rays.pixel_size + margin
    events = rng.poisson(rays.rate * np.prod(high - low) * 1e-8 * exposure_time)
    number_of_worms = rng.binomial(events, rays.worm_fraction)
    entry = rng.uniform(low, high, size=(events, 2))
    tracks = straight_tracks(entry[number_of_worms:], rng, cosmic_rays=rays)
    slow = worms(entry[:number_of_worms], rng, cosmic_rays=rays)
    deposits = Deposits(
        np.concatenate([tracks.position, slow.position]),
        np.concatenate([tracks.charge, slow.charge]),
    )
    return collect(
        deposits,
        shape,
        pixel_size=rays.pixel_size,
        diffusion=rays.diffusion,
        thickness=rays.thickness,
    )


def crossing_directions(number: int, rng: np.random.Generator) -> Array:
    """Directions of an isotropic flux through a plane, downwards, unit vectors (number, 3)."""
    cosine = np.sqrt(1 - rng.random(number))  # on (0, 1]
    azimuth = rng.uniform(0, 2 * np.pi, number)
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), -cosine], axis=1)


def straight_tracks(entry: Array, rng: np.random.Generator, *, cosmic_rays: CosmicRays) -> Deposits:
    """Charge freed by fast nuclei that enter through the far side of the layer.

    Args:
        entry: (N, 2) x and y of the points of entry [um].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon.
    """
    rays = cosmic_rays
    direction = crossing_directions(len(entry), rng)
    charge = np.where(rng.random(len(entry)) < rays.helium_fraction, 2.0, 1.0)
    path = rays.thickness / -direction[:, 2]
    pieces = np.ceil(path / (PIECE * rays.pixel_size)).astype(int)
    track = np.repeat(np.arange(len(entry)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    length = (path / pieces)[track]
    travelled = (np.arange(len(track)) - first + 0.5) * length
    start = np.column_stack([entry, np.full(len(entry), rays.thickness)])
    position = start[track] + direction[track] * travelled[:, None]

    knock_on = _knock_on_energy(rays)
    loss = energy_loss(length, rng, charge=charge[track], knock_on=knock_on)
    branches = walk_electrons(
        position[loss.knock_on_piece],
        _knock_on_directions(direction[track[loss.knock_on_piece]], loss.knock_on_energy, rng),
        loss.knock_on_energy * 1e-6,
        rng,
        thickness=rays.thickness,
        step=PIECE * rays.pixel_size,
    )
    return Deposits(
        np.concatenate([position, branches.position]),
        np.concatenate([loss.local / PAIR_ENERGY, branches.charge]),
    )


def worms(where: Array, rng: np.random.Generator, *, cosmic_rays: CosmicRays) -> Deposits:
    """Charge freed by slow electrons that start inside the layer, at any depth and direction.

    Args:
        where: (N, 2) x and y of the points where they start [um].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon.
    """
    rays = cosmic_rays
    height = rng.uniform(0, rays.thickness, len(where))
    low, high = np.log(rays.worm_energy)
    return walk_electrons(
        np.column_stack([where, height]),
        isotropic(len(where), rng),
        np.exp(rng.uniform(low, high, len(where))),
        rng,
        thickness=rays.thickness,
        step=PIECE * rays.pixel_size,
    )


def _knock_on_energy(rays: CosmicRays) -> float:
    """Knock-on electrons are followed from the energy [eV] whose range is a third of a pixel."""
    energies = np.geomspace(0.01, 1.0, 500)  # MeV
    return 1e6 * float(np.interp(rays.pixel_size / 3, electron_range(energies), energies))


def _knock_on_directions(parent: Array, energy: Array, rng: np.random.Generator) -> Array:
    """Directions at cos^2 = T / (T + 2 m_e c^2) from a much heavier, fast parent."""
    cosine = np.sqrt(energy / (energy + 2e6 * ELECTRON_MASS))[:, None]
    side = isotropic(len(parent), rng)
    side -= parent * (side * parent).sum(axis=1, keepdims=True)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return cosine * parent + np.sqrt(1 - cosine**2) * side


def _check_size(name: str, value: float, *, zero: bool) -> None:
    if not (np.isfinite(value) and (value >= 0 if zero else value > 0)):
        limit = "not below 0" if zero else "above 0"
        raise BayescrError(f"{name} is {value}: expected a finite number {limit}")
