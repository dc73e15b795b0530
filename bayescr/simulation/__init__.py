"""Simulated exposures: sky, detector and cosmic-ray tracks, with exact truth.

>>> from bayescr.simulation import simulate_exposure
>>> exposure = simulate_exposure("extragalactic", size=64, seed=0)
>>> exposure.cosmic_rays.shape
(64, 64)
"""

from bayescr.simulation.detector import Detector
from bayescr.simulation.exposures import (
    SimulatedExposure,
    simulate,
    simulate_exposure,
    write_exposure,
)
from bayescr.simulation.psf import F606W, F814W, Band
from bayescr.simulation.sky import FIELDS
from bayescr.simulation.tracks import CosmicRays, cosmic_ray_charge

__all__ = [
    "F606W",
    "F814W",
    "FIELDS",
    "Band",
    "CosmicRays",
    "Detector",
    "SimulatedExposure",
    "cosmic_ray_charge",
    "simulate",
    "simulate_exposure",
    "write_exposure",
]
