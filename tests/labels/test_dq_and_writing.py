"""Hubble's flags as labels, and labels as files that a dataset reads again."""

import numpy as np
import pytest
from astropy.io import fits

from bayescr.data import PatchDataset, read_frame
from bayescr.errors import BayescrError
from bayescr.labels import (
    Noise,
    label_darks,
    label_table,
    labels_from_dq,
    write_labels,
)

from .conftest import as_frame


def hst_file(path, flags, data, versions=(1,)):
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["EXPTIME"] = 500.0
    for version in versions:
        science = fits.ImageHDU(data.astype(np.float32), name="SCI", ver=version)
        science.header["BUNIT"] = "ELECTRONS"
        hdus += [science, fits.ImageHDU(flags.astype(np.int16), name="DQ", ver=version)]
    fits.HDUList(hdus).writeto(path)
    return path


def test_labels_from_dq(tmp_path):
    rng = np.random.default_rng(0)
    data, flags = rng.normal(100.0, 3.0, (60, 80)), np.zeros((60, 80), int)
    flags[10, 20:26], flags[30, 40], flags[50, 60:62] = 4096, 8192, 16 | 4096
    flags[5, 5], flags[6, 6] = 64, 256
    data[10, 20:26] += 500.0
    labels = labels_from_dq(hst_file(tmp_path / "a.fits", flags, data))
    assert np.argwhere(labels.truth).tolist() == [[10, c] for c in range(20, 26)] + [[30, 40]]
    assert np.argwhere(~labels.valid).tolist() == [[6, 6], [50, 60], [50, 61]]
    assert (labels.num_events, labels.num_control) == (2, 0)
    assert labels.charge[10, 20:26] == pytest.approx(500.0, abs=15.0)
    assert (labels.charge[~labels.truth] == 0).all()
    assert (labels.confidence == np.where(labels.valid, 1.0, 0.5)).all()


def test_dq_without_flags_or_without_dq(tmp_path):
    data = np.ones((20, 20))
    with pytest.raises(BayescrError, match="has no pixel flagged as a cosmic ray"):
        labels_from_dq(hst_file(tmp_path / "a.fits", np.zeros((20, 20)), data))
    fits.PrimaryHDU(data).writeto(tmp_path / "b.fits")
    with pytest.raises(BayescrError, match="no extension .*DQ"):
        labels_from_dq(tmp_path / "b.fits")


@pytest.fixture
def darks():
    rng = np.random.default_rng(0)
    frames = [as_frame(rng.normal(50.0, 4.0, (64, 64)), EXPTIME=600.0) for _ in range(3)]
    frames[1].data[20, 20:30] += 300.0
    return label_darks(frames)


def test_files_hold_all_planes(tmp_path, darks):
    labels = darks[1]
    path = tmp_path / "one.fits"
    write_labels(labels, path)
    with fits.open(path) as hdus:
        kinds = {
            "SCI": ">f4", "DQ": ">i2", "CRMASK": "u1", "CRVALID": "u1", "CRCONF": ">f4",
            "CRCHARGE": ">f4",
        }  # fmt: skip
        assert {hdu.name: hdu.data.dtype.str.strip("|") for hdu in hdus[1:]} == kinds
        for name, plane in (
            ("CRMASK", labels.truth),
            ("CRVALID", labels.valid),
            ("CRCONF", labels.confidence),
            ("CRCHARGE", labels.charge),
            ("SCI", labels.frame.data),
        ):
            assert (hdus[name].data == plane).all()
        assert (hdus["SCI"].header["NUMEVENT"], hdus["SCI"].header["NUMCTRL"]) == (1, 0)
    assert read_frame(path).header["EXPTIME"] == 600.0
    item = PatchDataset.from_directory(tmp_path, patch=None)[0]
    assert (item["target"][0].numpy() == (labels.truth & labels.valid)).all()
    assert (item["valid"][0].numpy() == labels.valid).all()
    with pytest.raises(BayescrError, match="exists already"):
        write_labels(labels, path)


def test_chips_share_a_file(tmp_path, darks):
    write_labels(darks[:2], tmp_path / "two.fits")
    with fits.open(tmp_path / "two.fits") as hdus:
        assert (hdus["CRMASK", 2].data == darks[1].truth).all()


def test_table(darks):
    table = label_table({"a": darks[0], "b": darks[1]})
    assert table.index.tolist() == ["a", "b"]
    assert table["events"].tolist() == [0, 1]
    assert table.loc["b", "flagged_pixels"] == darks[1].truth.sum()
    assert table.loc["b", "valid_fraction"] == darks[1].valid.mean()
    assert table["gain"].isna().all()
    assert Noise(gain=2.0).read_noise is None
