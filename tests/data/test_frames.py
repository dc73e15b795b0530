import gzip
import os

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from bayescr.data import BAD_BITS, image_extensions, read_frame, read_truth
from bayescr.data.frames import count_left_out
from bayescr.errors import BayescrError


def image(shape=(12, 20), seed=0):
    return np.random.default_rng(seed).normal(100.0, 5.0, shape).astype(np.float32)


def sky_wcs(shape=(12, 20)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.crpix = [shape[1] / 2, shape[0] / 2]
    wcs.wcs.cdelt = [-1.4e-5, 1.4e-5]
    return wcs


def chip(version, *, bunit="ELECTRONS", shape=(12, 20), flags=None):
    """SCI, ERR and DQ of one chip, as HST's pipeline writes them."""
    science = image(shape, seed=version)
    flags = np.zeros(shape, np.int16) if flags is None else flags
    hdus = [
        fits.ImageHDU(science, sky_wcs(shape).to_header(), name="SCI", ver=version),
        fits.ImageHDU(np.sqrt(science), name="ERR", ver=version),
        fits.ImageHDU(flags, name="DQ", ver=version),
    ]
    hdus[0].header["BUNIT"] = hdus[1].header["BUNIT"] = bunit
    return hdus


def write(path, *hdus, **primary_keywords):
    primary = fits.PrimaryHDU()
    primary.header.update(primary_keywords)
    fits.HDUList([primary, *hdus]).writeto(path)
    return path


def write_plain(path, data, **keywords):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(keywords)
    hdu.writeto(path)
    return path


def test_flt_brings_uncertainty_mask_header_and_wcs(tmp_path):
    flags = np.zeros((12, 20), np.int16)
    flags[0, :6] = [16, 64, 256, 4096, 16384, 4096 | 256]
    path = write(tmp_path / "a_flt.fits", *chip(1, flags=flags), EXPTIME=500.0, INSTRUME="ACS")
    frame = read_frame(path)
    assert isinstance(frame, CCDData)
    assert frame.unit == u.electron
    assert frame.data.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(frame.data, image(seed=1))
    np.testing.assert_array_equal(frame.uncertainty.array, np.sqrt(image(seed=1)))
    assert frame.mask[0, :6].tolist() == [True, False, True, False, False, True]
    assert frame.mask.sum() == 3
    assert frame.header["EXPTIME"] == 500.0
    assert frame.header["INSTRUME"] == "ACS"
    assert frame.header["EXTNAME"] == "SCI"
    assert frame.wcs.wcs_pix2world(9, 5, 0) == pytest.approx([150.0, 2.0])


def test_default_bad_bits_are_those_documented():
    assert [2**bit for bit in range(16) if not BAD_BITS & 2**bit] == [
        64,
        4096,
        8192,
        16384,
        32768,
    ]


def test_bad_bits_are_the_callers_choice(tmp_path):
    flags = np.zeros((12, 20), np.int16)
    flags[3, 3], flags[4, 4] = 64, 256
    path = write(tmp_path / "a.fits", *chip(1, flags=flags))
    assert np.argwhere(read_frame(path, bad_bits=64).mask).tolist() == [[3, 3]]


@pytest.mark.parametrize("extension", [("SCI", 2), "SCI,2", "sci, 2", 4, "4"])
def test_every_spelling_of_the_second_chip(tmp_path, extension):
    flags = np.zeros((12, 20), np.int16)
    flags[7, 7] = 4
    path = write(tmp_path / "a_flc.fits", *chip(1), *chip(2, flags=flags))
    frame = read_frame(path, extension=extension)
    np.testing.assert_array_equal(frame.data, image(seed=2))
    np.testing.assert_array_equal(frame.uncertainty.array, np.sqrt(image(seed=2)))
    assert np.argwhere(frame.mask).tolist() == [[7, 7]]


def test_image_extensions_lists_every_chip_else_the_first_image(tmp_path):
    flc = write(tmp_path / "flc.fits", *chip(1), *chip(2))
    assert image_extensions(flc) == [("SCI", 1), ("SCI", 2)]
    cube_first = write(
        tmp_path / "mef.fits", fits.ImageHDU(np.zeros((3, 4, 5))), fits.ImageHDU(image())
    )
    assert image_extensions(cube_first) == [2]
    np.testing.assert_array_equal(read_frame(cube_first).data, image())


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3)])
def test_chips_without_versions_are_told_apart_by_number(tmp_path, order):
    """SCI, DQ, SCI, DQ or SCI, SCI, DQ, DQ: the second of each belong together."""
    hdus = []
    for seed in (1, 2):
        flags = np.zeros((12, 20), np.int16)
        flags[seed, seed] = 4
        hdus += [fits.ImageHDU(image(seed=seed), name="SCI"), fits.ImageHDU(flags, name="DQ")]
    path = write(tmp_path / "a.fits", *(hdus[i] for i in order), *chip(7))
    extensions = image_extensions(path)
    assert extensions == [1 + order.index(0), 1 + order.index(2), ("SCI", 7)]
    for seed, extension in enumerate(extensions[:2], start=1):
        frame = read_frame(path, extension=extension)
        np.testing.assert_array_equal(frame.data, image(seed=seed))
        assert np.argwhere(frame.mask).tolist() == [[seed, seed]]


def test_images_left_out_are_those_that_look_like_science(tmp_path):
    names = ["N1", "N2", "", "DQ", "WCSDVARR", "CRMASK_INPUT"]
    planes = [fits.ImageHDU(image(), name=name) for name in names]
    cube = fits.ImageHDU(np.zeros((3, 4, 5)))
    assert count_left_out(write(tmp_path / "mosaic.fits", *planes, cube)) == 2
    assert count_left_out(write(tmp_path / "flc.fits", *chip(1), *chip(2), *planes)) == 0
    assert count_left_out(write_plain(tmp_path / "plain.fits", image())) == 0


@pytest.mark.parametrize(
    ("keywords", "arguments", "factor", "unit"),
    [
        ({"BUNIT": "ELECTRONS"}, {}, 1.0, "electron"),
        ({"BUNIT": "e-"}, {}, 1.0, "electron"),
        ({"BUNIT": "ELECTRONS/S", "EXPTIME": 500.0}, {}, 500.0, "electron"),
        ({"BUNIT": "electron / s"}, {"exposure_time": 20}, 20.0, "electron"),
        ({"BUNIT": "electron s-1", "EXPTIME": 0.0, "EXPOSURE": 3.0}, {}, 3.0, "electron"),
        ({"BUNIT": "COUNTS", "CCDGAIN": 2.0}, {}, 2.0, "electron"),
        ({"BUNIT": "ADU", "GAIN": 1.5}, {"gain": 3.0}, 3.0, "electron"),
        ({"BUNIT": "DN/s", "EGAIN": 2.0, "EXPTIME": 10}, {}, 20.0, "electron"),
        ({"BUNIT": "counts"}, {}, 1.0, "adu"),
        ({"BUNIT": "counts/s", "EXPTIME": 4.0}, {}, 4.0, "adu"),
        ({"BUNIT": "counts", "GAIN": "high"}, {}, 1.0, "adu"),
        ({"GAIN": 1}, {}, 1.0, "adu"),  # no unit stated: the gain keyword is not trusted
        ({"GAIN": 1}, {"gain": 1.8}, 1.8, "electron"),
        ({"BUNIT": " ", "GAIN": 2}, {"unit": "adu"}, 2.0, "electron"),
        ({}, {"unit": u.electron / u.s, "exposure_time": 2.0}, 2.0, "electron"),
        ({"BUNIT": "MJy/sr"}, {}, 1.0, "MJy / sr"),
    ],
)
def test_units(tmp_path, keywords, arguments, factor, unit):
    frame = read_frame(write_plain(tmp_path / "a.fits", image(), **keywords), **arguments)
    np.testing.assert_allclose(frame.data, image() * factor, rtol=1e-6)  # one float32 rounding
    assert frame.unit == u.Unit(unit)
    assert u.Unit(frame.header["BUNIT"]) == u.Unit(unit)


def test_uncertainty_is_scaled_with_the_data(tmp_path):
    path = write(tmp_path / "a.fits", *chip(1, bunit="ELECTRONS/S"), EXPTIME=100.0)
    frame = read_frame(path)
    np.testing.assert_allclose(frame.uncertainty.array, 100 * np.sqrt(image(seed=1)), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.fz"])
def test_compressed_files(tmp_path, suffix):
    data = np.round(image((40, 50))).astype(np.int32)
    path = tmp_path / f"a{suffix}"
    if suffix == ".fits.fz":
        header = sky_wcs((40, 50)).to_header()
        write(path, fits.CompImageHDU(data, header, compression_type="RICE_1"), EXPTIME=9.0)
    else:
        write_plain(path, data, EXPTIME=9.0)
    frame = read_frame(path)
    np.testing.assert_array_equal(frame.data, data)
    assert frame.header["EXPTIME"] == 9.0
    assert (frame.wcs is not None) == (suffix == ".fits.fz")
    assert not {"ZIMAGE", "ZCMPTYPE", "BZERO"} & set(frame.header)


@pytest.mark.parametrize("dtype", ["uint16", "int16", ">i4", ">f8", "<f4", "uint8"])
def test_every_number_format_becomes_native_float32(tmp_path, dtype):
    data = np.arange(12 * 20).reshape(12, 20).astype(dtype)
    if dtype == "uint16":
        data[0, 0] = 65535  # stored as 32767 with BZERO = 32768
    frame = read_frame(write_plain(tmp_path / "a.fits", data))
    assert frame.data.dtype.isnative
    assert frame.data.dtype == np.float32
    np.testing.assert_array_equal(frame.data, data.astype(np.float64))
    assert "BZERO" not in frame.header


def test_integer_blank_and_values_beyond_float32_are_masked(tmp_path):
    data = np.arange(20, dtype=np.int16).reshape(4, 5)
    blank = read_frame(write_plain(tmp_path / "blank.fits", data, BLANK=7))
    assert np.argwhere(blank.mask).tolist() == [[1, 2]]
    huge = np.ones((4, 5))
    huge[2, 2] = -1.7e308
    assert read_frame(write_plain(tmp_path / "huge.fits", huge)).mask.sum() == 1


def test_nan_and_infinity_are_masked_and_stay_in_the_data(tmp_path):
    data = image()
    data[1, 2], data[3, 4] = np.nan, np.inf
    frame = read_frame(write_plain(tmp_path / "a.fits", data))
    assert np.argwhere(frame.mask).tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(frame.data, data)


def test_a_plane_of_one_value_stored_without_pixels_counts_as_absent(tmp_path):
    science, _, _ = chip(1)
    empty = fits.ImageHDU(name="DQ", ver=1)
    empty.header["PIXVALUE"] = 0
    assert not read_frame(write(tmp_path / "a.fits", science, empty)).mask.any()


def test_a_broken_wcs_costs_only_the_wcs(tmp_path, caplog):
    path = write_plain(
        tmp_path / "a.fits", image(), CTYPE1="RA---TAN", CTYPE2="DEC--XYZ", CRVAL1="?"
    )
    frame = read_frame(path)
    assert frame.wcs is None
    assert "a.fits" in caplog.text
    np.testing.assert_array_equal(frame.data, image())


def test_a_header_that_wcslib_fixes_gives_no_warning(tmp_path):
    keywords = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "DATE-OBS": "31/12/99", "EPOCH": 2000.0}
    path = tmp_path / "a.fits"
    write_plain(path, image(), **keywords)
    assert read_frame(path).wcs is not None  # warnings are errors here


def test_a_frame_can_be_written_and_read_again(tmp_path):
    write(tmp_path / "a.fits", *chip(1), EXPTIME=5.0)
    frame = read_frame(tmp_path / "a.fits")
    hdu = fits.ImageHDU(frame.data, header=frame.header, name="SCI")
    again = read_frame(write(tmp_path / "b.fits", hdu))
    np.testing.assert_array_equal(again.data, frame.data)
    assert again.unit == frame.unit
    assert again.wcs.wcs.compare(frame.wcs.wcs)


def test_truth(tmp_path):
    truth = np.zeros((12, 20), np.uint8)
    truth[2, 3:6] = 1
    path = write(tmp_path / "a.fits", *chip(1), fits.ImageHDU(truth, name="CRMASK"))
    read = read_truth(path, shape=(12, 20))
    assert read.dtype == bool
    np.testing.assert_array_equal(read, truth == 1)
    with pytest.raises(BayescrError, match=r"shape \(12, 20\) but its frame \(20, 12\)"):
        read_truth(path, shape=(20, 12))
    with pytest.raises(BayescrError, match="no extension 'TRUTH'.*'CRMASK,1'"):
        read_truth(path, extension="TRUTH", shape=(12, 20))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(BayescrError, match="no such file"):
        read_frame(tmp_path / "none.fits")
    with pytest.raises(BayescrError, match="it is a folder"):
        read_frame(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a FITS file\n" * 500, b"\x89PNG\r\n" * 1000])
def test_a_file_that_is_not_fits(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    assert_one_clear_line(path, "as FITS")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_file(tmp_path, part, zipped):
    whole = write_plain(tmp_path / "whole.fits", image((200, 200))).read_bytes()
    path = tmp_path / ("a.fits.gz" if zipped else "a.fits")
    content = gzip.compress(whole) if zipped else whole
    path.write_bytes(content[: int(len(content) * part)])
    assert_one_clear_line(path, "as FITS")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_a_file_without_permission(tmp_path):
    path = write_plain(tmp_path / "a.fits", image())
    path.chmod(0)
    assert_one_clear_line(path, "Permission denied")


def test_no_data(tmp_path):
    assert_one_clear_line(write(tmp_path / "a.fits"), "holds no image data")
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.ones(3))], name="T")
    path = write(tmp_path / "b.fits", table)
    assert_one_clear_line(path, "holds no image data")
    assert_one_clear_line(path, "holds a table", extension="T")
    assert_one_clear_line(path, "holds no data", extension=0)


@pytest.mark.parametrize("shape", [(30,), (3, 10, 10), (2, 3, 4, 5)])
@pytest.mark.parametrize("extension", [None, 0])
def test_images_that_are_not_two_dimensional(tmp_path, shape, extension):
    path = write_plain(tmp_path / "a.fits", np.ones(shape))
    message = assert_one_clear_line(path, str(shape), extension=extension)
    assert ("3 planes" in message) == (len(shape) == 3)


def test_no_usable_pixel(tmp_path):
    assert_one_clear_line(
        write_plain(tmp_path / "a.fits", np.full((4, 4), np.nan)), "no usable pixel"
    )
    flagged = write(tmp_path / "b.fits", *chip(1, flags=np.full((12, 20), 4, np.int16)))
    assert_one_clear_line(flagged, "no usable pixel")
    assert read_frame(flagged, bad_bits=0).mask.sum() == 0


def test_unknown_extensions_list_those_there_are(tmp_path):
    path = write(tmp_path / "a.fits", fits.ImageHDU(image(), name="N2"))
    for extension in [("SCI", 1), "SCI", 7, "ERR,2"]:
        assert_one_clear_line(path, r"1 'N2,1' \(shape \(12, 20\)\)", extension=extension)
    assert_one_clear_line(path, "not understood", extension="SCI,one")


@pytest.mark.parametrize(
    ("keywords", "arguments", "message"),
    [
        ({"BUNIT": "bananas"}, {}, "unknown unit 'bananas'"),
        ({}, {"unit": "parrots"}, "unknown unit 'parrots'"),
        ({"BUNIT": "ELECTRONS/S"}, {}, "no exposure time"),
        ({"BUNIT": "ELECTRONS/S", "EXPTIME": 0.0}, {}, "no exposure time"),
        ({"BUNIT": "ELECTRONS"}, {"gain": 2.0}, "gain=2.0 was given"),
        ({"BUNIT": "ADU"}, {"gain": -1.0}, "gain is -1.0"),
        ({"BUNIT": "ELECTRONS/S"}, {"exposure_time": np.nan}, "exposure_time is nan"),
    ],
)
def test_units_that_cannot_be_used(tmp_path, keywords, arguments, message):
    path = write_plain(tmp_path / "a.fits", image(), **keywords)
    assert_one_clear_line(path, message, **arguments)


def test_companions_of_another_shape(tmp_path):
    science, _, _ = chip(1)
    wrong = fits.ImageHDU(np.zeros((5, 5), np.int16), name="DQ", ver=1)
    assert_one_clear_line(write(tmp_path / "a.fits", science, wrong), r"'DQ,1'.*shape \(5, 5\)")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("nickel_ngc6819_2019/d3163.fits.gz", (1024, 1056)),
        ("kast_red_2019/r3039.fits.gz", (2725, 550)),
        ("decam_dq_cutouts/testcase8__c4d_171113_060340_ooi_r_ls9.N6.fits", (375, 280)),
    ],
)
def test_real_frames(real_data, name, shape):
    frame = read_frame(real_data(name))
    assert frame.data.shape == shape
    assert frame.unit == u.adu
    assert np.isfinite(frame.data).all()
    assert frame.header["EXPTIME"] > 0
    assert frame.wcs is not None


def assert_one_clear_line(path, message, **arguments):
    with pytest.raises(BayescrError, match=message) as caught:
        read_frame(path, **arguments)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value) or arguments
    return str(caught.value)


def test_a_prediction_is_not_taken_for_truth(tmp_path):
    truth = np.zeros((12, 20), np.uint8)
    truth[2, 3:6] = 1
    predicted = fits.ImageHDU(1 - truth, name="CRMASK")
    predicted.header["BCRNSAMP"] = 16
    moved_aside = fits.ImageHDU(truth, name="CRMASK_INPUT")
    path = write(tmp_path / "both.fits", *chip(1), moved_aside, predicted)
    np.testing.assert_array_equal(read_truth(path, shape=(12, 20)), truth == 1)
    path = write(tmp_path / "prediction.fits", *chip(1), predicted)
    with pytest.raises(BayescrError, match=r"no extension \('CRMASK_INPUT', 1\)"):
        read_truth(path, shape=(12, 20))
