"""Injected frames as FITS, in the form of `bayescr.data.formats.native`: a dataset reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.io import fits

from bayescr import __version__
from bayescr.data.formats import LabelledImage
from bayescr.data.formats.image import simulated_seed
from bayescr.data.formats.native import write
from bayescr.injection.painting import Injected

__all__ = ["write_injected"]


def write_injected(
    injected: Injected,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    cards: Mapping[str, Any] | None = None,
) -> None:
    """Write a frame with painted tracks as SCI, ERR, DQ, CRMASK, CRVALID and CRCHARGE.

    The header is the sky's, with SEED, NTRACKS, CRTHRESH and CRUNDEC of the painting; SKYSEED keeps
    the seed of a simulated sky. No date is written: the same frame gives the same bytes.

    Args:
        injected: What to write.
        path: The file; ``.fits.gz`` compresses it.
        overwrite: Whether an existing file may be replaced.
        cards: More for the header, keyword -> value or (value, comment).

    Raises:
        BayescrError: If the file exists and may not be replaced, or cannot be written.
    """
    frame = injected.frame.copy()
    frame.meta = fits.Header(frame.header)  # a frame made in Python may have a plain dict
    sky_seed = simulated_seed(frame.header)
    if sky_seed is not None:
        frame.header["SKYSEED"] = (sky_seed, "of the simulation of the sky")
    frame.header["SEED"] = (injected.seed, "of the places of the tracks")
    frame.header["NTRACKS"] = (len(injected.placed), "painted in")
    frame.header["CRTHRESH"] = (injected.threshold, "CRMASK: charge > CRTHRESH * noise without it")
    frame.header["CRUNDEC"] = (injected.undecided, "CRVALID: not from CRUNDEC to CRTHRESH")
    frame.header["ORIGIN"] = (f"bayescr {__version__}", "real tracks painted in")
    for keyword, value in (cards or {}).items():
        frame.header[keyword] = value
    image = LabelledImage(
        frame=frame,
        truth=injected.truth,
        exposure="",
        reliable=injected.valid,
        charge=injected.charge,
    )
    write([image], Path(path), overwrite=overwrite)
