"""Every instrument observes every field; names lead to them."""

from dataclasses import replace

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation import FIELDS, INSTRUMENTS, find_instrument, simulate_exposure

GROUND = [name for name in INSTRUMENTS if not name.startswith("hst")]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_observes_every_field(name, field):
    instrument = INSTRUMENTS[name]
    exposure = simulate_exposure(field, instrument=name, size=(40, 56), seed=2)
    data, header = exposure.frame.data, exposure.frame.header
    assert data.shape == (40, 56)
    assert np.isfinite(data).all()
    assert (header["INSTRUME"], header["FIELD"]) == (name, field)
    assert header["TELESCOP"] == instrument.telescope
    assert header["FILTER"] in [band.name for band in instrument.bands]
    low, high = instrument.exposure_times
    assert low <= header["EXPTIME"] <= high
    assert exposure.instrument == name
    counts = data.astype(float) / instrument.detector.gain
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.01)  # float32 holds six digits
    assert (exposure.frame.wcs is None) == (field in ("spectrum", "dark"))


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_instruments_are_what_they_say(name):
    instrument = INSTRUMENTS[name]
    assert instrument.name == name
    assert set(instrument.fields) <= set(FIELDS)
    assert len({band.name for band in instrument.bands}) == len(instrument.bands)
    assert instrument.cosmic_rays.rate > 0


@pytest.mark.parametrize(("name", "electrons"), [("B", 264), ("V", 490)])
def test_small_telescope_has_the_sky_that_was_measured(name, electrons):
    """Nickel, NGC 6819 in 2019: median of a pixel in 120 s less that of the overscan."""
    (band,) = [band for band in INSTRUMENTS["thin-ground-ccd"].bands if band.name == name]
    pixel = INSTRUMENTS["thin-ground-ccd"].detector.pixel_scale
    assert band.sky * (pixel / 0.05) ** 2 * 120 == pytest.approx(electrons, rel=0.1)


@pytest.mark.parametrize("name", GROUND)
def test_sky_on_the_ground_differs_between_exposures(name):
    skies = [
        np.median(
            simulate_exposure(
                "star-field", instrument=name, size=24, seed=seed, exposure_time=60.0
            ).scene
        )
        for seed in range(8)
    ]
    assert max(skies) > 1.5 * min(skies)


def test_names_lead_to_instruments():
    assert find_instrument("lsst-itl") is INSTRUMENTS["lsst-itl"]
    assert find_instrument("lsst_itl") is INSTRUMENTS["lsst-itl"]
    own = replace(INSTRUMENTS["lsst-itl"], name="mine")
    assert find_instrument(own) is own
    exposure = simulate_exposure("dark", instrument=own, size=16)
    assert exposure.frame.header["INSTRUME"] == "mine"


def test_unknown_instrument_suggests_the_nearest():
    with pytest.raises(BayescrError, match="did you mean 'hst-acs-wfc'"):
        simulate_exposure("dark", instrument="hst-asc-wfc")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"bands": ()}, "'lsst-itl' has no bands"),
        ({"exposure_times": (0.0, 3.0)}, r"exposure_times is \(0.0, 3.0\)"),
        ({"exposure_times": (5.0, 3.0)}, r"exposure_times is \(5.0, 3.0\)"),
    ],
)
def test_bad_instrument_is_named(settings, named):
    with pytest.raises(BayescrError, match=named):
        replace(INSTRUMENTS["lsst-itl"], **settings)
