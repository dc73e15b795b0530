"""Tracks planted in darks are cut out again; hot pixels, bad columns and pieces are not."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.injection import tracks_from_labels
from bayescr.labels import Labels, Noise, label_darks


@pytest.fixture(scope="module")
def labels(darks):
    return label_darks(darks.frames)


def nearest(track, catalogue):
    return min(catalogue.tracks, key=lambda one: abs(one.charge.sum() - track.charge.sum()))


def test_planted_tracks_are_recovered_and_nothing_else(darks, labels):
    found = tracks_from_labels(labels)
    assert len(darks.planted) >= 8  # most lie in the open
    assert len(darks.planted) <= len(found) <= 16
    for *_, track in darks.planted:
        cut = nearest(track, found)
        assert cut.charge.shape == track.charge.shape
        # read noise of the dark and of the mean of three others, some dark current: 5 electrons
        assert np.abs(cut.charge - track.charge).max() < 5 * 5.0
        assert np.abs(cut.charge - track.charge).std() < 2 * 5.0


def test_no_hot_pixel_and_no_bad_column_is_a_track(darks, labels):
    found = tracks_from_labels(labels, smallest=1)
    sizes = sorted(track.pixels for track in found.tracks)
    # the only single pixels are the four planted ones; no run of a column, no edge
    assert set(sizes) <= {1, 5, 6}
    assert sizes.count(1) <= 4
    height = max(track.charge.shape[0] for track in found.tracks)
    assert height == 3
    assert len(found) - sizes.count(1) == len(tracks_from_labels(labels))


def test_rate_counts_the_pixels_that_can_be_used(darks, labels):
    found = tracks_from_labels(labels, pixel_size=15.0, name="planted")
    usable = sum(int((one.valid | (one.confidence != 0.5)).sum()) for one in labels)
    assert found.pixels == usable < 4 * darks.frames[0].data.size
    assert found.exposure_time == pytest.approx(300.0)
    assert (found.name, found.pixel_size) == ("planted", 15.0)
    assert found.rate == pytest.approx(len(found) / (usable * (15e-4) ** 2 * 300.0))


def make_labels(unit="electron", mask=None, header=None):
    truth = np.zeros((20, 20), bool)
    truth[5:7, 5:8] = True
    frame = CCDData(np.zeros((20, 20)), unit=unit, mask=mask, meta=header or {"EXPTIME": 10.0})
    return Labels(
        frame=frame, truth=truth, valid=np.ones((20, 20), bool),
        confidence=np.ones((20, 20), np.float32), charge=np.where(truth, 7.0, 0.0).astype("f4"),
        num_events=1, num_control=0,
    )  # fmt: skip


def test_counts_need_a_gain():
    with pytest.raises(BayescrError, match="in 'adu' but tracks are in electrons"):
        tracks_from_labels([make_labels(unit="adu")])
    (track,) = tracks_from_labels([make_labels(unit="adu")], gain=2.5).tracks
    np.testing.assert_array_equal(track.charge, np.full((2, 3), 17.5, np.float32))
    measured = replace(make_labels(unit="adu"), noise=Noise(gain=2.0))
    (track,) = tracks_from_labels([measured]).tracks
    assert track.charge.max() == 14.0


def test_a_track_beside_a_masked_pixel_may_not_be_whole():
    mask = np.zeros((20, 20), bool)
    mask[4, 8] = True  # touches a corner
    with pytest.raises(BayescrError, match="no whole track of 2 pixels"):
        tracks_from_labels([make_labels(mask=mask)])
    mask = np.roll(mask, 1, axis=1)
    assert len(tracks_from_labels([make_labels(mask=mask)])) == 1


def test_a_frame_without_exposure_time():
    with pytest.raises(BayescrError, match="no exposure time"):
        tracks_from_labels([make_labels(header={"OBJECT": "dark"})])


def test_arguments_that_cannot_be_used():
    with pytest.raises(BayescrError, match="smallest is 0"):
        tracks_from_labels([make_labels()], smallest=0)
    with pytest.raises(BayescrError, match="gain is -1"):
        tracks_from_labels([make_labels()], gain=-1)
    with pytest.raises(BayescrError, match="0 labelled exposure"):
        tracks_from_labels([])
