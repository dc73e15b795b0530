"""Opening FITS files and finding the image in them, with every failure told in one line."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from bayescr.errors import BayescrError

__all__ = [
    "FITS_NAMES", "Extension", "find", "find_beside", "has_image", "is_fits", "opened", "pixels",
    "stem",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Extension = int | str | tuple[str, int]

_IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_LISTED = 12  # extensions named in an error message
_ENDS, _PACKED = (".fits", ".fit", ".fts"), ("", ".gz", ".fz")
_SUFFIX = re.compile(r"\.(fits|fit|fts)(\.gz|\.fz)?$", re.IGNORECASE)

FITS_NAMES = ".fits, .fit or .fts, packed or not (.gz, .fz)"
"""What files are named, for messages."""


def is_fits(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of FITS by its name: .fits, .fit, .fts, also .gz or .fz, any case."""
    return _SUFFIX.search(os.fspath(path)) is not None


def stem(path: str | os.PathLike[str]) -> str:
    """``exposure_flc.fits.gz`` -> ``exposure_flc``; other files lose their last suffix."""
    name = Path(path).name
    return _SUFFIX.sub("", name) if is_fits(name) else Path(name).stem


def find_beside(path: Path, name: str) -> Path | None:
    """The FITS file of that stem in the folder of another, by the other's suffix or any."""
    own = path.name.removeprefix(stem(path))
    for suffix in (own, *(end + packed for packed in _PACKED for end in _ENDS)):
        for spelled in (suffix, suffix.upper()):
            if (candidate := path.with_name(name + spelled)).is_file():
                return candidate
    return None


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[fits.HDUList]:
    """Yield the HDUs of a FITS file; astropy's remarks about its headers stay inside the block.

    Raises:
        BayescrError: If there is no such file, it is a folder, or it is not (all of) a FITS file.
    """
    path = Path(path)
    if path.is_dir():
        raise BayescrError(f"cannot read '{path}': it is a folder; give one FITS file")
    if not path.exists():
        raise BayescrError(f"cannot read '{path}': there is no such file; check the name")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        with _readable(path):
            hdus = fits.open(path, memmap=False)
        with hdus:
            with _readable(path):
                len(hdus)  # reads all headers, so that a cut file is told here
            yield hdus


def find(hdus: Sequence[Any], extension: Extension, *, path: str | os.PathLike[str]) -> Any:
    """The HDU that ``extension`` names: ``1``, ``"1"``, ``"SCI"``, ``"SCI,2"``, ``("SCI", 2)``.

    Raises:
        BayescrError: If there is none; the message lists what there is.
    """
    name, version = _parse(extension)
    for index, hdu in enumerate(hdus):
        if index == name or (hdu.name.upper() == name and version in (None, hdu.ver)):
            return hdu
    raise BayescrError(f"no extension {extension!r} in '{path}': choose one of {_inventory(hdus)}")


def has_image(hdu: Any, *, ndim: int | None = None) -> bool:
    """Whether an HDU holds image data (of ``ndim`` dimensions)."""
    return isinstance(hdu, _IMAGES) and (
        len(hdu.shape) > 0 if ndim is None else len(hdu.shape) == ndim
    )


def pixels(hdu: Any, *, path: str | os.PathLike[str]) -> Array:
    """The pixels of an image HDU as the file's numbers, scaled by BZERO and BSCALE.

    Raises:
        BayescrError: If the HDU is a table, has no data, or the data cannot be read.
    """
    if not has_image(hdu):
        what = "no data" if isinstance(hdu, _IMAGES) else "a table"
        raise BayescrError(
            f"extension {_label(hdu)} of '{path}' holds {what}, expected an image: name the "
            "extension that has one"
        )
    with _readable(path):
        return np.asarray(hdu.data)


@contextlib.contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Tell whatever astropy raises on a damaged file as one line."""
    try:
        yield
    except (OSError, EOFError, ValueError, TypeError, zlib.error, fits.VerifyError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        reason = first_line.split(". ")[0].rstrip(".")
        raise BayescrError(
            f"cannot read '{path}' as FITS: {reason}; expected a complete FITS file you may read"
        ) from error


def _parse(extension: Extension) -> tuple[int | str, int | None]:
    """``"SCI,2"`` -> ``("SCI", 2)``, ``"SCI"`` -> ``("SCI", None)``, ``1`` -> ``(1, None)``."""
    if isinstance(extension, int):
        return extension, None
    parts: list[Any] = extension.split(",") if isinstance(extension, str) else list(extension)
    name = str(parts[0]).strip().upper()
    if len(parts) == 1:
        return (int(name) if name.isdecimal() else name), None
    if len(parts) == 2 and str(parts[1]).strip().isdecimal():
        return name, int(parts[1])
    raise BayescrError(
        f"extension {extension!r} is not understood: expected a number, a name ('SCI') or a name "
        "and version ('SCI,2')"
    )


def _label(hdu: Any) -> str:
    return f"'{hdu.name or 'unnamed'},{hdu.ver}'"


def _inventory(hdus: Sequence[Any]) -> str:
    entries = []
    for index, hdu in enumerate(hdus[:_LISTED]):
        kind = f"shape {hdu.shape}" if has_image(hdu) else "no image"
        entries.append(f"{index} {_label(hdu)} ({kind})")
    if len(hdus) > _LISTED:
        entries.append(f"and {len(hdus) - _LISTED} more")
    return ", ".join(entries)
