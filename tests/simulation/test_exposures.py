"""Whole exposures: statistics of the detector, exact truth, reproducibility."""

import numpy as np
import pytest
from astropy.io import fits

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.simulation import F606W, Band, CosmicRays, simulate_exposure, write_exposure
from bayescr.simulation.readout import transfer
from bayescr.simulation.sky import FIELDS

NO_RAYS = CosmicRays(rate=0.0)


@pytest.fixture(scope="module")
def exposure():
    return simulate_exposure("gc", size=(96, 128), seed=3, exposure_time=700.0)


def blank_sky(monkeypatch, detector, **settings):
    """An exposure of the sky alone, whose scene is one number."""
    monkeypatch.setitem(FIELDS, "extragalactic", lambda canvas, rng: None)
    return simulate_exposure(
        "extragalactic",
        band=F606W,
        detector=detector,
        cosmic_rays=NO_RAYS,
        **({"size": 400, "seed": 1} | settings),
    )


def test_noise_is_shot_noise_and_read_noise(monkeypatch, clean_detector):
    blank = blank_sky(monkeypatch, clean_detector(read_noise=7.0))
    level = float(blank.scene[0, 0])
    assert (blank.scene == level).all()
    data, variance = blank.frame.data.astype(float), level + 49.0
    # Standard errors of mean and variance of 160 000 nearly Gaussian pixels; five of each.
    assert abs(data.mean() - level) < 5 * np.sqrt(variance / data.size)
    assert data.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / data.size))
    assert not blank.cosmic_rays.any()
    assert not blank.dq.any()
    assert not any(plane.any() for plane in blank.defects.values())


def test_photon_transfer_gives_the_gain(monkeypatch, clean_detector):
    """Variance of counts = mean / gain + (read noise / gain)^2 + 1 / 12, by flats of two levels."""
    detector = clean_detector(read_noise=4.0, gain=2.5)
    moments = []
    for band in (F606W, Band(name="b", wavelength=600.0, width=0.3, zero_point=26.0, sky=30.0)):
        monkeypatch.setitem(FIELDS, "extragalactic", lambda canvas, rng: None)
        flat = simulate_exposure(
            "ex", size=500, seed=4, exposure_time=400.0, band=band, detector=detector,
            cosmic_rays=NO_RAYS,
        )  # fmt: skip
        counts = flat.frame.data.astype(float) / 2.5
        moments.append((counts.mean(), counts.var()))
    (low, low_variance), (high, high_variance) = moments
    gain = (high - low) / (high_variance - low_variance)
    assert gain == pytest.approx(2.5, rel=5 * np.sqrt(2 / 250_000) * 1.1)
    offset = low_variance - low / 2.5
    # Three standard errors of the variance at the low level; rounding adds a twelfth.
    expected = (4.0 / 2.5) ** 2 + 1 / 12
    assert offset == pytest.approx(expected, abs=5 * low_variance * np.sqrt(2 / 250_000))


def test_truth_is_its_definition(clean_detector):
    exposure = simulate_exposure(
        "rg", size=80, seed=5, detector=clean_detector(read_noise=4.0), threshold=2.0
    )
    noise = np.sqrt(exposure.scene.astype(float) + 16.0)
    for row in range(0, 80, 7):
        for column in range(80):
            expected = exposure.charge[row, column] > 2.0 * noise[row, column]
            assert exposure.cosmic_rays[row, column] == expected
    assert exposure.cosmic_rays.any()


def test_data_are_scene_and_charge_within_the_noise(exposure):
    good = ~(exposure.defects["saturated"] | exposure.defects["bleed"])
    expected = exposure.scene.astype(float) + exposure.charge + exposure.bias
    pull = ((exposure.frame.data - expected) / np.sqrt(exposure.scene + 25.0))[good]
    assert abs(pull.mean()) < 5 / np.sqrt(good.sum())
    assert pull.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", ["extragalactic", "globular-cluster", "resolved-galaxy"])
def test_fields_have_a_plausible_share_of_cosmic_rays(name):
    exposure = simulate_exposure(name, size=256, seed=8, exposure_time=800.0)
    # The handbook's 1.5 to 3% in 1000 s counts any charge; bright scenes hide some of it.
    assert 0.004 < exposure.cosmic_rays.mean() < 0.03
    assert exposure.frame.data.dtype == np.float32
    assert exposure.charge.dtype == np.float32
    assert exposure.dq.dtype == np.int16
    assert exposure.field == name
    usable = (exposure.dq & ~64) == 0  # a warm pixel is
    assert (exposure.frame.mask == ~usable).all()
    assert (usable & (exposure.dq != 0)).any()


def test_same_seed_same_exposure_other_seed_another(exposure):
    again = simulate_exposure("globular-cluster", size=(96, 128), seed=3, exposure_time=700.0)
    other = simulate_exposure("globular-cluster", size=(96, 128), seed=4, exposure_time=700.0)
    assert again.frame.data.tobytes() == exposure.frame.data.tobytes()
    assert again.charge.tobytes() == exposure.charge.tobytes()
    assert other.frame.data.tobytes() != exposure.frame.data.tobytes()


def test_sky_does_not_depend_on_the_cosmic_rays(exposure):
    quiet = simulate_exposure(
        "gc", size=(96, 128), seed=3, exposure_time=700.0, cosmic_rays=NO_RAYS
    )
    assert (quiet.scene == exposure.scene).all()


def test_fields_of_one_seed_share_no_cosmic_rays(exposure):
    other = simulate_exposure("ex", size=(96, 128), seed=3, exposure_time=700.0)
    both, one = (other.cosmic_rays & exposure.cosmic_rays).sum(), exposure.cosmic_rays.sum()
    assert both < 0.2 * one


def test_bright_star_saturates_and_bleeds(clean_detector):
    bright = Band(name="bright", wavelength=592.0, width=0.3, zero_point=31.0, sky=0.1)
    exposure = simulate_exposure(
        "gc", size=128, seed=4, band=bright, exposure_time=600.0,
        detector=clean_detector(saturation_flagged=1.0),
    )  # fmt: skip
    saturated, bled = exposure.defects["saturated"], exposure.defects["bleed"]
    assert saturated.any()
    assert bled.any()
    assert not (saturated & bled).any()
    assert ((exposure.dq == 256) == (saturated | bled)).all()
    assert exposure.frame.data.max() < 84_700 + 6 * 5.0
    assert (np.abs(exposure.frame.data[saturated] - 84_700) < 6 * 5.0).all()
    untouched = ~(saturated | bled)
    assert exposure.frame.data[untouched].max() < 84_700 + 6 * 5.0


def test_converter_saturates_where_the_well_does_not(clean_detector):
    bright = Band(name="bright", wavelength=592.0, width=0.3, zero_point=30.0, sky=0.1)
    exposure = simulate_exposure(
        "gc", size=96, seed=4, band=bright, exposure_time=600.0,
        detector=clean_detector(gain=0.5, full_well=1e9),
    )  # fmt: skip
    full = exposure.frame.data == 65_535 * 0.5
    assert full.any()
    assert exposure.frame.data.max() == 65_535 * 0.5
    # Read noise decides for the few pixels that are within it of the last count.
    assert (full != exposure.defects["saturated"]).mean() < 1e-3
    assert not exposure.defects["bleed"].any()


def test_share_of_exposures_has_its_saturated_pixels_flagged(clean_detector):
    bright = Band(name="bright", wavelength=592.0, width=0.3, zero_point=31.0, sky=0.1)
    flagged = [
        simulate_exposure(
            "dark", size=32, seed=seed, detector=clean_detector(
                hot_fraction=0.01, hot_current=(5e3, 6e3), hot_flagged=0, saturation_flagged=0.5
            ), cosmic_rays=NO_RAYS, exposure_time=100.0, band=bright,
        ).dq.any()
        for seed in range(40)
    ]  # fmt: skip
    assert sum(flagged) == pytest.approx(20, abs=5 * np.sqrt(10))


def test_trails_of_hot_pixels_are_no_truth_those_of_cosmic_rays_are(clean_detector):
    settings = {"size": 128, "seed": 6, "exposure_time": 1000.0}
    hot = simulate_exposure(
        "dark", cosmic_rays=NO_RAYS, **settings,
        detector=clean_detector(hot_fraction=0.01, transfer_loss=1e-3, rows=128),
    )  # fmt: skip
    trail = hot.defects["trail"]
    assert trail.any()
    assert not hot.cosmic_rays.any()
    above = np.zeros_like(trail)
    for step in range(1, 40):
        above[step:] |= hot.defects["hot"][:-step]
    assert (above | hot.defects["hot"])[trail].all()  # a trail may run into the next hot pixel

    sharp, trailed = (
        simulate_exposure("dark", **settings, detector=clean_detector(transfer_loss=loss, rows=128))
        for loss in (0.0, 1e-3)
    )
    assert not trailed.defects["trail"].any()
    assert trailed.cosmic_rays.sum() > 1.1 * sharp.cosmic_rays.sum()
    moved = transfer(sharp.charge.astype(float), clean_detector(transfer_loss=1e-3))
    np.testing.assert_allclose(trailed.charge, moved, rtol=1e-5, atol=1e-3)


def test_dead_column_keeps_the_cosmic_rays_to_itself(clean_detector):
    settings = {"size": 100, "seed": 3, "exposure_time": 1200.0}
    whole = simulate_exposure("dark", **settings, detector=clean_detector())
    exposure = simulate_exposure(
        "dark", **settings, detector=clean_detector(bad_column_fraction=0.3)
    )
    share = exposure.charge[whole.charge > 0] / whole.charge[whole.charge > 0]
    bad = exposure.defects["bad_column"][whole.charge > 0]
    np.testing.assert_allclose(share[~bad], 1.0, rtol=1e-6)
    assert ((share[bad] <= 0.3) | (share[bad] > 0.999)).all()
    assert (share[bad] <= 0.3).any()


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


def test_charge_that_nobody_can_tell_is_not_valid(clean_detector):
    detector = clean_detector(read_noise=4.0, full_well=500.0)
    options = {"size": 160, "seed": 5, "detector": detector, "threshold": 2.0}
    options["cosmic_rays"] = CosmicRays(rate=20.0)
    exposure = simulate_exposure("gc", **options, undecided=0.7)
    noise = np.sqrt(exposure.scene.astype(float) + 16.0)
    some = exposure.charge > 0.7 * noise
    drowned = exposure.scene > 500.0
    assert (drowned & exposure.cosmic_rays).any()  # hits of which nothing shows
    assert not exposure.valid[drowned & some].any()
    assert not exposure.valid[some & ~exposure.cosmic_rays].any()
    assert exposure.valid[~some].all()
    assert exposure.valid[exposure.cosmic_rays].any()

    decided = simulate_exposure("gc", **options)
    assert decided.valid.all()
    np.testing.assert_array_equal(decided.frame.data, exposure.frame.data)
    np.testing.assert_array_equal(decided.cosmic_rays, exposure.cosmic_rays)


def test_hits_beyond_the_last_count_are_not_valid(monkeypatch, clean_detector):
    monkeypatch.setitem(FIELDS, "extragalactic", lambda canvas, rng: canvas.image.fill(90_000.0))
    detector = clean_detector(read_noise=4.0, full_well=200_000.0, gain=1.0)
    exposure = simulate_exposure(
        "ex", size=64, seed=1, detector=detector, cosmic_rays=CosmicRays(rate=20.0), threshold=2.0,
        undecided=0.7,
    )  # fmt: skip
    assert (exposure.frame.data >= 65_534).all()
    assert exposure.cosmic_rays.any()
    assert not exposure.valid[exposure.cosmic_rays].any()


def test_undecided_truth_is_in_the_file(tmp_path, clean_detector):
    options = {"size": 64, "seed": 5, "detector": clean_detector(read_noise=4.0)}
    exposure = simulate_exposure("gc", **options, undecided=0.7)
    write_exposure(exposure, tmp_path / "frame.fits")
    with fits.open(tmp_path / "frame.fits") as hdus:
        np.testing.assert_array_equal(hdus["CRVALID"].data != 0, exposure.valid)
        assert hdus[0].header["CRUNDEC"] == 0.7
    dataset = PatchDataset.from_directory(tmp_path, patch=None)
    usable = exposure.valid & ~exposure.frame.mask
    np.testing.assert_array_equal(dataset[0]["valid"][0].numpy(), usable)
    for undecided in (3.0, "a"):
        with pytest.raises(BayescrError, match="expected a number from 0 to below threshold, 3.0"):
            simulate_exposure("gc", **options, undecided=undecided)
