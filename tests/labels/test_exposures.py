"""Tracks on shifted fields under changing seeing: found, stars' cores are not, doubts are told."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.labels import label_exposures

from .conftest import SKY, as_frame
from .test_alignment import make_wcs


@pytest.fixture(scope="module")
def labels(exposed):
    return label_exposures(exposed["frames"])


def noise_of(scene):
    return np.sqrt(scene + SKY + 25.0)


def test_hits_that_can_be_decided_are_found(exposed, labels):
    """Completeness above 12 sigma of a hit's own noise: twice the seeds' threshold."""
    found = total = 0
    for scene, charge, one in zip(exposed["scenes"], exposed["charges"], labels, strict=True):
        bright = one.valid & (charge > 12 * noise_of(scene))
        found, total = found + (one.truth & bright).sum(), total + bright.sum()
    assert total > 500
    assert found / total > 0.98


def test_stars_are_not_hits(exposed, labels):
    """No event is without charge, and where the seeing differs most nothing is called a hit."""
    for scene, charge, one in zip(exposed["scenes"], exposed["charges"], labels, strict=True):
        false = one.truth & one.valid & (charge == 0)
        assert false.sum() <= 0.01 * one.truth.sum()
        cores = (scene > 50 * noise_of(scene)) & (charge == 0)
        assert cores.sum() > 50
        assert not (one.truth & cores).any()
        assert one.num_control <= 0.03 * one.num_events


def test_what_cannot_be_decided_is_not_valid(exposed, labels):
    side = exposed["scenes"][0].shape[0]
    for index, one in enumerate(labels):
        scene = exposed["scenes"][index]
        under_stars = one.valid[scene > 100 * noise_of(scene)]
        assert under_stars.sum() <= 0.02 * under_stars.size
        assert one.valid[scene < 5].mean() > 0.75
        rows, _ = np.indices((side, side))
        shifts = [c["shift"][0] for c in exposed["conditions"]]
        seen = sum(
            (rows + s - shifts[index] >= 0) & (rows + s - shifts[index] <= side - 1)
            for k, s in enumerate(shifts)
            if k != index
        )
        assert not one.valid[seen < 2].any()


def test_shifts_are_reported(exposed, labels):
    for conditions, one in zip(exposed["conditions"], labels, strict=True):
        assert one.shift == pytest.approx(conditions["shift"], abs=0.1)


def test_charge_and_confidence(exposed, labels):
    for scene, charge, one in zip(exposed["scenes"], exposed["charges"], labels, strict=True):
        hit = one.truth & (charge > 0) & (scene < 5)
        assert np.median((one.charge - charge)[hit] / noise_of(scene)[hit]) == pytest.approx(
            0.0, abs=0.7
        )
        assert one.confidence[hit].mean() > 0.9
        assert one.confidence[one.valid & ~one.truth].mean() > 0.99


def test_defects_that_stay_while_the_sky_moves_are_not_hits(exposed):
    frames = [as_frame(frame.data.copy()) for frame in exposed["frames"]]
    for frame in frames:
        frame.data[::20, ::20] += 2000.0
        frame.data[:, 90] += 700.0
    for one in label_exposures(frames):
        assert not one.truth[::20, ::20].any()
        assert one.truth[:, 90].sum() <= 3  # where a track crosses the column
        assert one.valid[::20, ::20].sum() <= 3  # fainter than the star they lie on


def test_a_wrong_wcs_is_corrected_and_a_right_one_used(field):
    """The WCS is off by (1, -2) pixels, and by what the shift is: the correlation finds both."""
    rng = np.random.default_rng(3)
    frames = []
    for shift in ((0.0, 0.0), (4.0, 3.0), (-2.0, 1.0)):
        frame, _ = field.expose(rng, shift=shift)
        frame.wcs = make_wcs(pixel=(51.0 + shift[1], 49.0 + shift[0]))
        frames.append(frame)
    frames[2].wcs = make_wcs(pixel=(51.0 + 1.0 + 2.0, 49.0 - 2.0 - 1.0))
    labels = label_exposures(frames)
    assert labels[1].shift == pytest.approx((0.0, 0.0), abs=0.1)
    assert labels[2].shift == pytest.approx((1.0, -2.0), abs=0.1)
    assert sum(one.num_events for one in labels) <= 1
    plain = label_exposures(frames, use_wcs=False)
    assert plain[1].shift == pytest.approx((4.0, 3.0), abs=0.1)


def test_exposures_that_cannot_be_compared(exposed):
    frames = exposed["frames"]
    with pytest.raises(BayescrError, match="2 exposures given"):
        label_exposures(frames[:2])
    rng = np.random.default_rng(0)
    blank = [as_frame(rng.normal(100.0, 5.0, (64, 64)).clip(90, 110)) for _ in range(3)]
    with pytest.raises(BayescrError, match="nothing above its noise to align by"):
        label_exposures(blank)
    for frame in blank:
        frame.wcs = make_wcs()
    assert [one.num_events for one in label_exposures(blank)] == [0, 0, 0]


def test_a_brighter_hit_beside_another_exposures_is_found_or_not_valid(field):
    """The search must take the noise at what the others allow, and so must what it can decide."""
    rng = np.random.default_rng(4)
    wide = np.zeros((field.side, field.side))
    bright = wide.copy()
    dark = np.ones_like(wide, bool)
    shifts, widths = ((0.0, 0.0), (3.0, -3.0), (-4.0, 5.0), (1.0, 6.0)), (1.5, 1.8, 1.3, 1.6)
    for row in range(16, field.side - 16, 10):
        for column in range(16, field.side - 20, 12):
            bright[row, column : column + 4] = 700.0
            wide[row - 3, column + 3 : column + 7] = 400.0
    frames = []
    for index, (shift, width) in enumerate(zip(shifts, widths, strict=True)):
        charge = {0: wide, 1: bright}.get(index, 0.0)
        frame, scene = field.expose(rng, charge=charge, shift=shift, width=width)
        frames.append(frame)
        if index == 1:
            dark = scene < 20.0
    one = label_exposures(frames)[1]
    hits = (bright > 0) & dark
    assert hits.sum() > 200
    assert not (one.valid & ~one.truth & hits).any()
