"""The header of a frame chooses the model: what its telescope is, and nothing else."""

import pytest
from astropy.io import fits

from bayescr.pretrained import FALLBACK, RULES, choose
from bayescr.simulation import INSTRUMENTS


@pytest.mark.parametrize(
    ("header", "model", "reason"),
    [
        ({"TELESCOP": "HST", "INSTRUME": "ACS"}, "space", "TELESCOP is 'HST'"),
        ({"TELESCOP": " hst "}, "space", "TELESCOP is 'hst'"),
        ({"INSTRUME": "WFC3"}, "space", "INSTRUME is 'WFC3'"),
        ({"INSTRUME": "hst-acs-wfc"}, "space", "INSTRUME is 'hst-acs-wfc'"),
        ({"TELESCOP": "", "INSTRUME": "WFPC2"}, "space", "INSTRUME is 'WFPC2'"),
        ({"TELESCOP": "Shane 3-m", "INSTRUME": "KAST"}, "ground", "TELESCOP is 'Shane 3-m'"),
        ({"INSTRUME": "DECam"}, "ground", "INSTRUME is 'DECam'"),
        ({"TELESCOP": 3}, "ground", "TELESCOP is '3'"),
        ({"OBJECT": "HST guide star"}, "ground", "the header names no telescope"),
        ({}, "ground", "the header names no telescope"),
    ],
)
def test_the_first_rule_that_fits(header, model, reason):
    for given in (header, fits.Header(header)):
        chosen = choose(given)
        assert (chosen.model, chosen.reason) == (model, reason)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_simulated_instruments_find_their_model(name):
    instrument = INSTRUMENTS[name]
    header = {"TELESCOP": instrument.telescope, "INSTRUME": name}
    expected = "space" if name.startswith("hst") else "ground"
    assert choose(header).model == choose({"INSTRUME": name}).model == expected


def test_the_rules_name_two_models():
    assert {rule.model for rule in RULES} | {FALLBACK} == {"space", "ground"}
