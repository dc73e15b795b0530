"""Canvas and fields."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation.canvas import Canvas
from bayescr.simulation.draws import magnitudes, power_law
from bayescr.simulation.optics import GroundOptics, HubbleOptics
from bayescr.simulation.psf import F606W
from bayescr.simulation.sky import ALIASES, FIELDS, WITHOUT_SKY, field_name


@pytest.fixture(scope="module")
def psf():
    return HubbleOptics().draw(F606W, np.random.default_rng(0), pixel_scale=0.05)


def new_canvas(psf, shape=(301, 301)):
    return Canvas(shape, exposure_time=500.0, band=F606W, psf=psf, pixel_scale=0.05)


def centroid(image):
    rows, columns = np.indices(image.shape)
    return (image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()


@pytest.mark.parametrize("electrons", [300.0, 2e4, 1e6])
def test_star_has_the_flux_asked_for(psf, electrons):
    canvas = new_canvas(psf)
    canvas.add_stars(np.array([150.0]), np.array([150.0]), np.array([electrons]))
    # A faint star's stamp ends at 0.5 arcsec, where ACS has 5 to 8% of the light outside.
    lost = 1 - canvas.image.sum() / electrons
    assert -0.001 < lost < (0.08 if electrons < 1e4 else 0.03)


def test_star_sits_where_it_is_put_to_an_eighth_of_a_pixel():
    symmetric = HubbleOptics().draw(F606W, np.random.default_rng(1), pixel_scale=0.05)
    for x, y in ((100.0, 120.0), (100.25, 119.5), (100.6, 120.9)):
        canvas = new_canvas(symmetric)
        canvas.add_stars(np.array([x]), np.array([y]), np.array([1e6]))
        there = centroid(canvas.image[100:141, 80:121])
        reference = new_canvas(symmetric)
        reference.add_stars(np.array([100.0]), np.array([120.0]), np.array([1e6]))
        origin = centroid(reference.image[100:141, 80:121])
        # 1/8 pixel of rounding, and 0.03 because the window cuts the wings.
        assert there[0] - origin[0] == pytest.approx(x - 100.0, abs=0.155)
        assert there[1] - origin[1] == pytest.approx(y - 120.0, abs=0.155)


def test_stars_over_the_edge_equal_a_larger_canvas(psf):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-40, 100, (2, 60))
    electrons = 10 ** rng.uniform(2, 6, 60)
    small, large = new_canvas(psf, (60, 70)), new_canvas(psf, (260, 270))
    small.add_stars(x, y, electrons)
    large.add_stars(x + 100, y + 100, electrons)
    np.testing.assert_allclose(small.image, large.image[100:160, 100:170], rtol=1e-12)


def test_profile_keeps_its_flux_and_place(psf):
    galsim = pytest.importorskip("galsim")
    canvas = new_canvas(psf)
    canvas.add_profile(
        galsim.Exponential(half_light_radius=0.3, flux=5000.0), 140.3, 160.8, radius=100
    )
    assert canvas.image.sum() == pytest.approx(5000.0, rel=0.02)  # wings beyond the PSF's core
    x, y = centroid(canvas.image[110:212, 90:191])
    assert (x + 90, y + 110) == pytest.approx((140.3, 160.8), abs=0.1)


def test_profile_off_the_frame_paints_nothing(psf):
    galsim = pytest.importorskip("galsim")
    canvas = new_canvas(psf, (40, 40))
    for x, y in ((-90.0, 20.0), (20.0, 900.0)):
        canvas.add_profile(galsim.Exponential(half_light_radius=0.1), x, y, radius=16)
    assert not canvas.image.any()


def test_magnitude_to_electrons(psf):
    canvas = new_canvas(psf)
    assert canvas.electrons(F606W.zero_point) == pytest.approx(500.0)
    assert canvas.electrons(F606W.zero_point - 2.5) == pytest.approx(5000.0)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_paints_finite_light(psf, name):
    canvas = new_canvas(psf, (90, 130))
    FIELDS[name](canvas, np.random.default_rng(4))
    assert np.isfinite(canvas.image).all()
    # GalSim's FFTs ring by parts in a thousand of a source; nothing else is negative.
    assert canvas.image.min() >= -1e-2 * canvas.image.max()
    assert (canvas.image.sum() > 0) == (name != "dark")


def test_cluster_is_crowded_and_galaxy_bright(psf):
    painted = {}
    for name in ("extragalactic", "globular-cluster", "resolved-galaxy"):
        canvas = new_canvas(psf, (200, 200))
        FIELDS[name](canvas, np.random.default_rng(5))
        painted[name] = canvas.image
    assert np.median(painted["resolved-galaxy"]) > 20  # 19.5 to 21.5 mag / arcsec^2
    assert np.median(painted["extragalactic"]) < 20
    cluster = painted["globular-cluster"]
    maxima = cluster[1:-1, 1:-1] > 200
    for i, j in ((0, 1), (1, 0), (1, 2), (2, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        maxima &= cluster[1:-1, 1:-1] > cluster[i : i + 198, j : j + 198]
    assert maxima.sum() > 50


def test_names_and_aliases():
    assert {field_name(alias) for alias in ALIASES} <= set(FIELDS)
    assert set(WITHOUT_SKY) <= set(FIELDS)
    assert field_name("globular_cluster") == "globular-cluster"
    with pytest.raises(BayescrError, match="did you mean 'globular-cluster'"):
        field_name("globular-clusters")


def test_field_off_the_sky_has_nothing_in_the_dark(psf):
    canvas = new_canvas(psf, (20, 20))
    FIELDS["dark"](canvas, np.random.default_rng(0))
    assert not canvas.image.any()


def test_power_law_has_its_slope():
    drawn = power_law(100_000, np.random.default_rng(6), slope=0.3, bright=15.0, faint=20.0)
    assert drawn.min() >= 15.0
    assert drawn.max() <= 20.0
    # N(< 18) / N(< 20) = (10^0.9 - 1) / (10^1.5 - 1), five standard errors of a share.
    share = (10**0.9 - 1) / (10**1.5 - 1)
    assert (drawn < 18.0).mean() == pytest.approx(
        share, abs=5 * np.sqrt(share * (1 - share) / 100_000)
    )


def test_magnitudes_end_where_sources_drown_or_are_too_many(psf):
    counts = {"number": 20_000.0, "slope": 0.3, "bright": 15.0, "faint": 20.0}
    canvas = new_canvas(psf, (20, 20))
    everything = magnitudes(canvas, np.random.default_rng(0), **counts)
    canvas.faintest = 18.0
    seen = magnitudes(canvas, np.random.default_rng(1), **counts)
    assert seen.max() <= 18.0
    expected = (everything < 18.0).sum()
    assert len(seen) == pytest.approx(expected, abs=5 * np.sqrt(2 * expected))
    canvas.faintest = np.inf
    brightest = magnitudes(canvas, np.random.default_rng(2), **counts, most=expected)
    assert len(brightest) == pytest.approx(expected, abs=5 * np.sqrt(2 * expected))
    assert brightest.max() == pytest.approx(18.0, abs=0.1)
    canvas.faintest = 14.0
    assert not len(magnitudes(canvas, np.random.default_rng(3), **counts))


def spectra(psf, *, seeds, shape=(160, 200)):
    for seed in seeds:
        canvas = new_canvas(psf, shape)
        FIELDS["spectrum"](canvas, np.random.default_rng(seed))
        yield canvas.image


def test_spectra_lie_along_either_axis(psf):
    """Sky lines and traces are straight to a few pixels: one axis' profile holds the objects."""
    along_rows = []
    for image in spectra(psf, seeds=range(12)):
        rows, columns = (np.median(image, axis=axis) for axis in (1, 0))
        along_rows.append(rows.max() / np.median(rows) > columns.max() / np.median(columns))
    assert 0 < sum(along_rows) < 12


def test_lines_have_the_width_of_the_psf(psf):
    wide = GroundOptics(seeing=(0.4, 0.4)).draw(
        F606W, np.random.default_rng(0), pixel_scale=0.05
    )  # 8 pixels
    sharpness = {}
    for name, one in (("sharp", psf), ("wide", wide)):
        images = list(spectra(one, seeds=range(6)))
        steps = [max(np.abs(np.diff(i, axis=a)).max() for a in (0, 1)) / i.max() for i in images]
        sharpness[name] = np.median(steps)
    assert sharpness["wide"] < 0.35
    assert sharpness["sharp"] > sharpness["wide"]
