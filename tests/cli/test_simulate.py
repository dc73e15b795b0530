"""``bayescr simulate`` with instruments and workers."""

import pytest
from astropy.io import fits

from bayescr.cli.simulate import simulate as command
from bayescr.simulation import FIELDS, INSTRUMENTS


def test_instrument_and_field(bayescr, tmp_path):
    options = ("--instrument", "thin_ground_ccd", "--field", "open-cluster", "--frames", 1)
    result = bayescr("simulate", *options, "--size", 48, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 frame(s) of 48 x 48 pixels, thin-ground-ccd, open-cluster" in result.stdout
    (path,) = tmp_path.iterdir()
    assert path.name == "open-cluster_thin-ground-ccd_0_0000.fits"
    header = fits.getheader(path)
    assert header["INSTRUME"] == "thin-ground-ccd"
    low, high = INSTRUMENTS["thin-ground-ccd"].exposure_times
    assert low <= header["EXPTIME"] <= high


@pytest.mark.slow
def test_workers_change_no_byte(bayescr, tmp_path):
    written = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        options = ("--frames", 2, "--size", 32, "--seed", 4, "--workers", workers, "-o", folder)
        result = bayescr("simulate", "--field", "dark", *options)
        assert result.exit_code == 0, result.output
        written[workers] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(written[1]) == 2
    assert written[1] == written[2]


def test_help_names_every_field_and_instrument():
    import typing

    hints = typing.get_type_hints(command, include_extras=True)
    for option, names in (("field", FIELDS), ("instrument", INSTRUMENTS)):
        (text,) = [extra.help for extra in hints[option].__metadata__]
        for name in names:
            assert name in text


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--instrument", "hst-acs-wcf", "did you mean 'hst-acs-wfc'?"),
        ("--instrument", "kast", "unknown instrument 'kast'"),
        ("--field", "spectra", "did you mean 'spectrum'?"),
        ("--workers", "0", "workers is 0"),
    ],
)
def test_bad_options_are_named(fails, tmp_path, option, value, says):
    fails("simulate", "--field", "dark", "-o", tmp_path / "out", option, value, says=says)
