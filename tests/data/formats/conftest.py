"""Labelled images with everything in them, and how two are compared."""

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from bayescr.data import LabelledImage
from bayescr.data.formats import DEFECTS

PLANES = ("truth", "reliable", "confidence", "charge", "dq")


def sky_wcs(ra=150.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [10.0, 6.0], [-1e-4, 1e-4]
    return wcs


@pytest.fixture
def make():
    """A function: shape, seed, exposure -> an image of which all is known."""

    def image(shape=(12, 20), *, seed=0, exposure="visit-1", plain=False, **header):
        rng = np.random.default_rng(seed)
        data = rng.normal(100.0, 5.0, shape).astype(np.float32)
        dq = (4 * (rng.random(shape) < 0.1) + 4096 * (rng.random(shape) < 0.1)).astype(np.int16)
        truth = rng.random(shape) < 0.2
        if plain:
            frame = CCDData(data, unit="adu", mask=np.zeros(shape, bool), meta=fits.Header(header))
            return LabelledImage(frame=frame, truth=truth, exposure=exposure)
        frame = CCDData(
            data, unit=units.electron, mask=(dq & 4) != 0, wcs=sky_wcs(),
            uncertainty=StdDevUncertainty(np.sqrt(data)),
            meta=fits.Header({"FIELD": "gc", "EXPTIME": 500.0, "READNSE": 4.5, **header}),
        )  # fmt: skip
        return LabelledImage(
            frame=frame,
            truth=truth,
            exposure=exposure,
            reliable=rng.random(shape) < 0.9,
            confidence=rng.random(shape, np.float32),
            charge=np.where(truth, rng.exponential(300.0, shape), 0).astype(np.float32),
            dq=dq,
            defects={name: rng.random(shape) < 0.05 for name in DEFECTS},
        )

    return image


@pytest.fixture
def assert_same():
    """Asserts that two images are, in the planes that are named."""

    def check(one, other, *planes):
        np.testing.assert_array_equal(one.frame.data, other.frame.data)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.frame.data.dtype == np.float32
        for name in planes:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert one.exposure == other.exposure

    return check
