"""A sky, a few tracks that are easy to tell apart, and darks with tracks planted in them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from bayescr.injection import Track, TrackCatalogue

READ_NOISE = 4.0


def track(*rows):
    return Track(np.array(rows, np.float32))


@pytest.fixture(scope="session")
def catalogue():
    """Three tracks, one of them with a hole and none of them symmetric."""
    return TrackCatalogue(
        tracks=(
            track([900.0, 400.0, 0.0, 60.0]),
            track([0.0, 150.0, 700.0], [320.0, 0.0, 0.0]),
            track([80.0], [5000.0], [250.0], [90.0], [30.0]),
        ),
        exposure_time=200.0,
        pixels=40_000,
        pixel_size=15.0,
        name="three",
    )


@pytest.fixture
def sky():
    """A flat sky with a star, in electrons; EXPTIME is 100 s."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:96, :128]
    scene = 100.0 + 5e4 * np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / (2 * 2.0**2))
    data = rng.poisson(scene) + rng.normal(0.0, READ_NOISE, scene.shape)
    return CCDData(data.astype(np.float32), unit="electron", meta={"EXPTIME": 100.0})


class Darks:
    """Four dark frames in electrons with hot pixels, a bad column and planted tracks.

    Attributes:
        frames: The darks.
        planted: (frame, row, column, track) of the tracks that lie in the open.
    """

    def __init__(self, shape=(160, 128), number=4):
        rng = np.random.default_rng(11)
        rate = np.where(rng.random(shape) < 0.01, rng.uniform(20.0, 400.0, shape), 0.02)
        rate[:, 40] = 50.0
        self.hot = rate > 1.0
        self.planted = []
        self.frames = []
        for index in range(number):
            data = rng.poisson(rate * 300.0) + rng.normal(500.0, READ_NOISE, shape)
            data[70:] += 30.0 * index  # a step of the bias
            for row in (20, 60, 100, 140):
                stamp = rng.uniform(150.0, 3000.0, (3, 2)).astype(np.float32)
                corner = (row + 3 * index, 60 + 12 * index)
                window = np.s_[corner[0] : corner[0] + 3, corner[1] : corner[1] + 2]
                near = np.s_[corner[0] - 3 : corner[0] + 6, corner[1] - 3 : corner[1] + 5]
                data[window] += stamp
                if not self.hot[near].any():
                    self.planted.append((index, *corner, Track(stamp)))
            data[index + 8, 0:4] += 900.0  # cut by the edge
            data[30, 10 + 6 * index] += 500.0  # one pixel alone
            header = fits.Header({"EXPTIME": 300.0})
            self.frames.append(CCDData(data.astype(np.float32), unit="electron", meta=header))


@pytest.fixture(scope="session")
def darks():
    return Darks()
