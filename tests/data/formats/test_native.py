import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayescr.data import LabelledImage, PatchDataset, read_labelled, write_labelled
from bayescr.data.formats import DEFECTS
from bayescr.errors import BayescrError

fixed = settings(derandomize=True, deadline=None, max_examples=30)


def test_everything_comes_back(tmp_path, make, assert_same):
    chips = [make(seed=1), make((9, 7), seed=2)]
    write_labelled(chips, tmp_path / "visit-1.fits")
    again = read_labelled(tmp_path / "visit-1.fits")
    for one, other in zip(again, chips, strict=True):
        assert_same(one, other, "truth", "reliable", "confidence", "charge", "dq")
        assert set(one.defects) == set(DEFECTS)
        for name in DEFECTS:
            np.testing.assert_array_equal(one.defects[name], other.defects[name])
        np.testing.assert_array_equal(one.frame.uncertainty.array, other.frame.uncertainty.array)
        assert one.frame.unit == units.electron
        assert (one.field, one.frame.header["EXPTIME"]) == ("gc", 500.0)
        assert one.frame.wcs.wcs.compare(other.frame.wcs.wcs, tolerance=1e-12)


def test_the_planes_have_the_names_and_types_of_the_contract(tmp_path, make):
    write_labelled([make()], tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        types = {hdu.name: hdu.data.dtype.newbyteorder("=") for hdu in hdus[1:]}
        assert hdus[0].header["FIELD"] == "gc"
        assert hdus[0].header["READNSE"] == 4.5
        assert hdus["SCI"].header["BUNIT"] == "ELECTRONS"
    assert types == {
        "SCI": "f4", "ERR": "f4", "DQ": "i2", "CRMASK": "u1", "CRVALID": "u1", "CRCONF": "f4",
        "CRCHARGE": "f4", **dict.fromkeys(DEFECTS, "u1"),
    }  # fmt: skip


def test_what_is_not_known_is_not_written(tmp_path, make, assert_same):
    write_labelled([make(plain=True)], tmp_path / "visit-1.fits.gz")
    with fits.open(tmp_path / "visit-1.fits.gz") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "DQ", "CRMASK"]
    (image,) = read_labelled(tmp_path / "visit-1.fits.gz")
    assert image.reliable is image.confidence is image.charge is None
    assert image.defects == {}
    assert_same(image, make(plain=True), "truth")


def test_counts_stay_counts_whatever_the_header_says_of_a_gain(tmp_path, make):
    write_labelled([make(plain=True, GAIN=7.0)], tmp_path / "a.fits")
    (image,) = read_labelled(tmp_path / "a.fits")
    assert image.frame.unit == units.adu
    np.testing.assert_array_equal(image.frame.data, make(plain=True).frame.data)


@pytest.mark.parametrize(
    ("unit", "factor"), [("ELECTRONS", 1.0), ("COUNTS", 2.5), ("ELECTRONS/S", 500.0), (None, 1.0)]
)
def test_charge_is_in_the_unit_of_the_image(tmp_path, make, unit, factor):
    """Read or converted, both by one factor; counts of unknown gain stay counts."""
    given = make()
    write_labelled([given], tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", mode="update") as hdus:
        del hdus["SCI"].header["BUNIT"]
        if unit is not None:
            hdus["SCI"].header["BUNIT"] = unit
        hdus["SCI"].header["GAIN"] = 2.5
    (image,) = read_labelled(tmp_path / "a.fits")
    assert image.frame.unit == (units.adu if unit is None else units.electron)
    np.testing.assert_allclose(image.frame.data, factor * given.frame.data, rtol=1e-6)
    np.testing.assert_allclose(image.charge, factor * given.charge, rtol=1e-6)
    assert image.charge.dtype == np.float32


def test_the_header_of_a_frame_may_be_a_dict(tmp_path):
    header = {"FIELD": "gc", "EXPTIME": 500.0, "SKY": "n1.fits"}
    frame = CCDData(np.ones((4, 4), np.float32), unit="electron", meta=header)
    image = LabelledImage(frame=frame, truth=np.eye(4) > 0, exposure="a")
    write_labelled([image], tmp_path / "a.fits")
    (again,) = read_labelled(tmp_path / "a.fits")
    assert (again.field, again.sky, again.frame.header["EXPTIME"]) == ("gc", "n1", 500.0)
    assert (image.field, image.sky) == ("gc", "n1")
    with fits.open(tmp_path / "a.fits") as hdus:
        assert hdus[0].header["FIELD"] == "gc"


def test_a_folder_gets_a_file_for_each_exposure_and_the_same_bytes_again(tmp_path, make):
    images = [make(seed=k, exposure=f"visit-{k // 2}") for k in range(4)]
    for name in ("one", "other"):
        write_labelled(images, tmp_path / name)
    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files] == ["visit-0.fits", "visit-1.fits"]
    for file in files:
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()
    assert [image.exposure for image in read_labelled(tmp_path / "one")] == (
        ["visit-0"] * 2 + ["visit-1"] * 2
    )
    with pytest.raises(BayescrError, match="exists already"):
        write_labelled(images, tmp_path / "one")
    write_labelled(images, tmp_path / "one", overwrite=True)


def test_a_dataset_of_images_is_that_of_their_files(tmp_path, make):
    images = [make(seed=k, exposure=f"visit-{k}") for k in range(3)]
    write_labelled(images, tmp_path)
    held = PatchDataset.from_labelled(images, patch=8)
    filed = PatchDataset.from_directory(tmp_path, patch=8)
    assert (held.exposures, held.fields) == (filed.exposures, filed.fields)
    for one, other in zip(held, filed, strict=True):
        assert all(one[key].equal(other[key]) for key in ("image", "target", "valid"))
    with pytest.raises(BayescrError, match="no images were given"):
        PatchDataset.from_labelled([])


shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@fixed
@given(st.data())
def test_any_shape_and_any_mask_come_back(tmp_path_factory, data):
    from astropy.nddata import CCDData

    shape = data.draw(shapes)
    finite = st.floats(-1e6, 1e6, width=32)
    pixels = data.draw(hnp.arrays(np.float32, shape, elements=finite))
    truth, reliable, mask = (data.draw(hnp.arrays(bool, shape)) for _ in range(3))
    mask.flat[0] = False  # a frame with no usable pixel is refused
    frame = CCDData(pixels, unit="electron", mask=mask)
    image = LabelledImage(frame=frame, truth=truth, reliable=reliable, exposure="a")
    path = tmp_path_factory.mktemp("any") / "a.fits"
    write_labelled([image], path)
    (again,) = read_labelled(path)
    np.testing.assert_array_equal(again.frame.data, pixels)
    np.testing.assert_array_equal(again.mask, mask)
    np.testing.assert_array_equal(again.truth, truth)
    np.testing.assert_array_equal(again.reliable, reliable)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.ones((3, 3), bool)}, r"truth of exposure 'a' has shape \(3, 3\)"),
        ({"charge": np.ones(4)}, r"charge of exposure 'a' has shape \(4,\)"),
        ({"defects": {"HOT": np.ones((2, 2))}}, r"HOT of exposure 'a' has shape \(2, 2\)"),
        ({"defects": {"BUG": np.ones((4, 4))}}, "unknown defect 'BUG'"),
    ],
)
def test_planes_that_do_not_fit(change, message):
    from astropy.nddata import CCDData

    frame = CCDData(np.ones((4, 4)), unit="adu")
    with pytest.raises(BayescrError, match=message):
        LabelledImage(**{"frame": frame, "truth": np.ones((4, 4), bool), "exposure": "a"} | change)
