"""Whole exposures: statistics of the detector, exact truth, files, reproducibility."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from bayescr.errors import BayescrError
from bayescr.simulation import (
    F606W,
    Band,
    CosmicRays,
    Detector,
    simulate,
    simulate_exposure,
    write_exposure,
)
from bayescr.simulation.detector import bleed, draw_defects
from bayescr.simulation.exposures import frame_seed
from bayescr.simulation.sky import FIELDS


@pytest.fixture(scope="module")
def exposure():
    return simulate_exposure("gc", size=(96, 128), seed=3, exposure_time=700.0)


def test_noise_is_shot_noise_and_read_noise(monkeypatch):
    monkeypatch.setitem(FIELDS, "extragalactic", lambda canvas, rng: None)
    blank = simulate_exposure(
        "extragalactic",
        size=400,
        seed=1,
        band=F606W,
        detector=Detector(read_noise=7.0, hot_fraction=0.0, dead_fraction=0.0),
        cosmic_rays=CosmicRays(rate=0.0),
    )
    level = float(blank.scene[0, 0])
    assert (blank.scene == level).all()
    data, variance = blank.frame.data.astype(float), level + 49.0
    # Standard errors of mean and variance of 160 000 nearly Gaussian pixels; five of each.
    assert abs(data.mean() - level) < 5 * np.sqrt(variance / data.size)
    assert data.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / data.size))
    assert not blank.cosmic_rays.any()
    assert not blank.dq.any()


def test_truth_is_its_definition():
    exposure = simulate_exposure(
        "rg", size=80, seed=5, detector=Detector(read_noise=4.0), threshold=2.0
    )
    noise = np.sqrt(exposure.scene.astype(float) + 16.0)
    for row in range(0, 80, 7):
        for column in range(80):
            expected = exposure.charge[row, column] > 2.0 * noise[row, column]
            assert exposure.cosmic_rays[row, column] == expected
    assert exposure.cosmic_rays.any()


def test_data_are_scene_and_charge_within_the_noise(exposure):
    good = exposure.dq == 0
    expected = exposure.scene.astype(float) + exposure.charge
    pull = ((exposure.frame.data - expected) / np.sqrt(exposure.scene + 25.0))[good]
    assert abs(pull.mean()) < 5 / np.sqrt(good.sum())
    assert pull.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_have_a_plausible_share_of_cosmic_rays(name):
    exposure = simulate_exposure(name, size=256, seed=8, exposure_time=800.0)
    # The handbook's 1.5 to 3% in 1000 s counts any charge; bright scenes hide some of it.
    assert 0.004 < exposure.cosmic_rays.mean() < 0.03
    assert exposure.frame.data.dtype == np.float32
    assert exposure.charge.dtype == np.float32
    assert exposure.dq.dtype == np.int16
    assert exposure.field == name
    assert (exposure.frame.mask == (exposure.dq != 0)).all()


def test_same_seed_same_exposure_other_seed_another(exposure):
    again = simulate_exposure("globular-cluster", size=(96, 128), seed=3, exposure_time=700.0)
    other = simulate_exposure("globular-cluster", size=(96, 128), seed=4, exposure_time=700.0)
    assert again.frame.data.tobytes() == exposure.frame.data.tobytes()
    assert again.charge.tobytes() == exposure.charge.tobytes()
    assert other.frame.data.tobytes() != exposure.frame.data.tobytes()


def test_sky_does_not_depend_on_the_cosmic_rays(exposure):
    quiet = simulate_exposure(
        "gc", size=(96, 128), seed=3, exposure_time=700.0, cosmic_rays=CosmicRays(rate=0.0)
    )
    assert (quiet.scene == exposure.scene).all()


def test_fields_of_one_seed_share_no_cosmic_rays(exposure):
    other = simulate_exposure("ex", size=(96, 128), seed=3, exposure_time=700.0)
    both, one = (other.cosmic_rays & exposure.cosmic_rays).sum(), exposure.cosmic_rays.sum()
    assert both < 0.2 * one


def test_saturation_is_flagged_and_bleeds_along_the_column():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 10, (60, 8))
    image[30, 3], image[31, 3], image[20, 6] = 130.0, 95.0, 14.9
    result = bleed(image, 15.0)
    assert result.max() <= 15.0 + 1e-9
    np.testing.assert_allclose(result.sum(axis=0), image.sum(axis=0))  # nothing reached an edge
    untouched = [0, 1, 2, 4, 5, 6, 7]
    assert (result[:, untouched] == image[:, untouched]).all()
    assert (result[:, 3] >= image[:, 3] - 120).all()
    full = np.flatnonzero(result[:, 3] > 14.9)
    assert (np.diff(full) == 1).all()
    assert full[0] < 30 < 31 < full[-1]


def test_bright_star_saturates():
    bright = Band(name="bright", wavelength=592.0, width=0.3, zero_point=31.0, sky=0.1)
    exposure = simulate_exposure("gc", size=128, seed=4, band=bright, exposure_time=600.0)
    saturated = (exposure.dq & 256) > 0
    assert saturated.any()
    assert exposure.frame.data.max() < 84_700 + 6 * 5.0
    full = np.abs(exposure.frame.data[saturated] - 84_700) < 6 * 5.0
    assert full.mean() > 0.8  # the rest are the ends of the trails


def test_defects_come_in_the_stated_shares():
    detector = Detector(hot_fraction=0.02, dead_fraction=0.01, hot_flagged=0.9)
    defects = draw_defects((400, 400), detector, np.random.default_rng(1))
    number = 160_000
    hot = defects.dark_current > detector.dark_current
    assert hot.sum() == pytest.approx(0.02 * number, abs=5 * np.sqrt(0.02 * number))
    dead = (defects.dq & 4) > 0
    assert dead.sum() == pytest.approx(0.01 * number, abs=5 * np.sqrt(0.01 * number))
    assert (defects.sensitivity[dead] == 0.1).all()
    flagged = (defects.dq & 16) > 0
    assert (hot[flagged]).all()
    assert 0 < (hot & ~flagged).sum() < hot.sum()  # some confusers remain


def test_written_file_reads_back(exposure, tmp_path):
    path = tmp_path / "new" / "frame.fits"
    write_exposure(exposure, path)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "DQ", "CRMASK"]
        primary = hdus[0].header
        assert primary["FIELD"] == "globular-cluster"
        assert (primary["SEED"], primary["EXPTIME"]) == (3, 700.0)
        assert hdus["SCI"].header["BUNIT"] == "ELECTRONS"
        np.testing.assert_array_equal(hdus["SCI"].data, exposure.frame.data)
        assert hdus["SCI"].data.dtype == np.dtype(">f4")
        np.testing.assert_array_equal(hdus["DQ"].data, exposure.dq)
        assert hdus["DQ"].data.dtype == np.dtype(">i2")
        np.testing.assert_array_equal(hdus["CRMASK"].data, exposure.cosmic_rays)
        assert hdus["CRMASK"].data.dtype == np.uint8
        sky, back = WCS(hdus["SCI"].header), exposure.frame.wcs
        corner, mine = sky.pixel_to_world(0, 0), back.pixel_to_world(0, 0)
        assert corner.separation(mine).arcsec < 1e-3
        beside = sky.pixel_to_world(1, 0)
        assert corner.separation(beside).arcsec == pytest.approx(0.05, rel=1e-4)
    assert [entry.name for entry in path.parent.iterdir()] == ["frame.fits"]
    with pytest.raises(BayescrError, match="exists already"):
        write_exposure(exposure, path)


def test_frame_k_does_not_depend_on_how_many(tmp_path):
    seen = []
    few = simulate(tmp_path / "few", "gc", frames=1, size=32, seed=7)
    many = simulate(tmp_path / "many", "gc", frames=3, size=32, seed=7, progress=seen.append)
    assert seen == [1, 2, 3]
    assert [path.name for path in many][:2] == [
        "globular-cluster_7_0000.fits",
        "globular-cluster_7_0001.fits",
    ]
    assert few[0].read_bytes() == many[0].read_bytes()
    assert len({path.read_bytes() for path in many}) == 3


def test_frame_seeds_are_numpys_spawned_children():
    children = np.random.SeedSequence(7).spawn(3)
    words = [int(child.generate_state(1, np.uint64)[0]) // 2 for child in children]
    assert [frame_seed(7, index) for index in range(3)] == words


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"field": "globular"}, "did you mean 'globular-cluster'"),
        ({"size": 0}, "size is 0"),
        ({"size": (64, -1)}, "size is"),
        ({"size": 12.5}, "size is 12.5"),
        ({"size": (4, 4, 4)}, "size is"),
        ({"seed": -1}, "seed is -1"),
        ({"exposure_time": 0.0}, "exposure_time is 0.0"),
        ({"threshold": float("nan")}, "threshold is nan"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(BayescrError, match=named):
        simulate_exposure(**({"field": "ex", "size": 16} | arguments))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"read_noise": -1.0}, "read_noise is -1.0"),
        ({"full_well": 0.0}, "full_well is 0.0"),
        ({"hot_fraction": 2.0}, "hot_fraction is 2.0"),
    ],
)
def test_bad_detector_is_named(arguments, named):
    with pytest.raises(BayescrError, match=named):
        Detector(**arguments)


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(BayescrError, match="frames is 0"):
        simulate(tmp_path, "gc", frames=0)
