"""Tracks from files, whatever they hold: catalogues, labelled exposures, dark frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from bayescr.data._fits import opened
from bayescr.data.formats import read_labelled
from bayescr.errors import BayescrError
from bayescr.injection.catalogue import TrackCatalogue
from bayescr.injection.cutting import tracks_from_labels
from bayescr.injection.storing import is_catalogue, read_catalogue
from bayescr.labels import Labels, Noise, label_darks
from bayescr.labels._frames import exposure_time
from bayescr.labels._reading import cut, in_counts, read_exposure

__all__ = ["TrackSource", "imaged", "read_tracks"]

PathLike = str | os.PathLike[str]


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
        paths: Catalogues (`read_catalogue`); exposures with CRMASK and CRCHARGE beside their SCI,
            as ``bayescr label`` writes them (CRVALID and CRCONF where not all is certain); all
            others are darks of one detector and temperature, three at least, and are labelled by
            `bayescr.labels.label_darks`.
        smallest: Pixels that a track must cover.
        columns: The imaged section of the darks; default: all.
        gain: Electrons per count of the exposures and darks that are in counts; default: that by
            EGAIN, CCDGAIN or ATODGAIN of the darks' headers.
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
        labels = [one for path in labelled for one in _read_labels(path, gain)]
        found.append(tracks_from_labels(labels, name=_name(labelled), **options))
    made = label_darks([_read_dark(path, columns, gain) for path in darks]) if darks else []
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
    return frame if columns is None else cut(frame, (slice(None), columns))


def _is_labelled(path: PathLike) -> bool:
    with opened(path) as hdus:
        return any(hdu.name.upper() == "CRMASK" for hdu in hdus)


def _read_labels(path: PathLike, gain: float | None) -> list[Labels]:
    """Those of every chip of a file; what it does not say is certain."""
    found = []
    for image in read_labelled(path, format="fits"):
        if image.charge is None:
            raise BayescrError(
                f"'{path}' has CRMASK but no CRCHARGE: expected the electrons that cosmic rays "
                "left as well, as `bayescr label` writes them"
            )
        _check_usable(image.frame, path, gain)
        certain = np.ones(image.truth.shape, bool)
        found.append(
            Labels(
                frame=image.frame,
                truth=image.truth,
                valid=certain if image.reliable is None else image.reliable,
                confidence=certain.astype(np.float32)
                if image.confidence is None
                else image.confidence,
                charge=image.charge,
                num_events=0,
                num_control=0,
            )
        )
    return found


def _read_dark(path: PathLike, columns: slice | None, gain: float | None) -> CCDData:
    noise = Noise(gain=gain) if gain is not None and in_counts(path) else None
    frame = imaged(read_exposure(path, noise=noise).frame, columns)
    _check_usable(frame, path, gain)
    return frame


def _check_usable(frame: CCDData, path: PathLike, gain: float | None) -> None:
    """Find out before the search whether tracks can be cut.

    Raises:
        BayescrError: If the exposure time is not known, or how many electrons a count is.
    """
    exposure_time(frame, f"'{path}'")
    if frame.unit != u.electron and gain is None:
        raise BayescrError(
            f"'{path}' is in '{frame.unit}' but tracks are in electrons: give the gain of the "
            "tracks' frames in electrons per count (--track-gain)"
        )


def _name(paths: Sequence[PathLike]) -> str:
    return Path(paths[0]).resolve().parent.name or "darks"
