"""Where real data lie; real frames and real tracks for `benchmarks.real_tracks`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from scipy.ndimage import binary_dilation, label, median_filter

from bayescr.data import read_frame, sky_and_noise
from bayescr.injection import TrackCatalogue, imaged, read_catalogue, tracks_from_labels
from bayescr.labels import Labels, label_darks, label_exposures, measure_noise

NICKEL = ("d3162", "d3163", "d3164", "d3166")
NICKEL_FLATS, NICKEL_DARKS = ("d3009", "d3010", "d3011"), ("d3018", "d3019", "d3020")
KAST = ("r3039", "r3073", "r3081", "r3092")
KAST_FLATS, KAST_BIASES = ("r3082", "r3083"), ("r3074", "r3075", "r3076")
NICKEL_IMAGED, NICKEL_OVERSCAN, KAST_IMAGED = slice(0, 1024), slice(1030, 1054), slice(62, 346)
STL_GAIN = 2.06
DECAM_HIT = 5  # in the DQ planes of the community pipeline, which hold one code a pixel
SATURATED = 65_000.0  # counts
TOUCHING = np.ones((3, 3), bool)
AROUND = 8  # pixels around a saturated one that are still its star


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """An exposure to paint into.

    Attributes:
        frame: Electrons without bias; bad columns and saturated pixels are masked.
        unmasked: The same, only bad columns masked.
        own: (H, W) bool, its own hits.
        saturated: (H, W) bool, in and around saturated stars, without bad columns and own hits.
    """

    frame: CCDData
    unmasked: CCDData
    own: np.ndarray
    saturated: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class HotFrame:
    """A dark of which every pixel's dark current is known.

    Attributes:
        frame: Electrons.
        hot: (H, W) bool, valid pixels with more than 5 sigma of dark charge.
        valid: (H, W) bool, without cosmic rays.
        hits: (H, W) bool, cosmic rays.
    """

    frame: CCDData
    hot: np.ndarray
    valid: np.ndarray
    hits: np.ndarray


def data_folder(name: str = "nickel_ngc6819_2019") -> Path | None:
    """BAYESCR_TEST_DATA, or shared/data beside the checkout, if the data of that name are there."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BAYESCR_TEST_DATA") or beside)
    return folder if (folder / name).is_dir() else None


def nickel(folder: Path) -> dict[str, Sky]:
    place = folder / "nickel_ngc6819_2019"
    noise = measure_noise(
        [_counts(place, name, NICKEL_IMAGED) for name in NICKEL_FLATS],
        [_counts(place, name, NICKEL_IMAGED) for name in NICKEL_DARKS],
    )
    counts = {name: _counts(place, name) for name in NICKEL}
    frames = {
        name: _electrons(frame, noise.gain, noise.read_noise) for name, frame in counts.items()
    }
    bad = np.broadcast_to(bad_columns(list(frames.values())), frames[NICKEL[0]].shape)
    found = {}
    labels = label_exposures(list(frames.values()))
    for (name, frame), labelled in zip(frames.items(), labels, strict=True):
        full = imaged(counts[name], NICKEL_IMAGED).data >= SATURATED
        own = _without(labelled.truth, full)  # beside saturation stars differ between exposures
        found[name] = Sky(
            frame=_masked(frame, bad | full),
            unmasked=_masked(frame, bad),
            own=own,
            saturated=binary_dilation(full, iterations=AROUND)
            & ~(bad | binary_dilation(own, TOUCHING)),
        )
    return found


def bad_columns(frames: list[CCDData]) -> np.ndarray:
    """(W,) bool, columns whose median in all frames is off its neighbours' by a sigma."""
    off = []
    for frame in frames:
        level = np.median(frame.data, axis=0)
        noise = sky_and_noise(frame.data)[1]
        off.append((level - median_filter(level, 31, mode="mirror")) / noise)
    return np.abs(np.median(off, axis=0)) > 1.0


def kast_labels(folder: Path) -> list[Labels]:
    """Of four darks [counts]."""
    place = folder / "kast_red_2019"
    return label_darks([_counts(place, name, KAST_IMAGED) for name in KAST])


def kast_tracks(folder: Path, labels: list[Labels]) -> TrackCatalogue:
    place = folder / "kast_red_2019"
    noise = measure_noise(
        [_counts(place, name, KAST_IMAGED) for name in KAST_FLATS],
        [_counts(place, name, KAST_IMAGED) for name in KAST_BIASES],
    )
    return tracks_from_labels(labels, gain=noise.gain, pixel_size=15.0, name="Kast red")


def lsst_tracks(folder: Path) -> TrackCatalogue:
    path = folder / "lsst_itl_cr_catalog" / "cosmic_rays_itl_2017.fits.gz"
    return read_catalogue(path, pixel_size=10.0, name="LSST ITL").at_least(2)


def decam(folder: Path) -> list[tuple[CCDData, np.ndarray]]:
    """Cutouts of the Dark Energy Camera, 250 um of silicon, and where their pipeline saw hits."""
    found = []
    for path in sorted((folder / "decam_dq_cutouts").glob("*_ooi_*")):
        data, flags = (
            fits.getdata(one) for one in (path, path.with_name(path.name.replace("ooi", "ood")))
        )
        hits = flags == DECAM_HIT
        mask = (flags != 0) & ~hits
        found.append((CCDData(data.astype(np.float32), unit="adu", mask=mask), hits))
    return found


def hot_pixels(folder: Path) -> HotFrame:
    """One of ten darks of 30 s; what is hot is known from the other nine."""
    paths = sorted((folder / "sbig_stl1001_darks_2019").glob("dark_10series_0c_0m30s*"))
    frames = [read_frame(path, unit="adu", gain=STL_GAIN) for path in paths]
    labels = label_darks(frames)[0]
    dark = np.median([frame.data for frame in frames[1:]], axis=0)
    level, noise = sky_and_noise(frames[0].data)
    valid = ~binary_dilation(labels.truth, iterations=2)
    hot = (dark - level > 5.0 * noise) & valid
    return HotFrame(frame=frames[0], hot=hot, valid=valid, hits=labels.truth)


def _counts(place: Path, name: str, columns: slice | None = None) -> CCDData:
    return imaged(read_frame(place / f"{name}.fits.gz"), columns)


def _electrons(frame: CCDData, gain: float, read_noise: float) -> CCDData:
    """The imaged columns less the overscan of their rows."""
    overscan = np.median(frame.data[:, NICKEL_OVERSCAN], axis=1, keepdims=True)
    data = gain * (frame.data[:, NICKEL_IMAGED] - median_filter(overscan, (51, 1), mode="nearest"))
    header = frame.header.copy()
    header["READNSE"] = read_noise
    return CCDData(data.astype(np.float32), unit=u.electron, meta=header)


def _without(hits: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Hits, less those that touch a saturated pixel."""
    regions, _ = label(hits, TOUCHING)
    return hits & ~np.isin(regions, regions[binary_dilation(full, TOUCHING)])


def _masked(frame: CCDData, mask: np.ndarray) -> CCDData:
    return CCDData(frame.data, unit=frame.unit, mask=mask, meta=frame.header)
