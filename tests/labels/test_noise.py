"""Photon transfer against a known gain; the noise curve against the variance that made the data."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.labels import Noise, measure_noise
from bayescr.labels._frames import rounding
from bayescr.labels.noise import robust_std
from bayescr.labels.noise_curve import fit_noise

SHAPE = (512, 512)


def flats_and_biases(*, gain, read_noise, seed=0, lamp=(1.0, 0.93, 1.05)):
    rng = np.random.default_rng(seed)
    column = np.linspace(0.7, 1.3, SHAPE[1])
    pixel = rng.normal(1.0, 0.02, SHAPE) * column  # vignetting and unequal pixels
    bias = 1000.0 + 5.0 * np.sin(np.arange(SHAPE[0]) / 20.0)[:, None]

    def read(electrons):
        counts = (electrons + rng.normal(0.0, read_noise, SHAPE)) / gain + bias
        return CCDData(np.rint(counts).astype(np.float32), unit="adu")

    flats = [read(rng.poisson(2e4 * light * pixel)) for light in lamp]
    biases = [read(0.0) for _ in range(3)]
    flats[0].data[100, 50:90] += 3e4  # a cosmic ray
    return flats, biases


@pytest.mark.parametrize(("gain", "read_noise"), [(0.7, 4.0), (1.8, 6.0), (5.0, 20.0)])
def test_photon_transfer(gain, read_noise):
    """Gain within 2%; rounding to counts adds 1/12 of a squared count to the read noise."""
    noise = measure_noise(*flats_and_biases(gain=gain, read_noise=read_noise))
    assert noise.gain == pytest.approx(gain, rel=0.02)
    assert noise.read_noise == pytest.approx(np.hypot(read_noise, gain / 12**0.5), rel=0.02)


@pytest.mark.parametrize("marked", ["nan", "mask"])
def test_photon_transfer_leaves_out_what_cannot_be_used(marked):
    """A section that is not imaged, in each frame alike, and one pixel of one flat."""
    flats, biases = flats_and_biases(gain=1.8, read_noise=6.0)
    noise = measure_noise(flats, biases)
    for frame in (*flats, *biases):
        frame.data[:, :300] = np.nan if marked == "nan" else 7.0
        if marked == "mask":
            frame.mask = np.zeros(SHAPE, bool)
            frame.mask[:, :300] = True
    flats[1].data[400, 400] = np.nan
    left = measure_noise(flats, biases)
    assert left.gain == pytest.approx(noise.gain, rel=0.02)
    assert left.read_noise == pytest.approx(noise.read_noise, rel=0.02)
    flats[0].mask = np.ones(SHAPE, bool)
    with pytest.raises(BayescrError, match="share no usable square"):
        measure_noise(flats[:2], biases)


def test_photon_transfer_says_what_is_missing():
    flats, biases = flats_and_biases(gain=2.0, read_noise=5.0)
    with pytest.raises(BayescrError, match="1 flats given: expected two or more"):
        measure_noise(flats[:1], biases)
    with pytest.raises(BayescrError, match="0 biases given"):
        measure_noise(flats, [])
    with pytest.raises(BayescrError, match="given in each other's place"):
        measure_noise(biases, flats)
    with pytest.raises(BayescrError, match="expected one, the imaged section"):
        measure_noise(flats, [bias[:100] for bias in biases])


def test_noise_must_be_positive():
    with pytest.raises(BayescrError, match="Noise gain is -1"):
        Noise(gain=-1.0)


def test_noise_curve_is_the_variance_that_made_the_residual():
    """25 + d / 2 + (0.1 d)^2; 5% is what 1e5 pixels in bins of factor two allow, events and all."""
    rng = np.random.default_rng(0)
    level = np.where(rng.random((400, 400)) < 0.6, 50.0, 50.0 + 10 ** rng.uniform(0, 4, (400, 400)))
    d = level - 50.0
    sigma = np.sqrt(25.0 + d / 2.0 + (0.1 * d) ** 2)
    residual = rng.normal(0.0, sigma)
    residual[rng.random(residual.shape) < 0.01] += 5e3
    curve = fit_noise(residual, level, np.ones(level.shape, bool))
    at = 50.0 + np.array([[0.0, 10.0, 100.0, 1e3, 1e4]])
    expected = np.sqrt(25.0 + (at - 50) / 2.0 + (0.1 * (at - 50)) ** 2)
    assert curve.at(at) == pytest.approx(expected, rel=0.05)
    assert (curve.at(np.array([[-100.0]])) == curve.at(np.array([[50.0]]))).all()
    # (0.1 d)^2 is a quarter of the variance where 0.03 d^2 = d / 2 + 25: at 38
    assert curve.is_known(np.array([[70.0, 110.0]])).tolist() == [[True, False]]


def test_noise_curve_knows_how_far_it_was_measured():
    rng = np.random.default_rng(1)
    level = np.full((200, 200), 10.0)
    level[0, :150] = 1000.0
    level[1, :3] = 1e5  # too few to measure
    residual = rng.normal(0.0, np.sqrt(level))
    curve = fit_noise(residual, level, np.ones(level.shape, bool))
    assert curve.is_known(np.array([[0.0, 10.0, 1500.0, 1e5]])).tolist() == [
        [True, True, True, False]
    ]


def test_exposures_that_do_not_differ():
    same = np.zeros((20, 20))
    with pytest.raises(BayescrError, match="was one given twice"):
        fit_noise(same, same, np.ones((20, 20), bool))
    with pytest.raises(BayescrError, match="no pixel of an exposure can be compared"):
        fit_noise(same, same, np.zeros((20, 20), bool))


@pytest.mark.parametrize("gain", [1.0, 1.83])
@pytest.mark.parametrize("level", [1000.0, 1000.3, 1000.5])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5, 2.27, 3.0, 5.0, 10.0])
def test_robust_std_of_whole_counts(sigma, level, gain):
    """Rounding adds 1/12 to the variance, outliers 1%; within a count the tails are not linear.

    In every fifth row of a residual counts may lie at halves, where its median did.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(level, sigma, (400, 500))
    hits = rng.choice([0.0, 500.0], noise.shape, p=[0.99, 0.01])
    counts, other = np.rint(noise + hits), np.rint(rng.normal(level, sigma, noise.shape))
    step = rounding((np.stack([counts, other]) * gain).astype(np.float32))
    assert step == pytest.approx(gain, rel=1e-3)
    expected = gain * np.hypot(sigma, 12**-0.5)
    tolerance = 0.02 if sigma > 2 else 0.035 if sigma >= 1 else 0.15  # a plain one: 0.3 to 1
    values = ((counts - 1000.0) * gain).ravel()
    assert robust_std(values, step=step) == pytest.approx(1.01 * expected, rel=tolerance)
    halves = np.where(np.arange(400)[:, None] % 5 == 0, np.rint(noise - 0.5) + 0.5, np.rint(noise))
    halves = gain * halves.ravel()
    assert robust_std(halves, step=step) == pytest.approx(expected, rel=tolerance)


def test_continuous_values_have_no_step():
    planes = np.random.default_rng(1).normal(1000.0, 3.0, (2, 400, 500)).astype(np.float32)
    step = rounding(planes)
    assert step < 0.01
    values = planes[0].ravel()
    assert robust_std(values, step=step) == pytest.approx(robust_std(values), rel=1e-4)
    assert robust_std(values.astype(float), step=1.0) == pytest.approx(robust_std(values), rel=1e-2)
    bias = np.random.default_rng(2).uniform(0.0, 1.0, (400, 500))
    whole = np.rint(planes) - bias  # one bias taken off whole counts does not hide them
    assert rounding(whole.astype(np.float32)) == pytest.approx(1.0, abs=1e-2)
    assert rounding(np.full((2, 4, 4), 7.0)) == rounding(np.full((2, 4, 4), np.nan)) == 0.0
