"""Simulated exposures of ACS/WFC, and real tracks in them: finders compared where truth is exact.

Exposures of each kind of field with the simulator's own hits, by itself; and tracks of LSST sensors
(imSim's catalogue) in exposures without hits. Of the tracks only the half is used that
`TrackCatalogue.split(0.5, 0.5)` gives second: all, and the straight ones, which are what space has
most of; on the ground most are curled electrons. A hit is a pixel with more than 2 sigma of the
noise without it, from 0.7 to 2 it does not count, nor do pixels that the DQ plane gives away; hot
pixels that it does not are no hits.

Every exposure has a pointing, seed and exposure time of its own: intervals are over exposures, and
speak of exposures that are simulated likewise. No recipe uses these seeds.

    python -m benchmarks space_tracks --model "space=POSTERIOR" --model "one network=POSTERIOR"

compares the first with all others; without models it takes that of the package. Without LSST's
catalogue and other real data below BAYESCR_TEST_DATA or ../shared/data those parts are left out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from bayescr.data import PatchDataset, Scaling
from bayescr.injection import TrackCatalogue, inject
from bayescr.simulation import INSTRUMENTS, SimulatedExposure, simulate_exposure, track_statistics
from benchmarks.common import Settings
from benchmarks.finders import Trial, posteriors, predictors
from benchmarks.information import real_detectors, simulated_detectors
from benchmarks.real_skies import data_folder, hot_pixels, kast_labels, lsst_tracks
from benchmarks.real_tracks import strength
from benchmarks.trials import add_information, run_trials

CAMERA = INSTRUMENTS["hst-acs-wfc"]
MASKS = ("ACS-WFC", "WFC3-UVIS", "decam")
HOME = ("hst-acs-wfc", "hst-wfc3-uvis")  # of the model "space"
SEED, SIDE, FRAMES = 2_000_000, 256, 12  # of each field
TRACKS = 100  # in a frame: about what 10 minutes in orbit leave
STRAIGHT = 0.01  # curvature [1 / pixel]
TRUTH = {"threshold": 2.0, "undecided": 0.7}


def run(settings: Settings) -> dict[str, Any]:
    rows, skipped = predictors(settings, shipped="space", masks=MASKS)
    if not rows:
        return {"skipped": skipped}
    scaling = next((one.scaling for one in posteriors(rows).values()), None)
    count, side = (2, 128) if settings.quick else (FRAMES, SIDE)
    trials = {
        f"ACS, {field}, simulated": simulated(field, count, side=side, scaling=scaling)
        for field in CAMERA.fields
    }
    folder = data_folder("lsst_itl_cr_catalog")
    if folder is None:
        skipped["LSST tracks"] = "no catalogue; BAYESCR_TEST_DATA may name its folder"
        print(f"skipped LSST tracks: {skipped['LSST tracks']}\n")
    else:
        tracks = lsst_tracks(folder).split(0.5, 0.5)[1]
        for name, catalogue in {"LSST": tracks, "straight LSST": straight(tracks)}.items():
            trials[f"ACS, {name} tracks"] = painted(catalogue, count, side=side, scaling=scaling)
    tables = run_trials("space_tracks", rows, trials, settings=settings, skipped=skipped)
    detectors = simulated_detectors(HOME, quick=settings.quick)
    real = data_folder()
    if real is not None:
        labels, hot = kast_labels(real), hot_pixels(real)
        detectors |= real_detectors(real, labels, hot, kast_is_home=False)
    add_information(tables, rows, detectors)
    return {
        "skipped": skipped,
        "tables": {name: json.loads(table.to_json()) for name, table in tables.items()},
    }


def straight(tracks: TrackCatalogue) -> TrackCatalogue:
    """The tracks that are not curved."""
    kept = tuple(t for t in tracks.tracks if track_statistics(t.charge).curvature < STRAIGHT)
    return replace(tracks, tracks=kept)


def simulated(field: str, count: int, *, side: int, scaling: Scaling | None) -> Trial:
    """Exposures of a field with the simulator's own hits."""
    found = [
        simulate_exposure(field, instrument=CAMERA, size=side, seed=SEED + index, **TRUTH)
        for index in range(count)
    ]
    return trial(
        [one.frame for one in found], [one.cosmic_rays for one in found],
        [one.valid for one in found], [signal_to_noise(one) for one in found],
        [field] * count, scaling=scaling,
    )  # fmt: skip


def painted(tracks: TrackCatalogue, count: int, *, side: int, scaling: Scaling | None) -> Trial:
    """Exposures of all fields without hits, tracks painted in."""
    none = replace(CAMERA.cosmic_rays, rate=0.0)
    found, fields = [], []
    for field in CAMERA.fields:
        for index in range(count):
            seed = SEED + FRAMES + index  # other skies than those with the simulator's hits
            exposure = simulate_exposure(
                field, instrument=CAMERA, size=side, seed=seed, cosmic_rays=none, **TRUTH
            )
            found.append(
                inject(
                    exposure.frame, tracks, number=TRACKS * side**2 // SIDE**2,
                    seed=seed + len(found), saturation=CAMERA.detector.full_well, **TRUTH,
                )
            )  # fmt: skip
            fields.append(field)
    return trial(
        [one.frame for one in found], [one.truth for one in found], [one.valid for one in found],
        [strength(one) for one in found], fields, scaling=scaling,
    )  # fmt: skip


def trial(
    frames: list[Any], truths: list[np.ndarray], valid: list[np.ndarray],
    sigma: list[np.ndarray], fields: list[str], *, scaling: Scaling | None,
) -> Trial:  # fmt: skip
    """Every frame an exposure, and a unit, by itself."""
    names = [f"{field} {index:02d}" for index, field in enumerate(fields)]
    data = PatchDataset.from_frames(
        frames, truths, reliable=valid, exposures=names, patch=None, scaling=scaling,
        fields=dict(zip(names, fields, strict=True)),
    )  # fmt: skip
    units = {"exposure": {name: name for name in names}}
    return Trial(data=data, strength=sigma, units=units)


def signal_to_noise(one: SimulatedExposure) -> np.ndarray:
    """(H, W) charge of hits, in units of the noise without it."""
    return one.charge / np.sqrt(one.scene + one.frame.header["READNSE"] ** 2)
