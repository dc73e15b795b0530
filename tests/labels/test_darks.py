"""The dark model is exact where there is no noise, and labels are where the tracks are."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.labels import dark_model, label_darks

from .conftest import as_frame, tracks

SIDE = 96


def series(times, *, rng, noise=0.0, hot=0.005, charge=0.0, scale=None):
    """Linear darks, whose rows' steps are multiples of 8."""
    bias = np.where(rng.random((SIDE, SIDE)) < 0.2, rng.integers(0, 9, (SIDE, SIDE)), 4.0)
    rate = np.where(rng.random((SIDE, SIDE)) < hot, rng.uniform(2, 40, (SIDE, SIDE)), 0.0)
    frames = []
    for index, seconds in enumerate(times):
        step = 8.0 * rng.integers(0, 9, (SIDE, 1))
        dark = rate * seconds * (1.0 if scale is None else scale[index])
        arrived = dark + rng.normal(0.0, np.sqrt(noise**2 + dark)) if noise else dark
        hits = charge[index] if np.ndim(charge) else 0.0
        frames.append(as_frame(1000.0 + step + bias + arrived + hits, EXPTIME=seconds))
    return frames, bias, rate


def test_model_is_exact_on_a_linear_dark_with_cosmic_rays():
    """To float32's rounding of 1e4 counts, wherever at most one exposure was hit."""
    rng = np.random.default_rng(0)
    times = [10.0, 20.0, 40.0, 80.0, 120.0, 160.0, 200.0, 240.0]
    charge = [tracks(rng, SIDE, 12) for _ in times]
    frames, bias, rate = series(times, rng=rng, charge=charge)
    model = dark_model(frames)
    clean = np.count_nonzero(charge, axis=0) <= 1
    assert (np.count_nonzero(charge, axis=0) == 1).sum() > 500
    level = np.median(bias, axis=1, keepdims=True)  # of a row; it goes with its step
    assert model.rate[clean] == pytest.approx(rate[clean], abs=1e-4)
    assert model.bias[clean] == pytest.approx((bias - level)[clean], abs=5e-3)
    at = bias - level + 100 * rate
    assert model.at(100.0)[clean] == pytest.approx(at[clean], abs=2e-2)


def test_steps_of_each_amplifier():
    rng = np.random.default_rng(1)
    frames, bias, _ = series([60.0] * 4, rng=rng, hot=0.0)
    for frame in frames:
        frame.data[:, 40:] += 8.0 * rng.integers(0, 9, (SIDE, 1))
    model = dark_model(frames, splits=[40])
    for part in (np.s_[:, :40], np.s_[:, 40:]):
        level = np.median(bias[part], axis=1, keepdims=True)
        assert (model.bias[part] == bias[part] - level).all()
    assert (model.rate == 0.0).all()
    with pytest.raises(BayescrError, match="splits are"):
        dark_model(frames, splits=[0])


@pytest.mark.parametrize("times", [[300.0] * 4, [30.0] * 4 + [60.0, 120.0, 180.0, 240.0, 300.0]])
def test_labels_are_where_the_tracks_are(times):
    rng = np.random.default_rng(2)
    charge = [tracks(rng, SIDE, 15) for _ in times]
    scale = rng.uniform(0.97, 1.03, len(times)) if len(set(times)) > 1 else None
    frames, _, rate = series(times, rng=rng, noise=8.0, charge=charge, scale=scale)
    for frame, hits, labels in zip(frames, charge, label_darks(frames), strict=True):
        assert labels.truth.shape == labels.valid.shape == frame.shape
        sure = labels.valid & (hits > 15 * labels.sigma)
        assert labels.truth[sure].mean() > 0.99
        # beside a track one pixel of 741 is above 3 sigma by chance; 15 tracks have 300 neighbours
        assert (labels.truth & labels.valid & (hits == 0.0)).sum() <= 6
        assert labels.num_control == 0
        assert (
            12 <= labels.num_events <= 28
        )  # hot pixels cut some; tracks that overlap are left out
        found = labels.truth & (hits > 0) & (rate == 0)
        error = (labels.charge - hits)[found] / labels.sigma
        assert abs(np.median(error)) < 1.0  # its own hits pull at a pixel's rate, and at its row
        assert (labels.charge[~labels.truth] == 0).all()
        assert labels.confidence[found].mean() > 0.9


def test_what_the_detector_does_itself_is_not_valid():
    rng = np.random.default_rng(3)
    frames, _, _ = series([100.0] * 6, rng=rng, noise=5.0, hot=0.0)
    for index, frame in enumerate(frames):
        frame.data[:, 30] += rng.normal(0, 200.0, SIDE)  # a noisy column
        frame.data[50, 60] += 400.0 * (index % 2)  # a pixel that flickers
        frame.data[70, 10:13] = 65535.0  # saturated
    for labels in label_darks(frames):
        assert not labels.valid[:, 30].any()
        assert not labels.valid[50, 60]
        assert not labels.valid[70, 10:13].any()
        assert labels.valid.mean() > 0.95
        assert labels.num_events == 0


def test_masked_pixels_are_not_valid():
    rng = np.random.default_rng(4)
    frames, _, _ = series([100.0] * 4, rng=rng, noise=5.0, hot=0.0)
    frames[0].mask = np.zeros((SIDE, SIDE), bool)
    frames[0].mask[5] = True
    frames[1].data[9, 9] = np.nan
    labels = label_darks(frames)
    assert not labels[0].valid[5].any()
    assert labels[1].valid[5].mean() > 0.9
    assert not labels[1].valid[9, 9]


def test_darks_that_do_not_belong_together():
    rng = np.random.default_rng(5)
    frames, _, _ = series([100.0] * 3, rng=rng, noise=5.0)
    with pytest.raises(BayescrError, match="2 exposures given: expected 3 or more"):
        label_darks(frames[:2])
    with pytest.raises(BayescrError, match=r"exposure 2 has shape \(90, 96\)"):
        label_darks([frames[0], frames[1][:90], frames[2]])
    counts = CCDData(frames[1].data, unit=u.adu, meta=frames[1].header)
    with pytest.raises(BayescrError, match="exposure 3 has unit adu"):
        label_darks([frames[0], frames[2], counts])
    with pytest.raises(BayescrError, match="no exposure time"):
        label_darks([as_frame(frame.data) for frame in frames])
    with pytest.raises(BayescrError, match="was one given twice"):
        label_darks([frames[0]] * 3)


@pytest.mark.parametrize(
    "times",
    [
        [300.0, 600.0, 900.0, 1800.0, 600.0],
        [60.0, 300.0, 600.0, 1000.0],
        [300.0, 600.0, 900.0, 1200.0, 1500.0],
        [0.0, 0.0, 900.0, 900.0],
    ],
)
def test_an_exposure_is_judged_by_the_others_alone(times):
    """Each alone of its time, or with one other: no hit is lost in a rate, none is made by one."""
    rng = np.random.default_rng(6)
    charge = [tracks(rng, SIDE, 10) for _ in times]
    frames, _, rate = series(times, rng=rng, noise=4.0, charge=charge)
    for hits, labels in zip(charge, label_darks(frames), strict=True):
        bright = (hits > 15 * labels.sigma) & (rate == 0)
        assert labels.truth[bright].mean() > 0.85  # the others' hits and chance cost some
        assert labels.truth[bright & labels.valid].mean() > 0.99
        assert (labels.truth & labels.valid & (hits == 0.0)).sum() <= 3
        assert labels.num_control <= 1
        assert labels.valid.mean() > 0.85


@pytest.mark.parametrize("times", [[0.0, 0.0, 0.0, 900.0], [900.0, 900.0, 900.0, 300.0]])
def test_what_no_other_exposure_tells_is_said(times):
    frames, _, _ = series(times, rng=np.random.default_rng(7), noise=5.0)
    match = f"exposure 4 is of {times[3]:g} s and all others of {times[0]:g} s"
    with pytest.raises(BayescrError, match=match):
        label_darks(frames)


def test_exposures_without_usable_pixels():
    frames, _, _ = series([100.0] * 4, rng=np.random.default_rng(8), noise=5.0)
    frames[1].mask = np.ones((SIDE, SIDE), bool)
    for made in (label_darks, dark_model):
        with pytest.raises(BayescrError, match="exposure 2 has no usable pixel"):
            made(frames)
    frames[1].mask = np.indices((SIDE, SIDE))[0] < 50
    for other in (0, 2, 3):
        frames[other].mask = ~frames[1].mask
    with pytest.raises(BayescrError, match="exposure 2 has no usable pixel that another has"):
        label_darks(frames)


def test_noise_is_that_of_the_pixels_that_are_not_masked():
    """Seven of eight columns are masked; a region with four times the noise is not valid."""
    rng = np.random.default_rng(9)
    frames, _, _ = series([100.0] * 5, rng=rng, noise=5.0, hot=0.0)
    for frame in frames:
        frame.data[:12] += 40.0
        frame.data[:12] += rng.normal(0.0, 20.0, (12, SIDE))
        frame.mask = np.broadcast_to(np.arange(SIDE) % 8 > 0, (SIDE, SIDE))
    for labels in label_darks(frames):
        assert labels.sigma == pytest.approx(5.0 * 1.1, rel=0.25)
        assert not labels.valid[frames[0].mask].any()


def test_tracks_that_cross_the_place_of_another():
    """Two of four hit the same pixel: all four are decided there. A pixel hot in all is not."""
    rng = np.random.default_rng(10)
    frames, _, _ = series([100.0] * 4, rng=rng, noise=5.0, hot=0.0)
    frames[0].data[20, 15:26] += 300.0
    frames[2].data[15:26, 20] += 500.0
    for frame in frames:
        frame.data[60, 60] += 400.0 + rng.normal(0.0, 20.0)
    for frame in (frames[1], frames[3]):
        frame.data[80, 30] += 250.0  # alone in both: it flickers
    made = label_darks(frames)
    for index, labels in enumerate(made):
        assert labels.valid[20, 20]
        assert labels.truth[20, 20] == (index in (0, 2))
        assert not labels.valid[60, 60]
        assert not labels.truth[60, 60]
        assert not labels.valid[80, 30]
    assert [labels.num_events for labels in made] == [1, 0, 1, 0]
    assert made[0].truth[20, 15:26].all()
    assert made[2].truth[15:26, 20].all()


def test_noise_of_whole_counts():
    """The residual of four is known to 3%, though its median deviation is a whole count."""
    rng = np.random.default_rng(11)
    frames = [as_frame(np.rint(rng.normal(1000.0, 2.27, (200, 284))), EXPTIME=1.0) for _ in "four"]
    planes = np.stack([frame.data - np.median(frame.data, axis=1)[:, None] for frame in frames])
    for index, labels in enumerate(label_darks(frames)):
        left = planes[index] - np.median(np.delete(planes, index, axis=0), axis=0)
        assert labels.sigma == pytest.approx(left.std(), rel=0.03)
