"""The cosmic rays that a sky frame brings along, found in one of several ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bayescr.cli._frames import object_name
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import numpy as np
    from astropy.nddata import CCDData

    from bayescr.labels._reading import Section

__all__ = ["WAYS", "OwnHits", "find_own_hits"]

WAYS = ("auto", "file", "exposures", "astroscrappy", "none")


class OwnHits(NamedTuple):
    """The own hits of skies.

    Attributes:
        way: How they were found.
        masks: (H, W) bool of each sky; None where it has none.
        num_events: Events, where the skies were compared with one another.
        num_control: False ones to be expected among them.
    """

    way: str
    masks: list[np.ndarray | None]
    num_events: int = 0
    num_control: int = 0


def find_own_hits(
    way: str,
    paths: list[Path],
    frames: list[CCDData],
    *,
    extension: str | None = None,
    section: Section = (slice(None), slice(None)),
) -> OwnHits:
    """Find the own hits of skies.

    What no way can decide, such as a pixel under a star's core, counts as no hit: hits there are
    as rare as elsewhere, and stars' cores are what a finder has to be tried on.

    Args:
        way: One of `WAYS`.
        paths: Of the files.
        frames: What was read from them.
        extension: From which of their extensions.
        section: The rows and columns that the frames are of their images.

    Raises:
        BayescrError: If that way cannot be gone.
    """
    if way == "auto":
        way = _best_way(paths, frames, extension)
    if way == "none":
        return OwnHits(way, [None] * len(frames))
    if way == "file":
        pairs = zip(paths, frames, strict=True)
        return OwnHits(way, [_stated_hits(*pair, extension, section) for pair in pairs])
    if way == "exposures":
        from bayescr.labels import label_exposures

        found = label_exposures(frames)
        return OwnHits(
            way,
            [labels.truth for labels in found],
            num_events=sum(labels.num_events for labels in found),
            num_control=sum(labels.num_control for labels in found),
        )
    return OwnHits(way, [_laplacian_hits(frame) for frame in frames])


def _stated_hits(path: Path, frame: CCDData, extension: str | None, section: Section) -> np.ndarray:
    """What the chip's own CRMASK flags, and what its CRVALID says is not decided."""
    from bayescr.data import image_extensions, read_truth
    from bayescr.data._fits import find, opened
    from bayescr.data.frames import read_planes

    version = int(frame.header.get("EXTVER", 1))
    with opened(path) as hdus:
        image = find(hdus, extension or image_extensions(path)[0], path=path)
    hits = read_truth(path, extension=("CRMASK", version), shape=image.shape)
    valid = read_planes(path, ["CRVALID"], version=version, shape=image.shape).get("CRVALID")
    return (hits if valid is None else hits | (valid == 0))[section]


def _best_way(paths: list[Path], frames: list[CCDData], extension: str | None) -> str:
    from bayescr.data._fits import opened
    from bayescr.evaluation.classical import Astroscrappy, unavailable

    def has_truth(path: Path) -> bool:
        with opened(path) as hdus:
            return any(hdu.name.upper() == "CRMASK" for hdu in hdus)

    if all(map(has_truth, paths)):
        return "file"
    alike = len({(frame.shape, str(frame.unit)) for frame in frames}) == 1
    if len(frames) >= 3 and alike and _one_field(paths, frames, extension):
        return "exposures"
    reason = unavailable(Astroscrappy())
    if reason:
        raise BayescrError(
            f"the skies' own hits cannot be found: {reason}; or give three exposures of one field, "
            "with one OBJECT or overlapping WCS, or --own-hits none if they have none"
        )
    return "astroscrappy"


def _one_field(paths: list[Path], frames: list[CCDData], extension: str | None) -> bool:
    """Whether all name one object, or lie on the sky where the first does."""
    from bayescr.data import image_extensions
    from bayescr.data._wcs import footprint, footprints_overlap

    objects = {object_name(frame.header) for frame in frames}
    if len(objects) == 1 and "" not in objects:
        return True
    places = [footprint(path, extension or image_extensions(path)[0]) for path in paths]
    first = places[0]
    return first is not None and all(
        place is not None and footprints_overlap(first, place) for place in places[1:]
    )


def _laplacian_hits(frame: CCDData) -> np.ndarray:
    """What L.A.Cosmic flags, its noise model given a level that makes it the noise of the sky."""
    import numpy as np
    from astropy.nddata import CCDData

    from bayescr.data import sky_and_noise
    from bayescr.evaluation.classical import Astroscrappy

    valid = np.isfinite(frame.data) if frame.mask is None else ~frame.mask
    level, noise = sky_and_noise(frame.data, valid=valid)
    centred = CCDData(frame.data - level + noise**2, unit=frame.unit, mask=~valid)
    return np.asarray(Astroscrappy(readnoise=0.0, factors=(1.0,)).score(centred) > 0)
