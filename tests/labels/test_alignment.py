"""Shifts are found to a tenth of a pixel, under other seeing, hits and fixed patterns."""

import numpy as np
import pytest
from astropy.wcs import WCS

from bayescr.errors import BayescrError
from bayescr.labels.alignment import measure_shift, pixel_map, resample

from .conftest import SKY, tracks


@pytest.mark.parametrize(
    ("shift", "width"),
    [((0.0, 0.0), 1.5), ((0.37, -0.61), 1.5), ((-2.5, 7.25), 1.9), ((12.8, -9.1), 1.3)],
)
def test_shift_to_a_tenth_of_a_pixel(field, shift, width):
    rng = np.random.default_rng(0)
    charge = [tracks(rng, field.side) for _ in range(2)]
    first, _ = field.expose(rng, charge=charge[0])
    second, _ = field.expose(rng, charge=charge[1], shift=shift, width=width, transparency=0.8)
    for frame in (first, second):
        frame.data[:, 70:73] += 300.0  # bad columns, which do not move
        frame.data[::16, ::16] += 500.0  # nor do hot pixels
    assert measure_shift(first.data, second.data) == pytest.approx(shift, abs=0.1)
    back = measure_shift(second.data, first.data)
    assert back == pytest.approx((-shift[0], -shift[1]), abs=0.1)


def test_nothing_to_align_by():
    rng = np.random.default_rng(0)
    with pytest.raises(BayescrError, match="nothing above its noise"):
        measure_shift(*rng.uniform(0.0, 1.0, (2, 50, 50)))


def test_resampling_a_field(field):
    """A cubic spline of stars of 1.5 pixels: 2% of the peak at half a pixel."""
    plane, moved = field.scene(), field.scene(shift=(-0.5, 0.5))
    grid = np.indices(plane.shape, dtype=float)
    where = grid + np.array([0.5, -0.5])[:, None, None]
    inner = np.s_[6:-6, 6:-6]
    assert resample(plane, where)[inner] == pytest.approx(moved[inner], abs=0.02 * moved.max())
    assert resample(plane, grid) == pytest.approx(plane, rel=1e-5, abs=1e-2)


def test_unusable_pixels_stay_unusable():
    plane = np.full((20, 20), SKY)
    plane[8, 8] = np.nan
    grid = np.indices(plane.shape, dtype=float)
    half = resample(plane, grid + 0.5)
    assert np.isnan(half[7:9, 7:9]).all()
    assert np.isnan(half[-1]).all()  # beyond the edge
    assert np.isnan(half).sum() == 4 + 39


def make_wcs(*, turn=0.0, pixel=(50.0, 50.0)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], pixel
    cosine, sine = np.cos(turn), np.sin(turn)
    wcs.wcs.cd = np.array([[-cosine, sine], [sine, cosine]]) * 1e-4
    wcs.wcs.set()
    return wcs


def test_map_by_the_wcs():
    """A turn about the reference pixel, whose row and column are one less than FITS counts."""
    grid = np.indices((100, 100), dtype=float)
    turn = 0.02
    there = pixel_map(make_wcs(), make_wcs(turn=turn, pixel=(53.5, 48.0)), grid)
    row, column = grid - 49.0
    expected = [
        47.0 + np.cos(turn) * row - np.sin(turn) * column,
        52.5 + np.cos(turn) * column + np.sin(turn) * row,
    ]
    other_way = [
        47.0 + np.cos(turn) * row + np.sin(turn) * column,
        52.5 + np.cos(turn) * column - np.sin(turn) * row,
    ]
    error = min(np.abs(there - np.array(one)).max() for one in (expected, other_way))
    assert error < 1e-3
    back = pixel_map(make_wcs(turn=turn, pixel=(53.5, 48.0)), make_wcs(), there)
    assert back == pytest.approx(grid, abs=1e-6)


def test_no_wcs_maps_a_pixel_on_itself():
    grid = np.indices((4, 5), dtype=float)
    assert pixel_map(None, make_wcs(), grid) is grid
    assert pixel_map(make_wcs(), WCS(naxis=2), grid) is grid
