"""Three kinds of field, as in the literature on cosmic rays in ACS images.

A field is a function ``(canvas, rng)`` that paints sources onto a ``Canvas``. Counts and sizes are
drawn around typical values, so that two exposures of a field differ in crowding and depth as two
pointings do. They are meant to look right and to exercise the eye, not to be measured.

References:
    Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500 (the fields).
    King, "The structure of star clusters I", AJ 67, 471 (1962).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayescr._names import kebab, unknown_name
from bayescr.simulation.canvas import EDGE, Canvas
from bayescr.simulation.psf import RADIUS, import_galsim

__all__ = [
    "ALIASES",
    "FIELDS",
    "extragalactic",
    "field_name",
    "globular_cluster",
    "resolved_galaxy",
]

Array = np.ndarray[Any, Any]


def extragalactic(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint faint galaxies of all sizes and a few foreground stars.

    Galaxies follow N(m) ~ 10^(0.28 m) to magnitude 27.5, 400 per square arcminute within a factor
    of two, from blank fields to the outskirts of galaxy clusters; their half-light radii shrink
    from 0.9 arcsec at magnitude 20 to 0.13 at 27. Stars, 5 to 40 per square arcminute, follow
    10^(0.15 m) from magnitude 15 to 26.
    """
    margin = 64
    density = 400 * rng.lognormal(0, 0.5)
    number = rng.poisson(density * canvas.area(margin=margin))
    magnitude = _power_law_magnitudes(number, rng, slope=0.28, bright=17.0, faint=27.5)
    for x, y, m in zip(*canvas.positions(number, rng, margin=margin), magnitude, strict=True):
        _add_galaxy(canvas, x, y, m, rng)

    number = rng.poisson(10 ** rng.uniform(0.7, 1.6) * canvas.area(margin=RADIUS))
    magnitude = _power_law_magnitudes(number, rng, slope=0.15, bright=15.0, faint=26.0)
    x_stars, y_stars = canvas.positions(number, rng, margin=RADIUS)
    canvas.add_stars(x_stars, y_stars, canvas.electrons(magnitude))


def globular_cluster(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a crowded star cluster, from saturated giants to the faint main sequence.

    The surface density is King's core, 1 / (1 + (r / core)^2), with a core of 15 to 40 arcsec and a
    pointing within two cores of the centre. Magnitudes: a main sequence 10^(0.13 m) below the
    turn-off (18.2 to 20.2), a giant branch 10^(0.35 m) above it, and a horizontal branch.
    """
    margin = RADIUS
    core = rng.uniform(15, 40) / canvas.pixel_scale
    centre = np.array(canvas.shape[::-1]) / 2 + rng.uniform(-1.4, 1.4, 2) * core
    number = rng.poisson(0.01 * rng.lognormal(0, 0.5) * canvas.area(margin=margin) * 1.44e6)
    x, y = canvas.positions(number, rng, margin=margin)
    radius2 = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / core**2
    here = rng.random(number) < 1 / (1 + radius2)
    x, y = x[here], y[here]

    turn_off = rng.uniform(18.2, 20.2)
    grid = np.arange(turn_off - 6.0, turn_off + 9.0, 0.02)
    main_sequence = 10 ** (0.13 * (grid - turn_off)) / (1 + np.exp(-(grid - turn_off) / 0.15))
    giants = 0.25 * 10 ** (0.35 * (grid - turn_off)) * (grid < turn_off + 0.2)
    horizontal = 0.04 * np.exp(-0.5 * ((grid - turn_off + 3.4) / 0.12) ** 2)
    magnitude = _draw(grid, main_sequence + giants + horizontal, len(x), rng)
    canvas.add_stars(x, y, canvas.electrons(magnitude))


def resolved_galaxy(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a piece of a nearby spiral: smooth light, dust, resolved stars, associations, clusters.

    An exponential (Sersic n = 1) disk and a bulge, much larger than the frame, are modulated by
    spiral-arm-like lognormal clumps and by dust. Resolved stars follow the light, with
    N(m) ~ 10^(0.35 m) from 19.5 to 28.
    """
    light = _disk(canvas, rng) * np.exp(0.25 * _texture(canvas.shape, rng))
    clumps = np.exp(1.1 * _texture(canvas.shape, rng))
    dust = np.exp(-0.8 * np.maximum(_texture(canvas.shape, rng) - 0.8, 0))
    canvas.image += light * dust

    weight = light * clumps * dust
    number = rng.poisson(0.02 * rng.lognormal(0, 0.4) * light.size)
    magnitude = _power_law_magnitudes(number, rng, slope=0.35, bright=19.5, faint=28.0)
    x, y = _following(weight, number, rng)
    canvas.add_stars(x, y, canvas.electrons(magnitude))

    galsim = import_galsim()
    young = weight * clumps**2
    number = rng.poisson(25 * canvas.area() ** 0.9 + 2)
    magnitude = _power_law_magnitudes(number, rng, slope=0.3, bright=19.0, faint=24.0)
    for x0, y0, m in zip(*_following(young, number, rng), magnitude, strict=True):
        size = rng.uniform(0.04, 0.25)  # arcsec: clusters of some parsec
        cluster = galsim.Moffat(beta=2.2, half_light_radius=size, trunc=12 * size)
        cluster = cluster.withFlux(float(canvas.electrons(m)))
        cluster = cluster.shear(q=rng.uniform(0.8, 1.0), beta=_angle(rng))
        canvas.add_profile(cluster, x0, y0, radius=int(12 * size / canvas.pixel_scale) + 24)
    for x0, y0 in zip(*_following(young, rng.poisson(number / 3 + 1), rng), strict=True):
        stars = rng.poisson(40)
        spread = rng.uniform(6, 25)
        magnitude = _power_law_magnitudes(stars, rng, slope=0.25, bright=20.5, faint=27.0)
        canvas.add_stars(
            rng.normal(x0, spread, stars),
            rng.normal(y0, spread, stars),
            canvas.electrons(magnitude),
        )


FIELDS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "extragalactic": extragalactic,
    "globular-cluster": globular_cluster,
    "resolved-galaxy": resolved_galaxy,
}
ALIASES = {"ex": "extragalactic", "gc": "globular-cluster", "rg": "resolved-galaxy"}


def field_name(name: str) -> str:
    """The full name of a field, given it or its alias (``gc``).

    Raises:
        BayescrError: If there is no such field; the message suggests the nearest one.
    """
    full = ALIASES.get(name, kebab(name))
    if full not in FIELDS:
        raise unknown_name("field", name, [*FIELDS, *ALIASES])
    return full


def _add_galaxy(
    canvas: Canvas, x: float, y: float, magnitude: float, rng: np.random.Generator
) -> None:
    """A galaxy with the size, shape and knots that are typical of its magnitude."""
    galsim = import_galsim()
    flux = float(canvas.electrons(magnitude))
    size = np.clip(0.9 * 10 ** (-0.12 * (magnitude - 20)) * rng.lognormal(0, 0.4), 0.06, 3.0)
    spiral = rng.random() < 0.75
    index = 1.0 if spiral else rng.choice([2.0, 3.0, 4.0])
    axis_ratio = rng.uniform(0.15, 1.0) if spiral else rng.uniform(0.5, 1.0)
    angle = _angle(rng)
    bulge = rng.beta(1, 4) if spiral else 0.0
    knots = 0.4 * rng.random() if spiral and magnitude < 24.5 else 0.0
    # A profile of a few Sersic indices only: GalSim tabulates each index once.
    body = galsim.Sersic(
        n=index,
        half_light_radius=size,
        flux=flux * (1 - bulge - (1 - bulge) * knots),
        trunc=8 * size,
    )
    profile = body.shear(q=axis_ratio, beta=angle)
    if bulge > 0.05:
        core = galsim.Sersic(n=2.0, half_light_radius=0.25 * size, flux=flux * bulge)
        profile = profile + core.shear(q=max(axis_ratio, 0.6), beta=angle)
    radius = _stamp_radius(body, canvas.pixel_scale)
    canvas.add_profile(profile, x, y, radius=radius)
    if knots:
        _add_knots(canvas, x, y, flux * knots * (1 - bulge), size, axis_ratio, angle.rad, rng)


def _add_knots(
    canvas: Canvas,
    x: float,
    y: float,
    flux: float,
    size: float,
    axis_ratio: float,
    angle: float,
    rng: np.random.Generator,
) -> None:
    """Star-forming knots: points that follow an exponential disk of half-light radius ``size``."""
    number = rng.poisson(12) + 1
    radius = rng.gamma(2.0, size / 1.678, number) / canvas.pixel_scale
    azimuth = rng.uniform(0, 2 * np.pi, number)
    along = radius * np.cos(azimuth) / np.sqrt(axis_ratio)
    across = radius * np.sin(azimuth) * np.sqrt(axis_ratio)
    share = rng.dirichlet(np.ones(number))
    canvas.add_stars(
        x + along * np.cos(angle) - across * np.sin(angle),
        y + along * np.sin(angle) + across * np.cos(angle),
        flux * share,
    )


def _stamp_radius(profile: Any, pixel_scale: float) -> int:
    """Radius [pixel] beyond which a round profile has less than EDGE electrons in a pixel."""
    radius = 16
    while radius < 512 and profile.xValue(radius * pixel_scale, 0.0) * pixel_scale**2 > EDGE:
        radius *= 2
    return radius


def _disk(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Electrons per pixel of a huge disk and its bulge; 19.5 to 21.5 mag / arcsec^2 mid-frame."""
    galsim = import_galsim()
    size = rng.uniform(40, 120)  # arcsec
    offset = rng.uniform(0.15, 1.2) * size / canvas.pixel_scale
    direction = rng.uniform(0, 2 * np.pi)
    disk = galsim.Sersic(n=1.0, half_light_radius=size)
    bulge = galsim.Sersic(n=2.0, half_light_radius=0.12 * size, flux=0.1)
    galaxy = (disk + bulge).shear(q=rng.uniform(0.35, 0.95), beta=_angle(rng))
    height, width = canvas.shape
    light = galaxy.drawImage(
        nx=width,
        ny=height,
        scale=canvas.pixel_scale,
        offset=(offset * np.cos(direction), offset * np.sin(direction)),
        method="no_pixel",
    ).array.astype(np.float64)
    brightness = rng.uniform(19.5, 21.5)
    level = canvas.electrons(brightness) * canvas.pixel_scale**2
    return light * (level / np.median(light))


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Gaussian random field of unit variance and power spectrum k^-3.4, as seen through the PSF."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    wavenumber = np.hypot(fy, fx)
    amplitude = np.hypot(wavenumber, 1 / 300) ** -1.7  # flat on scales above 300 pixels
    amplitude *= np.exp(-0.5 * (2 * np.pi * 1.5 * wavenumber) ** 2)  # blurred by 1.5 pixels
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * amplitude, s=shape)
    return (field - field.mean()) / max(field.std(), 1e-12)


def _following(weight: Array, number: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random x and y with the density of an image, uniform inside a pixel."""
    cumulative = np.cumsum(weight.ravel())
    pixel = np.searchsorted(cumulative, rng.random(number) * cumulative[-1], side="right")
    row, column = np.divmod(np.minimum(pixel, weight.size - 1), weight.shape[1])
    jitter = rng.uniform(-0.5, 0.5, size=(2, number))
    return column + jitter[0], row + jitter[1]


def _power_law_magnitudes(
    number: int, rng: np.random.Generator, *, slope: float, bright: float, faint: float
) -> Array:
    """Magnitudes with density ~ 10^(slope m) between two limits."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(low + rng.random(number) * (high - low)) / slope


def _draw(grid: Array, density: Array, number: int, rng: np.random.Generator) -> Array:
    """Values with a tabulated density."""
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(rng.random(number) * cumulative[-1], cumulative, grid)


def _angle(rng: np.random.Generator) -> Any:
    galsim = import_galsim()
    return rng.uniform(0, 180) * galsim.degrees
