"""From the unit in a header to electrons.

    electrons              x 1
    electrons / s          x exposure time
    counts (ADU, DN)       x gain [electron / count]
    counts / s             x exposure time x gain
    anything else          as it is (Jy, MJy / sr, ...)

Counts of unknown gain stay counts: the scaling of the network's input does not feel the gain.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from astropy import units as u

from bayescr.errors import BayescrError

__all__ = ["to_electrons"]

_ELECTRONS = {"electron", "electrons", "e-", "e"}
_COUNTS = {"adu", "adus", "dn", "dns", "count", "counts", "ct", "cts"}
_PER_SECOND = {"s", "sec", "second", "seconds"}
_GAIN_KEYWORDS = ("EGAIN", "CCDGAIN", "ATODGAIN", "GAIN")
_EXPOSURE_KEYWORDS = ("EXPTIME", "EXPOSURE", "XPOSURE")


def to_electrons(
    header: Mapping[str, Any],
    *,
    unit: str | u.UnitBase | None,
    gain: float | None,
    exposure_time: float | None,
    path: str | os.PathLike[str],
) -> tuple[float, u.UnitBase]:
    """The factor that the pixels need, and the unit they then have.

    Args:
        header: Where BUNIT, the gain and the exposure time are looked up.
        unit: Unit of the pixels in the file, in place of BUNIT.
        gain: Electrons per count, in place of the header's. A header that does not even say
            that its pixels are counts is not trusted with a gain either: its pixels stay adu.
        exposure_time: Seconds, in place of the header's.
        path: The file, for messages.

    Raises:
        BayescrError: If the unit is unknown, a rate comes without an exposure time, or a number
            is not positive.
    """
    stated = unit if unit is not None else str(header.get("BUNIT", "")).strip() or None
    base, is_rate = _split(u.adu if stated is None else _parse(stated, path))
    factor = 1.0
    if is_rate:
        seconds = _number("exposure_time", exposure_time, header, _EXPOSURE_KEYWORDS)
        if seconds is None:
            raise BayescrError(
                f"'{path}' is in {stated} but its header has no exposure time "
                f"({', '.join(_EXPOSURE_KEYWORDS)}): pass exposure_time in seconds"
            )
        factor *= seconds
    if base != u.adu:
        if gain is not None:
            raise BayescrError(
                f"gain={gain} was given but '{path}' is in {stated}: leave the gain out, or pass "
                "unit='adu' if the header is wrong"
            )
        return factor, base
    electrons = _number("gain", gain, header, _GAIN_KEYWORDS if stated is not None else ())
    return (factor, u.adu) if electrons is None else (factor * electrons, u.electron)


def _parse(stated: str | u.UnitBase, path: str | os.PathLike[str]) -> u.UnitBase:
    """Read a unit in astropy's spelling or in those that headers use: ELECTRONS/S, e-, DN."""
    text = stated if isinstance(stated, str) else stated.to_string()
    head, _, rate = (part.strip().lower() for part in text.partition("/"))
    if head in _ELECTRONS | _COUNTS and (not rate or rate in _PER_SECOND):
        base = u.electron if head in _ELECTRONS else u.adu
        return base / u.s if rate else base
    try:
        return u.Unit(text)
    except (ValueError, TypeError) as error:
        raise BayescrError(
            f"unknown unit '{text}' for '{path}': pass unit='electron', 'electron/s', 'adu' or "
            "'adu/s'"
        ) from error


def _split(unit: u.UnitBase) -> tuple[u.UnitBase, bool]:
    """A unit without its ``/ s``, every spelling of counts as adu, and whether it was a rate."""
    for base in (u.electron, u.adu, u.DN, u.ct):
        if unit in (base, base / u.s):
            return (u.electron if base == u.electron else u.adu), unit != base
    return unit, False


def _number(
    name: str, given: float | None, header: Mapping[str, Any], keywords: tuple[str, ...]
) -> float | None:
    """What the caller gave, else the first positive number among the keywords, else None."""
    if given is not None:
        if not _is_positive(given):
            raise BayescrError(f"{name} is {given!r}: expected a positive number")
        return float(given)
    return next((float(header[k]) for k in keywords if _is_positive(header.get(k))), None)


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0
