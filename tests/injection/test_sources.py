"""Tracks come from catalogues, labelled exposures and darks alike."""

import numpy as np
import pytest
from astropy.io import fits

from bayescr.data import PatchDataset, read_truth
from bayescr.errors import BayescrError
from bayescr.injection import (
    inject,
    read_tracks,
    tracks_from_labels,
    write_catalogue,
    write_injected,
)
from bayescr.labels import label_darks, write_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory, darks):
    folder = tmp_path_factory.mktemp("darks")
    for index, frame in enumerate(darks.frames):
        hdu = fits.PrimaryHDU(np.pad(frame.data, ((0, 0), (6, 2))))
        hdu.header.update(EXPTIME=300.0, BUNIT="electron")
        hdu.writeto(folder / f"dark{index}.fits")
    return folder


def totals(catalogue):
    return sorted(float(track.charge.sum()) for track in catalogue.tracks)


def test_darks(darks, folder):
    found = read_tracks(sorted(folder.iterdir()), columns=slice(6, 134), pixel_size=15.0)
    expected = tracks_from_labels(label_darks(darks.frames))
    assert totals(found.catalogue) == pytest.approx(totals(expected))
    assert found.num_events >= len(expected)
    assert found.num_control == 0


def test_several_kinds_at_once(tmp_path, folder, catalogue):
    write_catalogue(catalogue, tmp_path / "tracks.fits")
    darks = read_tracks(sorted(folder.iterdir()), columns=slice(6, 134))
    both = read_tracks(
        [*sorted(folder.iterdir()), tmp_path / "tracks.fits"], columns=slice(6, 134), smallest=4
    )
    assert len(both.catalogue) == len(darks.catalogue) + 1
    assert both.catalogue.name == f"three + {folder.name}"


def test_a_labelled_exposure(tmp_path, darks):
    labels = label_darks(darks.frames)
    for index, one in enumerate(labels):
        write_labels(one, tmp_path / f"labelled{index}.fits")
    found = read_tracks(sorted(tmp_path.iterdir()))
    assert totals(found.catalogue) == pytest.approx(totals(tracks_from_labels(labels)))


def test_what_a_labelled_exposure_does_not_say_is_certain(tmp_path, darks):
    labels = label_darks(darks.frames)[0]
    path = tmp_path / "labelled.fits"
    write_labels(labels, path)
    with fits.open(path) as hdus:
        kept = fits.HDUList([h for h in hdus if h.name not in ("CRVALID", "CRCONF")])
        kept.writeto(tmp_path / "certain.fits")
        fits.HDUList([h for h in kept if h.name != "CRCHARGE"]).writeto(tmp_path / "no_charge.fits")
    found = read_tracks([tmp_path / "certain.fits"])
    assert found.catalogue.pixels == labels.truth.size
    assert set(totals(tracks_from_labels([labels]))) <= set(totals(found.catalogue))
    with pytest.raises(BayescrError, match=r"no_charge.fits' has CRMASK but no CRCHARGE"):
        read_tracks([tmp_path / "no_charge.fits"])


def test_a_gain_in_the_header_is_believed_as_label_believes_it(tmp_path, darks):
    for index, frame in enumerate(darks.frames):
        hdu = fits.PrimaryHDU(frame.data / 2.5)
        hdu.header.update(EXPTIME=300.0, EGAIN=2.5, GAIN=9.0, BUNIT="adu")
        hdu.writeto(tmp_path / f"dark{index}.fits")
    found = read_tracks(sorted(tmp_path.iterdir()))
    expected = tracks_from_labels(label_darks(darks.frames))
    assert totals(found.catalogue) == pytest.approx(totals(expected), rel=1e-3)


def test_darks_that_cannot_be_used_are_named_before_they_are_searched(tmp_path, darks, monkeypatch):
    monkeypatch.setattr("bayescr.injection.sources.label_darks", None)
    paths = [tmp_path / f"dark{index}.fits" for index in range(3)]
    for path, frame in zip(paths, darks.frames, strict=False):
        fits.PrimaryHDU(frame.data, fits.Header({"EXPTIME": 300.0})).writeto(path)
    with pytest.raises(BayescrError, match=r"dark0.fits' is in 'adu' .*--track-gain"):
        read_tracks(paths)
    fits.delval(paths[1], "EXPTIME")
    with pytest.raises(BayescrError, match=r"dark1.fits' has no exposure time"):
        read_tracks(paths, gain=1.0)


@pytest.mark.parametrize("columns", [slice(0, 137), slice(50, 50), slice(130, 140)])
def test_columns_that_are_not_there(folder, columns):
    with pytest.raises(BayescrError, match=r"columns are .* but the frame has 136"):
        read_tracks(sorted(folder.iterdir()), columns=columns)


def test_injected_frames_are_read_as_training_data(tmp_path, sky, catalogue):
    own = np.zeros(sky.shape, bool)
    own[10, 20] = True
    sky.mask = np.zeros(sky.shape, bool)
    sky.mask[:, 5] = True
    painted = inject(sky, catalogue, number=30, seed=1, own_hits=own)
    write_injected(painted, tmp_path / "a.fits", cards={"SKY": ("a.fits", "where from")})
    write_injected(painted, tmp_path / "again.fits", cards={"SKY": ("a.fits", "where from")})
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "again.fits").read_bytes()
    (tmp_path / "again.fits").unlink()

    np.testing.assert_array_equal(read_truth(tmp_path / "a.fits", shape=sky.shape), painted.truth)
    (item,) = PatchDataset.from_directory(tmp_path, patch=None)
    np.testing.assert_array_equal(item["valid"][0], painted.valid)
    np.testing.assert_array_equal(item["target"][0] == 1, painted.truth & painted.valid)
    with fits.open(tmp_path / "a.fits") as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            "SCI",
            "ERR",
            "DQ",
            "CRMASK",
            "CRVALID",
            "CRCHARGE",
        ]
        np.testing.assert_array_equal(hdus["CRCHARGE"].data, painted.charge)
        header = hdus["SCI"].header
        assert (header["NTRACKS"], header["SKY"]) == (30, "a.fits")
        assert header["BUNIT"] == "ELECTRONS"
        assert (hdus[0].header["EXPTIME"], hdus[0].header["SEED"]) == (100.0, 1)


def test_tracks_of_the_kast_darks(real_data):
    names = ("r3039", "r3073", "r3081", "r3092")
    paths = [real_data(f"kast_red_2019/{name}.fits.gz") for name in names]
    found = read_tracks(paths, columns=slice(62, 346), gain=1.0, pixel_size=15.0)
    assert found.num_control <= 0.03 * found.num_events
    assert 0.7 * found.num_events < len(found.catalogue) < found.num_events  # 250 of 306
    assert np.median([track.pixels for track in found.catalogue.tracks]) > 5
