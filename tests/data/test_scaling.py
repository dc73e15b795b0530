import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.nddata import CCDData

from bayescr.data import Scaling, read_frame, sky_and_noise
from bayescr.errors import BayescrError


def sky_frame(*, level=100.0, noise=5.0, shape=(256, 300), seed=0):
    return np.random.default_rng(seed).normal(level, noise, shape)


def cluster(*, stars, level=100.0, read_noise=5.0, size=512, seed=0):
    """Poisson sky and Gaussian stars (FWHM 2.2 pixels), flux log-uniform from 100 to 1e5."""
    rng = np.random.default_rng(seed)
    flux = 10 ** rng.uniform(2, 5, stars)
    x, y = rng.uniform(0, size, (2, stars))
    grid, width = np.arange(size), 2.2 / 2.355

    def profile(centre):
        z = (grid - centre[:, None]) / width
        return np.exp(-0.5 * z**2) / (width * np.sqrt(2 * np.pi))

    light = np.einsum("n,ni,nj->ij", flux, profile(y), profile(x), optimize=True)
    return rng.poisson(level + light) + rng.normal(0, read_noise, (size, size))


def test_formula_shape_and_type():
    data = sky_frame()
    image, valid = Scaling(softening=2.0)(data)
    sky, noise = sky_and_noise(data)
    assert image.shape == valid.shape == (1, 256, 300)
    assert (image.dtype, valid.dtype) == (np.float32, bool)
    np.testing.assert_allclose(image[0], np.arcsinh((data - sky) / (2.0 * noise)), rtol=1e-6)


@pytest.mark.parametrize("softening", [0.5, 3.0, 20.0])
def test_significance_undoes_the_scaling(softening):
    data = cluster(stars=500, size=128)
    data[3, 4] = np.nan
    scaling = Scaling(softening=softening)
    image, valid = scaling(data)
    sky, noise = sky_and_noise(data)
    significance = scaling.significance(image)
    assert (significance.shape, significance.dtype) == (image.shape, image.dtype)
    assert significance[0, 3, 4] == 0
    # The image is float32, and sinh turns its rounding, 6e-8 |y|, into a relative error of
    # 6e-8 |y| coth |y|: below 1e-6 for y < 12.
    expected = ((data - sky) / noise)[None]
    np.testing.assert_allclose(significance[valid], expected[valid], rtol=1.5e-6, atol=0)
    assert expected[valid].max() > 100
    np.testing.assert_array_equal(scaling.significance(torch.from_numpy(image)), significance)


def test_significance_of_a_constant_frame_is_zero():
    image, _ = Scaling()(np.full((20, 30), 7.0))
    assert not Scaling().significance(image).any()


@pytest.mark.parametrize("seed", range(5))
def test_gaussian_sky(seed):
    # 77 000 pixels: the noise is known to 0.4%, the mode to 2% of the noise; bounds at 5 sigma.
    sky, noise = sky_and_noise(sky_frame(seed=seed))
    assert sky == pytest.approx(100.0, abs=0.1 * 5.0)
    assert noise == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize(
    ("stars", "sky_error", "noise_error"), [(500, 0.1, 0.02), (3000, 0.4, 0.05), (8000, 1.2, 0.15)]
)
def test_crowded_fields(stars, sky_error, noise_error):
    """Errors in units of the noise, and relative.

    8000 stars are one for each 6 x 6 pixels: hardly any pixel is free of starlight, and the
    median is off by 5 sigma and the MAD tenfold.
    """
    data = cluster(stars=stars)
    truth = np.sqrt(100.0 + 5.0**2)
    sky, noise = sky_and_noise(data)
    assert abs(sky - 100.0) / truth < sky_error
    assert noise == pytest.approx(truth, rel=noise_error)
    assert abs(sky - 100.0) < 0.6 * abs(np.median(data) - 100.0)


@pytest.mark.parametrize(("a", "b"), [(3.7, 0.0), (1.0, -1e4), (1e-3, 1e3), (2e6, 5.0)])
@pytest.mark.parametrize("kind", ["cluster", "integers", "nearly constant"])
def test_gain_and_bias_do_not_matter(a, b, kind):
    if kind == "cluster":
        data = cluster(stars=500, size=128)
    else:
        data = np.round(sky_frame(noise=1.3 if kind == "integers" else 0.2))
    image, _ = Scaling()(data)
    again, _ = Scaling()(a * data + b)
    # Float64 pixels: rounding is that of a * x + b, up to 1e-16 * 1e3 / 1e-3 of the noise.
    np.testing.assert_allclose(again, image, rtol=1e-6, atol=1e-6)


def test_float32_pixels_are_invariant_up_to_their_rounding():
    data = sky_frame().astype(np.float32)
    image, _ = Scaling()(data)
    again, _ = Scaling()(np.float32(2.5) * data + np.float32(1000.0))
    # At 1250 a float32 step is 1.2e-4, 1e-5 of the noise of 12.5; the statistics follow.
    np.testing.assert_allclose(again, image, atol=1e-4)


@pytest.mark.parametrize("true_noise", [0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("level", [1000.0, 1000.4])
def test_integers_as_a_detector_gives_them(true_noise, level):
    """Rounding hides noise below half a step: there only the order of magnitude is asked for."""
    data = np.round(sky_frame(level=level, noise=true_noise)).astype(np.uint16)
    sky, noise = sky_and_noise(data)
    assert abs(sky - level) < 0.5
    rounded = np.hypot(true_noise, 12**-0.5)
    assert noise == pytest.approx(rounded, rel=0.05 if true_noise >= 1 else 0.5)


def test_a_constant_frame_is_zero():
    image, valid = Scaling()(np.full((20, 30), 7, np.int16))
    assert not image.any()
    assert valid.all()


def test_a_frame_that_is_constant_but_for_a_few_pixels_stays_finite():
    data = np.zeros((50, 50))
    data[20, 20], data[40, 10] = 1000.0, 10.0
    image, _ = Scaling()(data)
    assert np.isfinite(image).all()
    assert image.max() == image[0, 20, 20] > image[0, 40, 10] > image[0, 0, 0]
    assert image[0, 0, 0] == pytest.approx(0.0, abs=1e-3)


def test_most_pixels_blank_measures_the_noise_of_the_others():
    data = np.zeros((200, 200))
    data[:80] = sky_frame(shape=(80, 200))
    assert sky_and_noise(data)[1] == pytest.approx(5.0, rel=0.1)


def test_overscan_and_cosmic_rays_leave_the_statistics_alone():
    data = sky_frame()
    data[:, 260:] = sky_frame(level=40.0, noise=1.5, shape=(256, 40), seed=1)
    rng = np.random.default_rng(2)
    hits = rng.integers(0, 256, (2, 1000))
    data[tuple(hits)] += rng.exponential(1000.0, 1000)
    sky, noise = sky_and_noise(data)
    assert sky == pytest.approx(100.0, abs=0.15 * 5.0)
    assert noise == pytest.approx(5.0, rel=0.05)


def test_a_gradient_is_not_noise():
    data = sky_frame() + np.linspace(0, 100, 300)
    assert sky_and_noise(data)[1] == pytest.approx(5.0, rel=0.05)
    assert np.std(data) > 25


def test_unusable_pixels_are_zero_and_do_not_count():
    data = sky_frame(shape=(100, 100))
    masked = np.zeros((100, 100), bool)
    masked[:, :30] = True
    broken = data.copy()
    broken[masked] = 1e7
    broken[50, 60], broken[51, 60] = np.nan, np.inf
    frame = CCDData(broken, unit="adu", mask=masked)
    image, valid = Scaling()(frame)
    also, _ = Scaling()(broken, mask=masked)
    np.testing.assert_array_equal(image, also)
    assert not valid[0, :, :30].any()
    assert not valid[0, 50:52, 60].any()
    assert valid.sum() == 7000 - 2
    assert not image[~valid].any()
    other = np.where(masked, -5.0, broken)
    np.testing.assert_array_equal(Scaling()(other, mask=masked)[0], image)


def test_mask_comes_on_top_of_the_frames_own():
    own, more = np.zeros((2, 20, 20), bool)
    own[0, 0], more[1, 1] = True, True
    frame = CCDData(sky_frame(shape=(20, 20)), unit="adu", mask=own)
    assert np.argwhere(~Scaling()(frame, mask=more)[1][0]).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 3)])
def test_tiny_frames_stay_finite(shape):
    image, valid = Scaling()(sky_frame(shape=shape))
    assert np.isfinite(image).all()
    assert valid.all()
    assert np.abs(image).max() < 2


def test_few_valid_pixels():
    data = np.full((50, 50), np.nan)
    data[10, [3, 20, 40]] = [99.0, 100.0, 102.0]
    image, valid = Scaling()(data)
    assert valid.sum() == 3
    assert image[0, 10, 3] < image[0, 10, 20] < image[0, 10, 40]


def test_input_is_left_as_it_was():
    data = sky_frame(shape=(30, 30))
    before = data.copy()
    Scaling()(data)
    np.testing.assert_array_equal(data, before)


def test_dictionary_round_trip():
    scaling = Scaling(softening=1.5)
    assert Scaling(**json.loads(json.dumps(dataclasses.asdict(scaling)))) == scaling


@pytest.mark.parametrize("softening", [0.0, -1.0, np.nan, np.inf, "3", True, None])
def test_softening_must_be_a_positive_number(softening):
    with pytest.raises(BayescrError, match="softening is .*positive number"):
        Scaling(softening=softening)


def test_frames_that_cannot_be_scaled():
    with pytest.raises(BayescrError, match=r"shape \(2, 3, 4\): expected a 2-D image"):
        Scaling()(np.zeros((2, 3, 4)))
    with pytest.raises(BayescrError, match="no valid pixel"):
        Scaling()(np.full((4, 4), np.nan))
    for path in ("a.fits", Path("a.fits")):
        with pytest.raises(BayescrError, match=r"path 'a.fits'.*read_frame\(path\) first"):
            Scaling()(path)
    with pytest.raises(BayescrError, match=r"mask has shape \(4, 5\) but the frame \(4, 4\)"):
        Scaling()(np.zeros((4, 4)), mask=np.zeros((4, 5), bool))


def test_statistics_of_a_large_frame_come_from_a_part_of_its_rows():
    data = np.broadcast_to(sky_frame(shape=(1024, 4096)).astype(np.float32), (4, 1024, 4096))
    sky, noise = sky_and_noise(data.reshape(4096, 4096))
    assert sky == pytest.approx(100.0, abs=0.5)
    assert noise == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("nickel_ngc6819_2019/d3163.fits.gz", slice(0, 1024)),
        ("kast_red_2019/r3039.fits.gz", slice(62, 346)),
        ("kast_red_2019/r3081.fits.gz", slice(62, 346)),
        ("decam_dq_cutouts/testcase8__c4d_171113_060340_ooi_r_ls9.N6.fits", slice(None)),
    ],
)
def test_real_frames_are_centred_on_the_sky_of_the_imaged_columns(real_data, name, columns):
    image, valid = Scaling()(read_frame(real_data(name)))
    low, middle = np.percentile(image[0, :, columns][valid[0, :, columns]], [16, 50])
    # asinh(1 / 3) = 0.33 below the sky lies one sigma; stars and gradients shift the median.
    assert middle == pytest.approx(0.0, abs=0.25)
    assert low == pytest.approx(-0.33, abs=0.17)
    assert np.abs(image).max() < 12
