"""Cameras and spectrographs that exposures are simulated with.

| name                | what it is like                                    |
|---------------------|----------------------------------------------------|
| `hst-acs-wfc`       | Hubble's ACS/WFC: thin CCD in orbit, undersampled  |
| `hst-wfc3-uvis`     | Hubble's WFC3/UVIS                                 |
| `thick-ground-ccd`  | Kast red at the 3 m Shane: 200 um of silicon, worms |
| `thin-ground-ccd`   | the CCD of the 1 m Nickel, binned 2 x 2            |
| `lsst-itl`          | an ITL sensor of the LSST camera: 100 um           |
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bayescr._checks import is_number
from bayescr._names import kebab, unknown_name
from bayescr.errors import BayescrError
from bayescr.simulation.background import Background
from bayescr.simulation.detector import Detector
from bayescr.simulation.optics import GroundOptics, HubbleOptics, Optics
from bayescr.simulation.populations import (
    ACS_WFC,
    LSST_ITL,
    THICK_GROUND,
    THIN_GROUND,
    WFC3_UVIS,
)
from bayescr.simulation.psf import F606W, F814W, Band
from bayescr.simulation.tracks import CosmicRays

__all__ = ["INSTRUMENTS", "Instrument", "find_instrument"]


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A telescope, its camera and what passes through it.

    Attributes:
        name: As `INSTRUMENTS` and the header keyword INSTRUME have it.
        telescope: As in the header keyword TELESCOP.
        detector: Pixel scale, noise, gain and defects.
        cosmic_rays: Flux and silicon.
        optics: Draws the PSF of an exposure.
        background: How the sky differs between exposures.
        bands: Filters, one of which an exposure has.
        exposure_times: Range [s], uniform in the logarithm.
        fields: Names of fields that it is typically pointed at; it may be pointed at all.

    Example:
        >>> INSTRUMENTS["lsst-itl"].detector.pixel_scale
        0.2
    """

    name: str
    telescope: str
    detector: Detector
    cosmic_rays: CosmicRays
    optics: Optics
    bands: tuple[Band, ...]
    exposure_times: tuple[float, float]
    fields: tuple[str, ...]
    background: Background = field(default_factory=Background)

    def __post_init__(self) -> None:
        if not self.bands:
            raise BayescrError(f"instrument '{self.name}' has no bands: expected one or more")
        low, high = self.exposure_times
        if not (is_number(low) and is_number(high) and 0 < low <= high):
            raise BayescrError(
                f"exposure_times is {self.exposure_times}: expected (low, high) above 0, in s"
            )


def find_instrument(instrument: str | Instrument) -> Instrument:
    """An instrument of `INSTRUMENTS` by name, or one's own as it is.

    Raises:
        BayescrError: If there is none of that name; the message suggests the nearest one.
    """
    if isinstance(instrument, Instrument):
        return instrument
    name = kebab(str(instrument))
    if name not in INSTRUMENTS:
        raise unknown_name("instrument", str(instrument), INSTRUMENTS)
    return INSTRUMENTS[name]


def _band(name: str, wavelength: float, width: float, zero_point: float, sky: float) -> Band:
    """A band whose dark sky is given in mag / arcsec^2."""
    rate = 10 ** (0.4 * (zero_point - sky)) * 0.05**2
    return Band(name=name, wavelength=wavelength, width=width, zero_point=zero_point, sky=rate)


_SPACE_FIELDS = ("extragalactic", "globular-cluster", "resolved-galaxy")

# ACS Instrument Handbook: 0.05 arcsec, 3.75 to 5.65 e- of read noise, 2 e- per count, bands. The
# rest is `Detector`'s defaults.
_HST_ACS_WFC = Instrument(
    name="hst-acs-wfc",
    telescope="HST",
    detector=Detector(),
    cosmic_rays=ACS_WFC,
    optics=HubbleOptics(),
    bands=(F606W, F814W),
    exposure_times=(300.0, 1200.0),
    fields=_SPACE_FIELDS,
)

# WFC3 Instrument Handbook, 5.1: 3.1 to 3.2 e- of read noise. Data Handbook, ch. 5: a gain of 1.5 e-
# per count by name (1.56 to 1.60 measured), full well 63000 to 72000, typically 68000, dark current
# 11 e- / h in 2024, hot from 54 e- / h on. Zero points are about those of Calamida et al., "New
# Photometric Calibration of the Wide Field Camera 3 Detectors", arXiv:2205.13014. Chosen: a sky as
# bright as for ACS, the shares of hot and warm pixels, the transfer loss.
_HST_WFC3_UVIS = Instrument(
    name="hst-wfc3-uvis",
    telescope="HST",
    detector=Detector(
        pixel_scale=0.0395,
        read_noise=3.1,
        gain=1.5,
        dark_current=0.003,
        full_well=68_000.0,
        hot_fraction=0.005,
        hot_current=(0.015, 5.0),
        warm_fraction=0.02,
        warm_current=(0.005, 0.015),
        transfer_loss=2e-5,
        row_noise=0.2,
        column_noise=0.2,
    ),
    cosmic_rays=WFC3_UVIS,
    optics=HubbleOptics(),
    bands=(
        _band("F606W", 589.0, 0.37, 26.08, 22.24),
        _band("F814W", 803.0, 0.19, 25.12, 21.93),
    ),
    exposure_times=(300.0, 1200.0),
    fields=_SPACE_FIELDS,
)

# Kast red: a "thick" Hamamatsu CCD of 1024 x 4096 pixels of 0.43 arcsec, two amplifiers, 1.9 e- per
# count, full well 150000 e- (Lick, "User's Guide to the Kast Double Spectrograph", detector
# characteristics); 1.9 e- per count and 3.8 e- of noise in PypeIt's `shane_kast_red`. Photon
# transfer of its flats and biases of 2019 (`bayescr.labels.measure_noise`), hum and offsets of
# columns included: 1.83 and 4.1 by the right amplifier, 1.68 and 3.8 by the left. The gain here
# lies between the two; all noise adds up to 3.8 e-. Chosen: defects, sky, zero points, and the
# full well, of which only the 116000 e- are seen at which counts end.
_THICK_GROUND_CCD = Instrument(
    name="thick-ground-ccd",
    telescope="Lick 3 m",
    detector=Detector(
        pixel_scale=0.43,
        rows=4096,
        columns=512,
        read_noise=3.6,
        gain=1.77,
        dark_current=0.001,
        full_well=130_000.0,
        response_scatter=0.01,
        hot_fraction=0.0005,
        hot_current=(0.05, 10.0),
        hot_flagged=0.3,
        warm_fraction=0.005,
        warm_current=(0.01, 0.05),
        dead_fraction=0.0002,
        dead_flagged=0.3,
        bad_column_fraction=0.002,
        bad_column_flagged=0.3,
        saturation_flagged=0.3,
        transfer_loss=1e-6,
        trail_length=2.0,
        row_noise=0.3,
        column_noise=0.8,
        amplifier_step=10.0,
        pickup=1.0,
    ),
    cosmic_rays=THICK_GROUND,
    optics=GroundOptics(seeing=(0.6, 2.5), spikes=0.002),
    background=Background(scatter=0.3, moon=20.0, gradient=0.1, stray=0.1),
    bands=(
        _band("R", 650.0, 0.22, 25.8, 20.8),
        _band("I", 800.0, 0.19, 25.2, 19.8),
    ),
    exposure_times=(60.0, 3600.0),
    fields=("spectrum", "dark", "star-field", "extragalactic"),
)

# Nickel: thinned and back-illuminated, 0.184 arcsec binned 2 x 2. 1.74 e- per count, 10.3 e- of
# noise, a hum among it, and the sky's 2.2 e- / s / pixel in B and 4.1 in V were measured from its
# flats, darks and frames of 2019; `bayescr.labels.measure_noise` says 1.78 and 10.4. Zero points:
# 0.66 m^2 of mirror (38.5 inches, 12% of them behind the secondary) and 0.44 of the photons in V.
# Chosen: defects, dark current, full well, transfer.
_THIN_GROUND_CCD = Instrument(
    name="thin-ground-ccd",
    telescope="Lick 1 m",
    detector=Detector(
        pixel_scale=0.368,
        rows=1024,
        columns=1024,
        read_noise=9.5,
        gain=1.74,
        dark_current=0.02,
        full_well=110_000.0,
        response_scatter=0.01,
        hot_fraction=0.001,
        hot_current=(0.5, 50.0),
        hot_flagged=0.3,
        warm_fraction=0.01,
        warm_current=(0.1, 0.5),
        dead_fraction=0.0003,
        dead_flagged=0.3,
        bad_column_fraction=0.003,
        bad_column_flagged=0.3,
        saturation_flagged=0.3,
        transfer_loss=5e-6,
        trail_length=3.0,
        row_noise=1.0,
        column_noise=1.5,
        amplifier_step=0.0,
        pickup=5.0,
    ),
    cosmic_rays=replace(THIN_GROUND, pixel_size=30.0),
    optics=GroundOptics(seeing=(0.8, 3.0), elongation=0.25, spikes=0.01),
    background=Background(scatter=0.3, moon=20.0, gradient=0.1, stray=0.1),
    bands=(
        _band("B", 440.0, 0.21, 23.3, 20.3),
        _band("V", 545.0, 0.16, 23.5, 19.8),
        _band("R", 640.0, 0.24, 23.6, 19.5),
        _band("I", 800.0, 0.18, 22.9, 18.7),
    ),
    exposure_times=(30.0, 1200.0),
    fields=("open-cluster", "star-field", "globular-cluster", "extragalactic", "dark"),
)

# Ivezic et al., "LSST: From Science Drivers to Reference Design", arXiv:0805.2366: pixels and
# seeing. Zero points and dark skies are of one edition of "Calculating LSST limiting magnitudes and
# SNR", SMTN-002; others differ by up to 0.3 and 0.02 mag. It has the requirements, too: below 9 e-
# of read noise and 0.2 e- / s of dark current. Gain, full well, transfer loss and defects are
# chosen, typical of such sensors, of none in particular; their design is in O'Connor et al.,
# "Integrated system tests of the LSST raft tower modules", SPIE 9915 (2016).
_LSST_ITL = Instrument(
    name="lsst-itl",
    telescope="Rubin",
    detector=Detector(
        pixel_scale=0.2,
        rows=2000,
        columns=512,
        read_noise=6.5,
        gain=1.6,
        dark_current=0.01,
        full_well=130_000.0,
        response_scatter=0.005,
        hot_fraction=0.0002,
        hot_current=(0.5, 20.0),
        hot_flagged=0.5,
        warm_fraction=0.002,
        warm_current=(0.05, 0.5),
        dead_fraction=0.0001,
        dead_flagged=0.5,
        bad_column_fraction=0.002,
        bad_column_flagged=0.5,
        saturation_flagged=0.5,
        transfer_loss=3e-6,
        trail_length=2.0,
        row_noise=0.3,
        column_noise=0.3,
        amplifier_step=2.0,
    ),
    cosmic_rays=LSST_ITL,
    optics=GroundOptics(seeing=(0.5, 1.3), elongation=0.1, spikes=0.01),
    background=Background(scatter=0.2, moon=5.0, gradient=0.03, stray=0.05),
    bands=(
        _band("g", 480.0, 0.28, 28.38, 22.26),
        _band("r", 620.0, 0.22, 28.16, 21.20),
        _band("i", 754.0, 0.16, 27.85, 20.48),
        _band("z", 869.0, 0.12, 27.46, 19.60),
    ),
    exposure_times=(15.0, 1500.0),
    fields=("extragalactic", "star-field", "globular-cluster", "dark"),
)

INSTRUMENTS: dict[str, Instrument] = {
    instrument.name: instrument
    for instrument in (
        _HST_ACS_WFC,
        _HST_WFC3_UVIS,
        _THICK_GROUND_CCD,
        _THIN_GROUND_CCD,
        _LSST_ITL,
    )
}
