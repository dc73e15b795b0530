"""The cosmic rays that a sky frame brings along, found in one of several ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import numpy as np
    from astropy.nddata import CCDData

__all__ = ["WAYS", "find_own_hits"]

WAYS = ("auto", "file", "exposures", "astroscrappy", "none")


def find_own_hits(
    way: str, paths: list[Path], frames: list[CCDData]
) -> tuple[str, list[np.ndarray | None]]:
    """How the own hits of the skies were found, and these, (H, W) bool each.

    What no way can decide, such as a pixel under a star's core, counts as no hit: hits there are
    as rare as elsewhere, and stars' cores are what a finder has to be tried on.

    Args:
        way: One of `WAYS`.
        paths: Of the files.
        frames: What was read from them.

    Raises:
        BayescrError: If that way cannot be gone.
    """
    if way == "auto":
        way = _best_way(paths, frames)
    if way == "none":
        return way, [None] * len(frames)
    if way == "file":
        from bayescr.data import read_truth

        return way, [
            read_truth(path, shape=frame.shape) for path, frame in zip(paths, frames, strict=True)
        ]
    if way == "exposures":
        from bayescr.labels import label_exposures

        return way, [labels.truth for labels in label_exposures(frames)]
    return way, [_laplacian_hits(frame) for frame in frames]


def _best_way(paths: list[Path], frames: list[CCDData]) -> str:
    from bayescr.data._fits import opened
    from bayescr.evaluation.classical import Astroscrappy, unavailable

    def has_truth(path: Path) -> bool:
        with opened(path) as hdus:
            return any(hdu.name.upper() == "CRMASK" for hdu in hdus)

    if all(map(has_truth, paths)):
        return "file"
    fields = {(frame.shape, frame.header.get("OBJECT")) for frame in frames}
    if len(frames) >= 3 and len(fields) == 1:
        return "exposures"
    reason = unavailable(Astroscrappy())
    if reason:
        raise BayescrError(
            f"the skies' own hits cannot be found: {reason}; or give three exposures of one field, "
            "or --own-hits none if they have none"
        )
    return "astroscrappy"


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
