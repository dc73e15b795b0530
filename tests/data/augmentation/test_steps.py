"""Each step against theory: mean, variance and truth of what it makes."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.ndimage import convolve

from bayescr.data._stamps import paint
from bayescr.data.augmentation import (
    Broadening,
    ExposureTime,
    ExtraTracks,
    Gain,
    SkyLevel,
    Symmetry,
)
from bayescr.data.augmentation.broadening import gaussian_kernel
from bayescr.errors import BayescrError


class Track:
    def __init__(self, charge):
        self.charge = np.asarray(charge, np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def hits(side=512):
    """A tenth of the pixels hold 50 or 500 electrons."""
    rng = np.random.default_rng(5)
    return rng.choice([0.0, 50.0, 500.0], (side, side), p=[0.9, 0.05, 0.05])


@pytest.mark.parametrize("factor", [0.0, 0.5, 3.0])
def test_a_brighter_sky_brings_the_noise_of_its_photons(make, rng, assert_moments, factor):
    patch = make()
    brighter = SkyLevel(factor=(factor, factor))(patch, rng)
    added = factor * 125.0
    assert_moments(brighter.data, mean=100 + added, variance=125 + added)
    assert brighter.sky == pytest.approx(100 + added)
    assert brighter.noise**2 == pytest.approx(125 + added)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("source", [0.0, 2000.0])
@pytest.mark.parametrize("subtracted", [False, True])
def test_a_shorter_exposure_has_the_noise_of_one(
    make, rng, assert_moments, share, source, subtracted
):
    """Mean f (sky + source), variance that plus read noise squared; sky-subtracted frames too."""
    patch = make(source=source, charge=0.0)
    if subtracted:
        patch = make(source=source, charge=0.0, data=patch.data - 100.0, sky=0.0, noise=patch.noise)
    shorter = ExposureTime(share=(share, share))(patch, rng)
    electrons = share * (100.0 + source)
    mean = electrons - share * 100.0 * subtracted
    assert_moments(shorter.data, mean=mean, variance=electrons + 25.0)
    assert shorter.noise**2 == pytest.approx(share * 100.0 + 25.0)
    assert shorter.sky == pytest.approx(share * patch.sky)


def test_cosmic_rays_keep_their_charge_in_a_shorter_exposure(make, rng, assert_moments):
    charge = hits()
    shorter = ExposureTime(share=(0.25, 0.25))(make(charge=charge), rng)
    np.testing.assert_array_equal(shorter.charge, charge)
    for electrons in (0.0, 50.0, 500.0):
        at = charge == electrons
        assert_moments(shorter.data[at], mean=25.0 + electrons, variance=50.0)


@pytest.mark.parametrize("source", [0.0, 2000.0])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.8, 2.0])
def test_broadening_keeps_level_and_variance_of_a_flat_scene(make, rng, sigma, source):
    wider = Broadening(sigma=(sigma, sigma))(make(charge=hits(), source=source), rng)
    level, variance = 100.0 + source, 125.0 + source
    for electrons in (0.0, 500.0):
        at = hits() == electrons
        pixels = wider.data[at] - electrons
        # Neighbours are correlated: the mean is known no better than the kernel leaves it, and
        # sums over it are at most (reach of 4 sigma) times less certain.
        slack = 5 * (1 + 4 * sigma)
        assert abs(pixels.mean() - level) < slack * np.sqrt(variance / at.sum())
        assert pixels.var() == pytest.approx(variance, rel=slack * np.sqrt(2 / at.sum()))


def test_broadening_convolves_sources_and_not_cosmic_rays(make, rng):
    side, sigma = 33, 0.7
    source, charge = np.zeros((side, side)), np.zeros((side, side))
    source[16, 16], charge[8, 8] = 1e8, 1e8
    patch = make(side=side, charge=charge, data=source + charge, sky=0.0, noise=0.0)
    wider = Broadening(sigma=(sigma, sigma))(patch, rng)
    expected = np.zeros((side, side))
    kernel = gaussian_kernel(sigma)
    reach = len(kernel) // 2
    expected[16 - reach : 17 + reach, 16 - reach : 17 + reach] = 1e8 * kernel
    expected[8, 8] += 1e8
    # The noise of the source, sqrt(1e8 (k - k^2)) or 5e3 at most, is all that is left.
    np.testing.assert_allclose(wider.data, expected, atol=5 * 5e3)
    assert wider.data[8, 8] == pytest.approx(1e8, abs=1)


@pytest.mark.parametrize("undecided", [None, 0.7])
def test_the_truth_of_a_wider_star_field_is_nearly_the_exact_one(make, rng, undecided):
    """A star in a hundred pixels: its light drowns charges beside it, and sets those in it free."""
    side = 256
    light = 100.0 + 2e4 * (rng.random((side, side)) < 0.01) + np.zeros((side, side))
    light = convolve(light, gaussian_kernel(0.9), mode="mirror")
    charge = np.where(rng.random(light.shape) < 0.2, rng.uniform(0.0, 200.0, light.shape), 0.0)
    data = rng.poisson(light) + 5.0 * rng.normal(size=light.shape) + charge
    above = charge > 2 * np.sqrt(light + 25.0)
    decided = above | (charge <= (undecided or 2.0) * np.sqrt(light + 25.0))
    patch = make(
        side=side, data=data, charge=charge, target=above[None], valid=decided, undecided=undecided
    )
    after = Broadening(sigma=(0.8, 0.8))(patch, rng)
    wider = convolve(light, gaussian_kernel(0.8), mode="mirror")
    exact = charge > 2 * np.sqrt(wider + 25.0)
    kept = ((patch.target[0] != exact) & patch.valid).sum()
    told = ((after.target[0] != exact) & after.valid).sum()
    assert kept > 100
    assert told < 0.25 * kept
    assert after.valid.sum() > 0.9 * patch.valid.sum()


@pytest.mark.parametrize("sigma", [1e-9, 0.2, 1.0, 3.0])
def test_the_kernel_is_a_gaussian_over_pixels(sigma):
    kernel = gaussian_kernel(sigma)
    assert kernel.sum() == pytest.approx(1.0)
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    assert (kernel.sum(axis=0) * offsets).sum() == pytest.approx(0.0, abs=1e-12)
    if sigma >= 1.0:  # the pixel adds 1/12; cut at 4 sigma it loses 0.1% of the second moment
        variance = (kernel.sum(axis=0) * offsets**2).sum()
        assert variance == pytest.approx(sigma**2 + 1 / 12, rel=3e-3)


@pytest.mark.parametrize("gain", [0.5, 4.0, 10.0])
def test_coarser_counts(make, rng, assert_moments, gain):
    rounded = Gain(gain=(gain, gain))(make(), rng)
    counts = rounded.data / gain
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert_moments(rounded.data, mean=100.0, variance=125.0 + gain**2 / 12)
    assert rounded.noise**2 == pytest.approx(125.0 + gain**2 / 12)


def test_all_symmetries_turn_all_planes_alike(make, rng):
    patch = make(charge=hits(8), side=8)
    seen = set()
    for _ in range(200):
        turned = Symmetry()(patch, rng)
        seen.add(turned.data.tobytes())
        np.testing.assert_array_equal(np.sort(turned.data, None), np.sort(patch.data, None))
        np.testing.assert_array_equal(turned.target[0], turned.charge > 2 * patch.noise)
    assert len(seen) == 8


def test_a_hit_that_sinks_into_the_noise_is_not_valid(make, rng):
    """50 electrons are 4.5 sigma before; 1 sigma, undecided, under 20 times the variance."""
    patch = make(charge=hits(), undecided=0.7)
    after = SkyLevel(factor=(19.0, 19.0))(patch, rng)
    faint, bright = hits() == 50.0, hits() == 500.0
    assert patch.target[0][faint | bright].all()
    assert patch.valid.all()
    assert not (after.target[0] & after.valid)[faint].any()
    assert not after.valid[faint].any()
    assert after.target[0][bright].all()
    assert after.valid[~faint].all()


NOTHING = [
    SkyLevel(factor=(0.0, 0.0)),
    ExposureTime(share=(1.0, 1.0)),
    Broadening(sigma=(0.0, 0.0)),
    ExtraTracks(tracks=(Track([[900.0]]),), number=1e-9),
]


def drawn_charge(**settings):
    """Charges about the threshold, and the truth of them that knows the scene."""
    charge = np.where(hits() > 0, np.random.default_rng(6).uniform(0.0, 80.0, (512, 512)), 0.0)
    return {"charge": charge, "target": (charge > 2 * np.sqrt(125.0))[None], **settings}


@pytest.mark.parametrize("step", NOTHING, ids=lambda step: type(step).__name__)
def test_a_step_that_does_nothing_leaves_the_truth(make, rng, step):
    """The noise that a noisy scene tells of a pixel differs from that of the truth."""
    patch = make(**drawn_charge(undecided=0.7))
    after = step(patch, rng)
    np.testing.assert_array_equal(after.data, patch.data)
    np.testing.assert_array_equal(after.target, patch.target)
    np.testing.assert_array_equal(after.valid, patch.valid)


@pytest.mark.parametrize(
    ("step", "variance"),
    [
        (SkyLevel(factor=(1.0, 1.0)), 250.0),
        (ExposureTime(share=(0.3, 0.3)), 55.0),
        (Gain(gain=(30.0, 30.0)), 200.0),
    ],
)
def test_the_truth_of_another_noise_is_nearly_the_exact_one(make, rng, step, variance):
    patch = make(**drawn_charge())
    after = step(patch, rng)
    exact = patch.charge > 2 * np.sqrt(variance)
    assert (exact != patch.target[0]).sum() > 1000
    assert (exact != after.target[0]).mean() < 0.02 * exact.mean()
    assert after.valid.all()  # no band of undecided charge was asked for


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_unresolved_stars_are_no_noise_of_a_shorter_exposure(make, rng, assert_moments, share):
    """A measured noise of 60 where photons and readout make 20.6: the rest scales as f."""
    patch = make(sky=400.0, charge=0.0, noise=60.0)
    shorter = ExposureTime(share=(share, share))(patch, rng)
    photons = share * 400.0 + 25.0
    assert_moments(shorter.data, mean=share * 400.0, variance=photons)
    assert shorter.noise**2 == pytest.approx(share**2 * (60.0**2 - 425.0) + photons)


@pytest.mark.parametrize(
    ("sky", "read_noise", "variance"),
    [(400.0, 5.0, 425.0), (9000.0, 5.0, 3600.0), (170.0, 5.0, 3600.0), (400.0, None, 3600.0)],
)
def test_the_variance_of_the_sky_is_no_more_than_photons_and_readout(
    make, sky, read_noise, variance
):
    """Unless a bias is in the level, the sky may have been subtracted, or readout is not known."""
    patch = make(side=4, data=np.zeros((4, 4)), sky=sky, noise=60.0)
    patch = dataclasses.replace(patch, read_noise=read_noise)
    assert patch.sky_variance == pytest.approx(variance)


def test_a_faint_charge_that_rises_from_the_noise_becomes_a_hit(make, rng):
    charge = np.where(hits() > 0, 20.0, 0.0)  # 1.8 sigma of 11.2; 3.7 of the 5.4 it has later
    patch = make(charge=charge, read_noise=5.0)
    assert not patch.target.any()
    after = ExposureTime(share=(0.04, 0.04))(patch, rng)
    assert after.noise == pytest.approx(np.sqrt(4.0 + 25.0))
    np.testing.assert_array_equal(after.target[0], charge > 0)


STAMP = np.array([[0.0, 900.0, 30.0], [12.0, 400.0, 3.0]])  # 12 is undecided, 3 is noise


@pytest.mark.parametrize("known", [False, True])
def test_extra_tracks_are_exact(make, rng, known):
    side = 24
    patch = make(side=side, charge=hits(side) if known else None, undecided=0.7)
    more = ExtraTracks(tracks=(Track(STAMP),), number=4.0)(patch, rng)
    added = more.data - patch.data
    assert added.min() == 0.0
    assert added.max() > 0.0
    assert more.sky == patch.sky
    assert more.noise == patch.noise
    own = patch.charge if known else 0.0
    total = own + added
    if known:
        np.testing.assert_allclose(more.charge, total, atol=1e-9)
    scene = patch.data - own
    noise = np.sqrt(patch.noise**2 + np.clip(scene - patch.sky, 0, None))
    changed = added > 1e-6
    expected = np.where(changed, patch.target[0] | (total > 2 * noise), patch.target[0])
    np.testing.assert_array_equal(more.target[0], expected)
    undecided = changed & (total > 0.7 * noise) & ~expected
    np.testing.assert_array_equal(more.valid, ~undecided)


def test_what_was_a_hit_stays_one_where_its_charge_is_not_known(make, rng):
    truth = np.ones((1, 24, 24), bool)
    patch = make(side=24, target=truth)
    more = ExtraTracks(tracks=(Track([[15.0]]),), number=50.0)(patch, rng)
    assert (more.data != patch.data).any()
    assert more.target.all()
    assert more.valid.all()


@pytest.mark.parametrize("corner", [(-1, -2), (0, 0), (5, 6), (6, 7), (-2, 3), (8, 0)])
def test_painting_against_pixel_by_pixel(corner):
    plane, expected = np.zeros((7, 8)), np.zeros((7, 8))
    paint(plane, STAMP, corner)
    for i, j in itertools.product(range(2), range(3)):
        if 0 <= corner[0] + i < 7 and 0 <= corner[1] + j < 8:
            expected[corner[0] + i, corner[1] + j] += STAMP[i, j]
    np.testing.assert_array_equal(plane, expected)


def test_the_number_of_tracks_and_where_they_fall(make, rng):
    """Every pixel is as likely as any, edges included: 9 of 36 places of a stamp cover it."""
    patch = make(side=4)
    step = ExtraTracks(tracks=(Track(np.full((3, 3), 1000.0)),), number=2.0)
    covered = sum(step(patch, rng).data - patch.data for _ in range(2000)) / 1000.0
    # Poisson: 2000 x 2 x 9 / 36, 1000 +- 32 in each of the 16 pixels.
    np.testing.assert_allclose(covered, 1000, atol=5 * 32)


@pytest.mark.parametrize(
    ("step", "settings", "message"),
    [
        (SkyLevel, {"factor": (-0.1, 1.0)}, r"factor is \(-0.1, 1.0\): expected \(low, high\)"),
        (SkyLevel, {"factor": 1.0}, "factor is 1.0"),
        (SkyLevel, {"factor": (2.0, 1.0)}, "from 0 up"),
        (ExposureTime, {"share": (0.5, 1.5)}, "within 0.001 and 1"),
        (ExposureTime, {"share": (0.5, float("nan"))}, "share is"),
        (Broadening, {"sigma": ("a", 1)}, "sigma is"),
        (Gain, {"gain": (0.0, 1.0)}, "gain is"),
        (ExtraTracks, {"tracks": ()}, "tracks is empty"),
        (ExtraTracks, {"tracks": (3,)}, r"tracks\[0\] is a int"),
        (ExtraTracks, {"tracks": (Track([1.0]),)}, r"tracks\[0\] is a Track"),
        (ExtraTracks, {"tracks": (Track([[1.0]]),), "number": 0}, "number is 0"),
    ],
)
def test_settings_that_cannot_be(step, settings, message):
    with pytest.raises(BayescrError, match=message):
        step(**settings)
