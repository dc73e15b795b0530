import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayescr.data import LabelledImage, read_labelled, write_labelled
from bayescr.errors import BayescrError

fixed = settings(derandomize=True, deadline=None, max_examples=20)

SHAPE = (10, 12)


def sequence(path, *, frames=3, compressed=True, codes=None):
    """A file laid out as those of the published data set, all EXTVER of masks 0."""
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    rng = np.random.default_rng(0)
    science = rng.integers(50, 200, (frames, *SHAPE)).astype(np.float32)
    truth = (rng.random((frames, *SHAPE)) < 0.1).astype(np.uint8)
    if codes is None:
        codes = rng.choice([0, 0, 0, 1, 2, 4, 8, 12], (frames, *SHAPE)).astype(np.uint8)
    primary = fits.PrimaryHDU()
    primary.header["FRMTOTAL"] = frames
    hdus = [primary]
    for rank, pixels in enumerate(science):
        header = fits.Header({"FILENAME": f"night-{rank}", "BUNIT": "adu", "GAIN": 2.0})
        hdus.append(fits.ImageHDU(pixels, header=header, name="SCI", ver=rank))
    hdus.append(kind(np.ones(SHAPE, np.uint8), name="VALID_MASK"))
    hdus.append(fits.BinTableHDU(name="CAT"))
    for name, planes in (("CR", truth), ("IGNORE", codes)):
        for plane in planes:
            hdus.append(kind(plane, name=name))
            hdus[-1].header["EXTVER"] = 0
    fits.HDUList(hdus).writeto(path)
    return science, truth, codes


@pytest.mark.parametrize("compressed", [True, False])
def test_frames_masks_and_codes(tmp_path, compressed):
    science, truth, codes = sequence(tmp_path / "coj_3frms_masks.fits", compressed=compressed)
    images = read_labelled(tmp_path)
    assert [image.exposure for image in images] == ["night-0", "night-1", "night-2"]
    for image, pixels, hits, code in zip(images, science, truth, codes, strict=True):
        np.testing.assert_array_equal(image.frame.data, 2.0 * pixels)  # electrons
        np.testing.assert_array_equal(image.truth, hits == 1)
        np.testing.assert_array_equal(image.reliable, code == 0)
        np.testing.assert_array_equal(image.mask, (code & 2) != 0)
        for name, bit in (("BOUNDARY", 1), ("SOURCE", 4), ("HOT", 8)):
            np.testing.assert_array_equal(image.defects[name], (code & bit) != 0)
        assert image.field == "coj_3frms_masks"  # they show one sky


@fixed
@given(hnp.arrays(np.uint8, (2, 4, 5), elements=st.integers(0, 15)))
def test_every_code_comes_back(tmp_path_factory, codes):
    codes[:, 0, 0] = 0
    from astropy.nddata import CCDData

    folder = tmp_path_factory.mktemp("codes")
    images = [
        LabelledImage(
            frame=CCDData(
                np.full(code.shape, 3.5, np.float32), unit="electron", mask=code & 2 != 0
            ),
            truth=code == 9,
            reliable=code == 0,
            exposure=f"e{rank}",
            defects={"BOUNDARY": code & 1 != 0, "SOURCE": code & 4 != 0, "HOT": code & 8 != 0},
        )
        for rank, code in enumerate(codes)
    ]
    write_labelled(images, folder / "a.fits", format="cosmic-conn")
    with fits.open(folder / "a.fits") as hdus:
        assert hdus[0].header["FRMTOTAL"] == 2
        # The loader of Cosmic-CoNN finds CR by its number: after SCI, VALID_MASK and CAT.
        names = [hdu.name for hdu in hdus]
        assert names == ["PRIMARY", *["SCI"] * 2, "VALID_MASK", "CAT", *["CR"] * 2, *["IGNORE"] * 2]
        for rank, code in enumerate(codes):
            np.testing.assert_array_equal(hdus[7 + rank].data, code)
    for again, code in zip(read_labelled(folder / "a.fits"), codes, strict=True):
        np.testing.assert_array_equal(again.truth, code == 9)
        np.testing.assert_array_equal(again.frame.data, 3.5)


def test_unreliable_pixels_of_no_kind_count_as_sources(tmp_path, make):
    write_labelled([make(plain=True)], tmp_path / "plain.fits", format="cosmic-conn")
    (plain,) = read_labelled(tmp_path / "plain.fits")
    assert plain.reliable.all()
    image = make()
    write_labelled([image], tmp_path / "rich.fits", format="cosmic-conn")
    (again,) = read_labelled(tmp_path / "rich.fits")
    stated = image.mask | np.any([image.defects[n] for n in ("BOUNDARY", "SOURCE", "HOT")], axis=0)
    np.testing.assert_array_equal(again.reliable, image.reliable & ~stated)
    expected = image.defects["SOURCE"] | (~image.reliable & ~stated)
    np.testing.assert_array_equal(again.defects["SOURCE"], expected)


def test_files_that_are_not_whole(tmp_path, make):
    path = tmp_path / "a.fits"
    sequence(path)
    with fits.open(path) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    del hdus[-1]
    hdus.writeto(path, overwrite=True)
    with pytest.raises(BayescrError, match="3 SCI, 3 CR, 2 IGNORE: expected as many"):
        read_labelled(path)
    with pytest.raises(BayescrError, match="one file holds one shape"):
        write_labelled([make((4, 4)), make((5, 5))], tmp_path / "b.fits", format="cosmic-conn")
    with pytest.raises(BayescrError, match="no name of a FITS file"):
        write_labelled([make()], tmp_path / "folder", format="cosmic-conn")
