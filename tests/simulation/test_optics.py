"""PSFs: Hubble's, and those of telescopes on the ground."""

import builtins

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation import F606W, F814W, GroundOptics, HubbleOptics
from bayescr.simulation.psf import OVERSAMPLING, RADIUS

MIDDLE = RADIUS * OVERSAMPLING


def ground(seed=0, *, pixel_scale=0.25, **settings):
    settings = {"seeing": (1.0, 1.0), "elongation": 0.0, "spikes": 0.0} | settings
    rng = np.random.default_rng(seed)
    return GroundOptics(**settings).draw(F606W, rng, pixel_scale=pixel_scale).image


def width(profile):
    """Full width at half maximum [pixel] of samples around the middle."""
    half = profile.max() / 2
    after = np.flatnonzero(profile[MIDDLE:] < half)[0]
    a, b = profile[MIDDLE + after - 1], profile[MIDDLE + after]
    return 2 * (after - 1 + (a - half) / (a - b)) / OVERSAMPLING


def test_psf_is_hubbles():
    draws = {
        band.name: HubbleOptics().draw(band, np.random.default_rng(3), pixel_scale=0.05).image
        for band in (F606W, F814W)
    }
    sharp, red = draws["F606W"], draws["F814W"]
    assert sharp[::4, ::4].sum() == pytest.approx(1.0, abs=0.02)
    # Handbook: 0.2 to 0.35 of the light in the central pixel, less in the red.
    assert 0.2 < sharp[MIDDLE, MIDDLE] < 0.35
    assert red[MIDDLE, MIDDLE] < sharp[MIDDLE, MIDDLE]
    # Spikes: along the diagonal struts it is brighter than between them.
    reach = int(40 * 4 / np.sqrt(2))
    diagonal = slice(MIDDLE + reach - 40, MIDDLE + reach + 40)
    between = sharp[MIDDLE - 40 : MIDDLE + 40, MIDDLE + 120 : MIDDLE + 200]
    assert sharp[diagonal, diagonal].max() > 5 * np.median(between)


def test_seeing_is_the_width():
    # The pixel, a quarter of the seeing, widens it by a few percent.
    image = ground(beta=(3.0, 3.0))
    assert width(image[MIDDLE]) == pytest.approx(4.0, rel=0.06)
    assert width(image[:, MIDDLE]) == pytest.approx(width(image[MIDDLE]), rel=1e-6)


def test_seeing_varies_between_exposures_within_its_range():
    widths = [width(ground(seed, seeing=(1.0, 3.0))[MIDDLE]) for seed in range(10)]  # pixels
    assert 4.0 < min(widths) < 6.5
    assert 8.0 < max(widths) < 12.5


@pytest.mark.parametrize("pixel_scale", [0.1, 0.4, 1.5])
def test_light_is_conserved_from_well_sampled_to_undersampled(pixel_scale):
    image = ground(beta=(4.0, 4.0), pixel_scale=pixel_scale)
    assert image[::4, ::4].sum() == pytest.approx(1.0, abs=0.01)
    assert image[2::4, 1::4].sum() == pytest.approx(1.0, abs=0.01)
    assert np.unravel_index(image.argmax(), image.shape) == (MIDDLE, MIDDLE)


def test_spider_makes_four_spikes_with_their_share_of_the_light():
    plain, crossed = ground(seed=5), ground(seed=5, spikes=0.2)
    rest = crossed - 0.8 * plain
    assert rest[::4, ::4].sum() == pytest.approx(0.2, abs=0.02)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ring = 160
    rows = np.rint(MIDDLE + ring * np.sin(angle)).astype(int)
    columns = np.rint(MIDDLE + ring * np.cos(angle)).astype(int)
    bright = rest[rows, columns] > rest[rows, columns].max() / 2
    assert (np.diff(bright.astype(int), append=int(bright[0])) == 1).sum() == 4


def test_guiding_errors_stretch_the_spot_and_keep_its_light():
    image = ground(seed=2, elongation=0.4, beta=(4.0, 4.0))
    offset = (np.arange(len(image)) - MIDDLE) / OVERSAMPLING
    near = np.abs(offset) < 6
    core = image[np.ix_(near, near)]
    y, x = np.meshgrid(offset[near], offset[near], indexing="ij")
    moments = [(core * product).sum() / core.sum() for product in (x * x, x * y, y * y)]
    low, high = np.linalg.eigvalsh([[moments[0], moments[1]], [moments[1], moments[2]]])
    assert 0.55 < np.sqrt(low / high) < 0.97
    assert image[::4, ::4].sum() == pytest.approx(1.0, abs=0.01)


def test_noise_pixels_of_a_gaussian():
    from bayescr.simulation.psf import sampled

    offset = (np.arange(2 * MIDDLE + 1) - MIDDLE) / OVERSAMPLING
    line = np.exp(-0.5 * (offset / 3.0) ** 2) / (3.0 * np.sqrt(2 * np.pi))
    psf = sampled(np.outer(line, line), 0.05)
    assert psf.noise_pixels == pytest.approx(4 * np.pi * 9, rel=1e-3)
    assert psf.sigma == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seeing": (2.0, 1.0)}, "seeing is"),
        ({"seeing": (1.0, 1.0), "beta": (0.9, 2.0)}, "beta is"),
        ({"seeing": (1.0, 1.0), "spikes": 1.5}, "spikes is 1.5"),
    ],
)
def test_bad_optics_are_named(settings, named):
    with pytest.raises(BayescrError, match=named):
        GroundOptics(**settings)


def test_without_galsim_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name == "galsim":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BayescrError, match=r"bayescr\[simulation\]"):
        HubbleOptics().draw(F606W, np.random.default_rng(0), pixel_scale=0.05)
