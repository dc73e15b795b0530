"""Reading an exposure: FITS file -> frame.

A frame is an astropy ``CCDData``:

    data          (H, W) float32, electrons where the file says how to get there (`read_frame`)
    mask          (H, W) bool, True = unusable: flagged in DQ, or NaN or infinite in any plane
    uncertainty   ``StdDevUncertainty`` from ERR, in the unit of the data, where the file has one
    header        the primary header and the extension's, merged; the extension wins
    wcs           with the file's distortion tables; None where there is none

Pixels that are not finite stay so in ``data``: nothing is filled in, the mask says all.

References:
    ACS Data Handbook, "ACS Data Quality Flags" (STScI); WFC3 uses the same bits for CCD frames.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from bayescr.data._fits import Extension, find, has_image, opened, pixels
from bayescr.data._units import to_electrons
from bayescr.errors import BayescrError

__all__ = [
    "BAD_BITS",
    "Extension",
    "count_left_out",
    "image_extensions",
    "read_frame",
    "read_planes",
    "read_truth",
]

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]

BAD_BITS = 4095 & ~64
"""DQ flags that make a pixel unusable: all below 4096 but 64.

Those are lost 1, filled 2, bad 4, masked by the aperture 8, hot 16, unstable 32, bad column 128,
saturated 256, bad reference 512, charge trap 1024, A-to-D saturated 2048. A warm pixel (64)
is a little noisier and harmless. 4096, 8192 and 16384 are cosmic rays (and pixels of a user's
choice) that others flagged: the very pixels to be judged.
"""

_STRUCTURE = ("BLANK", "CHECKSUM", "DATASUM")  # true of the file's bytes, not of the frame
_COMPANIONS = {
    "ERR", "DQ", "SAMP", "TIME", "WHT", "CTX", "VAR", "IVAR", "UNCERT", "MASK", "BPM", "WEIGHT",
    "BKG", "D2IMARR", "WCSDVARR", "PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK",
    "CRMASK_INPUT", "CRVALID", "CRCONF", "CRCHARGE", "CR", "IGNORE", "VALID_MASK", "HOT", "WARM",
    "DEAD", "BADCOL", "SATURATED", "BLEED", "TRAIL", "GLOW", "BOUNDARY", "SOURCE",
}  # fmt: skip
"""Names of images that say something about another image."""
_logger = logging.getLogger(__name__)


def read_frame(
    path: PathLike,
    *,
    extension: Extension | None = None,
    unit: str | u.UnitBase | None = None,
    gain: float | None = None,
    exposure_time: float | None = None,
    bad_bits: int = BAD_BITS,
) -> CCDData:
    """Read one image of a FITS file (.fits, .fits.gz, .fz) as a frame, in electrons if possible.

    Electrons per second are multiplied by the exposure time, counts by the gain. A header that
    names no unit is taken to hold counts, and its gain keyword is not trusted: the frame stays
    in adu unless ``gain`` is given. Counts without a known gain stay adu, too.
    A ``SCI`` extension brings the ``ERR`` and ``DQ`` planes of the same version along.

    Args:
        path: The file.
        extension: ``1``, ``"SCI"``, ``"SCI,2"`` or ``("SCI", 2)``; default: the first SCI, else
            the first extension that holds a 2-D image.
        unit: Unit of the pixels in the file, in place of BUNIT: ``"electron/s"``, ``"adu"``.
        gain: Electrons per count, in place of the header's.
        exposure_time: Seconds, in place of the header's.
        bad_bits: DQ flags that make a pixel unusable.

    Returns:
        The frame, (H, W).

    Raises:
        BayescrError: If the file cannot be read, has no such extension or no 2-D image in it,
            its unit cannot be used, or none of its pixels can.

    Example:
        >>> frame = read_frame("j8xi0x_flc.fits", extension=("SCI", 2))  # doctest: +SKIP
        >>> frame.unit, frame.data.dtype  # doctest: +SKIP
        (Unit("electron"), dtype('float32'))
    """
    with opened(path) as hdus:
        hdu = _default_image(hdus, path) if extension is None else find(hdus, extension, path=path)
        raw = pixels(hdu, path=path)
        if raw.ndim != 2:
            raise _wrong_dimensions(hdu, raw.shape, path)
        header = _merged_header(hdus[0], hdu)
        factor, final_unit = to_electrons(
            header, unit=unit, gain=gain, exposure_time=exposure_time, path=path
        )
        data = _float32(raw, factor)
        mask = ~np.isfinite(data)
        error = _companion(hdus, hdu, "ERR", path)
        if error is not None:
            error = _float32(error, factor)
            mask |= ~np.isfinite(error)
        flags = _companion(hdus, hdu, "DQ", path)
        if flags is not None:
            mask |= (flags.astype(np.int64) & bad_bits) != 0
        wcs = _wcs(hdu.header, hdus, path)
    if mask.all():
        raise BayescrError(
            f"'{path}' has no usable pixel: all {mask.size} are NaN, infinite or flagged in DQ; "
            "choose another extension, or other bad_bits"
        )
    header["BUNIT"] = final_unit.to_string()
    return CCDData(
        data,
        unit=final_unit,
        mask=mask,
        uncertainty=None if error is None else StdDevUncertainty(error),
        meta=header,
        wcs=wcs,
    )


def read_truth(path: PathLike, *, extension: Extension = "CRMASK", shape: Sequence[int]) -> Array:
    """Read a truth mask, True where a cosmic ray hit.

    A plane that a prediction wrote is no truth: where one took its place, the truth is read from
    ``CRMASK_INPUT`` of the same version, the name that the prediction gave it.

    Args:
        path: The file.
        extension: The extension that holds the mask; any value but zero is True.
        shape: The shape that the mask must have, that of its frame.

    Returns:
        A bool array of ``shape``.

    Raises:
        BayescrError: If the file cannot be read, has no such extension, or the mask another shape.
    """
    with opened(path) as hdus:
        mask = find(hdus, extension, path=path)
        if "BCRNSAMP" in mask.header:
            mask = find(hdus, ("CRMASK_INPUT", mask.ver), path=path)
        truth = pixels(mask, path=path)
    _check_shape(truth, extension, shape, path)
    return np.nan_to_num(truth) != 0


def read_planes(
    path: PathLike, names: Sequence[str], *, version: int = 1, shape: Sequence[int]
) -> dict[str, Array]:
    """Read the planes that say something about an image, such as ``CRVALID``, in one go.

    Args:
        path: The file.
        names: Of the extensions; those that it does not have are left out.
        version: Of the image, which its planes share.
        shape: The shape that they must have, that of the image.

    Raises:
        BayescrError: If the file cannot be read, or a plane has another shape.
    """
    planes = {}
    with opened(path) as hdus:
        for hdu in hdus:
            name = hdu.name.upper()
            if name in names and name not in planes and hdu.ver == version and has_image(hdu):
                planes[name] = pixels(hdu, path=path)
                _check_shape(planes[name], (name, version), shape, path)
    return planes


def image_extensions(path: PathLike) -> list[Extension]:
    """The images of a file to predict: every SCI of a multi-chip file, else the first 2-D image.

    Several SCI of one version, such as those of a file without EXTVER, are given by number.

    Raises:
        BayescrError: If the file cannot be read or holds no 2-D image.
    """
    with opened(path) as hdus:
        versions = [hdu.ver for hdu in hdus if _is_science(hdu)]
        chips: list[Extension] = [
            ("SCI", hdu.ver) if versions.count(hdu.ver) == 1 else index
            for index, hdu in enumerate(hdus)
            if _is_science(hdu)
        ]
        return chips or [hdus.index(_default_image(hdus, path))]


def count_left_out(path: PathLike) -> int:
    """How many 2-D images `image_extensions` leaves out, companions of others not counted."""
    with opened(path) as hdus:
        if any(_is_science(hdu) for hdu in hdus):
            return 0
        first = _default_image(hdus, path)
        others = [hdu for hdu in hdus if has_image(hdu, ndim=2) and hdu is not first]
        return sum(hdu.name.upper() not in _COMPANIONS for hdu in others)


def _check_shape(plane: Array, extension: Extension, shape: Sequence[int], path: PathLike) -> None:
    if plane.shape != tuple(shape):
        raise BayescrError(
            f"truth {extension!r} of '{path}' has shape {plane.shape} but its frame "
            f"{tuple(shape)}: give the mask of the same frame"
        )


def _is_science(hdu: Any) -> bool:
    return hdu.name.upper() == "SCI" and has_image(hdu)


def _default_image(hdus: Sequence[Any], path: PathLike) -> Any:
    science = [hdu for hdu in hdus if _is_science(hdu)]
    images = [hdu for hdu in hdus if has_image(hdu)]
    candidates = science or [hdu for hdu in images if has_image(hdu, ndim=2)]
    if candidates:
        return candidates[0]
    if images:
        raise _wrong_dimensions(images[0], images[0].shape, path)
    raise BayescrError(f"'{path}' holds no image data in any of its {len(hdus)} extension(s)")


def _wrong_dimensions(hdu: Any, shape: tuple[int, ...], path: PathLike) -> BayescrError:
    fix = (
        f"save one of its {shape[0]} planes as a 2-D image and give that"
        if len(shape) == 3
        else "name the extension that has one"
    )
    return BayescrError(
        f"extension '{hdu.name},{hdu.ver}' of '{path}' has shape {shape}, expected a 2-D image: "
        f"{fix}"
    )


def _merged_header(primary: Any, hdu: Any) -> fits.Header:
    """What the primary header says of the exposure, overruled by what the extension's says."""
    header = hdu.header.copy(strip=True)
    if hdu is not primary:
        header = primary.header.copy(strip=True)
        header.extend(hdu.header, strip=True, update=True)
    for keyword in _STRUCTURE:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    return header


def _companion(hdus: Sequence[Any], hdu: Any, name: str, path: PathLike) -> Array | None:
    """The ERR or DQ plane of a SCI image; a plane stored without pixels counts as absent."""
    if hdu.name.upper() != "SCI":
        return None
    twins = [other for other in hdus if other.name.upper() == "SCI" and other.ver == hdu.ver]
    planes = [other for other in hdus if other.name.upper() == name and other.ver == hdu.ver]
    order = twins.index(hdu)  # 0 but in a file that repeats its versions
    if order >= len(planes) or not has_image(planes[order]):
        return None
    plane = pixels(planes[order], path=path)
    if plane.shape != hdu.shape:
        raise BayescrError(
            f"'{name},{hdu.ver}' of '{path}' has shape {plane.shape} but the image {hdu.shape}: "
            "expected the same shape"
        )
    return plane


def _float32(raw: Array, factor: float) -> Array:
    """Native float32; what float32 cannot hold becomes infinite, and so masked."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.multiply(raw, factor, dtype=np.float64).astype(np.float32)


def _wcs(header: fits.Header, hdus: Any, path: PathLike) -> WCS | None:
    """The celestial or any named coordinates of an image; a broken WCS costs only the WCS."""
    try:
        wcs = WCS(header, fobj=hdus, naxis=2)
    except Exception as error:  # wcslib and its wrapper raise dozens of unrelated types
        _logger.warning("the WCS of '%s' cannot be read and is left out: %s", path, error)
        return None
    return wcs if any(wcs.wcs.ctype) else None
