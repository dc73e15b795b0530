"""bayescr's own files: SCI, DQ, CRMASK and whatever else is known, a version for every image.

    SCI       float32, electrons where known; its header holds the WCS
    ERR       float32, where the frame has an uncertainty
    DQ        int16, Hubble's bits
    CRMASK    uint8, the truth: not 0 = a cosmic ray
    CRVALID   uint8, 0 where the truth cannot be relied on; absent: nowhere
    CRCONF    float32, 0 to 1, confidence in the label
    CRCHARGE  float32, what cosmic rays left, in the unit of SCI
    HOT, ...  uint8, one for each kind of defect (`DEFECTS`)

The primary header says what is true of all: FIELD, SEED, EXPTIME, FILTER, INSTRUME, READNSE, GAIN.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from bayescr._files import write_fits
from bayescr._planes import plane_hdus
from bayescr.data._fits import Extension, find, opened, stem
from bayescr.data._units import to_electrons
from bayescr.data._wcs import without_wcs_cards
from bayescr.data.formats.image import DEFECTS, Entry, LabelledImage
from bayescr.data.frames import image_extensions, read_frame, read_planes, read_truth
from bayescr.errors import BayescrError

__all__ = ["BAD_PIXEL", "entries", "read", "science_hdus", "write"]

Array = np.ndarray[Any, Any]

BAD_PIXEL = 4  # Hubble's flag for a bad detector pixel
_OWN = ("EXTNAME", "EXTVER", "BUNIT", "INHERIT", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM")
_PLANES = ("CRVALID", "CRCONF", "CRCHARGE", "DQ")
_SHARED = ("FIELD", "SEED", "EXPTIME", "FILTER", "INSTRUME", "READNSE", "GAIN")


def entries(path: Path) -> list[Entry]:
    """The images of a file; each must have a truth of its version."""
    extensions = image_extensions(path)
    if len(extensions) > 1 and not all(isinstance(one, tuple) for one in extensions):
        raise BayescrError(
            f"'{path}' holds several SCI of one EXTVER: number them and their CRMASK, so that "
            "each finds its truth"
        )
    found = []
    with opened(path) as hdus:
        for extension in extensions:
            image = find(hdus, extension, path=path)
            find(hdus, ("CRMASK", _version(extension)), path=path)  # told now, not after hours
            header = _merged(hdus, image)
            found.append(Entry(_spelled(extension), stem(path), image.shape, header))
    return found


def read(path: Path, extension: str, *, mask: Path | None = None) -> LabelledImage:
    """Read an image and all planes of its version."""
    frame = read_frame(path, extension=extension)
    version, shape = int(extension.partition(",")[2] or 1), frame.data.shape
    planes = read_planes(path, (*_PLANES, *DEFECTS), version=version, shape=shape)
    reliable, charge = planes.get("CRVALID"), planes.get("CRCHARGE")
    if charge is not None:
        charge = (charge * _factor(path, extension)).astype(np.float32)
    return LabelledImage(
        frame=frame,
        truth=read_truth(path, extension=("CRMASK", version), shape=shape),
        exposure=stem(path),
        reliable=None if reliable is None else reliable != 0,
        confidence=planes.get("CRCONF"),
        charge=charge,
        dq=planes.get("DQ"),
        defects={name: planes[name] != 0 for name in DEFECTS if name in planes},
    )


def write(images: list[LabelledImage], path: Path, *, overwrite: bool = False) -> None:
    """Write the images of one exposure to one file."""
    primary = fits.PrimaryHDU()
    headers = [fits.Header(image.frame.header) for image in images]  # one may be a plain dict
    for keyword in _SHARED:
        values = {header.get(keyword) for header in headers}
        if len(values) == 1 and None not in values:
            card = headers[0].cards[keyword]
            primary.header[keyword] = (card.value, card.comment)
    hdus = [primary]
    for version, image in enumerate(images, start=1):
        for hdu in [*science_hdus(image), *_truth_hdus(image)]:
            hdu.ver = version
            hdus.append(hdu)
    write_fits(fits.HDUList(hdus), path, overwrite=overwrite, output_verify="silentfix")


def science_hdus(image: LabelledImage) -> Iterator[fits.ImageHDU]:
    """SCI, ERR where there is one, and DQ."""
    frame = image.frame
    header = without_wcs_cards(fits.Header(frame.header, copy=True))
    for keyword in _OWN:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    if frame.wcs is not None:
        header.update(frame.wcs.to_header(relax=True))
    if frame.unit == units.electron:
        header["BUNIT"] = "ELECTRONS"
    elif frame.unit not in (None, units.adu):  # counts: a unit would have a reader trust the gain
        header["BUNIT"] = frame.unit.to_string()
    error = None
    if frame.uncertainty is not None:
        error = np.broadcast_to(frame.uncertainty.array, frame.data.shape)
    dq = BAD_PIXEL * image.mask if image.dq is None else image.dq
    return plane_hdus({"SCI": frame.data, "ERR": error, "DQ": dq}, science=header)


def _truth_hdus(image: LabelledImage) -> Iterator[fits.ImageHDU]:
    planes = {
        "CRMASK": image.truth,
        "CRVALID": image.reliable,
        "CRCONF": image.confidence,
        "CRCHARGE": image.charge,
        **image.defects,
    }
    return plane_hdus(planes)


def _factor(path: Path, extension: str) -> float:
    """What `read_frame` multiplies SCI by, and so what is in its unit."""
    with opened(path) as hdus:
        header = _merged(hdus, find(hdus, extension, path=path))
    return to_electrons(header, unit=None, gain=None, exposure_time=None, path=path)[0]


def _merged(hdus: Any, image: Any) -> fits.Header:
    """What the primary header says of the exposure, and the image's of itself."""
    header: fits.Header = hdus[0].header.copy(strip=True)
    header.extend(image.header, strip=True, update=True)
    return header


def _version(extension: Extension) -> int:
    """Of an image, which the planes about it share."""
    return extension[1] if isinstance(extension, tuple) else 1


def _spelled(extension: Extension) -> str:
    """``("SCI", 2)`` -> ``"SCI,2"``."""
    return ",".join(map(str, extension)) if isinstance(extension, tuple) else str(extension)
