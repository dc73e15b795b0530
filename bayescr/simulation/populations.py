"""Cosmic rays of known detectors, and where the numbers come from.

In orbit the rate and the silicon are Hubble's. On the ground muons come down as cos^2(zenith): at
sea level about 1 per cm^2 and minute through a horizontal surface, half as many through an upright
one. All else are electrons that natural radioactivity frees in and around the detector,

    dN/dT ~ (0.1 MeV + T)^-1.5,   T < 1.24 MeV,   surroundings 0.6,

up to what the gamma ray of potassium 40 (1.461 MeV) can give to an electron, and alpha particles.
Rates are those of the events found in dark exposures, of the thin CCD in images. The spectrum's
two numbers, the surroundings, the share of each kind and the diffusion were tuned to half of the
tracks of two detectors, which share spectrum and surroundings; docs/simulation.md reports how well
the other half is met.

References:
    Miles et al., "Using Cosmic Rays detected by HST as Geophysical Markers I", arXiv:2006.00909.
    WFC3 Instrument Handbook, ch. 6, on observing strategies: fluxes in UVIS are comparable to those
    in ACS.
    Particle Data Group, "Cosmic rays": muons at sea level, their number and angles.
    Shukla & Sankrith, "Energy and angular distributions of atmospheric muons at the Earth",
    arXiv:1606.06907: E_0 = 4.28 GeV, n = 3 (4.29 GeV and 3.01 in its last version).
    Groom, "Cosmic rays and other nonsense in astronomical CCD imagers", Exp. Astron. 14, 45 (2002):
    worms are Compton electrons and betas of potassium, uranium and thorium nearby.
"""

from __future__ import annotations

from dataclasses import replace

from bayescr.simulation.cosmic_rays import CosmicRays
from bayescr.simulation.particles import MUON_MASS

__all__ = ["ACS_WFC", "LSST_ITL", "THICK_GROUND", "THIN_GROUND", "WFC3_UVIS"]

ACS_WFC = CosmicRays()
"""ACS/WFC in orbit: the defaults."""

WFC3_UVIS = CosmicRays(thickness=16.0)
"""WFC3/UVIS in orbit: as many cosmic rays, in silicon that is taken to be slightly thicker."""

_GROUND = CosmicRays(
    mass=MUON_MASS,
    energy_scale=4280.0,
    energy_index=3.0,
    zenith_index=2.0,
    helium_fraction=0.0,
    worm_energy=(0.001, 1.24),
    worm_index=1.5,
    worm_scale=0.1,
    surroundings=0.6,
)

LSST_ITL = replace(
    _GROUND,
    rate=0.046,
    thickness=100.0,
    pixel_size=10.0,
    diffusion=4.3,
    tilt=90.0,
    worm_fraction=0.8,
)
"""A 100 um thick sensor of the LSST camera, upright on its test stand at sea level."""

THICK_GROUND = replace(
    _GROUND,
    rate=0.116,
    thickness=200.0,
    diffusion=8.3,
    tilt=90.0,
    worm_fraction=0.85,
    alpha_fraction=0.042,
    plasma=12.5,
)
"""A fully depleted CCD at an observatory: the red arm of Kast on Mount Hamilton.

Lick's guide to it says "thick" and gives no number; it is taken to be 200 um.
"""

THIN_GROUND = replace(_GROUND, rate=0.03, thickness=15.0, diffusion=5.0, worm_fraction=0.35)
"""A thinned CCD that looks up, at an observatory at 1300 m: mostly muons."""
