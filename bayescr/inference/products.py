"""The maps of an exposure in a FITS file, beside the extensions that the exposure came with.

    original extensions   header cards and data bytes as they are, compressed ones too
    PROB, ENTROPY, MUTUAL_INFORMATION (float32), CRMASK (uint8)
                          for each image predicted, with its EXTVER and its WCS cards, which name
                          the same distortion tables

An original plane in the way of a new one (same EXTNAME and EXTVER, such as the truth CRMASK of a
simulated exposure) keeps its data and is renamed ``CRMASK_INPUT``. What an earlier prediction
wrote is replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyWarning

from bayescr._files import write_fits
from bayescr.data._wcs import wcs_cards
from bayescr.inference.prediction import Prediction

__all__ = ["write_products"]


def write_products(
    source: str | Path,
    predictions: Mapping[int, Prediction],
    path: str | Path,
    *,
    threshold: float = 0.5,
    cards: Mapping[str, tuple[Any, str]] | None = None,
    overwrite: bool = False,
) -> None:
    """Copy an exposure and append its maps, atomically.

    Args:
        source: The FITS file that was predicted; it may be ``path`` itself.
        predictions: EXTVER -> prediction.
        path: The file to write. ``.gz`` compresses it; ``.fz`` compresses the new planes, bit
            for bit reversibly.
        threshold: Probability above which CRMASK is 1.
        cards: Keyword -> (value, comment), added to the header of every new plane.
        overwrite: Whether an existing file may be replaced.

    Raises:
        BayescrError: If the file exists and may not be replaced, or cannot be written.
    """
    planes = [
        plane
        for version, prediction in predictions.items()
        for plane in prediction.to_hdus(
            threshold=threshold, extver=version, sky=_sky(prediction.frame)
        )
    ]
    for plane in planes:
        plane.header.update(cards or {})
    taken = {(plane.name, plane.ver) for plane in planes}
    if str(path).endswith(".fz"):
        planes = [_compressed(plane) for plane in planes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # remarks about headers not of our making
        with fits.open(  # every HDU in the bytes it is stored in
            source, memmap=False, do_not_scale_image_data=True, disable_image_compression=True
        ) as originals:
            kept = [hdu for hdu in originals if not _is_replaced(hdu, taken)]
            for hdu in kept:
                if (hdu.name, hdu.ver) in taken:
                    hdu.name += "_INPUT"
                    _renew_checksum(hdu)
            copy = fits.HDUList([*kept, *planes])
            if copy[0].header.get("EXTEND") is not True:
                copy.update_extend()
                _renew_checksum(copy[0])
            write_fits(copy, path, overwrite=overwrite, output_verify="ignore")


def _sky(frame: CCDData | None) -> fits.Header:
    """The WCS cards that the exposure came with: they name tables by the EXTVER in its file."""
    if frame is None or frame.wcs is None:
        return fits.Header()
    cards = wcs_cards(fits.Header(frame.header))
    return cards if "CTYPE1" in cards else frame.wcs.to_header(relax=True)


def _is_replaced(hdu: Any, taken: set[tuple[str, int]]) -> bool:
    """Whether a plane was written by an earlier prediction of the same image."""
    return (hdu.name, hdu.ver) in taken and "BCRNSAMP" in hdu.header


def _renew_checksum(hdu: Any) -> None:
    """Follow a change of the header, where there is a checksum; with no date: same bytes."""
    if "CHECKSUM" in hdu.header:
        hdu.add_checksum(when="when maps were added")


def _compressed(plane: fits.ImageHDU) -> fits.CompImageHDU:
    """A plane compressed without loss: floats are not quantised."""
    return fits.CompImageHDU(
        plane.data, header=plane.header, compression_type="GZIP_2", quantize_level=0.0
    )
