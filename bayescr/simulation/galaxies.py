"""Fields of galaxies: many faint ones, or a piece of a nearby one.

References:
    Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500 (the fields).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.canvas import Canvas
from bayescr.simulation.draws import following, magnitudes, power_law, texture
from bayescr.simulation.psf import RADIUS, import_galsim

__all__ = ["extragalactic", "resolved_galaxy"]

Array = np.ndarray[Any, Any]


def extragalactic(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint faint galaxies of all sizes and a few foreground stars.

    Galaxies follow N(m) ~ 10^(0.28 m) to magnitude 27.5, 400 per square arcminute within a factor
    of two, from blank fields to the outskirts of galaxy clusters; their half-light radii shrink
    from 0.9 arcsec at magnitude 20 to 0.13 at 27. Stars, 5 to 40 per square arcminute, follow
    10^(0.15 m) from magnitude 15 to 26.
    """
    margin = 64
    number = 400 * rng.lognormal(0, 0.5) * canvas.area(margin=margin)
    magnitude = magnitudes(canvas, rng, number=number, slope=0.28, bright=17.0, faint=27.5)
    positions = canvas.positions(len(magnitude), rng, margin=margin)
    for x, y, m in zip(*positions, magnitude, strict=True):
        _add_galaxy(canvas, x, y, m, rng)

    number = 10 ** rng.uniform(0.7, 1.6) * canvas.area(margin=RADIUS)
    magnitude = magnitudes(canvas, rng, number=number, slope=0.15, bright=15.0, faint=26.0)
    x_stars, y_stars = canvas.positions(len(magnitude), rng, margin=RADIUS)
    canvas.add_stars(x_stars, y_stars, canvas.electrons(magnitude))


def resolved_galaxy(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a piece of a nearby spiral: smooth light, dust, resolved stars, associations, clusters.

    An exponential (Sersic n = 1) disk and a bulge, much larger than a frame of Hubble, are
    modulated by spiral-arm-like lognormal clumps and by dust. Resolved stars follow the light, 8
    per square arcsecond within a factor of 1.5, with N(m) ~ 10^(0.35 m) from 19.5 to 28.
    """
    light = _disk(canvas, rng) * np.exp(0.25 * texture(canvas.shape, rng))
    clumps = np.exp(1.1 * texture(canvas.shape, rng))
    dust = np.exp(-0.8 * np.maximum(texture(canvas.shape, rng) - 0.8, 0))
    canvas.image += light * dust

    weight = light * clumps * dust
    number = 8 * rng.lognormal(0, 0.4) * canvas.area() * 3600
    most = 2 * light.size / canvas.psf.noise_pixels  # fainter ones are the smooth light
    magnitude = magnitudes(
        canvas, rng, number=number, slope=0.35, bright=19.5, faint=28.0, most=most
    )
    canvas.add_stars(*following(weight, len(magnitude), rng), canvas.electrons(magnitude))

    galsim = import_galsim()
    young = weight * clumps**2
    number = 25 * canvas.area() ** 0.9 + 2
    magnitude = magnitudes(canvas, rng, number=number, slope=0.3, bright=19.0, faint=24.0)
    for x0, y0, m in zip(*following(young, len(magnitude), rng), magnitude, strict=True):
        size = rng.uniform(0.04, 0.25)  # arcsec: clusters of some parsec
        cluster = galsim.Moffat(beta=2.2, half_light_radius=size, trunc=12 * size)
        cluster = cluster.withFlux(float(canvas.electrons(m)))
        cluster = cluster.shear(q=rng.uniform(0.8, 1.0), beta=_angle(rng))
        canvas.add_profile(cluster, x0, y0, radius=int(12 * size / canvas.pixel_scale) + 24)
    associations = rng.poisson(len(magnitude) / 3 + 1)
    for x0, y0 in zip(*following(young, associations, rng), strict=True):
        spread = rng.uniform(0.3, 1.25) / canvas.pixel_scale
        magnitude = power_law(rng.poisson(40), rng, slope=0.25, bright=20.5, faint=27.0)
        x, y = rng.normal([[x0], [y0]], spread, (2, len(magnitude)))
        canvas.add_stars(x, y, canvas.electrons(magnitude))


def _add_galaxy(
    canvas: Canvas, x: float, y: float, magnitude: float, rng: np.random.Generator
) -> None:
    """A galaxy with the size, shape and knots that are typical of its magnitude."""
    galsim = import_galsim()
    flux = float(canvas.electrons(magnitude))
    size = np.clip(0.9 * 10 ** (-0.12 * (magnitude - 20)) * rng.lognormal(0, 0.4), 0.06, 3.0)
    spiral = rng.random() < 0.75
    index = 1.0 if spiral else rng.choice([2.0, 3.0, 4.0])
    if magnitude > canvas.faintest - 2.5 and size < canvas.psf.sigma * canvas.pixel_scale:
        canvas.add_stars(np.array([x]), np.array([y]), np.array([flux]))  # its shape is not seen
        return
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
    canvas.add_profile(profile, x, y, radius=_stamp_radius(body, canvas))
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


def _stamp_radius(profile: Any, canvas: Canvas) -> int:
    """Radius [pixel] beyond which a round profile has less than ``canvas.edge`` in a pixel."""
    radius = 16
    while (
        radius < 512
        and profile.xValue(radius * canvas.pixel_scale, 0.0) * canvas.pixel_scale**2 > canvas.edge
    ):
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
    level = min(canvas.electrons(brightness) * canvas.pixel_scale**2, canvas.limit)
    return light * (level / np.median(light))


def _angle(rng: np.random.Generator) -> Any:
    galsim = import_galsim()
    return rng.uniform(0, 180) * galsim.degrees
