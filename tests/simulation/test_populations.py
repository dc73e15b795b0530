"""Rates of known detectors, counted as they were measured: events found in noise."""

import numpy as np
import pytest
from scipy import ndimage

from bayescr.simulation.populations import (
    ACS_WFC,
    LSST_ITL,
    THICK_GROUND,
    THIN_GROUND,
    WFC3_UVIS,
)
from bayescr.simulation.tracks import cosmic_ray_charge

TOUCHING = np.ones((3, 3))


def found_rate(rays, *, least, peak, events):
    """Regions above ``least`` that reach ``peak`` [electrons], per second and cm^2."""
    side = 600
    area = (side * rays.pixel_size * 1e-4) ** 2
    exposure_time = 150 / (rays.rate * area)  # 150 events a frame: they hardly touch
    number = 0
    for seed in range(events // 150):
        charge = cosmic_ray_charge(
            (side, side), exposure_time, np.random.default_rng(seed), cosmic_rays=rays
        )
        regions, _ = ndimage.label(charge > least, TOUCHING)
        brightest = ndimage.maximum(charge, regions, np.arange(1, regions.max() + 1))
        number += (np.asarray(brightest) > peak).sum()
    return number / (events // 150 * exposure_time * area)


@pytest.mark.parametrize(
    ("rays", "least", "peak", "expected"),
    [
        # arXiv:2006.00909: about 1.1; events are pixels above a few times the noise of 5 e-.
        (ACS_WFC, 15.0, 30.0, 1.1),
        (WFC3_UVIS, 15.0, 30.0, 1.1),
        # 1097 footprints that are no defects in 1500 s and 16 288 000 pixels, above 7 x 7.3 e-.
        (LSST_ITL, 51.0, 300.0, 1097 / (1500 * 16.288)),
        # 295 events of at least 55 e- in 4 x 360 s on 2725 x 284 pixels, above 3 x 5.5 e-.
        (THICK_GROUND, 16.5, 55.0, 295 / (4 * 360 * 2725 * 284 * 15e-4**2)),
    ],
    ids=["ACS/WFC", "WFC3/UVIS", "LSST", "Kast"],
)
def test_rate_is_the_cited_one(rays, least, peak, expected):
    events = 600
    found = found_rate(rays, least=least, peak=peak, events=events)
    # Poisson noise of the simulation, of the real count (3% and 6%), and touching events.
    assert found == pytest.approx(expected, rel=3 / np.sqrt(events) + 0.03)


@pytest.mark.parametrize("rays", [LSST_ITL, THICK_GROUND, THIN_GROUND])
def test_muons_are_those_of_the_sea_level_and_the_mountain(rays):
    # PDG: 1 per cm^2 and minute through a level surface, half of it through an upright one; at
    # 1300 m up to 1.5 times as many, and electrons and protons among them another 40%.
    muons = 60 * rays.rate * (1 - rays.worm_fraction - rays.alpha_fraction)
    level = 0.5 if rays.tilt == 90.0 else 1.0
    assert level < muons < level * 1.5 * 1.4
