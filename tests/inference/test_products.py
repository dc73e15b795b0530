"""The maps stand beside the original extensions, which come through byte for byte."""

import gzip

import numpy as np
import pytest
import torch
from astropy.io import fits

from bayescr.data import read_frame
from bayescr.errors import BayescrError
from bayescr.inference import RunningPrediction
from bayescr.inference.products import write_products

NAMES = ["PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK"]


def predicted(shape=(8, 10), seed=0):
    rng = np.random.default_rng(seed)
    running = RunningPrediction()
    for _ in range(3):
        running.add(torch.from_numpy(rng.normal(size=(1, *shape))))
    return running.result()


@pytest.fixture
def exposure(tmp_path):
    """What is easily spoiled: BZERO, a table, a compressed image, odd cards, checksums."""
    rng = np.random.default_rng(0)
    science = fits.ImageHDU(rng.integers(0, 60000, (8, 10)).astype(np.uint16), name="SCI")
    science.header["HIERARCH odd key"] = (1.0e-7, "a comment")
    science.header.append(fits.Card.fromstring("FLOAT   =                1.50E+01 / odd form"))
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=rng.normal(size=5))])
    noisy = rng.normal(size=(8, 10)).astype(np.float32)
    squeezed = fits.CompImageHDU(noisy, name="ERR", quantize_level=4)
    primary = fits.PrimaryHDU()
    primary.header["COMMENT"] = "observed by hand"
    path = tmp_path / "exposure.fits"
    fits.HDUList([primary, science, table, squeezed]).writeto(path, checksum=True)
    return path


def stored(path, count):
    """Cards and data bytes of the first HDUs as they lie in the file."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        places = [(hdu._header_offset, hdu._data_offset + hdu._data_size) for hdu in hdus]
    return [raw[start:stop] for start, stop in places[:count]]


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz", "out.fits.fz"])
def test_original_extensions_are_copied_byte_for_byte(exposure, tmp_path, name):
    prediction = predicted()
    write_products(exposure, {1: prediction}, tmp_path / name, threshold=0.4)
    assert stored(tmp_path / name, 4) == stored(exposure, 4)
    with fits.open(tmp_path / name, checksum=True) as hdus:  # a wrong checksum warns: an error
        assert [hdu.name for hdu in hdus[4:]] == NAMES
        np.testing.assert_array_equal(hdus["PROB"].data, prediction.probability)
        np.testing.assert_array_equal(
            hdus["MUTUAL_INFORMATION"].data, prediction.mutual_information
        )
        np.testing.assert_array_equal(hdus["CRMASK"].data, prediction.mask(0.4))
        for hdu in hdus[4:]:
            assert isinstance(hdu, fits.CompImageHDU) == name.endswith(".fz")
        hdus.verify("exception")


def test_a_lone_primary_image_gains_extensions(tmp_path):
    source = tmp_path / "plain.fits"
    fits.PrimaryHDU(np.ones((8, 10), np.int16)).writeto(source, checksum=True)
    write_products(source, {1: predicted()}, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        assert hdus[0].data.dtype == np.dtype(">i2")
        assert hdus[0].header["EXTEND"] is True
        hdus.verify("exception")
    assert read_frame(tmp_path / "out.fits").shape == (8, 10)


@pytest.mark.parametrize("kind", [fits.ImageHDU, fits.CompImageHDU])
def test_a_plane_in_the_way_is_renamed_and_a_prediction_replaced(tmp_path, kind):
    truth = np.random.default_rng(0).integers(0, 2, (8, 10)).astype(np.uint8)
    source = tmp_path / "source.fits"
    planes = [kind(truth, name="CRMASK"), kind(truth, name="PROB")]
    planes[1].ver = 2  # of another image: not in the way
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(source, checksum=True)
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    write_products(source, {1: predicted(seed=1)}, first)
    write_products(first, {1: predicted(seed=2)}, second)
    for path, seed in ((first, 1), (second, 2)):
        with fits.open(path, checksum=True) as hdus:
            names = [(hdu.name, hdu.ver) for hdu in hdus[1:]]
            assert names == [("CRMASK_INPUT", 1), ("PROB", 2), *((name, 1) for name in NAMES)]
            np.testing.assert_array_equal(hdus["CRMASK_INPUT"].data, truth)
            np.testing.assert_array_equal(hdus["CRMASK"].data, predicted(seed=seed).mask())


def test_cards_stand_in_every_new_plane(exposure, tmp_path):
    out = tmp_path / "out.fits"
    write_products(exposure, {3: predicted()}, out, cards={"BCRSEED": (7, "of the draws")})
    with fits.open(out) as hdus:
        for name in NAMES:
            assert hdus[name, 3].header["BCRSEED"] == 7
            assert hdus[name, 3].header.comments["BCRSEED"] == "of the draws"
        assert "BCRSEED" not in hdus["SCI"].header


def test_the_exposure_may_be_the_target(exposure):
    before = stored(exposure, 4)
    with pytest.raises(BayescrError, match="exists already"):
        write_products(exposure, {1: predicted()}, exposure)
    write_products(exposure, {1: predicted()}, exposure, overwrite=True)
    assert stored(exposure, 4) == before
    assert [path.name for path in exposure.parent.iterdir()] == ["exposure.fits"]
