"""Pixels whose truth cannot be relied on: seen by the network, never learnt from."""

import numpy as np
import pytest
import torch
from astropy.io import fits

from bayescr.data import PatchDataset, Scaling, read_frame
from bayescr.data.frames import count_left_out
from bayescr.errors import BayescrError

SHAPE = (40, 50)


@pytest.fixture
def planes():
    rng = np.random.default_rng(0)
    return {
        "SCI": rng.normal(50, 5, SHAPE).astype(np.float32),
        "DQ": (256 * (rng.random(SHAPE) < 0.05)).astype(np.int16),
        "CRMASK": (rng.random(SHAPE) < 0.05).astype(np.uint8),
        "CRVALID": (rng.random(SHAPE) < 0.8).astype(np.uint8),
    }


def write(path, planes):
    hdus = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
    hdus[1].header["BUNIT"] = "ELECTRONS"
    fits.HDUList(hdus).writeto(path)


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_unreliable_pixel_is_seen_but_not_valid(tmp_path, planes, in_memory):
    write(tmp_path / "a.fits", planes)
    dataset = PatchDataset.from_directory(tmp_path, patch=None, in_memory=in_memory)
    (item,) = dataset
    usable, reliable = planes["DQ"] == 0, planes["CRVALID"] == 1
    np.testing.assert_array_equal(item["valid"][0], usable & reliable)
    np.testing.assert_array_equal(item["target"][0], (planes["CRMASK"] == 1) & usable & reliable)
    image, _ = Scaling()(planes["SCI"], mask=~usable)  # no hole where it is unreliable alone
    np.testing.assert_array_equal(item["image"], image)
    np.testing.assert_array_equal(dataset.frame(0).mask, ~usable)
    hits = (planes["CRMASK"] == 1) & usable & reliable
    assert dataset.positive_fraction.item() == hits.sum() / (usable & reliable).sum()


def test_planes_that_the_training_does_not_know_change_nothing(tmp_path, planes):
    (tmp_path / "plain").mkdir()
    (tmp_path / "rich").mkdir()
    del planes["CRVALID"]
    write(tmp_path / "plain" / "a.fits", planes)
    more = ["CRCONF", "CRCHARGE", "HOT", "WARM", "DEAD", "BADCOL", "SATURATED", "BLEED", "TRAIL"]
    extra = {name: np.ones(SHAPE, np.float32) for name in [*more, "GLOW"]}
    write(tmp_path / "rich" / "a.fits", planes | extra)
    (one,), (other,) = (PatchDataset.from_directory(tmp_path / name) for name in ("plain", "rich"))
    assert all(torch.equal(one[key], other[key]) for key in ("image", "target", "valid"))
    # Without an SCI to tell them apart, none of them passes for an image that was left out.
    write(tmp_path / "b.fits", {"N1": planes["SCI"], **extra})
    assert count_left_out(tmp_path / "b.fits") == 0
    assert read_frame(tmp_path / "b.fits").header["EXTNAME"] == "N1"


def test_a_plane_of_another_shape(tmp_path, planes):
    write(tmp_path / "a.fits", planes | {"CRVALID": np.ones((5, 5), np.uint8)})
    with pytest.raises(BayescrError, match=r"'CRVALID', 1.*a.fits' has shape \(5, 5\)"):
        PatchDataset.from_directory(tmp_path)
    frame = [np.zeros(SHAPE)]
    for name in ("reliable", "charges"):
        with pytest.raises(BayescrError, match=r"exposure 'exposure-0' has shape \(5, 5\)"):
            PatchDataset.from_frames(frame, frame, **{name: [np.ones((5, 5))]})


def test_reliable_of_frames_in_memory_is_that_of_files(tmp_path, planes):
    write(tmp_path / "a.fits", planes)
    (filed,) = PatchDataset.from_directory(tmp_path, patch=64)
    (held,) = PatchDataset.from_frames(
        [planes["SCI"]], [planes["CRMASK"]], ignore=[planes["DQ"] != 0],
        reliable=[planes["CRVALID"]],
    )  # fmt: skip
    assert all(torch.equal(filed[key], held[key]) for key in ("image", "target", "valid"))


def test_a_turned_item_keeps_its_unreliable_pixels(planes):
    dataset = PatchDataset.from_frames(
        [planes["SCI"]], [planes["CRMASK"]], reliable=[planes["CRVALID"]], patch=None, augment=True
    )
    torch.manual_seed(0)
    counts = {int(dataset[0]["valid"].sum()) for _ in range(8)}
    assert counts == {int(planes["CRVALID"].sum())}
