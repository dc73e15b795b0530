"""Simulated tracks look like those that a real sensor collected."""

import importlib
import os
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1], ids=["LSST", "Kast"])
def test_every_distance_to_real_tracks_is_small(index):
    tracks = importlib.import_module("benchmarks.tracks")
    detector = tracks.DETECTORS[index]
    folder = Path(os.environ.get("BAYESCR_TEST_DATA") or DATA)
    if not (folder / ["lsst_itl_cr_catalog", "kast_red_2019"][index]).exists():
        pytest.skip("real data not found; BAYESCR_TEST_DATA may name its folder")
    real = [stamp for stamp in detector.read(folder) if stamp.max() > detector.least]
    found = tracks.distances(tracks.measured(real), tracks.measured(detector.simulate(25, seed=3)))
    # Samples of about 300 and 600 or more differ by 0.09 once in twenty times when they are alike.
    assert max(found.values()) < 0.15, found
