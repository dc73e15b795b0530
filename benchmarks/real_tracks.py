"""Real tracks in real skies: finders compared where the truth is exact.

Tracks of the Kast spectrograph's red CCD (thick; cut from its darks) and of LSST sensors (imSim's
catalogue) are painted into exposures of an open cluster with the Nickel 1-m telescope; only the
half of the tracks is used that `TrackCatalogue.split(0.5, 0.5)` gives second. A hit is a pixel with
more than 2 sigma of the noise without it, from 0.7 to 2 it does not count; nor do bad columns,
saturated pixels and the exposures' own hits. Copies of one exposure count as one when intervals are
drawn.

Beside the scores: how much of what is no cosmic ray is flagged, hot pixels of an STL-1001 camera
and stars that saturate; and what mutual information says on each instrument.

    python -m benchmarks real_tracks --model POSTERIOR

The frames lie below BAYESCR_TEST_DATA or ../shared/data; without them nothing is measured. Rows of
astroscrappy and deepCR need `pip install bayescr[classical]`, see `benchmarks.others`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayescr.data import PatchDataset, Scaling
from bayescr.errors import BayescrError
from bayescr.evaluation import METRICS, evaluate
from bayescr.evaluation.classical import Astroscrappy, DeepCR, unavailable
from bayescr.inference import Posterior
from bayescr.injection import TrackCatalogue, inject
from benchmarks.common import Settings
from benchmarks.real_skies import (
    HotFrame,
    Sky,
    data_folder,
    hot_pixels,
    kast_dark,
    kast_tracks,
    lsst_tracks,
    nickel,
)

COLUMNS = ("AUPRC", "TPR at 0.1% FPR", "AUGRC")
SWEEP = tuple(2.0**step for step in np.arange(-2.0, 5.5, 0.5))  # of sigclip
OBJLIM = (1.0, 2.0, 5.0)
SIGFRAC = (0.1, 0.3)


def run(settings: Settings) -> dict[str, Any]:
    folder = data_folder()
    if folder is None:
        print("skipped: no real frames; BAYESCR_TEST_DATA may name their folder\n")
        return {"skipped": "no real frames"}
    skies = nickel(folder)
    kast, lsst = kast_tracks(folder).split(0.5, 0.5)[1], lsst_tracks(folder).split(0.5, 0.5)[1]
    rows, skipped = predictors(settings)
    if not rows:
        return {"skipped": skipped}
    scaling = next((one.scaling for one in rows.values() if isinstance(one, Posterior)), None)
    sets = {
        "Kast tracks": painted(skies, kast, 250, copies=2, scaling=scaling, quick=settings.quick),
        "LSST tracks": painted(skies, lsst, 250, copies=2, scaling=scaling, quick=settings.quick),
    }
    tables = {}
    for name, data in sets.items():
        report = evaluate(
            rows, data, metrics=[one for one in METRICS if one.name in COLUMNS], skipped=skipped,
            num_samples=8, num_bootstrap=100 if settings.quick else 1000,
        )  # fmt: skip
        report.save(settings.output / "real_tracks" / name.replace(" ", "-").lower())
        tables[name] = report.table[report.table["field"] == "all"]
        print(f"### {name}\n\n{report}\n", flush=True)
    hot = hot_pixels(folder)
    others = {"Kast dark": kast_dark(folder), "STL dark": hot.frame}
    tables["false positives"] = false_positives(rows, skies, hot)
    tables["mutual information"] = information(rows, sets, others)
    for name in ("false positives", "mutual information"):
        print(f"### {name}\n\n{tables[name].to_markdown(index=False, floatfmt='.3g')}\n")
    return {
        "tracks": {"Kast": len(kast), "LSST": len(lsst)},
        "skipped": skipped,
        "tables": {name: json.loads(table.to_json()) for name, table in tables.items()},
    }


def predictors(settings: Settings) -> tuple[dict[str, Any], dict[str, str]]:
    """The rows, and those that cannot be: astroscrappy at every setting, deepCR, ours."""
    rows: dict[str, Any] = {}
    if settings.model is not None:
        rows["bayescr"] = Posterior.load(settings.model)
    elif hasattr(Posterior, "from_pretrained"):
        try:
            rows["bayescr"] = Posterior.from_pretrained("ground")
        except BayescrError as error:  # a development tree has no weights
            print(f"skipped bayescr: {error}\n")
    objlims, sigfracs = (OBJLIM[:1], SIGFRAC[:1]) if settings.quick else (OBJLIM, SIGFRAC)
    for objlim in objlims:
        for sigfrac in sigfracs:
            name = f"astroscrappy, objlim {objlim:g}, sigfrac {sigfrac:g}"
            rows[name] = Astroscrappy(objlim=objlim, sigfrac=sigfrac, factors=SWEEP)
    for mask in ("ACS-WFC", "decam"):
        rows[f"deepCR {mask}"] = DeepCR(mask=mask)
    reasons = {name: unavailable(one) for name, one in rows.items()}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}\n")
    return {name: one for name, one in rows.items() if name not in skipped}, skipped


def painted(
    skies: Mapping[str, Sky], tracks: TrackCatalogue, number: int, *, copies: int,
    scaling: Scaling | None, quick: bool,
) -> PatchDataset:  # fmt: skip
    """Every sky, ``copies`` times with other tracks, of one exposure; a quarter of it if quick."""
    found, exposures = [], []
    for index, (name, sky) in enumerate(skies.items()):
        frame, own = (sky.frame[:512, :512], sky.own[:512, :512]) if quick else (sky.frame, sky.own)
        for copy in range(1 if quick else copies):
            seed = copies * index + copy
            found.append(inject(frame, tracks, number=number, own_hits=own, seed=seed))
            exposures.append(name)
    return PatchDataset.from_frames(
        [one.frame for one in found], [one.truth for one in found],
        reliable=[one.valid for one in found], exposures=exposures, patch=None, scaling=scaling,
        fields={name: sky.frame.header["FILTNAM"] for name, sky in skies.items()},
    )  # fmt: skip


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
    if isinstance(predictor, Posterior):
        return predictor.predict(frame, num_samples=8).mask()
    if isinstance(predictor, Astroscrappy):
        predictor = replace(predictor, factors=(1.0,))
    return predictor.score(frame) > 0


def information(
    rows: Mapping[str, Any], sets: Mapping[str, PatchDataset], others: Mapping[str, Any]
) -> pd.DataFrame:
    """Mean mutual information of posteriors [nat]: on hits, elsewhere, and on other detectors."""
    records = []
    for name, posterior in rows.items():
        if not isinstance(posterior, Posterior):
            continue
        record = {"predictor": name}
        for label, data in sets.items():
            item, frame = data[0], data.frame(0)
            doubt = posterior.predict(frame, num_samples=8).mutual_information
            hit, valid = item["target"][0].numpy() == 1, item["valid"][0].numpy()
            record[f"Nickel, {label}"] = doubt[hit & valid].mean()
            record["Nickel, no hit"] = doubt[~hit & valid].mean()
        for label, frame in others.items():
            record[label] = posterior.predict(frame, num_samples=8).mutual_information.mean()
        records.append(record)
    return pd.DataFrame(records)
