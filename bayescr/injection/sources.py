"""Tracks from files, whatever they hold: catalogues, labelled exposures, dark frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from bayescr.data import read_frame
from bayescr.data._fits import opened
from bayescr.data.formats import read_labelled
from bayescr.errors import BayescrError
from bayescr.injection.catalogue import TrackCatalogue
from bayescr.injection.cutting import tracks_from_labels
from bayescr.injection.storing import is_catalogue, read_catalogue
from bayescr.labels import Labels, label_darks

__all__ = ["TrackSource", "imaged", "read_tracks"]

PathLike = str | os.PathLike[str]

_LABELS = ("CRMASK", "CRVALID", "CRCONF", "CRCHARGE")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackSource:
    """Tracks and what they were cut from.

    Attributes:
        catalogue: The tracks.
        num_events: Events of the darks that were labelled here, whole tracks or not.
        num_control: False ones among them, by the sign-flipped residual.
    """

    catalogue: TrackCatalogue
    num_events: int
    num_control: int


def read_tracks(
    paths: Sequence[PathLike],
    *,
    smallest: int = 2,
    columns: slice | None = None,
    gain: float | None = None,
    pixel_size: float | None = None,
) -> TrackSource:
    """Read tracks from catalogues, labelled exposures and darks, all in one list.

    Args:
        paths: Catalogues (`read_catalogue`); exposures with CRMASK, CRVALID, CRCONF and CRCHARGE
            beside their SCI, as ``bayescr label`` writes them; all others are darks of one detector
            and temperature, three at least, and are labelled by `bayescr.labels.label_darks`.
        smallest: Pixels that a track must cover.
        columns: The imaged section of the darks; default: all.
        gain: Electrons per count of the exposures and darks that are in counts.
        pixel_size: Side of a pixel [um], in place of what catalogues say.

    Raises:
        BayescrError: If a file cannot be read or its tracks cannot be used.
    """
    catalogues = [path for path in paths if is_catalogue(path)]
    labelled = [path for path in paths if path not in catalogues and _is_labelled(path)]
    darks = [path for path in paths if path not in (*catalogues, *labelled)]
    options: dict[str, Any] = {"smallest": smallest, "gain": gain, "pixel_size": pixel_size}
    found = [
        read_catalogue(path, pixel_size=pixel_size).at_least(smallest) for path in catalogues
    ]  # fmt: skip
    if labelled:
        labels = [one for path in labelled for one in _read_labels(path)]
        found.append(tracks_from_labels(labels, name=_name(labelled), **options))
    made = label_darks([imaged(read_frame(path), columns) for path in darks]) if darks else []
    if made:
        found.append(tracks_from_labels(made, name=_name(darks), **options))
    return TrackSource(
        catalogue=TrackCatalogue.joined(found),
        num_events=sum(one.num_events for one in made),
        num_control=sum(one.num_control for one in made),
    )


def imaged(frame: CCDData, columns: slice | None) -> CCDData:
    """Some columns of a frame.

    Raises:
        BayescrError: If the frame has none of them.
    """
    if columns is None:
        return frame
    width = frame.shape[1]
    start, stop, _ = columns.indices(width)
    if not 0 <= start < stop or (columns.stop or 0) > width:
        raise BayescrError(
            f"columns are {columns.start}:{columns.stop} but the frame has {width}: expected two "
            "numbers within that, the second the larger"
        )
    return frame[:, columns]


def _is_labelled(path: PathLike) -> bool:
    with opened(path) as hdus:
        return {hdu.name.upper() for hdu in hdus}.issuperset(_LABELS)


def _read_labels(path: PathLike) -> list[Labels]:
    """Those of every chip of a file."""
    return [
        Labels(
            frame=image.frame,
            truth=image.truth,
            valid=np.asarray(image.reliable),
            confidence=np.asarray(image.confidence),
            charge=np.asarray(image.charge),
            num_events=0,
            num_control=0,
        )
        for image in read_labelled(path, format="fits")
    ]


def _name(paths: Sequence[PathLike]) -> str:
    return Path(paths[0]).resolve().parent.name or "darks"
