"""Tracks and their catalogue: rates, parts that share nothing, and the table that keeps them."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayescr.data._stamps import turned
from bayescr.errors import BayescrError
from bayescr.injection import (
    Track,
    TrackCatalogue,
    is_catalogue,
    read_catalogue,
    write_catalogue,
)

STAMPS = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    elements=st.sampled_from(np.array([0, 0.5, 3, 1e5], np.float32)),
).filter(np.any)


def many(number, seed=0):
    rng = np.random.default_rng(seed)
    stamps = (rng.uniform(1, 9, rng.integers(1, 6, 2)).astype(np.float32) for _ in range(number))
    return TrackCatalogue(
        tracks=tuple(map(Track, stamps)), exposure_time=10.0, pixels=10**6, pixel_size=10.0,
        name="many",
    )  # fmt: skip


def contents(catalogue):
    return {track.charge.tobytes() + bytes(track.charge.shape) for track in catalogue.tracks}


def test_rate():
    # 50 tracks in 10^6 pixels of 10 um, that is 1 cm^2, and 10 s
    assert many(50).rate == pytest.approx(5.0)


def test_parts_share_no_track_and_keep_the_rate():
    whole = many(2000)
    first, second = whole.split(0.8, 0.2, seed=1)
    assert not contents(first) & contents(second)
    assert contents(first) | contents(second) == contents(whole)
    # binomial: 1600 +- 18
    assert abs(len(first) - 1600) < 4 * 18
    assert first.rate == pytest.approx(whole.rate, rel=4 * 18 / 1600)
    assert contents(whole.split(0.8, 0.2, seed=2)[0]) != contents(first)


def test_a_track_stays_in_its_part_when_the_catalogue_grows_or_it_is_turned():
    whole = many(200)
    part = {id(track): k for k, one in enumerate(whole.split(0.5, 0.5)) for track in one.tracks}
    turned_round = TrackCatalogue(
        tracks=tuple(
            Track(np.ascontiguousarray(turned(track.charge, index % 8)))
            for index, track in enumerate((*many(100, seed=9).tracks, *whole.tracks))
        ),
        exposure_time=1.0, pixels=1, pixel_size=None, name="turned",
    )  # fmt: skip
    again = {id(t): k for k, one in enumerate(turned_round.split(0.5, 0.5)) for t in one.tracks}
    assert [again[id(track)] for track in turned_round.tracks[100:]] == [
        part[id(track)] for track in whole.tracks
    ]


def test_fractions_below_one_leave_tracks_out():
    whole = many(400)
    parts = whole.split(0.25, 0.25)
    assert abs(sum(map(len, parts)) - 200) < 4 * 10


@pytest.mark.parametrize("fractions", [(), (0.8, 0.3), (-0.5, 0.5), (0.0, 1.0), ("all",)])
def test_fractions_that_are_none(fractions):
    with pytest.raises(BayescrError, match="fractions are"):
        many(10).split(*fractions)


def test_joined_catalogues_add_tracks_and_pixel_seconds():
    a, b = many(10), many(30, seed=1)
    joined = TrackCatalogue.joined([a, b])
    assert len(joined) == 40
    assert joined.rate == pytest.approx((a.rate + b.rate) / 2)
    assert TrackCatalogue.joined([a]) is a


def test_smaller_footprints_are_left_out(catalogue):
    assert [track.pixels for track in catalogue.tracks] == [3, 3, 5]
    assert [track.pixels for track in catalogue.at_least(4).tracks] == [5]
    with pytest.raises(BayescrError, match=r"the largest 5: .*--smallest"):
        catalogue.at_least(6)


def test_a_rate_needs_the_size_of_the_pixels(catalogue):
    unknown = TrackCatalogue(
        tracks=catalogue.tracks, exposure_time=1.0, pixels=5, pixel_size=None, name="unknown"
    )
    with pytest.raises(BayescrError, match="'unknown' has no pixel_size"):
        _ = unknown.rate


@pytest.mark.parametrize(
    "charge",
    [
        [[1.0]],
        np.ones((2, 2)),
        np.ones(3, np.float32),
        np.zeros((2, 2), np.float32),
        np.full((1, 1), np.nan, np.float32),
    ],
)
def test_no_charge_of_a_track(charge):
    with pytest.raises(BayescrError, match="charge of a track"):
        Track(charge)


@settings(max_examples=25, deadline=None)
@given(stamps=st.lists(STAMPS, min_size=1, max_size=4))
def test_written_catalogues_read_the_same(tmp_path_factory, stamps):
    path = tmp_path_factory.mktemp("catalogue") / "tracks.fits.gz"
    before = TrackCatalogue(
        tracks=tuple(map(Track, stamps)), exposure_time=30.5, pixels=77, pixel_size=13.5, name="x"
    )
    write_catalogue(before, path)
    after = read_catalogue(path)
    assert (after.exposure_time, after.pixels, after.pixel_size) == (30.5, 77, 13.5)
    assert after.name == "x"
    assert len(after) == len(before)
    for old, new in zip(before.tracks, after.tracks, strict=True):
        np.testing.assert_array_equal(_tight(old.charge), new.charge)


def _tight(charge):
    rows, columns = np.nonzero(charge)
    return charge[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def test_same_catalogue_same_bytes(tmp_path, catalogue):
    for name in ("a.fits", "b.fits"):
        write_catalogue(catalogue, tmp_path / name)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


def test_a_table_made_by_hand_in_any_order(tmp_path):
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("fp_id", "I", array=np.array([7, 3, 7])),
            fits.Column("x0", "I", array=np.array([101, 5, 100])),
            fits.Column("y0", "I", array=np.array([51, 6, 50])),
            fits.Column(
                "pixel_values", "PJ()", array=np.array([[9], [1, 2], [3, 4]], dtype=object)
            ),
        ]
    )
    table.header["EXPTIME"], table.header["NUM_PIX"] = 1500.0, 1000
    table.writeto(tmp_path / "hand.fits")
    found = read_catalogue(tmp_path / "hand.fits")
    assert found.name == "hand"
    assert found.pixel_size is None
    assert [track.charge.tolist() for track in found.tracks] == [[[1, 2]], [[3, 4], [0, 9]]]
    assert read_catalogue(tmp_path / "hand.fits", pixel_size=10.0).pixel_size == 10.0


def test_files_that_hold_no_catalogue(tmp_path, catalogue):
    image = tmp_path / "image.fits"
    fits.PrimaryHDU(np.ones((4, 4))).writeto(image)
    assert not is_catalogue(image)
    with pytest.raises(BayescrError, match="holds no catalogue of tracks"):
        read_catalogue(image)
    write_catalogue(catalogue, tmp_path / "tracks.fits")
    assert is_catalogue(tmp_path / "tracks.fits")
    with fits.open(tmp_path / "tracks.fits", mode="update") as hdus:
        del hdus[1].header["NUM_PIX"]
    with pytest.raises(BayescrError, match="has no NUM_PIX"):
        read_catalogue(tmp_path / "tracks.fits")


def test_the_catalogue_of_lsst_darks(real_data):
    found = read_catalogue(
        real_data("lsst_itl_cr_catalog/cosmic_rays_itl_2017.fits.gz"), pixel_size=10.0
    )
    assert len(found) == 1764
    sizes = [track.pixels for track in found.tracks]
    assert (np.median(sizes), max(sizes)) == (7, 299)
    assert found.rate == pytest.approx(1764 / (16_288_000 * 1e-6 * 1500))
