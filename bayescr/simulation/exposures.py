"""Whole exposures: a sky, a detector, cosmic rays and the exact truth about them.

    light   = sky through the optics * sensitivity + dark current * exposure time
    charge  = bleed(Poisson(light) + cosmic rays)
    data    = rounded(transfer(charge) + bias + Normal(0, read_noise))

Truth. A pixel is a cosmic-ray pixel when the noiseless charge of the cosmic rays in it, as it is
read out, exceeds ``threshold`` times the noise that the pixel has without them,

    charge > threshold * sqrt(scene + read_noise^2)

where ``scene`` is the expected charge of sources, sky and dark current. At the default, 3, the
charge would be called a detection if the scene were known. Below it one exposure alone cannot
tell charge from noise; ``threshold=1`` asks for every pixel whose mean squared error is doubled.
The trail that a cosmic ray leaves behind in the transfer is its charge too, and truth where it
exceeds the threshold: it spoils the pixel all the same. Trails of stars and hot pixels are no
truth; ``defects["trail"]`` has them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from bayescr import __version__
from bayescr._checks import check_positive
from bayescr.errors import BayescrError
from bayescr.simulation.canvas import EDGE, Canvas
from bayescr.simulation.defects import draw_defects
from bayescr.simulation.detector import DQ_SATURATED, DQ_WARM, Detector
from bayescr.simulation.draws import log_uniform
from bayescr.simulation.instruments import Instrument, find_instrument
from bayescr.simulation.psf import Band
from bayescr.simulation.readout import COUNTS, bleed, digitise, draw_bias, transfer
from bayescr.simulation.sky import FIELDS, WITHOUT_SKY, field_name
from bayescr.simulation.tracks import CosmicRays, cosmic_ray_charge

__all__ = ["SimulatedExposure", "check_seed", "simulate_exposure"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedExposure:
    """One simulated frame and everything that is true about it.

    Attributes:
        frame: Data (H, W) float32 electrons, sky included; ``mask`` True where ``dq`` says that a
            pixel cannot be used; uncertainty, header that says how it was made, and WCS, None for
            fields that are no image of the sky.
        cosmic_rays: (H, W) bool, the truth defined above.
        valid: (H, W) bool, False where the truth is undecided.
        charge: (H, W) float32, noiseless electrons of the cosmic rays.
        scene: (H, W) float32, expected electrons without them: sources, sky and dark current.
        bias: (H, W) float32, offsets that reading out adds [electrons].
        dq: (H, W) int16, Hubble's bits of what a pipeline may know: 4 dead, 16 hot, 64 warm (but
            usable), 128 bad column, 256 saturated or on a bleeding trail.
        defects: Kind -> (H, W) bool, all that is no cosmic ray, known or not: ``hot``, ``warm``,
            ``dead``, ``bad_column``, ``saturated`` (beyond full well, or the last count),
            ``bleed`` (charge of saturated pixels ran there), ``trail`` (what was left behind in
            the transfer exceeds ``threshold`` times the noise).
        field: Name of the field.
        instrument: Name of the instrument.
    """

    frame: CCDData
    cosmic_rays: Array
    valid: Array
    charge: Array
    scene: Array
    bias: Array
    dq: Array
    defects: Mapping[str, Array]
    field: str
    instrument: str


def simulate_exposure(
    field: str,
    *,
    instrument: str | Instrument = "hst-acs-wfc",
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    exposure_time: float | None = None,
    band: Band | None = None,
    detector: Detector | None = None,
    cosmic_rays: CosmicRays | None = None,
    threshold: float = 3.0,
    undecided: float | None = None,
) -> SimulatedExposure:
    """Simulate one exposure; the same arguments give the same bytes.

    Sky, cosmic rays and detector draw from streams of their own: the same seed with other
    ``cosmic_rays`` sees the same sky.

    Args:
        field: One of `bayescr.simulation.FIELDS`, such as ``extragalactic`` or ``spectrum``;
            ``ex``, ``gc`` and ``rg`` are short for the first three.
        instrument: Name of one of `bayescr.simulation.INSTRUMENTS`, or one's own.
        size: Side of the frame or (H, W) [pixel].
        seed: Any integer from 0.
        exposure_time: [s]; drawn from the instrument's range by default.
        band: The filter; drawn from the instrument's by default.
        detector: In place of the instrument's.
        cosmic_rays: Flux and silicon, in place of the instrument's.
        threshold: Of the truth, in units of the noise without cosmic rays.
        undecided: Charge from so much up to ``threshold`` is neither a hit nor none: ``valid`` is
            False there, as it is where light alone saturates and nothing shows of a hit.
            Default: every pixel is decided.

    Raises:
        BayescrError: If an argument cannot be used, or GalSim is missing.

    Example:
        >>> exposure = simulate_exposure("gc", size=64, seed=1, exposure_time=500.0)
        >>> exposure.frame.shape, exposure.field
        ((64, 64), 'globular-cluster')
    """
    field, shape = field_name(field), _shape(size)
    camera = find_instrument(instrument)
    camera = replace(
        camera,
        detector=detector or camera.detector,
        cosmic_rays=cosmic_rays or camera.cosmic_rays,
        bands=camera.bands if band is None else (band,),
    )
    check_positive("", threshold=threshold)
    if undecided is not None:
        _check_undecided(undecided, threshold)
    sky_rng, ray_rng, detector_rng = _streams(seed, field, camera.name)
    drawn_time = float(log_uniform(camera.exposure_times, sky_rng))
    band = camera.bands[sky_rng.integers(len(camera.bands))]
    exposure_time = drawn_time if exposure_time is None else exposure_time
    check_positive("", exposure_time=exposure_time)

    image = _paint(field, shape, camera, band, exposure_time, sky_rng)
    charge = cosmic_ray_charge(shape, exposure_time, ray_rng, cosmic_rays=camera.cosmic_rays)
    header = fits.Header()
    header["TELESCOP"] = camera.telescope
    header["INSTRUME"] = (camera.name, "simulated")
    header["FIELD"] = (field, "kind of field")
    header["SEED"] = (int(seed), "of the simulation")
    header["EXPTIME"] = (exposure_time, "[s]")
    header["FILTER"] = band.name
    header["READNSE"] = (camera.detector.read_noise, "[electron]")
    header["GAIN"] = (camera.detector.gain, "[electron / count] that the data are rounded to")
    header["PHOTZPT"] = (band.zero_point, "AB magnitude of 1 electron / s")
    header["CRTHRESH"] = (threshold, "CRMASK: charge > CRTHRESH * noise without it")
    if undecided is not None:
        header["CRUNDEC"] = (undecided, "CRVALID: not from CRUNDEC to CRTHRESH")
    header["ORIGIN"] = (f"bayescr {__version__}", "simulated")
    return _observe(
        image,
        charge,
        camera.detector,
        detector_rng,
        threshold=threshold,
        header=header,
        wcs=None if field in WITHOUT_SKY else _wcs(shape, camera.detector.pixel_scale, sky_rng),
    )


def _paint(
    field: str,
    shape: tuple[int, int],
    camera: Instrument,
    band: Band,
    exposure_time: float,
    rng: np.random.Generator,
) -> Array:
    """(H, W) expected electrons of the light that arrives."""
    if field == "dark":
        return np.zeros(shape)
    detector = camera.detector
    psf = camera.optics.draw(band, rng, pixel_scale=detector.pixel_scale)
    canvas = Canvas(
        shape,
        exposure_time=exposure_time,
        band=band,
        psf=psf,
        pixel_scale=detector.pixel_scale,
    )
    noise = np.hypot(detector.read_noise, np.sqrt(canvas.sky))
    drowned = 0.5 * noise * np.sqrt(psf.noise_pixels) / exposure_time  # half a sigma [electron / s]
    canvas.faintest = band.zero_point - 2.5 * float(np.log10(drowned))
    canvas.limit = 0.3 * detector.full_well
    canvas.edge = max(EDGE, 0.02 * noise)
    if field not in WITHOUT_SKY:
        camera.background.paint(canvas, rng)
    FIELDS[field](canvas, rng)
    return np.maximum(canvas.image, 0.0)


def _observe(
    image: Array,
    charge: Array,
    detector: Detector,
    rng: np.random.Generator,
    *,
    threshold: float,
    header: fits.Header,
    wcs: WCS | None,
) -> SimulatedExposure:
    """The frame that a detector makes of light and cosmic rays, with the truth about it."""
    shape, exposure_time = image.shape, header["EXPTIME"]
    defects = draw_defects(shape, detector, rng)
    first_row = int(rng.integers(max(detector.rows - shape[0], 0) + 1))
    expected = image * defects.sensitivity + defects.dark_current * exposure_time
    expected *= defects.transmission
    hits = charge * defects.transmission

    arrived = rng.poisson(expected) + hits
    collected = bleed(arrived, detector.full_well)
    moved = collected != arrived
    last_count = COUNTS * (detector.gain or np.inf)
    saturated = (arrived > detector.full_well) | (collected >= last_count)
    bias = draw_bias(shape, detector, rng)
    data = transfer(collected, detector, first_row=first_row) + bias
    data = digitise(data + rng.normal(0, detector.read_noise, shape), detector.gain)

    scene = transfer(expected, detector, first_row=first_row)
    charge = transfer(hits, detector, first_row=first_row).astype(np.float32)
    noise = np.sqrt(scene + detector.read_noise**2)
    cosmic_rays = charge > threshold * noise
    quiet = bleed(expected, detector.full_well)
    valid = np.ones(shape, bool)
    if "CRUNDEC" in header:
        some = charge > header["CRUNDEC"] * noise
        drowned = (expected > min(detector.full_well, last_count)) | (quiet != expected)
        valid = ~(some & (~cosmic_rays | drowned))
    trailing = transfer(quiet, detector, first_row=first_row) - quiet
    planes = defects.planes | {
        "saturated": saturated,
        "bleed": moved & ~saturated,
        "trail": trailing > threshold * noise,
    }
    dq = defects.dq
    if rng.random() < detector.saturation_flagged:
        dq = dq | np.where(saturated | moved, DQ_SATURATED, 0).astype(np.int16)

    variance = np.maximum(data, 0) + detector.read_noise**2
    frame = CCDData(
        data.astype(np.float32),
        unit=units.electron,
        mask=(dq & ~DQ_WARM) != 0,
        uncertainty=StdDevUncertainty(np.sqrt(variance).astype(np.float32)),
        wcs=wcs,
        meta=header,
    )
    return SimulatedExposure(
        frame=frame,
        cosmic_rays=cosmic_rays,
        valid=valid,
        charge=charge,
        scene=scene.astype(np.float32),
        bias=bias.astype(np.float32),
        dq=dq,
        defects=planes,
        field=header["FIELD"],
        instrument=header["INSTRUME"],
    )


def check_seed(seed: int) -> None:
    """Refuse what is no whole number from 0 up."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BayescrError(f"seed is {seed}: expected a whole number from 0")


def _check_undecided(undecided: float, threshold: float) -> None:
    if not isinstance(undecided, (int, float)) or not 0.0 <= undecided < threshold:
        raise BayescrError(
            f"undecided is {undecided!r}: expected a number from 0 to below threshold, {threshold}"
        )


def _streams(seed: int, *names: str) -> list[np.random.Generator]:
    """Independent streams for sky, cosmic rays and detector, different in each field."""
    check_seed(seed)
    words = [zlib.crc32(name.encode()) for name in names]
    sequence = np.random.SeedSequence([seed, *words])
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
