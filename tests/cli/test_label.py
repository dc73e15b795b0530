"""``bayescr label``: files in, labelled files and a table out; bad input in one line."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

SIDE = 64


@pytest.fixture
def darks(tmp_path):
    """Three darks of 200 counts, one with a track of two."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    folder.mkdir()
    paths = []
    for index in range(3):
        data = rng.normal(200.0, 3.0, (SIDE, SIDE)).astype(np.float32)
        if index == 1:
            data[30, 20:30] += 150.0
            data[40, 60:] += 150.0
        path = folder / f"dark{index}.fits"
        write(path, data)
        paths.append(path)
    return paths


def write(path, data, **header):
    cards = fits.Header({"EXPTIME": 100.0, "IMAGETYP": "Dark Frame"} | header)
    fits.PrimaryHDU(np.asarray(data, np.float32), cards).writeto(path, overwrite=True)


def test_darks(bayescr, tmp_path, darks):
    out = tmp_path / "out"
    result = bayescr("label", *darks, "-o", out, "--gain", 2, "--columns", "4:60")
    assert result.exit_code == 0, result.output
    assert "1 events, 0 in the sign-flipped control" in result.stdout
    assert result.stderr == ""
    names = ["dark0.fits", "dark1.fits", "dark2.fits", "labels.csv"]
    assert sorted(path.name for path in out.iterdir()) == names
    with fits.open(out / "dark1.fits") as hdus:
        assert hdus["SCI"].data.shape == (SIDE, 56)
        assert hdus["CRCHARGE"].data[30, 16:26] == pytest.approx(300.0, abs=50.0)
        assert hdus[0].header["GAIN"] == 2.0
        assert hdus["SCI"].header["BUNIT"] == "ELECTRONS"
    table = pd.read_csv(out / "labels.csv", index_col="exposure")
    assert table["events"].tolist() == [0, 1, 0]
    assert table["gain"].tolist() == [2.0] * 3


def test_thresholds_and_overwriting(bayescr, fails, tmp_path, darks):
    out = tmp_path / "out"
    arguments = ("label", *darks, "-o", out)
    assert bayescr(*arguments, "--seed-sigma", 300).exit_code == 0
    assert pd.read_csv(out / "labels.csv")["events"].sum() == 0
    fails(*arguments, says=["dark0.fits' exists already", "--overwrite"])
    assert bayescr(*arguments, "--overwrite").exit_code == 0
    assert pd.read_csv(out / "labels.csv")["events"].sum() == 2


def test_gain_from_flats(bayescr, fails, tmp_path, darks):
    rng = np.random.default_rng(1)
    options = []
    for index in range(2):
        flat, bias = tmp_path / f"flat{index}.fits", tmp_path / f"bias{index}.fits"
        counts = (rng.poisson(4e4, (256, 256)) + rng.normal(0, 5.0, (256, 256))) / 2.5
        write(flat, counts + 200.0, GAIN=1)
        write(bias, rng.normal(200.0, 2.0, (256, 256)), GAIN=1)
        options += ["--flat", flat, "--bias", bias]
    out = tmp_path / "out"
    result = bayescr("label", *darks, "-o", out, *options)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "labels.csv")
    assert table["gain"].iloc[0] == pytest.approx(2.5, rel=0.02)
    assert table["read_noise"].iloc[0] == pytest.approx(5.0, rel=0.05)
    assert set(table["unit"]) == {"electron"}
    other = tmp_path / "other"
    fails("label", *darks, "-o", other, *options, "--gain", 2, says="--gain and --flat exclude")


def test_a_warning_of_too_many_false_events(bayescr, tmp_path, darks):
    options = ("--seed-sigma", 3.2, "--grow-sigma", 3)
    result = bayescr("label", *darks, "-o", tmp_path / "out", *options)
    assert result.exit_code == 0
    assert "events may be false" in result.stderr
    assert "more than 3%" in result.stderr
    assert "--columns or --rows" in result.stderr  # overscan is the usual cause


def test_flags_of_hubble(bayescr, tmp_path):
    rng = np.random.default_rng(0)
    hdus = [fits.PrimaryHDU()]
    for version in (1, 2):
        flags = np.zeros((SIDE, SIDE), np.int16)
        flags[10, version : 5 * version] = 8192
        science = fits.ImageHDU(rng.normal(50, 3, (SIDE, SIDE)).astype(np.float32), name="SCI")
        science.header["BUNIT"] = "ELECTRONS"
        science.ver = version
        hdus += [science, fits.ImageHDU(flags, name="DQ", ver=version)]
    path = tmp_path / "x_flc.fits"
    fits.HDUList(hdus).writeto(path)
    result = bayescr("label", path, "--from-dq", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with fits.open(tmp_path / "out" / "x_flc.fits") as written:
        assert [written["CRMASK", v].data.sum() for v in (1, 2)] == [4, 8]
    table = pd.read_csv(tmp_path / "out" / "labels.csv", index_col="exposure")
    assert table.index.tolist() == ["x_flc,1", "x_flc,2"]


def test_spectra(bayescr, tmp_path, darks):
    result = bayescr("label", *darks, "-o", tmp_path / "out", "--kind", "spectra")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "out" / "labels.csv")["events"].tolist() == [0, 2, 0]


def test_flags_of_an_imaged_section(bayescr, fails, tmp_path):
    flags = np.zeros((SIDE, SIDE), np.int16)
    flags[10, 5:9] = flags[50, 20:22] = 8192
    science = fits.ImageHDU(np.full((SIDE, SIDE), 50.0, np.float32), name="SCI")
    science.header["BUNIT"] = "ELECTRONS"
    path = tmp_path / "x_flc.fits"
    primary = fits.PrimaryHDU(header=fits.Header({"TARGNAME": "NGC1"}))
    fits.HDUList([primary, science, fits.ImageHDU(flags, name="DQ")]).writeto(path)
    arguments = ("label", path, "--from-dq", "-o", tmp_path / "out")
    assert bayescr(*arguments, "--rows", "40:60", "--columns", "10:40").exit_code == 0
    with fits.open(tmp_path / "out" / "x_flc.fits") as written:
        np.testing.assert_array_equal(written["CRMASK"].data, flags[40:60, 10:40] > 0)
        assert written[0].header["FIELD"] == "NGC1"
    assert pd.read_csv(tmp_path / "out" / "labels.csv")["events"].tolist() == [1]
    for option, value in (("--kind", "darks"), ("--gain", 2), ("--flat", path), ("--bias", path),
                          ("--split", 9), ("--seed-sigma", 5), ("--grow-sigma", 2)):  # fmt: skip
        fails(*arguments[:-1], tmp_path / "no", option, value, says=["--from-dq takes", option])


def test_exposures_are_never_replaced(fails, tmp_path, darks):
    folder = darks[0].parent
    fails("label", *darks, "-o", folder, "--overwrite", says="dark0.fits' is one of the files")
    (tmp_path / "linked").symlink_to(folder)
    fails("label", *darks, "-o", tmp_path / "linked", "--overwrite", says="one of the files")
    (tmp_path / "flats").mkdir()
    flat = tmp_path / "flats" / "dark1.fits"
    write(flat, np.ones((SIDE, SIDE)))
    options = ("--flat", flat, "-o", flat.parent, "--overwrite")
    fails("label", *darks, *options, says="flats/dark1.fits' is one of the files")


def test_names_of_fits_files(bayescr, tmp_path, darks):
    names = ["a.FITS", "b.fts.gz", "c.Fit"]
    renamed = [tmp_path / name for name in names]
    for path, dark in zip(renamed, darks, strict=True):
        write(path, fits.getdata(dark))
    assert bayescr("label", *renamed, "-o", tmp_path / "out").exit_code == 0
    written = [path.name for path in sorted((tmp_path / "out").glob("*.fits"))]
    assert written == ["a.fits", "b.fits", "c.fits"]


@pytest.mark.parametrize("names", [("M 67", "M 67"), ("M 67", "")])
def test_the_field_of_all_is_one(bayescr, tmp_path, darks, names):
    for path, name in zip(darks, (*names, "M 67"), strict=True):
        write(path, fits.getdata(path), OBJECT=name)
    assert bayescr("label", *darks, "-o", tmp_path / "out").exit_code == 0
    fields = {fits.getval(tmp_path / "out" / path.name, "FIELD") for path in darks}
    assert fields == ({"M 67"} if names[1] else {"dark0"})


@pytest.mark.parametrize(
    ("keywords", "gain", "unit"),
    [
        ({"GAIN": 4.0, "BUNIT": "adu"}, None, "adu"),  # may be an index, whatever stands beside it
        ({"GAIN": 4.0, "EGAIN": 1.5}, 1.5, "electron"),
        ({"GAIN": 4.0, "EGAIN": 1.5, "BUNIT": "adu"}, 1.5, "electron"),
    ],
)
def test_which_gain_of_a_header_is_believed(bayescr, tmp_path, darks, keywords, gain, unit):
    for path in darks:
        write(path, fits.getdata(path), **keywords)
    assert bayescr("label", *darks, "-o", tmp_path / "out").exit_code == 0
    row = pd.read_csv(tmp_path / "out" / "labels.csv").iloc[0]
    assert row["unit"] == unit
    assert row["gain"] == gain or (gain is None and np.isnan(row["gain"]))
    with fits.open(tmp_path / "out" / "dark0.fits") as hdus:
        expected = fits.getdata(darks[0]) * (gain or 1.0)
        np.testing.assert_allclose(hdus["SCI"].data, expected, rtol=1e-5)


def test_a_gain_that_is_given_counts_more_than_the_headers(bayescr, tmp_path, darks):
    for path in darks:
        write(path, fits.getdata(path), EGAIN=1.5, BUNIT="adu")
    assert bayescr("label", *darks, "-o", tmp_path / "out", "--gain", 2).exit_code == 0
    with fits.open(tmp_path / "out" / "dark0.fits") as hdus:
        np.testing.assert_allclose(hdus["SCI"].data, 2.0 * fits.getdata(darks[0]), rtol=1e-5)


def test_darks_without_a_time_are_named(fails, tmp_path, darks):
    fits.delval(darks[1], "EXPTIME")
    fails("label", *darks, "-o", tmp_path / "out", says="dark1.fits' has no exposure time")


def test_bad_input(fails, tmp_path, darks):
    out = tmp_path / "out"
    arguments = ("label", *darks, "-o", out)
    fails("label", *darks[:2], "-o", out, says="2 exposures given: expected 3 or more")
    fails("label", *darks[:2], tmp_path / "no.fits", "-o", out, says="there is no such file")
    fails("label", *darks, darks[0], "-o", out, says="two exposures are named 'dark0'")
    fails(*arguments, "--kind", "drak", says="unknown --kind 'drak': did you mean 'darks'?")
    fails(*arguments, "--columns", "9", says="columns are '9'")
    fails(*arguments, "--columns", "0:99", says=["columns are 0:99 but", "has 64"])
    fails(*arguments, "--rows", "9:3", says="rows are '9:3'")
    fails(*arguments, "--seed-sigma", 2, says="grow_sigma is 3.0 but seed_sigma 2.0")
    fails(*arguments, "--gain", -1, says="gain is -1")
    fails(*arguments, "--flat", darks[0], says="1 flats given")
    fails(*arguments, "--split", 99, says="splits are (99,)")
    fails(*arguments, "--kind", "spectra", "--split", 9, says="--split is for darks")
    fails(*arguments, "--extension", "SCI", says="no extension 'SCI'")
    fails(*arguments, "--from-dq", says="no extension ('DQ', 1)")
    fails("label", *darks, "-o", darks[0], says="is a file, not a folder")


def test_exposures_that_do_not_belong_together(fails, tmp_path, darks):
    out, data = tmp_path / "out", np.random.default_rng(0).normal(200.0, 3.0, (SIDE, SIDE))
    write(darks[2], data[:50])
    fails("label", *darks, "-o", out, says="exposure 3 has shape (50, 64)")
    write(darks[2], data, IMAGETYP="Light Frame")
    fails("label", *darks, "-o", out, says="2 of 3 exposures are darks by their headers")
    darks[2].write_text("dear diary\n" * 500)
    fails("label", *darks, "-o", out, says="as FITS")
