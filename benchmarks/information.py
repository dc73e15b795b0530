"""Mutual information by detector: is a model less sure of itself where it was not trained?

Mutual information grows with how hard the pixels are, so that a frame with more hits has more of
it. Hence it is given on hits and elsewhere by themselves, too, and as a share of the entropy, the
doubt in all: the share says how much of a doubt the networks do not agree on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.nddata import CCDData

from bayescr.evaluation import ScoredFrame
from bayescr.evaluation._arrays import label_entropy
from bayescr.labels import Labels
from bayescr.simulation import INSTRUMENTS, simulate_exposure
from benchmarks.finders import SAMPLES, Once
from benchmarks.real_skies import HotFrame, decam

SEED = 3_000_000  # no recipe simulates with it
RATE = 0.5  # [1 / cm^2 / s] at least: frames of 256 x 256 with hits
PARTS = ("whole frame", "hits", "elsewhere")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """Frames of one detector.

    Attributes:
        frames: Frame, (H, W) bool of its hits and of the pixels that count.
        simulated: Whether the model was trained on simulations of it.
    """

    frames: Sequence[tuple[CCDData, Array, Array]]
    simulated: bool


def simulated_detectors(home: Sequence[str], *, quick: bool) -> dict[str, Detector]:
    """All instruments of the simulator, a frame of each of their fields; ``home``: trained on."""
    found = {}
    for name, camera in INSTRUMENTS.items():
        rays = replace(camera.cosmic_rays, rate=max(camera.cosmic_rays.rate, RATE))
        exposures = [
            simulate_exposure(
                field, instrument=name, size=128 if quick else 256, seed=SEED, cosmic_rays=rays,
                threshold=2.0, undecided=0.7,
            )
            for field in camera.fields[: 1 if quick else None]
        ]  # fmt: skip
        found[f"{name}, simulated"] = Detector(
            frames=[(one.frame, one.cosmic_rays, one.valid & ~one.frame.mask) for one in exposures],
            simulated=name in home,
        )
    return found


def real_detectors(
    folder: Path, kast: Sequence[Labels], hot: HotFrame, *, kast_is_home: bool
) -> dict[str, Detector]:
    """Darks of the Kast spectrograph and of an STL-1001 camera, cutouts of the DECam."""
    return {
        "Kast darks": Detector(
            frames=[(one.frame, one.truth, one.valid) for one in kast], simulated=kast_is_home
        ),
        "STL-1001 dark": Detector(
            frames=[(hot.frame, hot.hits, np.ones(hot.hits.shape, bool))], simulated=False
        ),
        "DECam": Detector(
            frames=[(frame, hits, ~frame.mask) for frame, hits in decam(folder)], simulated=False
        ),
    }


def of_scored(name: str, detector: str, frames: Sequence[ScoredFrame], *, simulated: bool) -> dict:
    """A row of the table, from pieces that were scored anyway."""
    planes = [
        (label_entropy(one.logit.astype(float)), one.mutual_information, one.target, one.valid)
        for one in frames
    ]
    return _record(name, detector, planes, simulated=simulated)


def information(
    posteriors: Mapping[str, Once], detectors: Mapping[str, Detector]
) -> list[dict[str, Any]]:
    """A row for every posterior that has draws and every detector."""
    records = []
    for name, posterior in posteriors.items():
        for label, detector in detectors.items() if not posterior.is_deterministic else ():
            planes = []
            for frame, hits, valid in detector.frames:
                said = posterior.predict(frame, num_samples=SAMPLES)
                planes.append((said.entropy, said.mutual_information, hits, valid & said.valid))
            records.append(_record(name, label, planes, simulated=detector.simulated))
    return records


def contrast(table: pd.DataFrame) -> pd.DataFrame:
    """Means over detectors, each counted once: simulated in training, not, and their ratio."""
    if table.empty:
        return pd.DataFrame()
    columns = [name for name in table.columns if name.startswith(("MI", "share"))]
    means = table.groupby(["predictor", "in training"])[columns].mean()
    records = []
    for name in table["predictor"].unique():
        rows = {
            kind: means.loc[(name, kind)] for kind in ("yes", "no") if (name, kind) in means.index
        }
        if len(rows) == 2:
            rows["ratio, no / yes"] = rows["no"] / rows["yes"]
        records += [{"predictor": name, "in training": kind, **row} for kind, row in rows.items()]
    return pd.DataFrame(records)


def _record(
    name: str, detector: str, planes: Sequence[tuple[Array, ...]], *, simulated: bool
) -> dict[str, Any]:
    entropy, doubt, hits, valid = (
        np.concatenate([one[index].ravel() for one in planes]) for index in range(4)
    )
    record = {
        "predictor": name,
        "detector": detector,
        "in training": "yes" if simulated else "no",
        "pixels": int(valid.sum()),
        "hits": int((hits & valid).sum()),
    }
    where = dict(zip(PARTS, (valid, hits & valid, ~hits & valid), strict=True))
    of = {part: (_mean(doubt, at), _mean(entropy, at)) for part, at in where.items()}
    record |= {f"MI, {part} [nat]": information for part, (information, _) in of.items()}
    record |= {f"share, {part}": i / h if h > 0 else np.nan for part, (i, h) in of.items()}
    return record


def _mean(values: Array, where: Array) -> float:
    return float(values[where].astype(float).mean()) if where.any() else float("nan")
