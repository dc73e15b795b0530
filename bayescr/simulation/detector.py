"""What a CCD is like: noise, gain, defects, charge transfer; see ``defects`` and ``readout``."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr._checks import is_number
from bayescr.errors import BayescrError

__all__ = [
    "DQ_BAD",
    "DQ_COLUMN",
    "DQ_HOT",
    "DQ_SATURATED",
    "DQ_WARM",
    "Detector",
]

DQ_BAD, DQ_HOT, DQ_WARM, DQ_COLUMN, DQ_SATURATED = 4, 16, 64, 128, 256  # Hubble's bits

_NOT_NEGATIVE = (
    "read_noise", "dark_current", "gain", "row_noise", "column_noise", "amplifier_step",
    "pickup", "response_scatter",
)  # fmt: skip
_POSITIVE = ("pixel_scale", "full_well", "rows", "columns", "trail_length")
_SHARES = (
    "hot_fraction", "hot_flagged", "warm_fraction", "dead_fraction", "dead_flagged",
    "bad_column_fraction", "bad_column_flagged", "saturation_flagged", "transfer_loss",
)  # fmt: skip
_RANGES = ("hot_current", "warm_current")


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A CCD; the defaults are ACS/WFC.

    Attributes:
        pixel_scale: [arcsec].
        rows: Of the detector between its first pixel and the amplifier; a frame is a piece of it.
        columns: Of the detector that one amplifier reads.
        read_noise: Standard deviation [electrons].
        gain: Electrons per count, to which the frame is rounded; 0 for no rounding.
        dark_current: [electron / s / pixel].
        full_well: [electrons].
        response_scatter: Pixel-to-pixel scatter of the sensitivity that no flat field took out.
        hot_fraction: Share of hot pixels.
        hot_current: Range of their dark current [electron / s], uniform in the logarithm.
        hot_flagged: Share of the hot pixels that DQ knows of, of those above four times the least,
            and of the warm ones.
        warm_fraction: Share of warm pixels: many, and faint.
        warm_current: Range of their dark current [electron / s], uniform in the logarithm.
        dead_fraction: Share of dead pixels, which collect a tenth of their light.
        dead_flagged: Share of the dead pixels that DQ knows of.
        bad_column_fraction: Share of columns that begin a group of bad ones; see ``defects``.
        bad_column_flagged: Share of the groups that DQ knows of.
        saturation_flagged: Share of exposures whose saturated pixels DQ knows of.
        transfer_loss: Share of its charge that a pixel leaves behind in each transfer to the next
            row, on the way to the amplifier.
        trail_length: Of what is left behind, e-folding [pixel].
        row_noise: Standard deviation of the rows' offsets [electrons].
        column_noise: Standard deviation of the columns' offsets [electrons].
        amplifier_step: Standard deviation of an amplifier's offset [electrons].
        pickup: Amplitude of a hum that the electronics pick up while reading out [electrons].

    References:
        ACS Instrument Handbook: 3.75 to 5.65 e- read noise, about 1% hot pixels, most of them
        flagged, of which the default keeps a fifth; its early editions: 84700 e- full well.
        Anderson & Bedin, "An Empirical Pixel-Based Correction for Imperfect CTE. I. HST's ACS",
        arXiv:1007.3987 (trails of tens of pixels). Grogin et al., "Post-SM4 ACS/WFC Bias
        Striping", ISR ACS 2011-05 (row noise of 0.9 e-).
    """

    pixel_scale: float = 0.05
    rows: int = 2048
    columns: int = 2048
    read_noise: float = 5.0
    gain: float = 2.0
    dark_current: float = 0.01
    full_well: float = 84_700.0
    response_scatter: float = 0.005
    hot_fraction: float = 0.002
    hot_current: tuple[float, float] = (0.1, 20.0)
    hot_flagged: float = 0.9
    warm_fraction: float = 0.01
    warm_current: tuple[float, float] = (0.03, 0.1)
    dead_fraction: float = 0.0003
    dead_flagged: float = 0.9
    bad_column_fraction: float = 0.001
    bad_column_flagged: float = 0.8
    saturation_flagged: float = 0.9
    transfer_loss: float = 2e-5
    trail_length: float = 8.0
    row_noise: float = 0.9
    column_noise: float = 0.3
    amplifier_step: float = 1.0
    pickup: float = 0.0

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (is_number(value) and value >= 0):
                raise BayescrError(f"{name} is {value}: expected a finite number not below 0")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (is_number(value) and value > 0):
                raise BayescrError(f"{name} is {value}: expected a finite number above 0")
        for name in _SHARES:
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= 1):
                raise BayescrError(f"{name} is {value}: expected a share from 0 to 1")
        for name in _RANGES:
            value = getattr(self, name)
            if not (len(value) == 2 and all(map(is_number, value)) and 0 < value[0] <= value[1]):
                raise BayescrError(f"{name} is {value}: expected (low, high) above 0")
