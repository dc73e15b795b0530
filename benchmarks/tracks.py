"""Simulated tracks of cosmic rays beside real ones, put through the same search.

LSST: cosmic rays that the camera team cut out of dark exposures of ITL sensors, as touching pixels
above 7 standard deviations, amplifier by amplifier (imsim, cosmic_rays_itl_2017). Kast: four dark
exposures of a thick CCD, labelled by `bayescr.labels`: touching pixels above 3 sigma that reach 6.
The simulated charge gets the real noise and goes through the same thresholds.

Not compared: footprints whose peak is below ``least``, where warm pixels and the wide tails of real
noise are found, and, of the catalogue, what lies within a pixel of another footprint: a defect,
seen in several exposures.

The settings of `bayescr.simulation.populations` were tuned to every other real track; the distances
reported are those from the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage
from scipy.stats import ks_2samp

from bayescr.labels import label_darks
from bayescr.simulation import CosmicRays, cosmic_ray_charge, track_statistics
from bayescr.simulation.populations import LSST_ITL, THICK_GROUND
from benchmarks.common import Settings
from benchmarks.real_skies import data_folder
from benchmarks.timing import show
from benchmarks.tracks_figure import tracks_figure

COMPARED = ("size", "charge", "elongation", "curvature", "charge_per_length")
TOUCHING = np.ones((3, 3))
SPAN = ("fp_id", "y0", "x0", "pixel_values")
KAST_DARKS = ("r3039", "r3073", "r3081", "r3092")
KAST_COLUMNS = slice(62, 346)
KAST_GAIN = 1.87  # electrons per count: as tuned; `measure_noise` says 1.83, Lick's guide 1.9


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Real tracks, and what it takes to find simulated ones alike.

    Attributes:
        name: For the table.
        rays: The population.
        read: Folder of the real data -> stamps [electrons].
        shape: (H, W) of what is read out together.
        exposure_time: Of one exposure [s].
        live: Exposure time times area of the real data [s cm^2].
        noise: Standard deviation [electrons].
        grow: Footprints are touching pixels above this [sigma].
        seed: A pixel of theirs reaches this [sigma].
        least: Fainter peaks are not compared [electrons].
    """

    name: str
    rays: CosmicRays
    read: Callable[[Path], list[np.ndarray]]
    shape: tuple[int, int]
    exposure_time: float
    live: float
    noise: float
    grow: float
    seed: float
    least: float

    def simulate(self, frames: int, seed: int) -> list[np.ndarray]:
        """Stamps of what is found in a number of exposures."""
        stamps = []
        for index in range(frames):
            rng = np.random.default_rng((seed, index))
            charge = cosmic_ray_charge(self.shape, self.exposure_time, rng, cosmic_rays=self.rays)
            image = charge + rng.normal(0, self.noise, self.shape)
            regions, _ = ndimage.label(image > self.grow * self.noise, TOUCHING)
            stamps += [
                stamp
                for stamp in cut(image, regions)
                if stamp.max() > max(self.least, self.seed * self.noise)
            ]
        return stamps


def run(settings: Settings) -> dict[str, Any]:
    folder = data_folder("lsst_itl_cr_catalog")
    if folder is None:
        reason = "no real tracks: BAYESCR_TEST_DATA may name their folder"
        print(reason)
        return {"skipped": reason}
    result, drawn = {}, {}
    for detector in DETECTORS:
        real = [stamp for stamp in detector.read(folder) if stamp.max() > detector.least]
        held_out = measured(real[1::2])
        frames = 2 if settings.quick else 60
        simulated = measured(detector.simulate(frames, seed=1))
        area = np.prod(detector.shape) * (detector.rays.pixel_size * 1e-4) ** 2
        result[detector.name] = {
            "real": len(real),
            "simulated": len(simulated["size"]),
            "rate": len(real) / detector.live,
            "simulated rate": len(simulated["size"]) / (frames * detector.exposure_time * area),
            "tuning": distances(measured(real[::2]), simulated),
            "held out": distances(held_out, simulated),
            "halves": distances(measured(real[::2]), held_out),
        }
        drawn[detector.name] = (measured(real), simulated)
    rows = [
        {"": f"{name}, {kind}"} | {key: f"{value:.3f}" for key, value in found[kind].items()}
        for name, found in result.items()
        for kind in ("tuning", "held out", "halves")
    ]
    show(rows)
    for name, found in result.items():
        print(
            f"{name}: {found['rate']:.4f} events / s / cm2, simulated {found['simulated rate']:.4f}"
        )
    tracks_figure(settings.output / "tracks.png", drawn)
    return result


def measured(stamps: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Statistics by name."""
    found = [track_statistics(stamp)._asdict() for stamp in stamps]
    return {name: np.array([one[name] for one in found]) for name in COMPARED}


def distances(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, float]:
    """Kolmogorov and Smirnov's largest difference of the distribution functions."""
    return {name: float(ks_2samp(one[name], other[name]).statistic) for name in COMPARED}


def cut(image: np.ndarray, regions: np.ndarray) -> list[np.ndarray]:
    """The image on each numbered region, 0 around it."""
    return [
        np.where(regions[box] == number, image[box], 0.0)
        for number, box in enumerate(ndimage.find_objects(regions), 1)
        if box is not None
    ]


def read_lsst(folder: Path) -> list[np.ndarray]:
    rows = fits.getdata(folder / "lsst_itl_cr_catalog" / "cosmic_rays_itl_2017.fits.gz", 1)
    spans = defaultdict(list)
    for number, y, x, values in zip(*(rows[key] for key in SPAN), strict=True):
        spans[number].append((int(y), int(x), np.asarray(values)))
    stamps, corners = [], []
    for parts in spans.values():
        top, left = (min(part[axis] for part in parts) for axis in (0, 1))
        bottom = max(y for y, *_ in parts)
        right = max(x + len(values) for _, x, values in parts)
        stamp = np.zeros((bottom - top + 1, right - left))
        for y, x, values in parts:
            stamp[y - top, x - left : x - left + len(values)] = values
        stamps.append(stamp)
        corners.append((top, left))
    apart = np.abs(np.array(corners)[:, None] - corners).max(axis=-1)
    np.fill_diagonal(apart, 9)
    return [stamp for stamp, alone in zip(stamps, apart.min(axis=0) > 1, strict=True) if alone]


def read_kast(folder: Path) -> list[np.ndarray]:
    frames = []
    for name in KAST_DARKS:
        with fits.open(folder / "kast_red_2019" / f"{name}.fits.gz") as hdus:
            data, header = hdus[0].data[:, KAST_COLUMNS], fits.Header({"EXPTIME": 360.0})
            frames.append(CCDData(data.astype(np.float32), unit=units.adu, header=header))
    stamps = []
    for labels in label_darks(frames):
        regions, _ = ndimage.label(labels.truth, TOUCHING)
        stamps += cut(KAST_GAIN * labels.charge, regions)
    return stamps


DETECTORS = (
    Detector(
        name="LSST ITL", rays=LSST_ITL, read=read_lsst, shape=(2000, 509), exposure_time=500.0,
        live=1500.0 * 16_288_000 * 1e-6, noise=7.3, grow=7.0, seed=7.0, least=300.0,
    ),
    Detector(
        name="Kast red", rays=THICK_GROUND, read=read_kast, shape=(2725, 284), exposure_time=360.0,
        live=4 * 360.0 * 2725 * 284 * 15e-4**2, noise=5.5, grow=3.0, seed=6.0, least=55.0,
    ),
)  # fmt: skip
