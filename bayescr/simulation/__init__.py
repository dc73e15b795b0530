"""Simulated exposures: sky, detector and cosmic-ray tracks, with exact truth.

>>> from bayescr.simulation import simulate_exposure
>>> exposure = simulate_exposure("extragalactic", size=64, seed=0)
>>> exposure.cosmic_rays.shape
(64, 64)
"""

from bayescr.simulation.background import Background
from bayescr.simulation.detector import Detector
from bayescr.simulation.exposures import SimulatedExposure, simulate_exposure
from bayescr.simulation.instruments import INSTRUMENTS, Instrument, find_instrument
from bayescr.simulation.optics import GroundOptics, HubbleOptics
from bayescr.simulation.psf import F606W, F814W, Band
from bayescr.simulation.series import simulate, write_exposure
from bayescr.simulation.sky import FIELDS
from bayescr.simulation.track_statistics import TrackStatistics, track_statistics
from bayescr.simulation.tracks import CosmicRays, cosmic_ray_charge

__all__ = [
    "F606W",
    "F814W",
    "FIELDS",
    "INSTRUMENTS",
    "Background",
    "Band",
    "CosmicRays",
    "Detector",
    "GroundOptics",
    "HubbleOptics",
    "Instrument",
    "SimulatedExposure",
    "TrackStatistics",
    "cosmic_ray_charge",
    "find_instrument",
    "simulate",
    "simulate_exposure",
    "track_statistics",
    "write_exposure",
]
