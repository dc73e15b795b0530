"""What a posterior says about one frame, pixel by pixel.

With weights w drawn from the guide and logits l(w), every pixel has p(w) = sigmoid(l(w)) and

    probability          p   = E_w[p(w)]
    entropy              H   = H(p)                    total uncertainty, nats
    expected_entropy     A   = E_w[H(p(w))]            aleatoric: noise in the data
    mutual_information   I   = H - A >= 0              epistemic: what the model does not know
    std                  S   = sqrt(Var_w[p(w)])

where H(p) = -p log p - (1 - p) log(1 - p). The sums over draws run in float64; no draw is kept.

References:
    Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
    arXiv:1112.5745 (the split of the entropy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from torch.nn.functional import softplus

from bayescr._files import write_fits
from bayescr.data._wcs import without_wcs_cards
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LARGEST_LOGIT", "Prediction", "RunningPrediction"]

Array = np.ndarray[Any, Any]

_UNUSABLE = 4  # in DQ: HST's flag of a bad pixel, one of `bayescr.data.BAD_BITS`
LARGEST_LOGIT = 700.0  # |logit|; beyond it exp underflows in float64 and logits would turn infinite


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Per-pixel posterior maps of one frame, float32, (H, W) or (C, H, W) for several classes.

    At unusable pixels, which the network saw as sky, the maps hold its guess from the neighbours:
    ``valid`` tells which these are, `mask` never flags them, and `write` marks them in DQ.

    Attributes:
        probability: Posterior mean probability of the class.
        logit: log p - log(1 - p), exact where ``probability`` rounds to 0 or 1: rank by this.
        entropy: Entropy of the mean probability [nat].
        expected_entropy: Mean entropy of the draws [nat]: the aleatoric part.
        mutual_information: ``entropy - expected_entropy`` [nat]: the epistemic part.
        std: Standard deviation of the probability over draws.
        valid: (H, W) bool, False where the frame had no usable data.
        num_samples: Number of posterior draws behind the maps; the smallest, where it differs.
        frame: The frame that was predicted, for its header and WCS.
        tolerance: Root-mean-square error of the probability that draws were added for, or None.
        base_rate: Shares of positive pixels that were assumed, as given or as estimated, one a
            class; None: those of the training data.
    """

    probability: Array
    logit: Array
    entropy: Array
    expected_entropy: Array
    mutual_information: Array
    std: Array
    valid: Array
    num_samples: int
    frame: CCDData | None = field(default=None, repr=False)
    tolerance: float | None = None
    base_rate: tuple[float, ...] | None = None
    _predict: Callable[..., Prediction] | None = field(default=None, repr=False)

    def with_prior(
        self, new_rate: float | Sequence[float] | str, *, scratch: str | Path | None = None
    ) -> Prediction:
        """The same frame, draws and settings under another base rate of the classes.

        The mean over draws forgets what each of them said, so this predicts again; the posterior
        has to be as it was. What it assumes, that pixels of a class look as in training and only
        their number differs, `bayescr.inference.base_rate` tells.

        Args:
            new_rate: Share of positive pixels, of all classes or of each, or ``"auto"``.
            scratch: As of `Posterior.predict`.

        Raises:
            BayescrError: If `Posterior.predict` did not make this, or for a rate it does not take.
        """
        if self._predict is None:
            raise BayescrError(
                "this Prediction was not made by `posterior.predict`, or is a copy of what was: "
                "only its maps are known, and another base rate asks for the draws"
            )
        return self._predict(base_rate=new_rate, scratch=scratch)

    def __getstate__(self) -> dict[str, Any]:
        """Maps and frame: a copy, or what goes to another process, takes no network along."""
        return {**vars(self), "_predict": None}

    def mask(self, threshold: float = 0.5) -> Array:
        """Pixels whose probability exceeds ``threshold``; unusable pixels are never flagged."""
        if not 0.0 <= threshold <= 1.0:
            raise BayescrError(f"threshold is {threshold}: expected a probability from 0 to 1")
        return (self.probability > threshold) & self.valid

    def to_ccddata(self) -> CCDData:
        """The probability as an astropy frame: std as uncertainty, WCS and header of the frame.

        The header comes without the frame's unit and WCS cards: they would contradict ``unit``
        and repeat ``wcs``.
        """
        frame = self.frame
        return CCDData(
            self.probability,
            unit="",
            uncertainty=StdDevUncertainty(self.std),
            mask=np.broadcast_to(~self.valid, self.probability.shape).copy(),
            wcs=None if frame is None else frame.wcs,
            meta=None if frame is None else _plain_header(frame),
        )

    def to_hdus(
        self, *, threshold: float = 0.5, extver: int = 1, sky: fits.Header | None = None
    ) -> list[fits.ImageHDU]:
        """The extensions PROB, ENTROPY, MUTUAL_INFORMATION (float32) and CRMASK (uint8).

        Args:
            threshold: Probability above which a pixel is set in CRMASK.
            extver: EXTVER of the four.
            sky: Their WCS cards; default: those of the frame's WCS, and then its distortion
                tables follow as further extensions.
        """
        sky, tables = _sky(self.frame) if sky is None else (sky, [])
        header = sky.copy()
        header["BCRNSAMP"] = (self.num_samples, "posterior draws behind the maps")
        if self.tolerance is not None:
            header["BCRTOL"] = (self.tolerance, "rms error of PROB that draws were added for")
        for index, rate in enumerate(self.base_rate or ()):
            number = "" if len(self.base_rate or ()) == 1 else str(index)
            header[f"BCRRAT{number}"] = (rate, "share of positive pixels assumed")
        planes = {
            "PROB": (self.probability, "cosmic-ray probability"),
            "ENTROPY": (self.entropy, "entropy of the mean probability [nat]"),
            "MUTUAL_INFORMATION": (self.mutual_information, "epistemic part of the entropy [nat]"),
            "CRMASK": (self.mask(threshold).astype(np.uint8), "1 where PROB > BCRTHRES"),
        }
        hdus = []
        for name, (plane, comment) in planes.items():
            hdu = fits.ImageHDU(plane, header=header, name=name, ver=extver)
            hdu.header.set("EXTNAME", name, comment)
            if name == "CRMASK":
                hdu.header["BCRTHRES"] = (threshold, "probability threshold")
            hdus.append(hdu)
        return [*hdus, *tables]

    def write(self, path: str | Path, *, threshold: float = 0.5, overwrite: bool = False) -> None:
        """Write the frame and its maps to a FITS file, atomically; `read_frame` reads it back.

        SCI with the frame's header, ERR where the frame has an uncertainty, the maps of `to_hdus`,
        DQ (int16, 4 where unusable, else 0), and the tables of the WCS where it has any.

        Args:
            path: The file to write; ``.fits.gz`` compresses it.
            threshold: Probability above which a pixel is set in CRMASK.
            overwrite: Whether an existing file may be replaced.
        """
        sky, tables = _sky(self.frame)
        flags = np.where(self.valid, 0, _UNUSABLE).astype(np.int16)
        hdus = [
            fits.PrimaryHDU(),
            *([] if self.frame is None else _science(self.frame, sky)),
            *self.to_hdus(threshold=threshold, sky=sky),
            fits.ImageHDU(flags, header=sky, name="DQ", ver=1),
            *tables,
        ]
        write_fits(fits.HDUList(hdus), path, overwrite=overwrite)

    def plot(self, *, threshold: float = 0.5) -> Figure:
        """Draw the image, the probability and the two parts of its entropy side by side."""
        from bayescr.inference._maps import plot_maps

        return plot_maps(self, threshold=threshold)


class RunningPrediction:
    """Sums over posterior draws, from which the maps follow; memory does not grow with draws.

    Example:
        >>> running = RunningPrediction()
        >>> for _ in range(4):
        ...     running.add(torch.zeros(1, 8, 8))
        >>> float(running.result().probability[0, 0])
        0.5
    """

    def __init__(self) -> None:
        self.num_samples = 0
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, logits: torch.Tensor) -> None:
        """Add one draw's logits, (..., H, W)."""
        logits = logits.detach().double().clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
        entropy = p * softplus(-logits) + q * softplus(logits)
        if not self._sums:
            self._reference = p  # variance about the first draw: no cancellation where p is tiny
            names = ("p", "q", "entropy", "deviation", "squared_deviation")
            self._sums = {name: torch.zeros_like(p) for name in names}
        deviation = p - self._reference
        terms = (p, q, entropy, deviation, deviation.square())
        for total, term in zip(self._sums.values(), terms, strict=True):
            total += term
        self.num_samples += 1

    def merge(self, other: RunningPrediction) -> RunningPrediction:
        """The mean of two running predictions, each with half of the weight whatever its draws."""
        merged = RunningPrediction()
        merged.num_samples = self.num_samples + other.num_samples
        merged._reference = self._reference
        ours, theirs = self._means(), other._means()
        shift = other._reference - self._reference
        theirs["squared_deviation"] += 2.0 * shift * theirs["deviation"] + shift.square()
        theirs["deviation"] += shift
        merged._sums = {
            name: 0.5 * merged.num_samples * (mean + theirs[name]) for name, mean in ours.items()
        }
        return merged

    def maps(self) -> dict[str, torch.Tensor]:
        """The maps of the draws added so far by name, float64, of the shape of the logits."""
        mean = self._means()
        entropy = -torch.xlogy(mean["p"], mean["p"]) - torch.xlogy(mean["q"], mean["q"])
        return {
            "probability": mean["p"],
            "logit": mean["p"].log() - mean["q"].log(),
            "entropy": entropy,
            "expected_entropy": mean["entropy"],
            "mutual_information": (entropy - mean["entropy"]).clamp(min=0.0),
            "std": self.variance().sqrt(),
        }

    def variance(self) -> torch.Tensor:
        """Variance of the probability over the draws, of the shape of the logits."""
        mean = self._means()
        return (mean["squared_deviation"] - mean["deviation"].square()).clamp(min=0.0)

    def result(self, valid: Array | None = None, frame: CCDData | None = None) -> Prediction:
        """The maps of the draws added so far, as a prediction.

        Args:
            valid: (H, W) bool, True where the frame had usable data; default everywhere.
            frame: The frame, for its header and WCS.
        """
        maps = {name: _to_numpy(value) for name, value in self.maps().items()}
        height, width = maps["logit"].shape[-2:]
        return Prediction(
            **maps,  # type: ignore[arg-type]  # names known to `maps`
            valid=np.ones((height, width), bool) if valid is None else valid.reshape(height, width),
            num_samples=self.num_samples,
            frame=frame,
        )

    def _means(self) -> dict[str, torch.Tensor]:
        if not self.num_samples:
            raise BayescrError("no posterior draw was added: num_samples must be at least 1")
        return {name: total / self.num_samples for name, total in self._sums.items()}


def _to_numpy(value: torch.Tensor) -> Array:
    """(1, H, W) -> (H, W), (C, H, W) as it is."""
    return (value[0] if len(value) == 1 else value).float().cpu().numpy()


def _sky(frame: CCDData | None) -> tuple[fits.Header, list[fits.ImageHDU]]:
    """The WCS of a frame as cards, SIP among them, and the lookup tables that they name."""
    if frame is None or frame.wcs is None:
        return fits.Header(), []
    described, *tables = frame.wcs.to_fits(relax=True)
    return described.header.copy(strip=True), tables


def _science(frame: CCDData, sky: fits.Header) -> list[fits.ImageHDU]:
    """SCI and, where there is an uncertainty, ERR."""
    planes = {"SCI": frame.data}
    if getattr(frame.uncertainty, "uncertainty_type", None) in ("std", "var", "ivar"):
        error = frame.uncertainty.represent_as(StdDevUncertainty)
        planes["ERR"] = error.quantity.to_value(frame.unit)
    header = _plain_header(frame)
    header.update(sky)
    header["BUNIT"] = frame.unit.to_string()
    return [fits.ImageHDU(plane, header, name=name, ver=1) for name, plane in planes.items()]


def _plain_header(frame: CCDData) -> fits.Header:
    """The header of a frame less what ``frame.wcs`` and ``frame.unit`` say."""
    header = fits.Header(frame.header, copy=True)  # of a plain dict, too
    if frame.wcs is not None:
        header = without_wcs_cards(header)
    header.remove("BUNIT", ignore_missing=True)
    return header
