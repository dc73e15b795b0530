"""Every card of a header goes to one side or the other."""

from astropy.io import fits

from bayescr.data._wcs import wcs_cards, without_wcs_cards

SKY = {
    "WCSAXES": 2, "CTYPE1": "RA---TAN-SIP", "CRPIX2": 4.0, "CD1_2": 1e-5, "PC001002": 0.0,
    "PV1_10": 0.1, "RADESYS": "ICRS", "A_ORDER": 2, "B_0_2": 1e-6, "AP_1_1": 1e-6,
    "CPDIS1": "LOOKUP", "DP1.EXTVER": 3, "DP1.AXIS.1": 1, "D2IMDIS2": "LOOKUP", "D2IM2.EXTVER": 1,
}  # fmt: skip
OTHER = {"OBJECT": "M 92", "CRMASK": 1, "CD_TEMP": -80.0, "CRVAL1O": 150.0, "CCDGAIN": 2.0,
         "A_TEMP": 3.0, "DPC": 1, "EPOCH": 2019.8}  # fmt: skip


def test_cards_are_told_apart_and_the_header_stays():
    header = fits.Header(SKY | OTHER)
    header["CRPIX2"] = (4.0, "a comment")
    before = header.copy()
    assert dict(wcs_cards(header)) == SKY
    assert wcs_cards(header).comments["CRPIX2"] == "a comment"
    assert dict(without_wcs_cards(header)) == OTHER
    wcs_cards(header)["CRPIX2"] = 5.0
    assert header == before


def test_a_header_without_any():
    assert not wcs_cards(fits.Header(OTHER))
    assert not without_wcs_cards(fits.Header())
