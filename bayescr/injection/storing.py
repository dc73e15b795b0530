"""Catalogues of tracks as FITS tables: runs of pixels, a row each.

    COSMIC_RAYS   binary table
        fp_id         number of the track
        x0, y0        column and row of the first pixel of a run along x
        pixel_values  charge of the pixels of the run [electron], as many as it is long
        EXPTIME       exposure time [s]
        NUM_PIX       pixels in which tracks were looked for
        PIXSIZE       side of a pixel [um]; may be missing
        CATALOG       name; may be missing

Pixels outside all runs have no charge. It is the table in which imSim, the image simulator of LSST
DESC, ships the cosmic rays of sensor darks (``cosmic_rays_itl_2017.fits.gz``), with PIXSIZE and
CATALOG added.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bayescr._files import write_fits
from bayescr.data._fits import opened
from bayescr.errors import BayescrError
from bayescr.injection.catalogue import Track, TrackCatalogue

__all__ = ["is_catalogue", "read_catalogue", "write_catalogue"]

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]

TABLE = "COSMIC_RAYS"
COLUMNS = ("fp_id", "x0", "y0", "pixel_values")


def is_catalogue(path: PathLike) -> bool:
    """Whether a FITS file holds a catalogue of tracks.

    Raises:
        BayescrError: If it is no FITS file.
    """
    with opened(path) as hdus:
        return any(_is_table(hdu) for hdu in hdus)


def read_catalogue(
    path: PathLike, *, pixel_size: float | None = None, name: str | None = None
) -> TrackCatalogue:
    """Read a catalogue of tracks.

    Args:
        path: A FITS file with the table described above, in any extension.
        pixel_size: Side of a pixel [um], in place of PIXSIZE.
        name: In place of CATALOG; by default the file's.

    Raises:
        BayescrError: If the file cannot be read, has no such table, or the table cannot be used.

    Example:
        >>> catalogue = read_catalogue("darks_tracks.fits")  # doctest: +SKIP
        >>> len(catalogue), catalogue.rate  # doctest: +SKIP
        (250, 0.0998)
    """
    with opened(path) as hdus:
        table = next((hdu for hdu in hdus if _is_table(hdu)), None)
        if table is None:
            raise BayescrError(
                f"'{path}' holds no catalogue of tracks: expected a table with the columns "
                f"{', '.join(COLUMNS)}"
            )
        header = table.header
        missing = [keyword for keyword in ("EXPTIME", "NUM_PIX") if keyword not in header]
        if missing:
            raise BayescrError(
                f"the table of '{path}' has no {missing[0]}: expected the exposure time [s] and "
                "the number of pixels of the frames that the tracks are from"
            )
        number, x, y = (np.asarray(table.data[column], np.int64) for column in COLUMNS[:3])
        values = [np.asarray(run, np.float32) for run in table.data[COLUMNS[3]]]
    size = header.get("PIXSIZE") if pixel_size is None else pixel_size
    try:
        return TrackCatalogue(
            tracks=tuple(_tracks(number, x, y, values)),
            exposure_time=float(header["EXPTIME"]),
            pixels=int(header["NUM_PIX"]),
            pixel_size=None if size is None else float(size),
            name=name or str(header.get("CATALOG", Path(path).name.partition(".")[0])),
        )
    except BayescrError as error:
        raise BayescrError(f"cannot use the tracks of '{path}': {error}") from error


def write_catalogue(catalogue: TrackCatalogue, path: PathLike, *, overwrite: bool = False) -> None:
    """Write a catalogue as FITS; the same catalogue gives the same bytes.

    Args:
        catalogue: What to write; where the tracks lay on the detector is not kept.
        path: The file; ``.fits.gz`` compresses it.
        overwrite: Whether an existing file may be replaced.
    """
    number, x, y, values = [], [], [], []
    for index, track in enumerate(catalogue.tracks):
        for row, start, stop in _runs(track.charge):
            number.append(index)
            x.append(start)
            y.append(row)
            values.append(track.charge[row, start:stop])
    runs = np.empty(len(values), object)
    runs[:] = values
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("fp_id", "J", array=np.array(number, np.int32)),
            fits.Column("x0", "J", unit="pixel", array=np.array(x, np.int32)),
            fits.Column("y0", "J", unit="pixel", array=np.array(y, np.int32)),
            fits.Column("pixel_values", "PE()", unit="electron", array=runs),
        ],
        name=TABLE,
    )
    table.header["EXPTIME"] = (catalogue.exposure_time, "[s]")
    table.header["NUM_PIX"] = (catalogue.pixels, "in which tracks were looked for")
    if catalogue.pixel_size is not None:
        table.header["PIXSIZE"] = (catalogue.pixel_size, "[um] side of a pixel")
    table.header["CATALOG"] = catalogue.name
    write_fits(fits.HDUList([fits.PrimaryHDU(), table]), path, overwrite=overwrite)


def _is_table(hdu: Any) -> bool:
    names = getattr(getattr(hdu, "columns", None), "names", ())
    return set(COLUMNS) <= set(names)


def _tracks(number: Array, x: Array, y: Array, values: list[Array]) -> list[Track]:
    """Stamps, in the order of their numbers."""
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    return [
        Track(_stamp(x[rows], y[rows], [values[row] for row in rows]))
        for rows in np.split(order, starts[1:])
        if len(rows)
    ]


def _stamp(x: Array, y: Array, values: list[Array]) -> Array:
    ends = x + [len(run) for run in values]
    left, bottom = x.min(), y.min()
    stamp = np.zeros((y.max() - bottom + 1, ends.max() - left), np.float32)
    for start, stop, row, run in zip(x - left, ends - left, y - bottom, values, strict=True):
        stamp[row, start:stop] = run
    return stamp


def _runs(charge: Array) -> list[tuple[int, int, int]]:
    """(row, start, stop) of the pixels that are not 0, run by run."""
    edges = np.diff((charge != 0).astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = np.nonzero(edges == 1)
    _, stops = np.nonzero(edges == -1)
    return list(zip(rows.tolist(), starts.tolist(), stops.tolist(), strict=True))
