"""Reading an exposure: its imaged section, in electrons where a header can be believed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from astropy import units as u
from astropy.nddata import CCDData

from bayescr._checks import is_number
from bayescr.data import Extension, image_extensions, read_frame
from bayescr.data._fits import find, opened
from bayescr.data._units import to_electrons
from bayescr.errors import BayescrError
from bayescr.labels.noise import Noise

__all__ = ["WHOLE", "Exposure", "Section", "cut", "in_counts", "read_exposure"]

PathLike = str | os.PathLike[str]
Section = tuple[slice, slice]

WHOLE: Section = (slice(None), slice(None))
_GAIN_KEYWORDS = ("EGAIN", "CCDGAIN", "ATODGAIN")  # GAIN may be an index of the controller
_SECTION_KEYWORDS = ("DATASEC", "TRIMSEC", "BIASSEC", "CCDSEC", "DETSEC")  # of the whole image


class Exposure(NamedTuple):
    """A frame and what turned the file's numbers into it.

    Attributes:
        frame: In electrons, or in counts of which the gain is not known.
        noise: What was given, else the gain by the header, where it has one.
        factor: Electrons per count of a file in counts that was turned into electrons, else 1.
    """

    frame: CCDData
    noise: Noise
    factor: float


def read_exposure(
    path: PathLike,
    *,
    extension: Extension | None = None,
    section: Section = WHOLE,
    noise: Noise | None = None,
) -> Exposure:
    """Read a section of an image; counts become electrons where the gain is known.

    That is the gain given, else EGAIN, CCDGAIN or ATODGAIN, which mean electrons per count wherever
    they occur. GAIN does not, not even beside a BUNIT of counts.

    Args:
        path: The file.
        extension: As in `bayescr.data.read_frame`.
        section: Rows and columns that were imaged.
        noise: What is known of the detector.

    Raises:
        BayescrError: If the file cannot be read, does not have that section, or is not in counts
            and a gain is given.
    """
    counts = in_counts(path, extension)
    given = None if noise is None else noise.gain
    if not counts:
        frame = read_frame(path, extension=extension, gain=given)
        return Exposure(cut(frame, section, path), noise or _header_noise(frame.header), 1.0)
    frame = read_frame(path, extension=extension, gain=given or 1.0)
    noise = noise or _header_noise(frame.header)
    if given is None and noise.gain is not None:
        frame = read_frame(path, extension=extension, gain=noise.gain)
    if noise.gain is None:
        frame.unit = u.adu
        frame.header["BUNIT"] = "adu"
    return Exposure(cut(frame, section, path), noise, noise.gain or 1.0)


def in_counts(path: PathLike, extension: Extension | None = None) -> bool:
    """Whether an image is in counts, or does not say what it is in."""
    where = image_extensions(path)[0] if extension is None else extension
    with opened(path) as hdus:
        header = find(hdus, where, path=path).header
        stated = header.get("BUNIT", hdus[0].header.get("BUNIT"))
    alone = {} if stated is None else {"BUNIT": stated}  # without its gain
    _, unit = to_electrons(alone, unit=None, gain=None, exposure_time=1.0, path=path)
    return bool(unit == u.adu)


def cut(frame: CCDData, section: Section, path: PathLike | None = None) -> CCDData:
    """A section of a frame, its header without the keywords that are of the whole.

    Args:
        frame: The frame.
        section: Rows and columns.
        path: Of its file, for the message.

    Raises:
        BayescrError: If the frame does not have them all.
    """
    if section == WHOLE:
        return frame
    for name, span, side in zip(("rows", "columns"), section, frame.shape, strict=True):
        start, stop = span.start or 0, side if span.stop is None else span.stop
        if not 0 <= start < stop <= side:
            whose = "the frame" if path is None else f"'{path}'"
            raise BayescrError(
                f"{name} are {start}:{stop} but {whose} has {side}: expected two numbers within "
                "that, the second the larger"
            )
    part = frame[section]
    for keyword in _SECTION_KEYWORDS:
        part.meta.pop(keyword, None)
    return part


def _header_noise(header: Mapping[str, Any]) -> Noise:
    for keyword in _GAIN_KEYWORDS:
        value = header.get(keyword)
        if is_number(value) and value > 0:  # type: ignore[operator]
            return Noise(gain=float(value))  # type: ignore[arg-type]
    return Noise()
