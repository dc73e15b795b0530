"""Planes of an exposure with truth as extensions of a FITS file, whoever writes it.

SCI, ERR, CRCONF and CRCHARGE are float32, DQ is int16, all others are flags: uint8, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from astropy.io import fits

__all__ = ["plane_hdus"]

Array = np.ndarray[Any, Any]

_NUMBERS = {
    "SCI": np.float32, "ERR": np.float32, "CRCONF": np.float32, "CRCHARGE": np.float32,
    "DQ": np.int16,
}  # fmt: skip


def plane_hdus(
    planes: Mapping[str, Array | None], *, science: fits.Header | None = None
) -> Iterator[fits.ImageHDU]:
    """An extension for each plane that there is, in their order.

    Args:
        planes: Name -> (H, W); None: not known, left out. All but numbers are flags: not 0 is 1.
        science: Header of SCI.
    """
    for name, plane in planes.items():
        if plane is not None:
            stored = np.asarray(plane, _NUMBERS[name]) if name in _NUMBERS else _flags(plane)
            yield fits.ImageHDU(stored, header=science if name == "SCI" else None, name=name)


def _flags(plane: Array) -> Array:
    return (np.asarray(plane) != 0).astype(np.uint8)
