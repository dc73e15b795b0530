"""The sky's level and shape."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation import F606W, Background, HubbleOptics
from bayescr.simulation.canvas import Canvas


@pytest.fixture(scope="module")
def psf():
    return HubbleOptics().draw(F606W, np.random.default_rng(0), pixel_scale=0.1)


def painted(psf, background, seed=0, *, shape=(30, 40), limit=np.inf):
    canvas = Canvas(shape, exposure_time=100.0, band=F606W, psf=psf, pixel_scale=0.1, limit=limit)
    background.paint(canvas, np.random.default_rng(seed))
    return canvas.image


def test_flat_sky_is_the_bands(psf):
    image = painted(psf, Background(scatter=0.0))
    np.testing.assert_allclose(image, F606W.sky * 4 * 100.0)  # four pixels of 0.05 arcsec


def test_level_scatters_between_exposures(psf):
    levels = np.log([painted(psf, Background(scatter=0.3), seed)[0, 0] for seed in range(400)])
    assert levels.mean() == pytest.approx(np.log(F606W.sky * 400), abs=5 * 0.3 / 20)
    assert levels.std() == pytest.approx(0.3, rel=5 / np.sqrt(800))


def test_moon_brightens_half_of_the_exposures_up_to_the_limit(psf):
    background = Background(scatter=0.0, moon=20.0)
    dark = F606W.sky * 400
    levels = np.array([painted(psf, background, seed)[0, 0] for seed in range(300)]) / dark
    assert (levels == 1).mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(300))
    assert levels.max() <= 21.0
    assert levels.max() > 15.0
    bounded = [painted(psf, background, seed, limit=3 * dark)[0, 0] for seed in range(300)]
    assert max(bounded) == pytest.approx(3 * dark)


def test_gradient_is_linear_and_no_larger_than_stated(psf):
    seen = []
    for seed in range(40):
        image = painted(psf, Background(scatter=0.0, gradient=0.2), seed)
        np.testing.assert_allclose(np.diff(image, 2, axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(np.diff(image, 2, axis=1), 0, atol=1e-9)
        assert image.mean() == pytest.approx(F606W.sky * 400)
        seen.append(np.ptp(image) / image.mean())
    assert max(seen) <= 0.2 * np.sqrt(2) + 1e-9
    assert max(seen) > 0.1


def test_stray_light_is_a_smooth_patch(psf):
    level = F606W.sky * 400
    for seed in range(20):
        image = painted(psf, Background(scatter=0.0, stray=0.5), seed)
        assert image.min() >= level
        assert image.max() <= 1.5 * level
        assert np.abs(np.diff(image, axis=0)).max() < 0.1 * level


@pytest.mark.parametrize("name", ["scatter", "moon", "gradient", "stray"])
def test_bad_background_is_named(name):
    with pytest.raises(BayescrError, match=f"{name} is -0.1"):
        Background(**{name: -0.1})
