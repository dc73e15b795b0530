"""Cosmic rays: from the flux through a silicon layer to electrons in pixels.

The number of events in a layer is Poisson(rate * area * exposure time). Each is one of

- a fast nucleus or muon, which crosses in a straight line, slows down and may stop (``particles``),
- a worm: an electron freed in the layer or around it by a gamma ray (Compton scattering) or a beta
  decay, which scatters until it stops (``electrons``),
- an alpha particle from radioactive dust on the far side, which stops within 30 um in so dense a
  charge that the charge itself drives it apart.

Paths are cut into pieces of at most a tenth of a pixel; the energy of each piece is drawn collision
by collision (``energy_loss``), fast knock-on electrons are walked too, and the charge of each piece
spreads on its way to the gates (``diffusion``).

Directions. An intensity cos^n(zenith) arrives from the upper half of the sky, n = 0 in orbit and 2
for muons at sea level; a surface meets it in proportion to |cos| of the angle to its normal.

Worms. In matter that frees n electrons per volume, and in which they come R far, n R / 4 of them
cross a unit of surface one way, each at a random point of its path. So a layer of thickness d holds

    n d  that start inside,    n w R / 2  that enter through its two faces,

w being the share of the surroundings that is such matter: worms that enter are the more the longer
they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.cosmic_rays import CosmicRays
from bayescr.simulation.diffusion import collect
from bayescr.simulation.electrons import (
    Deposits,
    electron_energy,
    electron_range,
    isotropic,
    knocked_on,
    walk_electrons,
)
from bayescr.simulation.energy_loss import HARD_MAX, PAIR_ENERGY, energy_loss
from bayescr.simulation.particles import (
    HELIUM_MASS,
    beta_gamma,
    draw_energy,
    largest_transfer,
    slowed,
    stopping_power,
    stopping_range,
)

__all__ = [
    "CosmicRays",
    "alphas",
    "cosmic_ray_charge",
    "crossing_directions",
    "straight_tracks",
    "worms",
]

Array = np.ndarray[Any, Any]

PIECE = 0.1  # longest piece of a path, in pixels
MARGIN = 20.0  # thicknesses around the frame from which tracks may enter it
KNOCK_ON_REACH = 200.0  # um around the frame: knock-on electrons of tracks outside it


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
    size = np.array([shape[1], shape[0]]) * rays.pixel_size
    low, high = np.array([-margin, -margin]), size + margin
    number = rng.poisson(rays.rate * np.prod(high - low) * 1e-8 * exposure_time)
    kinds = (rays.worm_fraction, rays.alpha_fraction)
    number_of_worms, number_of_alphas, _ = rng.multinomial(number, [*kinds, 1 - sum(kinds)])
    entry = rng.uniform(low, high, size=(number, 2))
    slow, dense, fast = np.split(entry, [number_of_worms, number_of_worms + number_of_alphas])
    parts = (
        (straight_tracks(fast, rng, cosmic_rays=rays, frame=size), 0.0),
        (worms(slow, rng, cosmic_rays=rays, frame=size), 0.0),
        (alphas(dense, rng, cosmic_rays=rays), rays.plasma),
    )
    image = np.zeros(shape, np.float32)
    for deposits, cloud in parts:
        image += collect(
            deposits,
            shape,
            pixel_size=rays.pixel_size,
            diffusion=rays.diffusion,
            thickness=rays.thickness,
            cloud=cloud,
        )
    return image


def crossing_directions(
    number: int, rng: np.random.Generator, *, zenith_index: float = 0.0, tilt: float = 0.0
) -> Array:
    """Directions of a flux through a plane, unit vectors (number, 3).

    Args:
        number: How many.
        rng: Source of randomness.
        zenith_index: Power n of the intensity cos^n(zenith).
        tilt: Angle between the plane's normal and the zenith, which leans towards +y [degrees].
    """
    zenith = np.array([0.0, np.sin(np.radians(tilt)), np.cos(np.radians(tilt))])
    side = np.array([1.0, 0.0, 0.0])
    front = np.cross(zenith, side)
    found, missing = [np.empty((0, 3))], number
    while missing:
        # Directions of the intensity by themselves; the plane meets them in proportion to |cos|.
        cosine = (1 - rng.random(2 * missing + 8)) ** (1 / (zenith_index + 1))
        azimuth = rng.uniform(0, 2 * np.pi, len(cosine))
        sine = np.sqrt(1 - cosine**2)
        along = np.column_stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])
        arriving = -along @ np.stack([side, front, zenith])
        met = arriving[rng.random(len(arriving)) < np.abs(arriving[:, 2])][:missing]
        found.append(met)
        missing -= len(met)
    return np.concatenate(found)


def straight_tracks(
    entry: Array,
    rng: np.random.Generator,
    *,
    cosmic_rays: CosmicRays,
    frame: Array | None = None,
) -> Deposits:
    """Charge freed by fast nuclei or muons that enter through a face of the layer.

    Args:
        entry: (N, 2) x and y of the points of entry [um].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon.
        frame: Width and height from the origin [um]; tracks that pass it by are left out.
    """
    rays = cosmic_rays
    direction = crossing_directions(len(entry), rng, zenith_index=rays.zenith_index, tilt=rays.tilt)
    energy = draw_energy(len(entry), rng, scale=rays.energy_scale, index=rays.energy_index)
    is_helium = rng.random(len(entry)) < rays.helium_fraction
    if frame is not None:
        ends = entry + rays.thickness / np.abs(direction[:, 2:]) * direction[:, :2]
        near = np.maximum(entry, ends) > -KNOCK_ON_REACH
        near &= np.minimum(entry, ends) < frame + KNOCK_ON_REACH
        kept = near.all(axis=1)
        entry, direction = entry[kept], direction[kept]
        energy, is_helium = energy[kept], is_helium[kept]
    mass = np.where(is_helium, HELIUM_MASS, rays.mass)
    energy = np.where(is_helium, energy * HELIUM_MASS / rays.mass, energy)  # the same speed
    return _crossing(entry, direction, energy, rng, rays, mass=mass, charge=1.0 + is_helium)


def alphas(where: Array, rng: np.random.Generator, *, cosmic_rays: CosmicRays) -> Deposits:
    """Charge freed by alpha particles of radioactive decays on the far side of the layer.

    Args:
        where: (N, 2) x and y of the points of entry [um].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon.
    """
    direction = crossing_directions(len(where), rng)
    energy = rng.uniform(*cosmic_rays.alpha_energy, len(where))
    mass, charge = np.full(len(where), HELIUM_MASS), np.full(len(where), 2.0)
    return _crossing(where, direction, energy, rng, cosmic_rays, mass=mass, charge=charge)


def worms(
    where: Array,
    rng: np.random.Generator,
    *,
    cosmic_rays: CosmicRays,
    frame: Array | None = None,
) -> Deposits:
    """Charge freed by slow electrons that start inside the layer or enter it.

    Args:
        where: (N, 2) x and y of the points where they start [um].
        rng: Source of randomness.
        cosmic_rays: Flux and silicon.
        frame: Width and height from the origin [um]; worms too far to reach it are left out.
    """
    rays, number = cosmic_rays, len(where)
    energy, reach = _worm_energies(number, rng, rays)
    enters = rng.random(number) < 1 - rays.thickness / (rays.thickness + reach)
    energy[enters] = electron_energy(rng.random(enters.sum()) * electron_range(energy[enters]))
    height = rng.uniform(0, rays.thickness, number)
    direction = isotropic(number, rng)
    inwards = crossing_directions(number, rng)
    from_below = rng.random(number) < 0.5
    inwards[from_below, 2] *= -1
    height[enters] = np.where(from_below, 0.0, rays.thickness)[enters]
    direction[enters] = inwards[enters]
    near: Array = np.ones(number, bool)
    if frame is not None:
        far = electron_range(energy)[:, None]
        near = np.all((where > -far) & (where < frame + far), axis=1)
    return walk_electrons(
        np.column_stack([where, height])[near],
        direction[near],
        energy[near],
        rng,
        thickness=rays.thickness,
        step=PIECE * rays.pixel_size,
    )


def _worm_energies(number: int, rng: np.random.Generator, rays: CosmicRays) -> tuple[Array, Array]:
    """Kinetic energies at birth [MeV] of the worms seen, and w R / 2 of each [um]."""
    edges = np.geomspace(*rays.worm_energy, 200)
    middle = np.sqrt(edges[1:] * edges[:-1])
    seen = rays.thickness + rays.surroundings * electron_range(middle) / 2
    births = middle * (rays.worm_scale + middle) ** -rays.worm_index  # per logarithm of energy
    bins = rng.choice(len(middle), number, p=births * seen / (births * seen).sum())
    energy = edges[bins] * (edges[bins + 1] / edges[bins]) ** rng.random(number)
    return energy, rays.surroundings * electron_range(energy) / 2


def _crossing(
    entry: Array,
    direction: Array,
    energy: Array,
    rng: np.random.Generator,
    rays: CosmicRays,
    *,
    mass: Array,
    charge: Array,
) -> Deposits:
    """Straight paths through the layer, or to the end of the range, and their branches.

    Args:
        entry: (N, 2) [um].
        direction: (N, 3).
        energy: (N,) kinetic [MeV].
        rng: Source of randomness.
        rays: The silicon.
        mass: (N,) [MeV].
        charge: (N,) in units of the proton's.
    """
    through = rays.thickness / np.abs(direction[:, 2])
    path = np.minimum(through, stopping_range(energy, mass, charge))
    pieces = np.ceil(path / (PIECE * rays.pixel_size)).astype(int)
    track = np.repeat(np.arange(len(entry)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    length = (path / pieces)[track]
    travelled = (np.arange(len(track)) - first + 0.5) * length
    start = np.column_stack([entry, np.where(direction[:, 2] < 0, rays.thickness, 0.0)])
    position = start[track] + direction[track] * travelled[:, None]

    speed = beta_gamma(slowed(energy[track], travelled, mass[track], charge[track]), mass[track])
    largest = np.minimum(largest_transfer(speed, mass[track]), HARD_MAX)
    loss = energy_loss(
        length,
        rng,
        charge=charge[track],
        stopping=stopping_power(speed, mass[track], largest=largest),
        largest=largest,
        knock_on=_knock_on_energy(rays),
    )
    kicked = loss.knock_on_energy * 1e-6
    branches = walk_electrons(
        position[loss.knock_on_piece],
        knocked_on(direction[track[loss.knock_on_piece]], kicked, rng),
        kicked,
        rng,
        thickness=rays.thickness,
        step=PIECE * rays.pixel_size,
    )
    return Deposits(
        np.concatenate([position, branches.position]),
        np.concatenate([loss.local / PAIR_ENERGY, branches.charge]),
    )


def _knock_on_energy(rays: CosmicRays) -> float:
    """Knock-on electrons are followed from the energy [eV] whose range is a third of a pixel."""
    return 1e6 * float(electron_energy(np.array(rays.pixel_size / 3)))
