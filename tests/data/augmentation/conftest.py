"""A flat patch of known sky, source and cosmic rays, large enough to measure moments on."""

import numpy as np
import pytest

from bayescr.data.augmentation import RawPatch

SKY, READ_NOISE, SIDE = 100.0, 5.0, 512


@pytest.fixture
def make():
    """A function: what is in the scene -> a patch that the detector could have given."""

    def patch(
        *, source=0.0, sky=SKY, read_noise=READ_NOISE, charge=None, seed=0, side=SIDE, **other
    ):
        rng = np.random.default_rng(seed)
        shape = (side, side)
        scene = rng.poisson(np.broadcast_to(sky + source, shape)) + read_noise * rng.normal(
            size=shape
        )
        known = charge is not None
        charge = np.broadcast_to(np.asarray(0.0 if charge is None else charge, float), shape)
        noise = np.sqrt(sky + read_noise**2)
        settings = {
            "data": scene + charge,
            "target": (charge > 2 * noise)[None],
            "valid": np.ones(shape, bool),
            "usable": np.ones(shape, bool),
            "sky": sky,
            "noise": noise,
            "read_noise": read_noise,
            "charge": charge if known else None,
            "exposure": "flat",
        }
        return RawPatch(**settings | other)

    return patch


@pytest.fixture
def assert_moments():
    """Asserts mean and variance of pixels within five standard errors of each."""

    def check(pixels, *, mean, variance):
        count, spread = pixels.size, np.sqrt(variance)
        assert abs(pixels.mean() - mean) < 5 * spread / np.sqrt(count)
        # Of a variance v the standard error is v sqrt(2 / n) for a Gaussian; all here nearly are.
        assert abs(pixels.var() - variance) < 5 * variance * np.sqrt(2 / count)

    return check
