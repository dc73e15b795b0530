"""What hits a detector, and the silicon that it hits."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr._checks import check_positive, is_number
from bayescr.errors import BayescrError
from bayescr.simulation.particles import PROTON_MASS

__all__ = ["CosmicRays"]


@dataclass(frozen=True, kw_only=True)
class CosmicRays:
    """The flux of cosmic rays and the silicon it crosses; the defaults are ACS/WFC in orbit.

    Attributes:
        rate: Events of all kinds in the detector [1 / s / cm^2]; about 1.1 for ACS/WFC.
        thickness: Of the silicon [um]; ACS/WFC is 12.6 to 17.1 um thick.
        pixel_size: [um].
        diffusion: Standard deviation of the charge cloud from the far side of the layer [um].
        mass: Of the particles that cross in straight lines [MeV]: proton 938.27, muon 105.66.
        energy_scale: E_0 of their kinetic energies, dN/dE ~ (E_0 + E)^-n [MeV]. In Hubble's orbit
            the field of the Earth turns back protons below a few GeV, so that nearly all that
            arrive lose as little as can be.
        energy_index: n of the same.
        zenith_index: Power n of their intensity cos^n(zenith); 0 = isotropic, 2 = muons at sea
            level.
        tilt: Angle between the zenith and the detector's normal, towards the columns [degrees];
            90 = the columns stand upright.
        helium_fraction: Share of helium nuclei among them, which free four times the charge.
        worm_fraction: Share of events that are slow electrons.
        worm_energy: Range of their kinetic energies at birth [MeV].
        worm_index: Power n of dN/dT ~ (T_0 + T)^-n in that range; 1 is uniform in the logarithm.
        worm_scale: T_0 of the same [MeV]: Compton electrons are as many at all low energies.
        surroundings: Share of the surroundings that is matter which frees the same electrons, some
            of which enter; 0 = a layer in a vacuum.
        alpha_fraction: Share of events that are alpha particles of radioactive dust.
        alpha_energy: Range of their kinetic energies where they enter [MeV].
        plasma: Standard deviation to which their dense charge drives itself apart [um].

    References:
        Miles et al., "Using Cosmic Rays detected by HST as Geophysical Markers I",
        arXiv:2006.00909 (rate, thickness). Riess, "A First Look at Cosmic Rays on
        ACS", ISR ACS 2002-07 (what comes out: 1.5 to 3% of pixels in 1000 s, median event 1000 e-
        and 4 to 5 pixels). Krist, ISR ACS 2003-06 (charge diffusion). Estrada et al., "Plasma
        effect in Silicon Charge Coupled Devices (CCDs)", arXiv:1105.3229 (alpha particles).

    Example:
        A thick, fully depleted CCD on the ground, where worms are common:

        >>> ground = CosmicRays(rate=0.1, thickness=250, diffusion=7.0, worm_fraction=0.8)
    """

    rate: float = 1.1
    thickness: float = 14.5
    pixel_size: float = 15.0
    diffusion: float = 5.0
    mass: float = PROTON_MASS
    energy_scale: float = 20_000.0
    energy_index: float = 2.7
    zenith_index: float = 0.0
    tilt: float = 0.0
    helium_fraction: float = 0.1
    worm_fraction: float = 0.05
    worm_energy: tuple[float, float] = (0.05, 1.2)
    worm_index: float = 1.0
    worm_scale: float = 0.0
    surroundings: float = 0.0
    alpha_fraction: float = 0.0
    alpha_energy: tuple[float, float] = (4.0, 5.3)
    plasma: float = 14.0

    def __post_init__(self) -> None:
        check_positive(self, "thickness", "pixel_size", "mass", "energy_scale")
        for name in ("rate", "diffusion", "zenith_index", "worm_scale", "plasma"):
            self._check(name, 0, float("inf"), "a number not below 0")
        for name in ("helium_fraction", "worm_fraction", "surroundings", "alpha_fraction"):
            self._check(name, 0, 1, "a share from 0 to 1")
        self._check("tilt", 0, 180, "an angle from 0 to 180 degrees")
        self._check("worm_index", -10, 10, "a power from -10 to 10")
        self._check("energy_index", 1.01, 10, "a power above 1, to 10")
        if self.worm_fraction + self.alpha_fraction > 1:
            raise BayescrError(
                f"worm_fraction and alpha_fraction are {self.worm_fraction} and "
                f"{self.alpha_fraction}: expected shares of one whole, at most 1 together"
            )
        for name, lowest, highest in (("worm_energy", 0.001, 50), ("alpha_energy", 0.5, 10)):
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise BayescrError(
                    f"{name} is {getattr(self, name)}: expected (low, high) in MeV, within "
                    f"{lowest} to {highest}"
                )

    def _check(self, name: str, low: float, high: float, expected: str) -> None:
        value = getattr(self, name)
        if not (is_number(value) and low <= value <= high):
            raise BayescrError(f"CosmicRays {name} is {value!r}: expected {expected}")
