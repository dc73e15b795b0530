"""An image with truth, as every format is read into and written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from bayescr.data._fits import is_fits, stem
from bayescr.errors import BayescrError

__all__ = ["DEFECTS", "Entry", "Format", "LabelledImage", "field_of", "simulated_seed", "sky_of"]

Array = np.ndarray[Any, Any]

DEFECTS = (
    "HOT", "WARM", "DEAD", "BADCOL", "SATURATED", "BLEED", "TRAIL", "GLOW", "BOUNDARY", "SOURCE",
)  # fmt: skip
"""Planes of what is no cosmic ray; the last two are where labels were not looked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImage:
    """A frame and what is known of its cosmic rays. All planes are (H, W).

    Attributes:
        frame: The image, in electrons where the file says how to get there.
        truth: True where a cosmic ray hit.
        exposure: Name of the exposure; two chips of one share it.
        reliable: True where the truth can be relied on; None: everywhere.
        confidence: Confidence in the label, 0 to 1, where it was measured.
        charge: What cosmic rays left, in the unit of the frame, where known.
        dq: Hubble's data-quality flags; None: 4 (bad) where the frame is masked.
        defects: Name of a plane in `DEFECTS` -> where it is so.

    Raises:
        BayescrError: If the frame is not 2-D, a plane has another shape, or a defect is unknown.
    """

    frame: CCDData
    truth: Array
    exposure: str
    reliable: Array | None = None
    confidence: Array | None = None
    charge: Array | None = None
    dq: Array | None = None
    defects: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.frame.data.shape
        if len(shape) != 2:
            raise BayescrError(f"frame of exposure '{self.exposure}' has shape {shape}: not 2-D")
        for name, plane in self._planes():
            if np.shape(plane) != shape:
                raise BayescrError(
                    f"{name} of exposure '{self.exposure}' has shape {np.shape(plane)} but its "
                    f"frame {shape}: expected the same"
                )
        unknown = sorted(set(self.defects) - set(DEFECTS))
        if unknown:
            raise BayescrError(f"unknown defect '{unknown[0]}': known are {', '.join(DEFECTS)}")

    @property
    def mask(self) -> Array:
        """(H, W) bool, True where the pixel is unusable."""
        mask = ~np.isfinite(self.frame.data)
        return mask if self.frame.mask is None else mask | self.frame.mask

    @property
    def field(self) -> str | None:
        """Name of the field, the header's FIELD."""
        name = self.frame.header.get("FIELD")
        return None if name is None else str(name)

    @property
    def sky(self) -> str | None:
        """Name of the exposure that was painted into, the header's SKY."""
        return sky_of(self.frame.header)

    def _planes(self) -> Iterator[tuple[str, Array]]:
        yield "truth", self.truth
        for name in ("reliable", "confidence", "charge", "dq"):
            plane = getattr(self, name)
            if plane is not None:
                yield name, plane
        yield from self.defects.items()


class Entry(NamedTuple):
    """One image of a file, as its headers describe it."""

    extension: str
    exposure: str
    shape: tuple[int, ...]
    header: fits.Header


class Format(Protocol):
    """What a module has to have to be a format."""

    def entries(self, path: Path) -> list[Entry]:
        """The images of a file; no pixel is read."""

    def read(self, path: Path, extension: str, *, mask: Path | None = None) -> LabelledImage:
        """One of them; ``mask`` is the file with its truth, for formats of two files."""

    def write(self, images: list[LabelledImage], path: Path, *, overwrite: bool = False) -> None:
        """Write images to a file, or to a folder where the format has one file for each."""


def field_of(header: Mapping[str, Any]) -> tuple[str, str]:
    """What was looked at, and of simulated images what kind of field that is; empty: not known.

    FIELD of a simulated image names the kind, in which every seed of an instrument makes another
    sky: ``("globular-cluster hst-acs-wfc 17", "globular-cluster")``.
    """
    name, seed = str(header.get("FIELD", "")), simulated_seed(header)
    if seed is None:
        return name, ""
    return f"{name} {header.get('INSTRUME', '')} {seed}", name


def simulated_seed(header: Mapping[str, Any]) -> int | None:
    """The seed of a simulated sky, whose header tracks painted into it may have changed."""
    if "SKYSEED" in header:
        return int(header["SKYSEED"])
    is_simulated = str(header.get("ORIGIN", "")).startswith("bayescr") and "NTRACKS" not in header
    return int(header["SEED"]) if is_simulated and "SEED" in header else None


def sky_of(header: Mapping[str, Any]) -> str | None:
    """The exposure that a header's SKY names, or its file; elsewhere SKY is a level, a number."""
    name = header.get("SKY")
    if not isinstance(name, str) or not name.strip():
        return None
    return stem(name) if is_fits(name) else name
