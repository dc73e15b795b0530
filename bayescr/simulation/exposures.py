"""Whole exposures: a sky, a detector, cosmic rays and the exact truth about them.

Truth. A pixel is a cosmic-ray pixel when the noiseless charge of the cosmic rays in it exceeds
``threshold`` times the noise that the pixel has without them,

    charge > threshold * sqrt(scene + read_noise^2)

where ``scene`` is the expected charge of sources, sky and dark current. At the default, 3, the
charge would be called a detection if the scene were known. Below it one exposure alone cannot
tell charge from noise; ``threshold=1`` asks for every pixel whose mean squared error is doubled.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from bayescr import __version__
from bayescr._files import write_fits
from bayescr.errors import BayescrError
from bayescr.simulation.canvas import Canvas
from bayescr.simulation.detector import DQ_SATURATED, Detector, bleed, draw_defects
from bayescr.simulation.psf import F606W, F814W, Band, draw_psf
from bayescr.simulation.sky import FIELDS, field_name
from bayescr.simulation.tracks import CosmicRays, cosmic_ray_charge

__all__ = ["SimulatedExposure", "frame_seed", "simulate", "simulate_exposure", "write_exposure"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedExposure:
    """One simulated frame and everything that is true about it.

    Attributes:
        frame: Data (H, W) float32 electrons, sky included; ``mask`` True where ``dq`` is set;
            uncertainty, WCS and a header that says how it was made.
        cosmic_rays: (H, W) bool, the truth defined above.
        charge: (H, W) float32, noiseless electrons of the cosmic rays.
        scene: (H, W) float32, expected electrons without them: sources, sky and dark current.
        dq: (H, W) int16, Hubble's bits: 4 dead, 16 hot, 256 saturated, or
            on a bleeding trail.
        field: Name of the field.
    """

    frame: CCDData
    cosmic_rays: Array
    charge: Array
    scene: Array
    dq: Array
    field: str


def simulate_exposure(
    field: str,
    *,
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    exposure_time: float | None = None,
    band: Band | None = None,
    detector: Detector | None = None,
    cosmic_rays: CosmicRays | None = None,
    threshold: float = 3.0,
) -> SimulatedExposure:
    """Simulate one exposure; the same arguments give the same bytes.

    Sky, cosmic rays and detector draw from streams of their own: the same seed with other
    ``cosmic_rays`` sees the same sky.

    Args:
        field: ``extragalactic``, ``globular-cluster`` or ``resolved-galaxy``; for short ``ex``,
            ``gc`` or ``rg``.
        size: Side of the frame or (H, W) [pixel].
        seed: Any integer from 0.
        exposure_time: [s]; drawn between 300 and 1200 by default.
        band: The filter; F606W or F814W, drawn by default.
        detector: ACS/WFC by default.
        cosmic_rays: Flux and silicon; ACS/WFC in orbit by default.
        threshold: Of the truth, in units of the noise without cosmic rays.

    Raises:
        BayescrError: If an argument cannot be used, or GalSim is missing.

    Example:
        >>> exposure = simulate_exposure("gc", size=64, seed=1, exposure_time=500.0)
        >>> exposure.frame.shape, exposure.field
        ((64, 64), 'globular-cluster')
    """
    field = field_name(field)
    shape = _shape(size)
    detector = detector or Detector()
    _check_positive("threshold", threshold)
    sky_rng, ray_rng, detector_rng = _streams(seed, field)

    drawn_time, drawn_band = sky_rng.uniform(300, 1200), (F606W, F814W)[sky_rng.integers(2)]
    exposure_time = drawn_time if exposure_time is None else exposure_time
    _check_positive("exposure_time", exposure_time)
    band = band or drawn_band

    psf = draw_psf(band, sky_rng, pixel_scale=detector.pixel_scale)
    canvas = Canvas(
        shape,
        exposure_time=exposure_time,
        band=band,
        psf=psf,
        pixel_scale=detector.pixel_scale,
    )
    canvas.image += (
        band.sky * (detector.pixel_scale / 0.05) ** 2 * (exposure_time * sky_rng.lognormal(0, 0.25))
    )
    FIELDS[field](canvas, sky_rng)

    defects = draw_defects(shape, detector, detector_rng)
    scene = canvas.image * defects.sensitivity + defects.dark_current * exposure_time
    charge = cosmic_ray_charge(shape, exposure_time, ray_rng, cosmic_rays=cosmic_rays)
    arrived = detector_rng.poisson(scene) + charge
    collected = bleed(arrived, detector.full_well)
    data = collected + detector_rng.normal(0, detector.read_noise, size=shape)
    dq = defects.dq | np.where(collected != arrived, DQ_SATURATED, 0).astype(np.int16)
    noise = np.sqrt(scene + detector.read_noise**2)

    header = fits.Header()
    header["FIELD"] = (field, "kind of field")
    header["SEED"] = (int(seed), "of the simulation")
    header["EXPTIME"] = (exposure_time, "[s]")
    header["FILTER"] = band.name
    header["READNSE"] = (detector.read_noise, "[electron]")
    header["PHOTZPT"] = (band.zero_point, "AB magnitude of 1 electron / s")
    header["CRTHRESH"] = (threshold, "CRMASK: charge > CRTHRESH * noise without it")
    header["ORIGIN"] = (f"bayescr {__version__}", "simulated")
    frame = CCDData(
        data.astype(np.float32),
        unit=units.electron,
        mask=dq != 0,
        uncertainty=StdDevUncertainty(
            np.sqrt(np.maximum(data, 0) + detector.read_noise**2).astype(np.float32)
        ),
        wcs=_wcs(shape, detector.pixel_scale, sky_rng),
        meta=header,
    )
    return SimulatedExposure(
        frame=frame,
        cosmic_rays=charge > threshold * noise,
        charge=charge,
        scene=scene.astype(np.float32),
        dq=dq,
        field=field,
    )


def write_exposure(
    exposure: SimulatedExposure, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write an exposure as FITS: SCI (float32, electrons), DQ (int16) and CRMASK (uint8).

    The primary header says how the frame was made (FIELD, SEED, EXPTIME, FILTER, ...); SCI carries
    the WCS. No date is written: the same exposure gives the same bytes.

    Args:
        exposure: What to write.
        path: The file; ``.fits.gz`` compresses it.
        overwrite: Whether an existing file may be replaced.
    """
    science = exposure.frame.wcs.to_header()
    science["BUNIT"] = "ELECTRONS"
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(header=exposure.frame.header),
            fits.ImageHDU(exposure.frame.data, header=science, name="SCI"),
            fits.ImageHDU(exposure.dq, name="DQ"),
            fits.ImageHDU(exposure.cosmic_rays.astype(np.uint8), name="CRMASK"),
        ]
    )
    write_fits(hdus, path, overwrite=overwrite)


def simulate(
    folder: str | os.PathLike[str],
    field: str,
    *,
    frames: int,
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> list[Path]:
    """Simulate a number of exposures into ``folder/<field>_<seed>_<index>.fits``.

    Frame k depends on ``seed`` and k alone, not on how many frames are asked for.

    Args:
        folder: Made when missing.
        field: As for ``simulate_exposure``.
        frames: How many.
        size: As for ``simulate_exposure``.
        seed: Of the series.
        overwrite: Whether existing files may be replaced.
        progress: Called with the number of frames finished, after each.
        **options: Further arguments of ``simulate_exposure``.

    Returns:
        The paths, in order.
    """
    name = field_name(field)
    if frames < 1:
        raise BayescrError(f"frames is {frames}: expected at least 1")
    paths = [Path(folder) / f"{name}_{seed}_{index:04d}.fits" for index in range(frames)]
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise BayescrError(
            f"'{existing[0]}' exists already: choose another folder or seed, or allow overwriting"
        )
    for index, path in enumerate(paths):
        exposure = simulate_exposure(name, size=size, seed=frame_seed(seed, index), **options)
        write_exposure(exposure, path, overwrite=overwrite)
        if progress is not None:
            progress(index + 1)
    return paths


def frame_seed(seed: int, index: int) -> int:
    """The seed of frame ``index`` of a series: that of numpy's spawned child, as one integer."""
    _check_seed(seed)
    child = np.random.SeedSequence(seed, spawn_key=(index,))
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))  # FITS integers are signed


def _streams(seed: int, field: str) -> list[np.random.Generator]:
    """Independent streams for sky, cosmic rays and detector, different in each field."""
    _check_seed(seed)
    sequence = np.random.SeedSequence([seed, zlib.crc32(field.encode())])
    return [np.random.default_rng(child) for child in sequence.spawn(3)]


def _wcs(shape: tuple[int, int], pixel_scale: float, rng: np.random.Generator) -> WCS:
    """A tangent-plane WCS at a random pointing and roll."""
    roll = rng.uniform(0, 2 * np.pi)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.crval = [rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-0.95, 0.95)))]
    wcs.wcs.cd = (pixel_scale / 3600) * np.array(
        [[-np.cos(roll), np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    )
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    whole = all(isinstance(side, (int, np.integer)) and side > 0 for side in sides)
    if len(sides) != 2 or not whole:
        raise BayescrError(f"size is {size}: expected a positive whole number or (height, width)")
    return int(sides[0]), int(sides[1])


def _check_seed(seed: int) -> None:
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BayescrError(f"seed is {seed}: expected a whole number from 0")


def _check_positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise BayescrError(f"{name} is {value}: expected a finite number above 0")
