"""Real tracks in real skies: finders compared where the truth is exact.

Tracks of the Kast spectrograph's red CCD (thick; cut from its darks) and of LSST sensors (imSim's
catalogue) are painted into exposures of an open cluster with the Nickel 1-m telescope; only the
half of the tracks is used that `TrackCatalogue.split(0.5, 0.5)` gives second. A hit is a pixel with
more than 2 sigma of the noise without it, from 0.7 to 2 it does not count; nor do bad columns,
saturated pixels and the exposures' own hits.

There are four exposures, and all see one field. Their seeing, sky and filter differ, and so do the
stars of the field's quarters: intervals allow for either, see `benchmarks.finders`. They speak of
other exposures of such fields with this camera, of other cameras they cannot. Other tracks in the
same exposures would be no independent units, for the sky and its stars, which false alarms are made
of, would be the same.

Beside the scores: how much of what is no cosmic ray is flagged, hot pixels of an STL-1001 camera
and stars that saturate; what is still missed and falsely called, with pictures; and what mutual
information says on detectors that the model was trained for and on others.

    python -m benchmarks real_tracks --model "ground=POSTERIOR" --model "one network=POSTERIOR"

compares the first with all others; without models it takes that of the package. The frames lie
below BAYESCR_TEST_DATA or ../shared/data; without them nothing is measured. Rows of astroscrappy
and deepCR need `pip install bayescr[classical]`, see `benchmarks.others`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayescr.data import PatchDataset, Scaling
from bayescr.data._cutting import windows
from bayescr.evaluation.classical import Astroscrappy
from bayescr.injection import Injected, TrackCatalogue, inject
from benchmarks.common import Settings
from benchmarks.finders import SAMPLES, Once, Pieces, Trial, posteriors, predictors
from benchmarks.information import real_detectors, simulated_detectors
from benchmarks.real_skies import (
    HotFrame,
    Sky,
    data_folder,
    hot_pixels,
    kast_labels,
    kast_tracks,
    lsst_tracks,
    nickel,
)
from benchmarks.trials import add_information, run_trials, show_table

SIDE, TRACKS = 1024, 500  # of an exposure, and painted into it
QUARTERS = ("south-west", "south-east", "north-west", "north-east")
MASKS = ("ACS-WFC", "decam")
HOME = ("thick-ground-ccd", "thin-ground-ccd", "lsst-itl")  # of the model "ground"


def run(settings: Settings) -> dict[str, Any]:
    folder = data_folder()
    if folder is None:
        print("skipped: no real frames; BAYESCR_TEST_DATA may name their folder\n")
        return {"skipped": "no real frames"}
    rows, skipped = predictors(settings, shipped="ground", masks=MASKS)
    if not rows:
        return {"skipped": skipped}
    skies, labels = nickel(folder), kast_labels(folder)
    kast = kast_tracks(folder, labels).split(0.5, 0.5)[1]
    lsst = lsst_tracks(folder).split(0.5, 0.5)[1]
    scaling = next((one.scaling for one in posteriors(rows).values()), None)
    side = SIDE // 2 if settings.quick else SIDE
    trials = {
        f"Nickel, {name} tracks": painted(skies, tracks, side=side, scaling=scaling)
        for name, tracks in {"Kast": kast, "LSST": lsst}.items()
    }
    tables = run_trials("real_tracks", rows, trials, settings=settings, skipped=skipped)
    hot = hot_pixels(folder)
    tables["false positives"] = false_positives(rows, skies, hot)
    show_table("Flagged, of what is no cosmic ray", tables["false positives"])
    detectors = real_detectors(folder, labels, hot, kast_is_home=True)
    detectors |= simulated_detectors(HOME, quick=settings.quick)
    add_information(tables, rows, detectors)
    return {
        "tracks": {"Kast": len(kast), "LSST": len(lsst)},
        "skipped": skipped,
        "tables": {name: json.loads(table.to_json()) for name, table in tables.items()},
    }


def painted(
    skies: Mapping[str, Sky], tracks: TrackCatalogue, *, side: int, scaling: Scaling | None
) -> Trial:
    """Every sky with tracks in it, cut into quarters; ``side``: of the corner that is taken."""
    number = TRACKS * side**2 // SIDE**2
    corner = slice(side), slice(side)
    found = {
        name: inject(
            sky.frame[corner], tracks, number=number, own_hits=sky.own[corner], seed=seed
        )
        for seed, (name, sky) in enumerate(skies.items())
    }  # fmt: skip
    whole = PatchDataset.from_frames(
        [one.frame for one in found.values()], [one.truth for one in found.values()],
        reliable=[one.valid for one in found.values()], exposures=list(found), patch=side // 2,
        scaling=scaling, fields={name: sky.frame.header["FILTNAM"] for name, sky in skies.items()},
    )  # fmt: skip
    pieces = {
        f"{name}, {quarter}": (name, quarter, strength(one)[window.rows, window.columns])
        for name, one in found.items()
        for quarter, window in zip(QUARTERS, windows(side, side, side // 2), strict=True)
    }
    return Trial(
        data=Pieces(whole, list(pieces)),
        strength=[sigma for _, _, sigma in pieces.values()],
        units={
            "exposure": {piece: name for piece, (name, _, _) in pieces.items()},
            "quarter": {piece: quarter for piece, (_, quarter, _) in pieces.items()},
        },
    )


def strength(one: Injected) -> np.ndarray:
    """(H, W) charge that was painted, in units of the noise without it."""
    variance = one.frame.uncertainty.array.astype(float) ** 2 - np.maximum(one.charge, 0.0)
    return one.charge / np.sqrt(np.maximum(variance, 1e-6))


def false_positives(
    rows: Mapping[str, Any], skies: Mapping[str, Sky], hot: HotFrame
) -> pd.DataFrame:
    """Share of pixels that are no cosmic ray and are flagged, as each method flags by itself."""
    records = []
    for name, predictor in rows.items():
        flags = flagged(predictor, hot.frame) & hot.valid
        stars = [
            (flagged(predictor, sky.unmasked) & sky.saturated, sky.saturated)
            for sky in skies.values()
        ]
        records.append(
            {
                "predictor": name,
                "hot pixels": flags[hot.hot].sum() / hot.hot.sum(),
                "other pixels of the dark": flags[~hot.hot].sum() / (hot.valid & ~hot.hot).sum(),
                "around saturated stars": sum(f.sum() for f, _ in stars)
                / sum(s.sum() for _, s in stars),
            }
        )
    return pd.DataFrame(records)


def flagged(predictor: Any, frame: Any) -> np.ndarray:
    if isinstance(predictor, Once):
        return predictor.predict(frame, num_samples=SAMPLES, base_rate="auto").mask()
    if isinstance(predictor, Astroscrappy):
        predictor = replace(predictor, factors=(1.0,))
    return predictor.score(frame) > 0
