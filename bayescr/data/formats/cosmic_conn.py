"""Cosmic-CoNN's files: aligned exposures of one field, with masks that say why to ignore a pixel.

    PRIMARY           FRMTOTAL, the number n of frames
    SCI        x n    float32
    VALID_MASK        uint8, 0 where a frame has no data
    CAT               a table of sources
    CR         x n    uint8, not 0 = a cosmic ray
    IGNORE     x n    uint8, a sum of 1 boundary, 2 no data, 4 source, 8 hot pixel

CR and IGNORE belong to the SCI of the same rank: their EXTVER are all 0. Codes 1, 4 and 8 say
where labels were not looked for, or dropped: the pixel is good, its truth unreliable. 8 marks
flagged pixels without a neighbour; a hit of one pixel is among them. The frames show one sky, so
that the file is their field: split by field.

References:
    Xu, McCully, Dong, Howell & Sen, "Cosmic-CoNN: A Cosmic-Ray Detection Deep-learning Framework,
    Data Set, and Toolkit", arXiv:2106.14922; its data set, doi:10.5281/zenodo.5034763.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bayescr._files import write_fits
from bayescr.data._fits import opened, pixels, stem
from bayescr.data.formats.image import Entry, LabelledImage
from bayescr.data.formats.native import science_hdus
from bayescr.data.frames import read_frame
from bayescr.errors import BayescrError

__all__ = ["CODES", "NO_DATA", "entries", "read", "write"]

Array = np.ndarray[Any, Any]

CODES = {"BOUNDARY": 1, "SOURCE": 4, "HOT": 8}
"""Name of a plane -> its bit in IGNORE."""
NO_DATA = 2
_FILLED = 2  # the same of Hubble's flags: filled in where data were lost


def entries(path: Path) -> list[Entry]:
    """The frames of a file, in order."""
    with opened(path) as hdus:
        found = []
        for index in _ranks(hdus, path)["SCI"]:
            header = hdus[index].header.copy(strip=True)
            header.setdefault("FIELD", stem(path))
            found.append(
                Entry(str(index), _exposure(header, path, index), hdus[index].shape, header)
            )
        return found


def read(path: Path, extension: str, *, mask: Path | None = None) -> LabelledImage:
    """Read the frame of an extension number, with its truth and what is to be ignored."""
    with opened(path) as hdus:
        ranks = _ranks(hdus, path)
        if extension not in map(str, ranks["SCI"]):
            raise BayescrError(
                f"'{path}' has no frame in extension {extension}: choose one of {ranks['SCI']}"
            )
        rank = ranks["SCI"].index(int(extension))
        truth = pixels(hdus[ranks["CR"][rank]], path=path) != 0
        codes = pixels(hdus[ranks["IGNORE"][rank]], path=path).astype(np.uint8)
    frame = read_frame(path, extension=int(extension))
    frame.header.setdefault("FIELD", stem(path))
    no_data = (codes & NO_DATA) != 0
    frame.mask = frame.mask | no_data
    return LabelledImage(
        frame=frame,
        truth=truth,
        exposure=_exposure(frame.header, path, int(extension)),
        reliable=codes == 0,
        dq=np.where(no_data, _FILLED, 0).astype(np.int16),
        defects={name: (codes & code) != 0 for name, code in CODES.items()},
    )


def write(images: list[LabelledImage], path: Path, *, overwrite: bool = False) -> None:
    """Write frames of one shape to a file that Cosmic-CoNN's own loader can read.

    Unreliable pixels of no stated kind count as sources.
    """
    shapes = {image.frame.data.shape for image in images}
    if len(shapes) != 1:
        raise BayescrError(f"frames have the shapes {sorted(shapes)}: one file holds one shape")
    primary = fits.PrimaryHDU()
    primary.header["FRMTOTAL"] = (len(images), "number of frames")
    science = [next(iter(science_hdus(image))) for image in images]
    for rank, (hdu, image) in enumerate(zip(science, images, strict=True)):
        hdu.ver = rank
        hdu.header["FILENAME"] = image.exposure
    has_data = ~np.any([image.mask for image in images], axis=0)
    hdus = [
        primary,
        *science,
        fits.ImageHDU(has_data.astype(np.uint8), name="VALID_MASK"),
        fits.BinTableHDU(name="CAT"),  # loaders count extensions
        *(_plane(image.truth, "CR") for image in images),
        *(_plane(_codes(image), "IGNORE") for image in images),
    ]
    write_fits(fits.HDUList(hdus), path, overwrite=overwrite, output_verify="silentfix")


def _codes(image: LabelledImage) -> Array:
    codes = NO_DATA * image.mask.astype(np.uint8)
    for name, code in CODES.items():
        codes |= code * (np.asarray(image.defects.get(name, 0)) != 0).astype(np.uint8)
    unreliable = np.zeros(codes.shape, bool) if image.reliable is None else ~image.reliable
    codes[unreliable & (codes == 0)] = CODES["SOURCE"]
    return codes


def _plane(plane: Array, name: str) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.asarray(plane, np.uint8), name=name)
    hdu.ver = 0
    return hdu


def _ranks(hdus: Any, path: Path) -> dict[str, list[int]]:
    """Numbers of the SCI, CR and IGNORE extensions, as many of each."""
    ranks = {
        name: [index for index, hdu in enumerate(hdus) if hdu.name.upper() == name]
        for name in ("SCI", "CR", "IGNORE")
    }
    counts = {name: len(found) for name, found in ranks.items()}
    if not counts["SCI"] or len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise BayescrError(f"'{path}' has {told}: expected as many CR and IGNORE as SCI")
    return ranks


def _exposure(header: fits.Header, path: Path, index: int) -> str:
    name = header.get("FILENAME")
    return str(name) if name else f"{stem(path)}-{index}"
