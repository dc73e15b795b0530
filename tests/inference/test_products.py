"""The maps stand beside the original extensions, which come through byte for byte."""

import gzip

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS

from bayescr.data import read_frame, read_truth
from bayescr.errors import BayescrError
from bayescr.inference import RunningPrediction
from bayescr.inference.products import write_products

PIXELS = np.array([[0.0, 0.0], [7.0, 2.0], [9.0, 7.0]])
NAMES = ["PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK"]


def predicted(frame=None, seed=0):
    shape = (8, 10) if frame is None else frame.shape
    rng = np.random.default_rng(seed)
    running = RunningPrediction()
    for _ in range(3):
        running.add(torch.from_numpy(rng.normal(size=(1, *shape))))
    return running.result(frame=frame)


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


@pytest.fixture
def distorted_exposure(tmp_path):
    """Two chips as HST's pipeline writes them: CD matrix, SIP, and lookup tables in extensions."""

    def write(*, tables, sip):
        rng = np.random.default_rng(0)
        hdus = [fits.PrimaryHDU()]
        for version in (1, 2):
            chip = fits.ImageHDU(rng.normal(size=(8, 10)).astype("f4"), name="SCI", ver=version)
            suffix = "-SIP" if sip else ""
            chip.header.update(
                {
                    "BUNIT": "ELECTRONS",
                    "CTYPE1": f"RA---TAN{suffix}", "CTYPE2": f"DEC--TAN{suffix}",
                    "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 5.0, "CRPIX2": 4.0,
                    "CD1_1": -1.2e-5, "CD1_2": 3e-6, "CD2_1": 3e-6, "CD2_2": 1.2e-5,
                }
            )  # fmt: skip
            if sip:
                chip.header.update(
                    {"A_ORDER": 2, "A_2_0": 1e-2, "B_ORDER": 2, "B_0_2": -2e-2, "B_1_1": 5e-3}
                )
            hdus.append(chip)
            for axis in (1, 2) if tables else ():
                number = 2 * (version - 1) + axis
                _refer(chip.header, axis, "CPDIS", "DP", number)
                _refer(chip.header, axis, "D2IMDIS", "D2IM", axis)
                hdus.append(_table(rng, "WCSDVARR", number))
                if version == 1:
                    hdus.append(_table(rng, "D2IMARR", axis))
        path = tmp_path / "distorted.fits"
        fits.HDUList(hdus).writeto(path)
        return path

    return write


def _refer(header, axis, kind, record, number):
    header[f"{kind}{axis}"] = "LOOKUP"
    for field, value in {"EXTVER": number, "NAXES": 2, "AXIS.1": 1, "AXIS.2": 2}.items():
        header[f"{record}{axis}.{field}"] = value


def _table(rng, name, number):
    """Shifts of about half a pixel on a coarse grid over the chip."""
    table = fits.ImageHDU(rng.normal(0.0, 0.5, (3, 3)).astype("f4"), name=name, ver=number)
    table.header.update({"CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 1.0, "CRVAL2": 1.0})
    table.header.update({"CDELT1": 5.0, "CDELT2": 4.0})
    return table


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


def test_each_chip_keeps_its_truth(exposure, tmp_path):
    truths = {1: np.eye(8, 10) == 1, 2: np.eye(8, 10) == 0}
    source, out = tmp_path / "source.fits", tmp_path / "out.fits"
    planes = [
        fits.ImageHDU(truth.astype(np.uint8), name="CRMASK", ver=version)
        for version, truth in truths.items()
    ]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(source)
    write_products(source, {1: predicted(), 2: predicted()}, out)
    for version, truth in truths.items():
        read = read_truth(out, extension=("CRMASK", version), shape=(8, 10))
        np.testing.assert_array_equal(read, truth)


@pytest.mark.parametrize("name", ["out.fits", "out.fits.fz"])
def test_maps_lie_where_their_chip_does_on_the_same_distortion_tables(
    distorted_exposure, tmp_path, name
):
    source = distorted_exposure(tables=True, sip=True)
    frames = {version: read_frame(source, extension=("SCI", version)) for version in (1, 2)}
    predictions = {version: predicted(frame=frame) for version, frame in frames.items()}
    write_products(source, predictions, tmp_path / name)
    with fits.open(tmp_path / name) as hdus:
        assert [hdu.name for hdu in hdus].count("WCSDVARR") == 4  # no further copies
        skies = [
            [
                WCS(hdus[plane, version].header, fobj=hdus).all_pix2world(PIXELS, 0)
                for plane in ("SCI", *NAMES)
            ]
            for version in (1, 2)
        ]
    for chip in skies:
        for sky in chip:
            np.testing.assert_array_equal(sky, chip[0])
    assert np.abs(skies[0][0] - skies[1][0]).max() > 1e-7  # degrees: each has tables of its own


@pytest.mark.parametrize("tables", [True, False])
@pytest.mark.parametrize("sip", [True, False])
def test_written_alone_all_planes_lie_where_the_frame_does(
    distorted_exposure, tmp_path, tables, sip
):
    frame = read_frame(distorted_exposure(tables=tables, sip=sip), extension=("SCI", 2))
    prediction = predicted(frame=frame)
    prediction.write(tmp_path / "out.fits")
    expected = frame.wcs.all_pix2world(PIXELS, 0)
    linear = frame.wcs.wcs_pix2world(PIXELS, 0)
    is_distorted = np.abs(expected - linear).max() > 1e-6  # degrees: a tenth of a pixel
    assert is_distorted == (tables or sip)
    with fits.open(tmp_path / "out.fits") as hdus:
        hdus.verify("exception")
        for name in ("SCI", "PROB", "CRMASK", "DQ"):
            sky = WCS(hdus[name].header, fobj=hdus).all_pix2world(PIXELS, 0)
            np.testing.assert_allclose(sky, expected, rtol=0, atol=1e-10, err_msg=name)
        loose = fits.HDUList([fits.PrimaryHDU(), *prediction.to_hdus()])
        sky = WCS(loose["PROB"].header, fobj=loose).all_pix2world(PIXELS, 0)
        np.testing.assert_allclose(sky, expected, rtol=0, atol=1e-10)
    assert read_frame(tmp_path / "out.fits").wcs is not None


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
