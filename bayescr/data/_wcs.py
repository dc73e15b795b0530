"""The header cards that place an image on the sky: told from all others, and taken from them.

Only the primary description counts: cards of the alternate ones (``CRVAL1O``) are not told apart.
"""

from __future__ import annotations

import re

from astropy.io import fits

__all__ = ["wcs_cards", "without_wcs_cards"]

_CARD = re.compile(
    r"WCSAXES|WCSNAME|LONPOLE|LATPOLE|RADEC?SYS|EQUINOX"
    r"|C(TYPE|RVAL|RPIX|DELT|UNIT|ROTA)\d+"
    r"|(PC|CD|PV|PS)\d+_\d+|PC\d{6}"
    r"|[AB]P?_(ORDER|DMAX|\d+_\d+)"  # SIP
    r"|(CP|CQ|D2IM)(DIS|ERR)\d+|(DP|DQ|D2IM)\d+(\..+)?|AXISCORR|D2IMEXT"  # lookup tables
)


def wcs_cards(header: fits.Header) -> fits.Header:
    """A new header of the WCS cards alone; lookup tables are named by their EXTVER, not held."""
    return fits.Header([card for card in header.copy().cards if _CARD.fullmatch(card.keyword)])


def without_wcs_cards(header: fits.Header) -> fits.Header:
    """A new header of all other cards."""
    kept = [card for card in header.copy().cards if not _CARD.fullmatch(card.keyword)]
    return fits.Header(kept)
